/** What a session may be asked to do, by those outside, by its turn, and by the sessions above and below it. */
import { Data, type Result, type Schema } from "effect"
import type { Failure } from "../Failure.ts"
import type { ModelAnswer } from "../model/ModelAnswer.ts"
import type * as Approval from "../permission/Approval.ts"
import type { Permission, PermissionId } from "../permission/Permission.ts"
import type { AnswerContent, Question, QuestionId } from "../question/Question.ts"
import type * as Settling from "../question/Settling.ts"
import type { AgentKey } from "../registry/Agent.ts"
import type { WorkerId } from "../worker/WorkerId.ts"
import type { Spending } from "./Budget.ts"
import type { MessageAttachment } from "./MessageAttachment.ts"
import type { SessionEvent, SessionMetadata, ToolOutcome, WhenBusy } from "./SessionEvent.ts"
import type { CallId, MessageId, SessionId, TurnId } from "./SessionId.ts"
import type { MailboxFull, SessionBusy, SessionHasEnded, TooManySubSessions } from "./SessionManager.ts"

/** Messages that may wait, and calls outside a turn that may be unsettled. */
export const MAILBOX_CAPACITY = 100

/** A call that was decided on; with an outcome when it was settled by the look of it. */
export interface RequestedCall {
  readonly callId: CallId
  readonly workerId?: WorkerId | undefined
  readonly tool: string
  readonly args: Schema.Json
  /** A person has to allow it first. */
  readonly asks?: Omit<Permission, "callId" | "tool" | "args" | "path"> | undefined
  /** The sub-session that is its outcome. */
  readonly child?: Child | undefined
  readonly outcome?: ToolOutcome | undefined
}

/** A sub-session on its way: its own first event goes with the same append. */
export interface Child {
  readonly sessionId: SessionId
  readonly index: number
  readonly agentType: string
}

export interface AssistantText {
  readonly messageId: MessageId
  readonly text: string
}

export type Command = Data.TaggedEnum<{
  Send: {
    readonly messageId: MessageId
    readonly text: string
    readonly from?: AgentKey | undefined
    readonly attachments?: ReadonlyArray<MessageAttachment> | undefined
    readonly whenBusy?: WhenBusy | undefined
  }
  Update: { readonly title: string | undefined; readonly metadata: SessionMetadata | undefined }
  /** The next waiting message gets its turn, if none runs. */
  StartTurn: { readonly turnId: TurnId }
  /** A step of a turn: what the model said and the calls it asked for. */
  RequestCalls: {
    readonly turnId: TurnId
    readonly text: AssistantText | undefined
    readonly calls: ReadonlyArray<RequestedCall>
    readonly answer?: ModelAnswer | undefined
  }
  /** A person's own call. */
  RequestCall: { readonly call: RequestedCall }
  /** A call that had to be allowed first goes to the pool. */
  QueueCall: { readonly callId: CallId; readonly workerId: WorkerId }
  /** What the model is shown is made to fit. */
  Compact: {
    readonly turnId: TurnId
    readonly upTo: number
    readonly dropped: number
    readonly summary?: string | undefined
    readonly answer?: ModelAnswer | undefined
  }
  /** A sub-session begins: for a call, or because somebody asked for one. */
  Spawn: { readonly child: Child; readonly callId: CallId | undefined }
  /** It came to its outcome or to its end. */
  EndSub: { readonly sessionId: SessionId; readonly outcome: ToolOutcome; readonly spent: Spending }
  /** A sub-session asks for permission. */
  RelayPermission: { readonly permission: Permission }
  /** It was resolved in the session above or below this one. */
  FollowPermission: { readonly told: Approval.Resolved }
  AnswerPermission: Approval.Answer
  ExpirePermission: { readonly permissionId: PermissionId; readonly now: number }
  /** An MCP server asks the person. */
  AskQuestion: { readonly question: Question }
  /** A sub-session asks. */
  RelayQuestion: { readonly question: Question }
  /** It was settled in the session above or below this one; an answer comes along. */
  FollowQuestion: { readonly told: Settling.Settled; readonly content?: AnswerContent | undefined }
  AnswerQuestion: Settling.PersonsAnswer
  ExpireQuestion: { readonly questionId: QuestionId; readonly now: number }
  WithdrawQuestion: { readonly questionId: QuestionId }
  /** The model completed a text for an MCP server. */
  ChargeSampling: { readonly server: string; readonly answer: ModelAnswer }
  SettleCall: { readonly callId: CallId; readonly outcome: ToolOutcome }
  EndTurn: {
    readonly turnId: TurnId
    readonly text: AssistantText | undefined
    readonly outcome: "completed" | "cancelled" | "failed"
    readonly failure: Failure | undefined
    readonly answer?: ModelAnswer | undefined
  }
  End: { readonly reason: string; readonly text: AssistantText | undefined }
}>
export const Command = Data.taggedEnum<Command>()

/** The turn that asks is no longer the one that runs. */
export class TurnOver extends Data.TaggedError("TurnOver")<{ readonly turnId: TurnId }> {}

/** The call is settled, waits for permission, or has its worker already. */
export class CallNotWaiting extends Data.TaggedError("CallNotWaiting")<{ readonly callId: CallId }> {}

export type Refusal =
  | TooManySubSessions
  | SessionHasEnded
  | SessionBusy
  | MailboxFull
  | TurnOver
  | CallNotWaiting
  | Approval.PermissionRefusal
  | Settling.QuestionRefusal
  | Settling.QuestionNotAsked

export type Decision = Result.Result<ReadonlyArray<SessionEvent>, Refusal>
