/** A session that is held in memory, and how its fiber is spoken to. */
import { type Cause, Clock, Deferred, Effect, type Fiber, Schedule, Schema, type Scope } from "effect"
import * as Topic from "../../services/events/Topic.ts"
import { StorageError } from "../../services/journal/StorageError.ts"
import type { AgentHandle } from "../../services/registry/Registry.ts"
import type { Answer, QuestionId } from "../../services/question/Question.ts"
import type { PermissionAnswer } from "../../services/permission/Permission.ts"
import type { Command, Refusal } from "../../services/session/decide.ts"
import type { ToolOutcome } from "../../services/session/SessionEvent.ts"
import type { CallId, SessionId, TurnId } from "../../services/session/SessionId.ts"
import {
  MailboxFull,
  type NoTurn,
  type SessionHasEnded,
  SessionInterrupted
} from "../../services/session/SessionManager.ts"
import type { SessionState } from "../../services/session/SessionState.ts"
import type { Admission } from "../../services/worker/WorkerPool.ts"
import * as Inbox from "./Inbox.ts"

type Reply<A, E> = (answer: Effect.Effect<A, E>) => void

/** What goes with a command in one append: a place in the pool's queue, the beginning of a sub-session. */
export type Attachment = Pick<Admission, "append" | "enqueue" | "release">

export type Item =
  | {
      readonly _tag: "Decide"
      readonly command: Command
      /** What belongs to the command's calls. */
      readonly admissions: ReadonlyArray<Attachment>
      /** Answered with the state once the events are durable. */
      readonly reply: Reply<SessionState, Refusal | StorageError | SessionInterrupted>
    }
  /** Answered with the state that all before it have left. */
  | { readonly _tag: "Look"; readonly reply: Reply<SessionState, Refusal | StorageError | SessionInterrupted> }
  | {
      readonly _tag: "CancelTurn"
      readonly reply: Reply<void, SessionHasEnded | NoTurn | StorageError | SessionInterrupted>
    }
  | { readonly _tag: "Stop"; readonly reason: string; readonly reply: Reply<void, StorageError | SessionInterrupted> }
  /** It may leave memory, if nothing else has come in. */
  | { readonly _tag: "Hibernate" }
  /** Something beside the fiber broke: so does the fiber. */
  | { readonly _tag: "Broken"; readonly cause: Cause.Cause<unknown> }

/** How one who waits for an end is told of it. */
export type Ending = Reply<void, StorageError | SessionInterrupted>

export interface RunningTurn {
  readonly id: TurnId
  /** What the model has said since the last settled step. */
  draft: string
  fiber: Fiber.Fiber<void> | undefined
  /** Who waits for its end: set once it is being cancelled. */
  cancelling: Array<Ending> | undefined
}

export interface LiveSession {
  readonly id: SessionId
  /** Always what the journal holds: set only after an append. */
  state: SessionState
  inbox: Inbox.Inbox<Item>
  /** Its place in the registry, while it runs. */
  entry: AgentHandle | undefined
  /**
   * `down`: between a crash and its restart. `gone`: it has ended or was given up on. `hibernated`: it has left memory,
   * and this is what is left of it; its next life is another one.
   */
  status: "starting" | "running" | "down" | "hibernated" | "gone"
  /** Taken from the inbox and not answered. */
  inFlight: ReadonlyArray<Item>
  turn: RunningTurn | undefined
  /** Calls outside turns that run here, in the session's own scope. */
  personal: Map<CallId, Fiber.Fiber<void>> | undefined
  /** Who waits for the outcome of a call. */
  outcomes: Map<CallId, Deferred.Deferred<ToolOutcome, SessionInterrupted>> | undefined
  /** Turns that wait until a call of theirs may run. */
  permitted: Map<CallId, Deferred.Deferred<PermissionAnswer, SessionInterrupted>> | undefined
  /** Who waits until a question is settled. */
  questions: Map<QuestionId, Deferred.Deferred<Answer, SessionInterrupted>> | undefined
  /** The number of the next sub-session, as far as this process gave them out. */
  nextSub: number
  /** Who waits for its end: set once it is being stopped, and then it takes nothing more. */
  stopping: Array<Ending> | undefined
  /** Who waits until it is up again. */
  comeback: Array<() => void> | undefined
}

/** Of a session that is at rest, and most are: so they share it. */
export const nothing: ReadonlyArray<never> = []

