/**
 * One live session: a supervised fiber with an inbox, and the only one that changes its state.
 *
 * It takes all that waits at once, decides it against the evolving state, appends the events in one go, and only when
 * they are durable folds them in, publishes them and answers. A turn, a person's call and the end of a worker come in
 * through the same inbox. What arrives while an append is under way makes the next batch.
 *
 * When it crashes, whoever waits is told at once; its supervisor starts it again with its state from the journal.
 */
import { Deferred, Effect, type Scope } from "effect"
import type { AgentExists, Registry } from "../../services/registry/Registry.ts"
import { Command } from "../../services/session/decide.ts"
import { SessionHasEnded } from "../../services/session/SessionManager.ts"
import { keyOf, labelsOf, workOf } from "../../services/session/presenceOf.ts"
import { reasons } from "../../services/session/SubSession.ts"
import type { Body, ChildSpec } from "../../services/supervision/ChildSpec.ts"
import type { Asleep } from "./Asleep.ts"
import { Batch } from "./Batch.ts"
import * as Commit from "./Commit.ts"
import * as Inbox from "./Inbox.ts"
import { giveBack, interrupted, type Item, type Life, type LiveSession, look, nothing, topicOf } from "./LiveSession.ts"
import type * as SessionDuties from "./SessionDuties.ts"
import { appendOf, load } from "./SessionStore.ts"
import { usedBy } from "./treeBudget.ts"

export interface Services extends Commit.Services {
  readonly registry: Registry["Service"]
  /** Told when a session's fiber has ended, whichever way. */
  readonly onDown: (live: LiveSession) => void
  readonly asleep: Asleep
  /** Told when it has crashed so often that it stays down. */
  readonly onGivenUp: (live: LiveSession) => void
}

const step = () => undefined

/** What the registry shows of it whatever it does. */
const entryOf = ({ state }: LiveSession) => ({ key: keyOf(state), ...labelsOf(state) })

export const make = (services: Services, duties: SessionDuties.Duties) => {
  const { asleep, bus, clock, journal, onDown, onGivenUp, onIdle, others, registry } = services

  const ended = (live: LiveSession) => new SessionHasEnded({ sessionId: live.id })

  const commit = Commit.make(services, duties)

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
    if (Commit.maySleep(live)) onIdle(live)
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
