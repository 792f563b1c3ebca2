/**
 * One live session: a supervised fiber with an inbox, and the only one that changes its state.
 *
 * It takes all that waits at once, decides it against the evolving state, appends the events in one go, and only when
 * they are durable folds them in, publishes them and answers. A turn, a person's call and the end of a worker come in
 * through the same inbox. What arrives while an append is under way makes the next batch.
 *
 * When it crashes, whoever waits is told at once; its supervisor starts it again with its state from the journal.
 */
import { Cause, type Clock, Deferred, Effect, type Scope } from "effect"
import type { StorageError } from "../../services/journal/StorageError.ts"
import type { AgentExists, AgentUpdate, Registry } from "../../services/registry/Registry.ts"
import type { SessionEvent } from "../../services/session/SessionEvent.ts"
import type { Answer, AnswerContent, QuestionEnd } from "../../services/question/Question.ts"
import { generateTurnId } from "../../services/session/SessionId.ts"
import { Command } from "../../services/session/decide.ts"
import { SessionHasEnded } from "../../services/session/SessionManager.ts"
import { keyOf, labelsOf, workOf } from "../../services/session/presenceOf.ts"
import { reasons } from "../../services/session/SubSession.ts"
import { fold, isOpen, statusOf } from "../../services/session/SessionState.ts"
import type { Body, ChildSpec } from "../../services/supervision/ChildSpec.ts"
import type { Asleep } from "./Asleep.ts"
import { Batch } from "./Batch.ts"
import * as Inbox from "./Inbox.ts"
import { giveBack, interrupted, type Item, type Life, type LiveSession, look, nothing, topicOf } from "./LiveSession.ts"
import type * as SessionDuties from "./SessionDuties.ts"
import { appendOf, load } from "./SessionStore.ts"
import { usedBy } from "./treeBudget.ts"

export interface Services extends SessionDuties.Services {
  readonly registry: Registry["Service"]
  readonly clock: Clock.Clock
  /** Told when a session's fiber has ended, whichever way. */
  readonly onDown: (live: LiveSession) => void
  /** Told when there is nothing left to do, each time that there was something. */
  readonly onIdle: (live: LiveSession) => void
  readonly asleep: Asleep
  /** Told when it has crashed so often that it stays down. */
  readonly onGivenUp: (live: LiveSession) => void
}

/** What the registry shows of it; it may show nothing any more. */
const announce = ({ entry }: LiveSession, update: AgentUpdate): Effect.Effect<void> =>
  entry === undefined ? Effect.void : Effect.ignore(entry.update(update))

/** Tells whoever waits for it. */
const tell = <Id, A, E>(waiting: Map<Id, Deferred.Deferred<A, E>> | undefined, id: Id, value: A): void => {
  const told = waiting?.get(id)
  if (told === undefined) return
  waiting?.delete(id)
  Deferred.doneUnsafe(told, Effect.succeed(value))
}

const step = () => undefined

/** What the server hears whose question it is. */
const heardOf = (action: QuestionEnd, content: AnswerContent | undefined): Answer => {
  if (action === "accept" && content !== undefined) return { action, content }
  return { action: action === "decline" ? "decline" : "cancel" }
}

/** What the registry shows of it whatever it does. */
const entryOf = ({ state }: LiveSession) => ({ key: keyOf(state), ...labelsOf(state) })

/** Nothing is under way and nobody is waited for. Sub-sessions keep their own time. */
export const maySleep = ({ personal, state, stopping }: LiveSession): boolean =>
  state.parent === undefined &&
  stopping === undefined &&
  (personal === undefined || personal.size === 0) &&
  !isOpen(state) &&
  !state.isEnded

