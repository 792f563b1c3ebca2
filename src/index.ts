/**
 * Espalier's face for programs that embed it: layers that put a whole runtime together, the contracts that they
 * provide, and what is needed to add a tool or to replace a part.
 *
 *     import { Embedded, SessionManager } from "espalier"
 *
 *     const program = Effect.gen(function* () {
 *       const sessions = yield* SessionManager
 *       const session = yield* sessions.start({ title: "first" })
 *     })
 *     program.pipe(Effect.provide(Embedded.layerMemory()))
 *
 * A client of a running server is in `espalier/client`; single files, schemas and errors among them, are in
 * `espalier/services/*` and `espalier/layers/*`.
 */
export * as Embedded from "./server/Runtime.ts"
export * as Server from "./server/Server.ts"
export { version } from "./version.ts"

export { EventBus } from "../services/events/EventBus.ts"
export * as Topic from "../services/events/Topic.ts"
export { GatewayRpcs } from "../services/gateway/GatewayRpcs.ts"
export { Journal } from "../services/journal/Journal.ts"
export { Registry } from "../services/registry/Registry.ts"
export { SessionManager } from "../services/session/SessionManager.ts"
export * as Places from "../services/supervision/Places.ts"
export { Supervisor } from "../services/supervision/Supervisor.ts"
export * as Tool from "../services/tools/Tool.ts"
export { Tools } from "../services/tools/Tools.ts"
export { WorkerPool } from "../services/worker/WorkerPool.ts"
