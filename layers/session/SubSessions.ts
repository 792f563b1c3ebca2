/**
 * What a session does for the sessions below it, and for the one above: it lets them begin in one append with its own
 * event, hears what they come to, stops them with itself, and passes questions for permission up and answers down.
 *
 * A sub-session has a journal of its own and is loaded like any other. All that ties the two together is in their
 * events, so a crash of either, or of the process, leaves nothing that the next start does not take up.
 */
import { Clock, Effect, Schedule, Stream } from "effect"
import { LOCAL } from "../../services/access/Person.ts"
import type { EventBus } from "../../services/events/EventBus.ts"
import * as Topic from "../../services/events/Topic.ts"
import type { SeenServers } from "../../services/mcp/seenServers.ts"
import type { Permission } from "../../services/permission/Permission.ts"
import type { Question } from "../../services/question/Question.ts"
import { type Child, Command } from "../../services/session/decide.ts"
import type { SessionEvent, SessionMetadata } from "../../services/session/SessionEvent.ts"
import { type CallId, generateMessageId, generateSessionId, type SessionId } from "../../services/session/SessionId.ts"
import { fold, type SessionState } from "../../services/session/SessionState.ts"
import * as SubSession from "../../services/session/SubSession.ts"
import * as Inbox from "./Inbox.ts"
import { type Attachment, type Life, type LiveSession, report, stop as stopLive } from "./LiveSession.ts"
import { appendOf, eventAt, type JournalService } from "./SessionStore.ts"
import type { Unavailable } from "./Unavailable.ts"

/** How other sessions are found. */
export interface Others {
  /** In memory and running. */
  readonly reach: (id: SessionId) => Effect.Effect<LiveSession, Unavailable>
  /** In memory, if it is. */
  readonly find: (id: SessionId) => LiveSession | undefined
  /** What is known of one, in memory or not: also of one that has just ended, or is not back yet after a restart. */
  readonly stateOf: (id: SessionId) => Effect.Effect<SessionState | undefined>
}

export interface Wish {
  readonly task?: string | undefined
  readonly title: string
  readonly agentType: string
  readonly metadata?: SessionMetadata | undefined
  /** Of those that the session above sees (default all of them). */
  readonly mcpServers?: SeenServers
  readonly callId?: CallId | undefined
  /** Milliseconds. */
  readonly deadline?: number | undefined
  readonly idleLimit?: number | undefined
}

const started = (
  { id, state }: LiveSession,
  index: number,
  now: number,
  { agentType, callId, deadline, idleLimit, mcpServers = state.mcpServers, metadata, title }: Wish
): SessionEvent => ({
  _tag: "SessionStarted",
  title,
  agentType,
  metadata: metadata ?? {},
  ...(state.owner === LOCAL ? undefined : { owner: state.owner }),
  // What the session above may not, this one may not either.
  permissions: { mode: state.permission.mode, rules: state.permission.rules },
  ...(state.directory === undefined ? undefined : { directory: state.directory }),
  ...(state.limits === undefined ? undefined : { limits: state.limits }),
  ...(mcpServers === undefined ? undefined : { mcpServers }),
  parent: {
    sessionId: id,
    index,
    depth: (state.parent?.depth ?? 0) + 1,
    ...(callId === undefined ? undefined : { callId }),
    deadline: Math.min(now + (deadline ?? SubSession.DEADLINE), state.parent?.deadline ?? Infinity),
    idleLimit: idleLimit ?? SubSession.IDLE_LIMIT
  }
})

/** A sub-session whose first events are to be journaled together with its parent's own. */
export const conceive = Effect.fnUntraced(function* (live: LiveSession, wish: Wish) {
  const sessionId = yield* generateSessionId
  const messageId = yield* generateMessageId
  const now = yield* Clock.currentTimeMillis
  const index = Math.max(live.nextSub, live.state.nextSub)
  live.nextSub = index + 1
  const first = started(live, index, now, wish)
  const { task } = wish
  const rest: ReadonlyArray<SessionEvent> =
    task === undefined ? [] : [{ _tag: "MessageReceived", messageId, text: task }]
  const planned = [first, ...rest].reduce<SessionState | undefined>(
    (state, event, at) => fold(state, { topic: Topic.ofSession(sessionId), sequence: at + 1, at: now, event }),
    undefined
  )
  if (planned === undefined) return yield* Effect.die(new Error("a sub-session cannot begin"))
  const child: Child = { sessionId, index, agentType: wish.agentType }
  const attachment: Attachment = {
    append: { ...appendOf(planned, undefined, [first, ...rest]), owner: live.id },
    // It is started by whoever hears of it.
    enqueue: Effect.void,
    release: Effect.void
  }
  return { child, attachment }
})