export const make = (state: SessionState): LiveSession => ({
  id: state.id,
  state,
  inbox: Inbox.make(),
  entry: undefined,
  status: "starting",
  inFlight: nothing,
  turn: undefined,
  personal: undefined,
  outcomes: undefined,
  permitted: undefined,
  questions: undefined,
  nextSub: 0,
  stopping: undefined,
  comeback: undefined
})

/** One life of a session's fiber. What is left of an earlier one reaches neither its inbox nor its scope. */
export interface Life {
  readonly live: LiveSession
  readonly inbox: Inbox.Inbox<Item>
  readonly scope: Scope.Scope
}

export const topicOf = (live: LiveSession) => Topic.ofSession(live.id)

export const interrupted = (live: LiveSession) => new SessionInterrupted({ sessionId: live.id })

/** Puts an item in line and waits for its answer; `refusal` says why it was not taken. */
const ask = <A, E, F>(
  put: (item: Item) => boolean,
  item: (reply: Reply<A, E>) => Item,
  refusal: () => F
): Effect.Effect<A, E | F> =>
  Effect.callback((resume: (answer: Effect.Effect<A, E | F>) => void) => {
    if (!put(item(resume))) resume(Effect.fail(refusal()))
  })

type Decided = Refusal | StorageError | SessionInterrupted

/** As a caller from outside, who is refused when too many ask at once. */
export const decide = (live: LiveSession, command: Command): Effect.Effect<SessionState, Decided> =>
  ask<SessionState, Decided, Decided>(
    (item) => Inbox.offer(live.inbox, item),
    (reply) => ({ _tag: "Decide", command, admissions: [], reply }),
    () => (live.inbox.isClosed ? interrupted(live) : new MailboxFull({ sessionId: live.id, capacity: Inbox.CAPACITY }))
  )

/** Refusals that only a turn, its calls and messages meet, only an answer to a permission, only one to a question. */
export const ofTurns = ["TurnOver", "CallNotWaiting", "SessionBusy", "TooManySubSessions"] as const
export const ofPermissions = [
  "PermissionNotFound",
  "PermissionExpired",
  "PermissionMismatch",
  "PermissionAlreadyResolved"
] as const
export const ofQuestions = [
  "QuestionNotFound",
  "QuestionExpired",
  "QuestionNotYours",
  "QuestionAlreadySettled",
  "QuestionNotAsked"
] as const

/** Leaves of the refusals those that a message, an update or a person's call can meet. */
export const narrow = <A, E>(effect: Effect.Effect<A, E | Refusal>) =>
  Effect.catchTag(effect, ["TurnOver", "CallNotWaiting", ...ofPermissions, ...ofQuestions], Effect.die)

/**
 * Puts a command in line whose calls hold places in the pool's queue. Once a place is taken nothing comes between it
 * and the line, and whoever takes the command from there uses the place or gives it back.
 */
export const submit = <A extends { readonly command: Command; readonly admissions: ReadonlyArray<Attachment> }, E>(
  live: LiveSession,
  inbox: Inbox.Inbox<Item>,
  prepare: Effect.Effect<A, E>
): Effect.Effect<A, E | Refusal | StorageError | SessionInterrupted> =>
  Effect.uninterruptibleMask((restore) =>
    Effect.flatMap(prepare, (prepared) => {
      const { admissions, command } = prepared
      const answer = Deferred.makeUnsafe<SessionState, Refusal | StorageError | SessionInterrupted>()
      const reply = (result: Effect.Effect<SessionState, Refusal | StorageError | SessionInterrupted>) => {
        Deferred.doneUnsafe(answer, result)
      }
      return Inbox.post(inbox, { _tag: "Decide", command, admissions, reply })
        ? Effect.as(restore(Deferred.await(answer)), prepared)
        : Effect.andThen(giveBack(admissions), Effect.fail(interrupted(live)))
    })
  )

export const giveBack = (admissions: ReadonlyArray<Attachment>): Effect.Effect<void> =>
  Effect.forEach(admissions, ({ release }) => release, { discard: true })

export const cancelTurn = (
  live: LiveSession
): Effect.Effect<void, SessionHasEnded | NoTurn | StorageError | SessionInterrupted> =>
  ask<void, SessionHasEnded | NoTurn | StorageError | SessionInterrupted, SessionInterrupted>(
    (item) => Inbox.offer(live.inbox, item),
    (reply) => ({ _tag: "CancelTurn", reply }),
    () => interrupted(live)
  )