export const make = (services: Services, duties: SessionDuties.Duties) => {
  const { asleep, bus, clock, journal, onDown, onGivenUp, onIdle, others, registry } = services

  const ended = (live: LiveSession) => new SessionHasEnded({ sessionId: live.id })

  const beginCancel = (life: Life, { reply, turnId }: Batch["cancels"][number]): Effect.Effect<void> => {
    const { turn } = life.live
    if (turn === undefined || turn.id !== turnId) {
      reply(Effect.void)
      return Effect.void
    }
    if (turn.cancelling !== undefined) {
      turn.cancelling.push(reply)
      return Effect.void
    }
    turn.cancelling = [reply]
    return duties.cancelTurn(life, turn, turn.cancelling)
  }

  const beginStop = (life: Life, { reason, reply }: Batch["stops"][number]): Effect.Effect<void> => {
    const { live } = life
    if (live.state.isEnded) {
      reply(Effect.void)
      return Effect.void
    }
    if (live.stopping !== undefined) {
      live.stopping.push(reply)
      return Effect.void
    }
    live.stopping = [reply]
    return Effect.andThen(announce(live, workOf(live.state, true)), duties.stop(life, reason))
  }

  /** What follows from an event once it is durable. */
  const follow = (life: Life, event: SessionEvent, { contents }: Pick<Batch, "contents">): Effect.Effect<void> => {
    const { live } = life
    switch (event._tag) {
      case "SessionUpdated":
        return announce(live, labelsOf(live.state))
      case "MessageReceived":
        return event.supersedes === undefined || live.turn === undefined
          ? Effect.void
          : beginCancel(life, { turnId: live.turn.id, reply: () => undefined })
      case "TurnStarted":
        return duties.startTurn(life)
      case "TurnEnded":
        if (live.turn?.id === event.turnId) live.turn = undefined
        return Effect.void
      case "ToolCallRequested":
        if (event.workerId !== undefined) return duties.watchWorker(life, event.callId, event.workerId)
        return event.turnId === undefined
          ? duties.startPersonal(life, event.callId, event.tool, event.args)
          : Effect.void
      case "ToolCallQueued":
        return duties.watchWorker(life, event.callId, event.workerId)
      case "SubSessionStarted":
        return duties.watchSub(life, event)
      case "PermissionRequested":
        return duties.askAbove(life, event)
      case "PermissionResolved":
        if (event.path === undefined) tell(live.permitted, event.callId, event.decision)
        return duties.tellOthers(life, event)
      case "QuestionAsked":
        return duties.questions.keep(life, event)
      case "QuestionSettled": {
        const content = contents?.get(event.questionId)
        tell(live.questions, event.questionId, heardOf(event.action, content))
        return duties.questions.tellOthers(life, event, content)
      }
      case "ToolCallSettled":
        tell(live.outcomes, event.callId, event.outcome)
        return Effect.void
      default:
        return Effect.void
    }
  }

  /** Makes the events durable, and the state what they say. */
  const write = Effect.fnUntraced(function* (
    life: Life,
    batch: Batch,
    events: readonly [SessionEvent, ...Array<SessionEvent>]
  ) {
    const { live } = life
    const { admissions, state } = batch
    const append = appendOf(state, live.state, events)
    const written = yield* journal.append([append, ...admissions.map(({ append }) => append)])
    const before = live.state
    live.state = written.reduce(
      (folded, recorded) => (recorded.topic === append.stream ? (fold(folded, recorded) ?? folded) : folded),
      live.state
    )
    // A worker's first event is told before its next can happen.
    yield* bus.publish(written)
    for (const { enqueue } of admissions) yield* enqueue
    for (const event of events) yield* follow(life, event, batch)
    const { state: after, stopping } = live
    if (
      after.turn?.id !== before.turn?.id ||
      after.waiting !== before.waiting ||
      statusOf(after) !== statusOf(before)
    ) {
      yield* announce(live, workOf(after, stopping !== undefined))
    }
    if (maySleep(live)) onIdle(live)
  })

  /** Nothing has changed, and everybody hears why. */
  const refuse = (life: Life, batch: Batch, error: StorageError): Effect.Effect<void> => {
    life.live.inFlight = nothing
    for (const answer of batch.refused) answer()
    for (const { reply } of batch.accepted) reply(Effect.fail(error))
    for (const { reply } of [...batch.cancels, ...batch.stops]) reply(Effect.fail(error))
    return giveBack([...batch.unused, ...batch.admissions])
  }

  const answer = (life: Life, batch: Batch): Effect.Effect<void> => {
    const { live } = life
    live.inFlight = nothing
    for (const answer of batch.refused) answer()
    for (const { reply } of batch.accepted) reply(Effect.succeed(live.state))
    const { cancels, stops, unused } = batch
    if (unused.length + cancels.length + stops.length === 0) return Effect.void
    return giveBack(unused).pipe(
      Effect.andThen(Effect.forEach(cancels, (cancel) => beginCancel(life, cancel), { discard: true })),
      Effect.andThen(Effect.forEach(stops, (stop) => beginStop(life, stop), { discard: true }))
    )
  }

  const finish = (life: Life, batch: Batch): Effect.Effect<void> => {
    const [first, ...rest] = batch.events
    if (first === undefined) return answer(life, batch)
    return Effect.matchEffect(write(life, batch, [first, ...rest]), {
      onFailure: (error) => refuse(life, batch, error),
      onSuccess: () => answer(life, batch)
    })
  }

  const commit = (life: Life, items: ReadonlyArray<Item>): Effect.Effect<void> => {
    const { live } = life
    if (items.every(({ _tag }) => _tag === "Hibernate")) {
      if (maySleep(live)) live.status = "hibernated"
      return Effect.void
    }
    live.inFlight = items
    const broken = items.find((item) => item._tag === "Broken")
    if (broken !== undefined) return Effect.failCause(Cause.die(Cause.squash(broken.cause)))
    const batch = new Batch(live, items, clock.currentTimeMillisUnsafe())
    if (!batch.isTurnDue) return finish(life, batch)
    return Effect.flatMap(generateTurnId, (turnId) => {
      batch.evolve({ _tag: "StartTurn", turnId })
      return finish(life, batch)
    })
  }

  /** It is out of the registry before anybody hears that it is gone, and never missing there when it leaves memory. */
  const goDown = (life: Life): Effect.Effect<void> =>
    Effect.suspend(() => {
      const { live } = life
      const { entry } = live
      if (live.status !== "hibernated" || entry === undefined) return Effect.ensuring(leave(live), answerAll(life))
      live.entry = undefined
      return Effect.andThen(
        Effect.ensuring(asleep.keep(live.id, entry), answerAll(life)),
        bus.publishEphemeral(topicOf(live), { _tag: "SessionHibernated" })
      )
    })

  /** Nobody waits for a fiber that is gone. */
  const answerAll = (life: Life): Effect.Effect<void> =>
    Effect.suspend(() => {
      const { inbox, live } = life
      const left = [...live.inFlight, ...Inbox.close(inbox)]
      const hasEnded = live.state.isEnded
      const waiting = [...(live.stopping ?? []), ...(live.turn?.cancelling ?? [])]
      const outcomes = Array.from(live.outcomes?.values() ?? [])
      const permitted = Array.from(live.permitted?.values() ?? [])
      const questions = Array.from(live.questions?.values() ?? [])
      live.inFlight = nothing
      live.turn = undefined
      live.personal = undefined
      live.outcomes = undefined
      live.permitted = undefined
      live.questions = undefined
      live.stopping = undefined
      if (live.status !== "hibernated") live.status = hasEnded ? "gone" : "down"
      // An answer runs whoever waits for it at once, so everything has to be in its place by then.
      onDown(live)
      for (const reply of waiting) reply(hasEnded ? Effect.void : Effect.fail(interrupted(live)))
      for (const outcome of outcomes) Deferred.doneUnsafe(outcome, Effect.fail(interrupted(live)))
      for (const answer of permitted) Deferred.doneUnsafe(answer, Effect.fail(interrupted(live)))
      for (const answer of questions) Deferred.doneUnsafe(answer, Effect.fail(interrupted(live)))
      for (const item of left) {
        if (item._tag === "Broken" || item._tag === "Hibernate") continue
        if (item._tag === "Stop") item.reply(hasEnded ? Effect.void : Effect.fail(interrupted(live)))
        else item.reply(Effect.fail(hasEnded ? ended(live) : interrupted(live)))
      }
      return giveBack(left.flatMap((item) => (item._tag === "Decide" ? item.admissions : [])))
    })

  const body = (life: Life): Body => {
    const { inbox, live } = life
    return Effect.whileLoop({
      while: () => !live.state.isEnded && live.status !== "hibernated",
      // Between the append and the last answer there is no place to stop.
      body: () => Effect.flatMap(Inbox.takeAll(inbox), (items) => Effect.uninterruptible(commit(life, items))),
      step
    }).pipe(Effect.onExit(() => goDown(life)))
  }

  /** Takes its place in the registry: that of the life before it, if that has left memory. */
  const enter = (live: LiveSession): Effect.Effect<void, AgentExists> =>
    Effect.suspend(() => {
      const work = workOf(live.state, false)
      const registration = { ...entryOf(live), ...work }
      const kept = asleep.take(live.id)
      if (kept === undefined) return registry.enter(registration)
      return Effect.as(kept.update(work), kept).pipe(
        Effect.catchTag("RegistrationLost", () => registry.enter({ ...registration, onConflict: "replace" }))
      )
    }).pipe(
      Effect.map((entry) => {
        live.entry = entry
      }),
      Effect.uninterruptible
    )

  const leave = (live: LiveSession): Effect.Effect<void> =>
    Effect.suspend(() => {
      const { entry } = live
      live.entry = undefined
      return entry === undefined ? Effect.void : entry.leave
    })

  /** Starts one life: with the state it was made with, and after a crash with that of the journal. */
  const start = (live: LiveSession) => Effect.onError(begin(live), () => leave(live))

  const begin = Effect.fnUntraced(function* (live: LiveSession): Effect.fn.Return<Body, unknown, Scope.Scope> {
    const scope = yield* Effect.scope
    if (live.status !== "starting") {
      const state = yield* load(journal, live.id)
      if (state !== undefined) live.state = state
    }
    const inbox = Inbox.make<Item>()
    const life: Life = { live, inbox, scope }
    const wasAsleep = asleep.has(live.id)
    yield* enter(live)
    if (wasAsleep) yield* bus.publishEphemeral(topicOf(live), { _tag: "SessionWoken" })
    live.inbox = inbox
    yield* duties.questions.takeUp(life)
    live.status = "running"
    for (const call of live.state.calls) yield* duties.takeUp(life, call)
    yield* duties.startFamily(life)
    if (live.state.turn !== undefined) {
      yield* live.state.turn.superseded === undefined ? duties.startTurn(life) : duties.dropTurn(life)
    } else if (live.state.waiting.length > 0) {
      // Taking a look is enough: with no turn running, the first message that waits gets one.
      yield* Effect.forkIn(Effect.ignore(look(live, inbox)), scope)
    }
    for (const resume of live.comeback?.splice(0) ?? []) resume()
    live.comeback = undefined
    if (maySleep(live)) onIdle(live)
    return body(life)
  })

  /** Ends the turn of a session that stays down, so that nobody waits for one that does not go on. */
  const abandon = Effect.fnUntraced(function* (live: LiveSession) {
    const state = yield* load(journal, live.id)
    if (state?.turn === undefined) return
    const { turn } = state
    const orphans = state.calls.filter(({ turnId }) => turnId === turn.id)
    const subs = state.subs.filter(({ callId }) => orphans.some((call) => call.callId === callId))
    const ids = subs.map(({ sessionId }) => sessionId)
    // First, so that what they used is known; those that take longer end by themselves.
    yield* Effect.timeoutOption(duties.stopSubs(ids, reasons.cancelled), "1 second")
    const failure = { code: "session_crashed", message: "the session crashed again and again, and was given up on" }
    const batch = new Batch({ ...live, state }, [], clock.currentTimeMillisUnsafe())
    for (const sessionId of ids) {
      const spent = yield* usedBy(others, sessionId)
      batch.evolve(Command.EndSub({ sessionId, outcome: { _tag: "ToolInterrupted" }, spent }))
    }
    batch.evolve(Command.EndTurn({ turnId: turn.id, text: undefined, outcome: "failed", failure }))
    const [first, ...rest] = batch.events
    if (first === undefined) return
    yield* bus.publish(yield* journal.append([appendOf(batch.state, state, [first, ...rest])]))
    // Asking is enough: they end by themselves.
    yield* Effect.timeoutOption(duties.cancelWorkers(orphans, "its session was given up on"), "1 second")
  })

  const lastWords = (live: LiveSession) =>
    abandon(live).pipe(
      Effect.catchCause((cause) =>
        Effect.logError(`the turn of ${live.id} could not be ended and is taken up again`, cause)
      ),
      Effect.ensuring(Effect.sync(() => onGivenUp(live)))
    )

  /** A session that ends is forgotten; one that crashes is started again. */
  const spec = (live: LiveSession): ChildSpec => ({
    id: live.id,
    restart: "transient",
    start: Effect.suspend(() => start(live)),
    onGiveUp: () => lastWords(live),
    mailbox: Effect.sync(() => live.inbox.items.length + live.state.waiting.length)
  })

  return { spec }
}
