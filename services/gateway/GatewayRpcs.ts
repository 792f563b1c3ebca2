/**
 * The gateway: every operation of a running server, typed. Other interfaces project this group and use its names.
 *
 * Times are Unix milliseconds, durations milliseconds, sizes bytes. Lists come newest first, a page at a time: pass the
 * last id of a page as `before` to get the next one.
 */
import { Schema } from "effect"
import { Rpc, RpcGroup } from "effect/rpc"
import { Delivery } from "../events/RuntimeEvent.ts"
import { CursorAhead, CursorExpired, Expired, maxCapacity, Policy, SubscriptionCut } from "../events/Subscription.ts"
import { Subject } from "../events/Topic.ts"
import { TopicStats } from "../events/TopicStats.ts"
import { InvalidInput } from "../InvalidInput.ts"
import { BreakerOpen, BreakerStatus } from "../limits/Breakers.ts"
import { RateLimited } from "../limits/RateLimits.ts"
import { StorageError } from "../journal/StorageError.ts"
import {
  McpServer,
  McpServerNotFound,
  McpServerUnavailable,
  McpTool,
  McpToolChanged,
  McpToolNotFound
} from "../mcp/McpServer.ts"
import { Agent, AgentKey, AgentStatus } from "../registry/Agent.ts"
import { AgentChange } from "../registry/AgentChange.ts"
import { DeliveryReceipt } from "../registry/AgentMessage.ts"
import { AgentCursor, AgentOrder } from "../registry/AgentQuery.ts"
import { AgentNotFound } from "../registry/Registry.ts"
import { NoAgentAvailable, RoutingStrategy } from "../registry/Router.ts"
import { Limits } from "../session/Budget.ts"
import { MessageAttachments } from "../session/MessageAttachment.ts"
import { Message, Session, SessionSummary } from "../session/Session.ts"
import {
  Permission,
  PermissionAlreadyResolved,
  PermissionAnswer,
  PermissionExpired,
  PermissionId,
  PermissionMismatch,
  PermissionNotFound
} from "../permission/Permission.ts"
import {
  AnswerContent,
  Question,
  QuestionAction,
  QuestionAlreadySettled,
  QuestionExpired,
  QuestionId,
  QuestionNotFound,
  QuestionNotYours
} from "../question/Question.ts"
import { SessionMetadata, SessionPermissions, WhenBusy } from "../session/SessionEvent.ts"
import { MessageId, SessionId } from "../session/SessionId.ts"
import {
  Acknowledgement,
  MailboxFull,
  NoTurn,
  SessionBusy,
  SessionHasEnded,
  SessionInterrupted,
  SessionNotFound,
  TooManySessions,
  TooManySubSessions
} from "../session/SessionManager.ts"
import { ChaosRefused } from "../supervision/Chaos.ts"
import { TreeNode } from "../supervision/SupervisionTree.ts"
import { ChildNotFound } from "../supervision/Supervisor.ts"
import { ToolFailure } from "../tools/Tool.ts"
import { ToolDescription, ToolNotFound } from "../tools/Tools.ts"
import { Worker, WorkerStatus, WorkerSummary } from "../worker/Worker.ts"
import { maxPermits } from "../worker/PoolLimits.ts"
import { NamedPool, PoolStatus } from "../worker/PoolStatus.ts"
import { Priority } from "../worker/Ticket.ts"
import { PoolNotFound, PoolRefusal, WorkerEnded, WorkerNotFound } from "../worker/WorkerPool.ts"
import { WorkerId } from "../worker/WorkerId.ts"
import { InternalError } from "./InternalError.ts"
import { Overloaded } from "./Overloaded.ts"
import { ShuttingDown } from "./ShuttingDown.ts"

const Limit = Schema.optionalKey(Schema.Int.check(Schema.isBetween({ minimum: 1, maximum: 1000 })))
const Text = Schema.NonEmptyString.check(Schema.isMaxLength(262_144))
const Title = Schema.optionalKey(Schema.String.check(Schema.isMaxLength(200)))
const Metadata = Schema.optionalKey(
  SessionMetadata.check(
    Schema.makeFilter((labels) =>
      Object.entries(labels).every(([key, value]) => key.length <= 100 && value.length <= 1000) &&
      Object.keys(labels).length <= 50
        ? undefined
        : "at most 50 labels of 100 characters, with values of 1,000"
    )
  )
)
const ServerName = Schema.String.check(Schema.isMaxLength(256))