export const stop = (live: LiveSession, reason: string): Effect.Effect<void, StorageError | SessionInterrupted> =>
  ask<void, StorageError | SessionInterrupted, SessionInterrupted>(
    (item) => Inbox.offer(live.inbox, item),
    (reply) => ({ _tag: "Stop", reason, reply }),
    () => interrupted(live)
  )

/** Waiting for storage that does not answer: soon at first, then every five seconds. */
const patience = Schedule.min([Schedule.exponential("100 millis"), Schedule.spaced("5 seconds")])

const isOfStorage = Schema.is(StorageError)

/** Lets it leave memory, unless something comes in first. */
export const hibernate = (live: LiveSession): void => {
  Inbox.post(live.inbox, { _tag: "Hibernate" })
}

/** What must not be lost while storage is full or away: tried again for as long as the session lives. */
export const persist = <A>(
  effect: Effect.Effect<A, Refusal | StorageError | SessionInterrupted>
): Effect.Effect<A, Refusal | SessionInterrupted> =>
  // The first attempt hardly ever fails, so it does not pay for what comes then.
  Effect.catchIf(effect, isOfStorage, () =>
    effect.pipe(
      Effect.retry({ schedule: patience, while: isOfStorage }),
      Effect.catchTag(["StorageFull", "StorageUnavailable", "StorageCorrupt"], Effect.die),
      Effect.delay("100 millis")
    )
  )

/** As one of the session's own fibers: never refused, and not given up on while storage does not answer. */
export const report = (
  live: LiveSession,
  inbox: Inbox.Inbox<Item>,
  command: Command
): Effect.Effect<SessionState, Refusal | SessionInterrupted> =>
  persist(
    ask<SessionState, Decided, SessionInterrupted>(
      (item) => Inbox.post(inbox, item),
      (reply) => ({ _tag: "Decide", command, admissions: [], reply }),
      () => interrupted(live)
    )
  )

/** The state once everything that was in line has been dealt with. */
export const look = (
  live: LiveSession,
  inbox: Inbox.Inbox<Item>
): Effect.Effect<SessionState, Refusal | SessionInterrupted> =>
  persist(
    ask<SessionState, Decided, SessionInterrupted>(
      (item) => Inbox.post(inbox, item),
      (reply) => ({ _tag: "Look", reply }),
      () => interrupted(live)
    )
  )

/** Says something to it for which nobody waits, and which may be lost. */
export const tell = ({ inbox }: LiveSession, command: Command): Effect.Effect<void> =>
  Effect.sync(() => {
    Inbox.post(inbox, { _tag: "Decide", command, admissions: [], reply: () => undefined })
  })

/** Gives the command once the time has come, for as long as it is not heard that there is no need of it any more. */
export const atTime = (
  { inbox, live }: Life,
  time: number,
  command: (now: number) => Command
): Effect.Effect<never, Refusal | SessionInterrupted> => {
  const next: Effect.Effect<never, Refusal | SessionInterrupted> = Effect.flatMap(Clock.currentTimeMillis, (now) =>
    now < time
      ? Effect.andThen(Effect.sleep(time - now), next)
      : Effect.andThen(report(live, inbox, command(now)), Effect.never)
  )
  return next
}

/** Waits for what is told of a call or a question, in a map that is made when it is first needed. */
const awaitIn = <Id, A>(
  waiting: Map<Id, Deferred.Deferred<A, SessionInterrupted>>,
  id: Id
): Effect.Effect<A, SessionInterrupted> => {
  let told = waiting.get(id)
  if (told === undefined) waiting.set(id, (told = Deferred.makeUnsafe()))
  return Deferred.await(told)
}

/** Waits for the outcome of a call. To be registered before the call can settle. */
export const outcomeOf = (live: LiveSession, callId: CallId): Effect.Effect<ToolOutcome, SessionInterrupted> =>
  awaitIn((live.outcomes ??= new Map()), callId)

/** Waits for the answer to a call's permission. To be registered before it can be answered. */
export const answerOf = (live: LiveSession, callId: CallId): Effect.Effect<PermissionAnswer, SessionInterrupted> =>
  awaitIn((live.permitted ??= new Map()), callId)

/** Waits until a question is settled. To be registered before it can be. */
export const answerToQuestion = (
  live: LiveSession,
  questionId: QuestionId
): Effect.Effect<Answer, SessionInterrupted> => awaitIn((live.questions ??= new Map()), questionId)
