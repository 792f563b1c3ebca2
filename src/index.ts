/**
 * Espalier's face for programs that embed it: layers that put a whole runtime together, the contracts that they
 * provide, and what is needed to add a tool or to replace a part.
 *
 *     import { Embedded, SessionManager } from "espalier"
 *
 *     const program = Effect.gen(function* () {
 *       const sessions = yield* SessionManager.SessionManager
 *       const session = yield* sessions.start({ title: "first" })
 *     })
 *     program.pipe(Effect.provide(Embedded.layerMemory()))
 *
 * A client of a running server is in `espalier/client`; single files are in `espalier/services/*` and
 * `espalier/layers/*`.
 */
export * as Embedded from "./server/Runtime.ts"
export * as Server from "./server/Server.ts"
export { version } from "./version.ts"

export * as EventBus from "../services/events/EventBus.ts"
export * as RuntimeEvent from "../services/events/RuntimeEvent.ts"
export * as Topic from "../services/events/Topic.ts"
export * as ErrorCodes from "../services/gateway/ErrorCodes.ts"
export { GatewayRpcs } from "../services/gateway/GatewayRpcs.ts"
export { InvalidInput } from "../services/InvalidInput.ts"
export * as Journal from "../services/journal/Journal.ts"
export * as StorageError from "../services/journal/StorageError.ts"
export * as Agent from "../services/registry/Agent.ts"
export * as Registry from "../services/registry/Registry.ts"
export * as Session from "../services/session/Session.ts"
export * as SessionEvent from "../services/session/SessionEvent.ts"
export * as SessionId from "../services/session/SessionId.ts"
export * as SessionManager from "../services/session/SessionManager.ts"
export * as ChildSpec from "../services/supervision/ChildSpec.ts"
export * as Places from "../services/supervision/Places.ts"
export * as SupervisionTree from "../services/supervision/SupervisionTree.ts"
export * as Supervisor from "../services/supervision/Supervisor.ts"
export * as Tool from "../services/tools/Tool.ts"
export * as Tools from "../services/tools/Tools.ts"
export * as Worker from "../services/worker/Worker.ts"
export * as WorkerEvent from "../services/worker/WorkerEvent.ts"
export * as WorkerId from "../services/worker/WorkerId.ts"
export * as WorkerPool from "../services/worker/WorkerPool.ts"
