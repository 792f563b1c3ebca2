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
 * A client of a running server is in `espalier/client`; single files are in `espalier/services/*` and
 * `espalier/layers/*`.
 */
export * as Embedded from "./server/Runtime.ts"
export * as Server from "./server/Server.ts"
export { ask, type AskOptions, TurnCancelled, TurnFailed } from "./ask.ts"
export { version } from "./version.ts"

export * as AiSdkModel from "../layers/model/AiSdkModel.ts"
export * as ResilientModel from "../layers/model/ResilientModel.ts"
export { MaxOutputTokens } from "../services/model/MaxOutputTokens.ts"
export * from "../services/model/ModelAnswer.ts"
export { Price, Usage } from "../services/model/Usage.ts"

export * from "../services/InvalidInput.ts"
export * from "../services/events/EventBus.ts"
export * from "../services/events/RuntimeEvent.ts"
export * as Topic from "../services/events/Topic.ts"
export * from "../services/gateway/AddressUnavailable.ts"
export * from "../services/gateway/ErrorCodes.ts"
export { GatewayRpcs } from "../services/gateway/GatewayRpcs.ts"
export * from "../services/gateway/InternalError.ts"
export * from "../services/gateway/Overloaded.ts"
export * from "../services/gateway/ServerUnreachable.ts"
export * from "../services/gateway/ShuttingDown.ts"
export * from "../services/health/HealthEvent.ts"
export * from "../services/limits/BreakerEvent.ts"
export * from "../services/limits/Breakers.ts"
export * from "../services/limits/RateLimits.ts"
export * from "../services/journal/Journal.ts"
export * from "../services/journal/StorageError.ts"
export * from "../services/maintenance/MaintenanceEvent.ts"
export * from "../services/access/Person.ts"
export * from "../services/permission/Permission.ts"
export type {
  McpGrants,
  McpServerConfig,
  McpServerDeclaration,
  McpServerDeclarations
} from "../services/mcp/McpConfig.ts"
export * from "../services/mcp/McpEvent.ts"
export * from "../services/mcp/McpQuestions.ts"
export * from "../services/mcp/McpServer.ts"
export * from "../services/mcp/McpServers.ts"
export * from "../services/permission/Rules.ts"
export * as QuestionForm from "../services/question/Form.ts"
export {
  type Answer,
  AnswerContent,
  Question,
  QuestionAction,
  QuestionAlreadySettled,
  QuestionEnd,
  QuestionExpired,
  QuestionId,
  QuestionNotFound,
  QuestionNotYours
} from "../services/question/Question.ts"
export { CommandMissing, CommandNotStarted, InputClosed, Processes } from "../services/processes/Processes.ts"
export * from "../services/registry/Agent.ts"
export * from "../services/registry/AgentChange.ts"
export * from "../services/registry/AgentMessage.ts"
export * from "../services/registry/AgentQuery.ts"
export * from "../services/registry/Registry.ts"
export * from "../services/registry/Router.ts"
export * from "../services/session/AgentType.ts"
export * as Compaction from "../services/session/Compaction.ts"
export * from "../services/session/Instructions.ts"
export { MessageAttachment } from "../services/session/MessageAttachment.ts"
export * as Budget from "../services/session/Budget.ts"
export * from "../services/session/Session.ts"
export * from "../services/session/SessionDesk.ts"
export * from "../services/session/SessionEvent.ts"
export * from "../services/session/SessionId.ts"
export * from "../services/session/SessionManager.ts"
export * from "../services/supervision/Chaos.ts"
export * from "../services/supervision/ChildSpec.ts"
export * as Places from "../services/supervision/Places.ts"
export type { Backoff } from "../services/supervision/planBackoff.ts"
export * from "../services/supervision/RuntimeGaveUp.ts"
export * from "../services/supervision/SupervisionEvent.ts"
export * from "../services/supervision/SupervisionTree.ts"
export * from "../services/supervision/Supervisor.ts"
export { watchTree } from "../services/supervision/watchTree.ts"
export * as Tool from "../services/tools/Tool.ts"
export * from "../services/tools/ToolClass.ts"
export * from "../services/tools/Tools.ts"
export { Worker, WorkerStatus, WorkerSummary } from "../services/worker/Worker.ts"
export * from "../services/worker/PoolEvent.ts"
export type { PoolOptions, Pools, QuotaOptions, ScalingOptions } from "../services/worker/PoolLimits.ts"
export * from "../services/worker/PoolStatus.ts"
export * from "../services/worker/WorkerEvent.ts"
export * from "../services/worker/WorkerId.ts"
export * from "../services/worker/WorkerPool.ts"