const Name = Schema.NonEmptyString.check(Schema.isMaxLength(200))
const Names = Schema.optionalKey(Schema.Union([Name, Schema.Array(Name).check(Schema.isMaxLength(20))]))
/** Which agents are meant: all that is given must hold. */
const agents = {
  session: Schema.optionalKey(SessionId),
  role: Schema.optionalKey(Schema.String),
  /** One, or all of several. */
  tag: Names,
  capability: Names,
  status: Schema.optionalKey(AgentStatus),
  /** Only those that work may be routed to: `idle` or `busy`. */
  available: Schema.optionalKey(Schema.Boolean),
  metadata: Metadata
}
const letter = {
  from: Schema.optionalKey(AgentKey),
  text: Text,
  messageId: Schema.optionalKey(MessageId),
  /** Milliseconds until every outcome is there (default 5,000). */
  patience: Schema.optionalKey(Schema.Int.check(Schema.isBetween({ minimum: 1, maximum: 60_000 })))
}
const Pool = Schema.String.check(Schema.isMaxLength(32))
const Permits = Schema.Int.check(Schema.isBetween({ minimum: 1, maximum: maxPermits }))
const Permissions = Schema.optionalKey(
  SessionPermissions.check(
    Schema.makeFilter(({ rules = [] }) => (rules.length <= 100 ? undefined : "at most 100 rules"))
  )
)
const Directory = Schema.String.check(
  Schema.isMaxLength(4_096),
  Schema.isPattern(/^(?:\/|[A-Za-z]:[\\/])[^\0]*$/, { message: "an absolute path" })
)
const Milliseconds = Schema.optionalKey(Schema.Int.check(Schema.isBetween({ minimum: 1, maximum: 604_800_000 })))
/** What any call may answer besides its own errors. */
export const common = [InvalidInput, Overloaded, ShuttingDown, InternalError] as const
const onSession = [...common, StorageError, SessionNotFound, SessionInterrupted, TooManySessions] as const