/** Nothing is left to do in it. */
const isIdle = ({ calls, subs, turn, waiting }: SessionState): boolean =>
  turn === undefined && waiting.length === 0 && calls.length === 0 && subs.length === 0

const soon = Schedule.spaced("1 second")

export const make = ({
  bus,
  journal,
  others
}: {
  readonly bus: EventBus["Service"]
  readonly journal: JournalService
  readonly others: Others
}) => {
  /** The sub-session if it can still be spoken to. */
  const alive = (id: SessionId): Effect.Effect<LiveSession | undefined> =>
    others.reach(id).pipe(
      Effect.retry({ schedule: soon, while: ({ _tag }) => _tag !== "SessionHasEnded" && _tag !== "SessionNotFound" }),
      Effect.catch(() => Effect.undefined)
    )

  /** Stops them and all below them, and returns when they have ended. */
  const stop = (ids: ReadonlyArray<SessionId>, reason: string): Effect.Effect<void> =>
    Effect.forEach(
      ids,
      (id) =>
        Effect.flatMap(alive(id), (sub) =>
          sub === undefined ? Effect.void : stopLive(sub, reason).pipe(Effect.retry(soon), Effect.ignore)
        ),
      { concurrency: 8, discard: true }
    )

  /** A cancelled turn is an outcome, unless the session ends with it: its end tells why. */
  const isCancelled = Effect.fnUntraced(function* (id: SessionId) {
    const sub = yield* alive(id)
    return sub !== undefined && !sub.state.isEnded
  })

  const listen = (id: SessionId, isOver: (progress: SubSession.Progress) => boolean) =>
    Effect.suspend(() => {
      let progress = SubSession.unheard
      return bus.subscribe({ topic: Topic.ofSession(id), from: 1, policy: "catchup", capacity: 64 }).pipe(
        Stream.filter((delivery) => delivery._tag === "Event"),
        Stream.mapEffect(({ event }) => {
          progress = SubSession.hear(progress, id, event)
          const isCut = event._tag === "TurnEnded" && event.outcome === "cancelled" && progress.outcome === undefined
          return isCut
            ? Effect.map(isCancelled(id), (is) => {
                if (is) progress = SubSession.cancelled(progress)
                return progress
              })
            : Effect.succeed(progress)
        }),
        Stream.filter(isOver),
        Stream.runHead,
        Effect.flatMap(Effect.fromOption)
      )
    })

  /** Sees that it runs, and tells its session once what it came to. */
  const watch = ({ inbox, live }: Life, { callId, sessionId }: SubSession.LiveSub): Effect.Effect<void> =>
    Effect.gen(function* () {
      const awake = yield* Effect.forkChild(alive(sessionId))
      // All of it is read, so all of it is kept that long.
      yield* journal.hold(Topic.ofSession(sessionId), () => 1)
      const heard = yield* listen(sessionId, ({ isEnded, outcome }) =>
        callId === undefined ? isEnded : outcome !== undefined
      ).pipe(Effect.retry(Schedule.spaced("5 seconds")))
      awake.interruptUnsafe()
      const { outcome = { _tag: "ToolCancelled" as const }, spent } = heard
      // Before it is told: a crash in between would leave one running that nobody waits for any more.
      if (!heard.isEnded) yield* stop([sessionId], SubSession.reasons.done)
      yield* report(live, inbox, Command.EndSub({ sessionId, outcome, spent }))
    }).pipe(Effect.scoped, Effect.ignore)

  /** Stops it at its deadline, or when it has been idle for as long as it may be. */
  const keepTime = ({ inbox, live }: Life): Effect.Effect<void> => {
    const { parent } = live.state
    if (parent === undefined) return Effect.void
    const { deadline, idleLimit } = parent
    const next: Effect.Effect<void> = Effect.flatMap(Clock.currentTimeMillis, (now) => {
      const { state } = live
      const idleAt = isIdle(state) ? state.updatedAt + idleLimit : Infinity
      if (now < deadline && now < idleAt) {
        return Effect.andThen(Effect.sleep(Math.max(1, Math.min(deadline - now, idleLimit, idleAt - now))), next)
      }
      const reason = now >= deadline ? SubSession.reasons.deadline : SubSession.reasons.idle
      Inbox.post(inbox, { _tag: "Stop", reason, reply: () => undefined })
      return Effect.void
    })
    return next
  }

  /** Asks the person of the session above. What was answered there before is heard at once. */
  const askAbove = Effect.fnUntraced(function* ({ inbox, live }: Life, permission: Permission) {
    const { parent } = live.state
    if (parent === undefined) return
    const { callId, path = [], permissionId } = permission
    const above = yield* alive(parent.sessionId)
    if (above === undefined) return
    const relayed = Command.RelayPermission({ permission: { ...permission, path: [live.id, ...path] } })
    const { permission: known } = yield* report(above, above.inbox, relayed)
    const answered = known.answered.find((answered) => answered.permissionId === permissionId)
    if (answered === undefined) return
    const { decision, expired } = answered
    const how = expired ? "expired" : "answered"
    const told = { _tag: "PermissionResolved", permissionId, callId, decision, how } as const
    yield* report(live, inbox, Command.FollowPermission({ told }))
  })

  const untilHeard = (work: Effect.Effect<void, unknown>, isPending: () => boolean): Effect.Effect<void> =>
    work.pipe(Effect.retry({ schedule: soon, while: isPending }), Effect.ignore)

  const askAboveUntilHeard = (life: Life, permission: Permission): Effect.Effect<void> =>
    untilHeard(askAbove(life, permission), () =>
      life.live.state.permission.pending.some((asked) => asked.permissionId === permission.permissionId)
    )

  /** The same for a question. One that is not taken there is declined; an answer comes from there by itself. */
  const askQuestionAbove = Effect.fnUntraced(function* ({ inbox, live }: Life, question: Question) {
    const { parent } = live.state
    if (parent === undefined) return
    const { path = [], questionId } = question
    const above = yield* alive(parent.sessionId)
    if (above === undefined) return
    const relayed = Command.RelayQuestion({ question: { ...question, path: [live.id, ...path] } })
    const { questions } = yield* report(above, above.inbox, relayed)
    if (questions.pending.some((asked) => asked.questionId === questionId)) return
    const { action = "decline" } = questions.settled.find((settled) => settled.questionId === questionId) ?? {}
    if (action === "accept") return
    const told = { _tag: "QuestionSettled", questionId, action } as const
    yield* report(live, inbox, Command.FollowQuestion({ told }))
  })

  const askQuestionAboveUntilHeard = (life: Life, question: Question): Effect.Effect<void> =>
    untilHeard(askQuestionAbove(life, question), () =>
      life.live.state.questions.pending.some((asked) => asked.questionId === question.questionId)
    )

  /** Tells the sessions above and below what became of what was asked there too. */
  const tellOthers = (
    { live }: Life,
    told: { readonly path?: ReadonlyArray<SessionId> },
    command: Command
  ): Effect.Effect<void> => {
    const ids = [live.state.parent?.sessionId, told.path?.[0]].filter((id) => id !== undefined)
    return Effect.forEach(
      ids,
      (id) =>
        Effect.flatMap(alive(id), (other) =>
          other === undefined ? Effect.void : report(other, other.inbox, command)
        ).pipe(Effect.retry({ schedule: soon, times: 5 }), Effect.ignore),
      { discard: true }
    )
  }

  /** Takes up what a crash has left waiting for a person above. */
  const askAgain = (life: Life): Effect.Effect<void> =>
    Effect.forEach(
      life.live.state.permission.pending,
      ({ sequence }) =>
        Effect.flatMap(eventAt(journal, life.live.id, sequence), (recorded) => {
          if (recorded?.event._tag !== "PermissionRequested") return Effect.void
          const { _tag, ...permission } = recorded.event
          return askAboveUntilHeard(life, permission)
        }).pipe(Effect.retry(soon), Effect.ignore),
      { discard: true }
    )

  return {
    askAbove: askAboveUntilHeard,
    askQuestionAbove: askQuestionAboveUntilHeard,
    askAgain,
    keepTime,
    stop,
    tellOthers,
    watch
  }
}

export type SubSessions = ReturnType<typeof make>