export class GatewayRpcs extends RpcGroup.make(
  Rpc.make("StartSession", {
    payload: {
      sessionId: Schema.optionalKey(SessionId),
      title: Title,
      agentType: Schema.optionalKey(Schema.String.check(Schema.isMaxLength(100))),
      metadata: Metadata,
      permissions: Permissions,
      whenBusy: Schema.optionalKey(WhenBusy),
      limits: Schema.optionalKey(Limits),
      directory: Schema.optionalKey(Directory),
      /** Those of the declared MCP servers that it sees (default all). */
      mcpServers: Schema.optionalKey(Schema.Array(ServerName).check(Schema.isMaxLength(100))),
      parent: Schema.optionalKey(
        Schema.Struct({ sessionId: SessionId, deadline: Milliseconds, idleLimit: Milliseconds })
      )
    },
    success: Session,
    error: Schema.Union([...onSession, SessionHasEnded, TooManySubSessions, McpServerNotFound])
  }),
  Rpc.make("StopSession", {
    payload: { sessionId: SessionId, reason: Schema.optionalKey(Schema.String.check(Schema.isMaxLength(500))) },
    error: Schema.Union([...onSession])
  }),
  Rpc.make("GetSession", {
    payload: { sessionId: SessionId },
    success: Session,
    error: Schema.Union([...onSession])
  }),
  Rpc.make("ListSessions", {
    payload: { before: Schema.optionalKey(SessionId), parent: Schema.optionalKey(SessionId), limit: Limit },
    success: Schema.Array(SessionSummary),
    error: Schema.Union([...common, StorageError])
  }),
  Rpc.make("SendMessage", {
    payload: {
      sessionId: SessionId,
      text: Text,
      messageId: Schema.optionalKey(MessageId),
      attachments: Schema.optionalKey(MessageAttachments),
      whenBusy: Schema.optionalKey(WhenBusy)
    },
    success: Acknowledgement,
    error: Schema.Union([...onSession, SessionHasEnded, SessionBusy, MailboxFull])
  }),
  Rpc.make("CancelTurn", {
    payload: { sessionId: SessionId },
    error: Schema.Union([...onSession, SessionHasEnded, NoTurn])
  }),
  Rpc.make("ListPermissions", {
    payload: { sessionId: SessionId },
    success: Schema.Array(Permission),
    error: Schema.Union([...onSession])
  }),
  Rpc.make("ResolvePermission", {
    payload: {
      sessionId: SessionId,
      permissionId: PermissionId,
      decision: PermissionAnswer,
      /** As `ListPermissions` or `PermissionRequested` shows it: so the answer is to what was seen. */
      hash: Schema.String.check(Schema.isMaxLength(100)),
      remember: Schema.optionalKey(Schema.Boolean)
    },
    error: Schema.Union([
      ...onSession,
      SessionHasEnded,
      PermissionNotFound,
      PermissionExpired,
      PermissionMismatch,
      PermissionAlreadyResolved
    ])
  }),
  Rpc.make("ListQuestions", {
    payload: { sessionId: SessionId },
    success: Schema.Array(Question),
    error: Schema.Union([...onSession])
  }),
  Rpc.make("AnswerQuestion", {
    payload: {
      sessionId: SessionId,
      questionId: QuestionId,
      action: QuestionAction,
      /** With `accept`: what the question's schema asks for. It is handed to the MCP server and kept nowhere. */
      content: Schema.optionalKey(AnswerContent)
    },
    error: Schema.Union([
      ...onSession,
      SessionHasEnded,
      QuestionNotFound,
      QuestionExpired,
      QuestionNotYours,
      QuestionAlreadySettled
    ])
  }),
  Rpc.make("UpdateSession", {
    payload: { sessionId: SessionId, title: Title, metadata: Metadata },
    success: Session,
    error: Schema.Union([...onSession, SessionHasEnded])
  }),
  Rpc.make("GetMessages", {
    payload: { sessionId: SessionId, after: Schema.optionalKey(Schema.Int), limit: Limit },
    success: Schema.Array(Message),
    error: Schema.Union([...common, StorageError, SessionNotFound])
  }),
  /** What answers, and what stands in for it, in order: `provider/model`, `own` for one by embedding; none without a model. */
  Rpc.make("ListModels", { success: Schema.Array(Schema.String), error: Schema.Union([...common]) }),
  Rpc.make("ListTools", { success: Schema.Array(ToolDescription), error: Schema.Union([...common]) }),
  Rpc.make("RunTool", {
    payload: {
      sessionId: SessionId,
      tool: Schema.String.check(Schema.isMaxLength(100)),
      args: Schema.Json,
      /** 0 to 9, 9 first, among the tasks of the session that wait (default: the tool's own, else 5). */
      priority: Schema.optionalKey(Priority)
    },
    success: Schema.Union([Schema.Struct({ result: Schema.Json }), Schema.Struct({ workerId: WorkerId })]),
    error: Schema.Union([
      ...onSession,
      SessionHasEnded,
      MailboxFull,
      ToolNotFound,
      ToolFailure,
      PoolRefusal,
      RateLimited,
      BreakerOpen
    ])
  }),
  Rpc.make("GetWorker", {
    payload: { workerId: WorkerId },
    success: Worker,
    error: Schema.Union([...common, StorageError, WorkerNotFound])
  }),
  Rpc.make("ListWorkers", {
    payload: {
      sessionId: Schema.optionalKey(SessionId),
      status: Schema.optionalKey(WorkerStatus),
      before: Schema.optionalKey(WorkerId),
      limit: Limit
    },
    success: Schema.Array(WorkerSummary),
    error: Schema.Union([...common, StorageError])
  }),
  Rpc.make("CancelWorker", {
    payload: { workerId: WorkerId },
    error: Schema.Union([...common, StorageError, WorkerNotFound, WorkerEnded])
  }),
  Rpc.make("Subscribe", {
    payload: {
      topic: Subject,
      /** First sequence wanted; absent: only what happens from now on. */
      from: Schema.optionalKey(Schema.Int.check(Schema.isGreaterThanOrEqualTo(1))),
      policy: Schema.optionalKey(Policy),
      /** What a `from` means that is no longer kept (default `fail`). */
      expired: Schema.optionalKey(Expired),
      capacity: Schema.optionalKey(Schema.Int.check(Schema.isBetween({ minimum: 1, maximum: maxCapacity }))),
      label: Schema.optionalKey(Schema.String.check(Schema.isMaxLength(100)))
    },
    success: Delivery,
    error: Schema.Union([
      ...common,
      StorageError,
      CursorAhead,
      CursorExpired,
      SubscriptionCut,
      SessionNotFound,
      WorkerNotFound
    ]),
    stream: true
  }),
  Rpc.make("TopicStats", {
    /** `limit` is how many subscribers are listed, over all topics. */
    payload: { topic: Schema.optionalKey(Subject), limit: Limit },
    success: Schema.Array(TopicStats),
    error: Schema.Union([...common])
  }),
  Rpc.make("PoolStatus", { success: PoolStatus, error: Schema.Union([...common]) }),
  /** Sets what is given until the server stops; what runs beyond fewer permits goes on to its end. */
  Rpc.make("ResizePool", {
    payload: {
      pool: Pool,
      permits: Schema.optionalKey(Permits),
      min: Schema.optionalKey(Permits),
      max: Schema.optionalKey(Permits)
    },
    success: NamedPool,
    error: Schema.Union([...common, PoolNotFound])
  }),
  /** Starts nothing more; what comes waits, and may outwait its patience. */
  Rpc.make("PausePool", {
    payload: { pool: Pool },
    success: NamedPool,
    error: Schema.Union([...common, PoolNotFound])
  }),
  /** Ends a pause or a drain. */
  Rpc.make("ResumePool", {
    payload: { pool: Pool },
    success: NamedPool,
    error: Schema.Union([...common, PoolNotFound])
  }),
  /** Takes nothing more and runs what it has; `PoolDrained` on `system:pool` tells when nothing is left. */
  Rpc.make("DrainPool", {
    payload: { pool: Pool },
    success: NamedPool,
    error: Schema.Union([...common, PoolNotFound])
  }),
  Rpc.make("SupervisionTree", { success: TreeNode, error: Schema.Union([...common]) }),
  /** The tree at once, then again whenever it has changed, at most five times a second. Ends only with its caller. */
  Rpc.make("WatchTree", { success: TreeNode, error: Schema.Union([...common]), stream: true }),
  /** Crashes a part of the tree, where the server was started for that. */
  Rpc.make("KillChild", {
    payload: { path: Schema.String.check(Schema.isMaxLength(1_000)) },
    error: Schema.Union([...common, ChaosRefused, ChildNotFound])
  }),
  /** Pages go by `after`: the last agent of the page before. */
  Rpc.make("FindAgents", {
    payload: { ...agents, order: Schema.optionalKey(AgentOrder), after: Schema.optionalKey(AgentCursor), limit: Limit },
    success: Schema.Array(Agent),
    error: Schema.Union([...common])
  }),
  /** The result of a query, then how it changes, at most ten times a second. Ends only with its caller. */
  Rpc.make("WatchAgents", {
    payload: { ...agents, order: Schema.optionalKey(AgentOrder), limit: Limit },
    success: AgentChange,
    error: Schema.Union([...common]),
    stream: true
  }),
  Rpc.make("GetAgent", {
    payload: { key: AgentKey },
    success: Agent,
    error: Schema.Union([...common, AgentNotFound])
  }),
  /** To one agent: the one that `to` names, or one of those that fit `route`. What became of it is in the receipt. */
  Rpc.make("SendAgentMessage", {
    payload: Schema.Struct({
      to: Schema.optionalKey(AgentKey),
      route: Schema.optionalKey(Schema.Struct({ ...agents, strategy: Schema.optionalKey(RoutingStrategy) })),
      ...letter
    }).check(
      Schema.makeFilter(({ route, to }) =>
        (route === undefined) === (to === undefined) ? "either an agent in `to` or a query in `route`" : undefined
      )
    ),
    success: DeliveryReceipt,
    error: Schema.Union([...common, NoAgentAvailable])
  }),
  /** To all that fit, the oldest first, at most `limit` of them; not to its sender. */
  Rpc.make("BroadcastAgentMessage", {
    payload: { to: Schema.Struct(agents), ...letter, limit: Limit },
    success: Schema.Array(DeliveryReceipt),
    error: Schema.Union([...common])
  }),
  /** The circuit breakers of what calls were made to lately. */
  Rpc.make("ListBreakers", { success: Schema.Array(BreakerStatus), error: Schema.Union([...common]) }),
  /** The MCP servers that are declared, and how they are. */
  Rpc.make("McpServers", { success: Schema.Array(McpServer), error: Schema.Union([...common]) }),
  /** All that is known of the tools of one of them, those that are blocked or refused included. */
  Rpc.make("McpTools", {
    payload: { server: ServerName },
    success: Schema.Array(McpTool),
    error: Schema.Union([...common, McpServerNotFound])
  }),
  /** Approves what a server says now of one of its tools, or of all. Answers with those that were blocked before. */
  Rpc.make("ApproveMcpTools", {
    payload: {
      server: ServerName,
      tool: Schema.optionalKey(Schema.String.check(Schema.isMaxLength(256))),
      /** The hash that was looked at, or at least the first 8 of its characters: any other definition is refused. */
      hash: Schema.optionalKey(Schema.String.check(Schema.isPattern(/^[0-9a-f]{8,64}$/)))
    },
    success: Schema.Array(Schema.String),
    error: Schema.Union([
      ...common,
      StorageError,
      McpServerNotFound,
      McpServerUnavailable,
      McpToolNotFound,
      McpToolChanged
    ])
  }),
  /** Ends a server's life and begins another at once. */
  Rpc.make("RestartMcpServer", {
    payload: { server: ServerName },
    error: Schema.Union([...common, McpServerNotFound])
  })
) {}
