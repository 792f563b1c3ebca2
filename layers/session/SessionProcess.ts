/**
 * One live session: a supervised fiber with an inbox, and the only one that changes its state.
 *
 * It takes all that waits at once, decides it against the evolving state, appends the events in one go, and only when
 * they are durable folds them in, publishes them and answers. A turn, a person's call and the end of a worker come in
 * through the same inbox. What arrives while an append is under way makes the next batch.
 *
 * When it crashes, whoever waits is told at once; its supervisor starts it again with its state from the journal.
 */
import { Clock, Deferred, Effect, Result, type Scope } from "effect"
import type { Registry } from "../../services/registry/Registry.ts"
import { type Command, decide } from "../../services/session/decide.ts"
import { generateTurnId } from "../../services/session/SessionId.ts"
import type { SessionEvent } from "../../services/session/SessionEvent.ts"
import { NoTurn, SessionHasEnded } from "../../services/session/SessionManager.ts"
import { fold, type SessionState } from "../../services/session/SessionState.ts"
import type { Body, ChildSpec } from "../../services/supervision/ChildSpec.ts"
import * as Inbox from "./Inbox.ts"
import {
  type Ending,
  giveBack,
  interrupted,
  type Item,
  type Life,
  type LiveSession,
  look,
  topicOf
} from "./LiveSession.ts"
import type * as SessionDuties from "./SessionDuties.ts"
import { appendOf, load } from "./SessionStore.ts"

export interface Services extends SessionDuties.Services {
  readonly registry: Registry["Service"]
  /** Told when a session's fiber has ended, whichever way. */
  readonly onDown: (live: LiveSession) => void
}

type Decided = Extract<Item, { readonly _tag: "Decide" | "Look" }>

/** Commands that come from outside and that a session on its way out takes no more. */
const isFromOutside = ({ _tag }: Command): boolean => _tag === "Send" || _tag === "Update" || _tag === "RequestCall"

/** What a batch comes to, before anything is written. */
interface Batch {
  readonly state: SessionState
  readonly events: Array<SessionEvent>
  readonly accepted: Array<Decided>
  /** Answers that do not depend on the append. */
  readonly refused: Array<() => void>
  /** Ends that begin once the batch is durable. */
  readonly endings: Array<() => Effect.Effect<void>>
}

export const make = (services: Services, duties: SessionDuties.Duties) => {
  const { bus, journal, onDown, registry } = services

  const ended = (live: LiveSession) => new SessionHasEnded({ sessionId: live.id })

  /** Decides item by item, each against what those before it have made of the state. */
  const consider = Effect.fnUntraced(function* (life: Life, items: ReadonlyArray<Item>): Effect.fn.Return<Batch> {
    const { live } = life
    const topic = topicOf(live)
    const at = yield* Clock.currentTimeMillis
    const events: Array<SessionEvent> = []
    const accepted: Array<Decided> = []
    const refused: Array<() => void> = []
    const endings: Array<() => Effect.Effect<void>> = []
    let { state } = live
    const evolve = (more: ReadonlyArray<SessionEvent>) => {
      for (const event of more) {
        events.push(event)
        state = fold(state, { topic, sequence: state.sequence + 1, at, event }) ?? state
      }
    }
    for (const item of items) {
      switch (item._tag) {
        case "Look":
          accepted.push(item)
          break
        case "Decide": {
          if (live.stopping !== undefined && isFromOutside(item.command)) {
            refused.push(() => item.reply(Effect.fail(ended(live))))
            break
          }
          const decision = decide(state, item.command)
          if (Result.isSuccess(decision)) {
            evolve(decision.success)
            accepted.push(item)
          } else refused.push(() => item.reply(Effect.fail(decision.failure)))
          break
        }
        case "CancelTurn": {
          const current = state.turn?.id
          if (live.stopping !== undefined || state.isEnded) {
            refused.push(() => item.reply(Effect.fail(ended(live))))
          } else if (current === undefined) {
            refused.push(() => item.reply(Effect.fail(new NoTurn({ sessionId: live.id }))))
          } else endings.push(() => beginCancel(life, current, item.reply))
          break
        }
        case "Stop":
          endings.push(() => beginStop(life, item.reason, item.reply))
          break
      }
    }
    if (state.turn === undefined && state.waiting.length > 0 && live.stopping === undefined) {
      const isStopping = items.some(({ _tag }) => _tag === "Stop")
      const next = isStopping ? undefined : decide(state, { _tag: "StartTurn", turnId: yield* generateTurnId })
      if (next !== undefined && Result.isSuccess(next)) evolve(next.success)
    }
    return { state, events, accepted, refused, endings }
  })

  const beginCancel = (life: Life, turnId: string, reply: Ending): Effect.Effect<void> =>
    Effect.suspend(() => {
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
    })

  const beginStop = (life: Life, reason: string, reply: Ending): Effect.Effect<void> =>
    Effect.suspend(() => {
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
      return duties.stop(life, reason, live.stopping)
    })

  /** What follows from an event once it is durable. */
  const follow = (life: Life, event: SessionEvent): Effect.Effect<void> => {
    const { live } = life
    switch (event._tag) {
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
      case "ToolCallSettled": {
        const waiting = live.outcomes?.get(event.callId)
        if (waiting !== undefined) {
          live.outcomes?.delete(event.callId)
          Deferred.doneUnsafe(waiting, Effect.succeed(event.outcome))
        }
        return Effect.void
      }
      default:
        return Effect.void
    }
  }

  const admissionsOf = (item: Item) => (item._tag === "Decide" ? item.admissions : [])

  const commit = Effect.fnUntraced(function* (life: Life, items: ReadonlyArray<Item>) {
    const { live } = life
    live.inFlight = items
    const { accepted, endings, events, refused, state } = yield* consider(life, items)
    const [first, ...rest] = events
    if (first !== undefined) {
      const admissions = accepted.flatMap(admissionsOf)
      const append = appendOf(state, live.state.sequence, [first, ...rest])
      const written = yield* Effect.result(journal.append([append, ...admissions.map(({ append }) => append)]))
      if (Result.isFailure(written)) {
        live.inFlight = []
        for (const answer of refused) answer()
        for (const item of accepted) item.reply(Effect.fail(written.failure))
        for (const item of items)
          if (item._tag === "CancelTurn" || item._tag === "Stop") item.reply(Effect.fail(written.failure))
        return yield* giveBack(items.flatMap(admissionsOf))
      }
      const wasBusy = live.state.turn !== undefined
      let folded = live.state
      for (const recorded of written.success) {
        if (recorded.topic === append.stream) folded = fold(folded, recorded) ?? folded
      }
      live.state = folded
      yield* bus.publish(written.success)
      for (const admission of admissions) yield* admission.enqueue
      for (const event of events) yield* follow(life, event)
      const isBusy = folded.turn !== undefined
      if (isBusy !== wasBusy) yield* mark(live, isBusy ? "busy" : "idle")
    }
    live.inFlight = []
    for (const answer of refused) answer()
    for (const item of accepted) item.reply(Effect.succeed(live.state))
    for (const begin of endings) yield* begin()
    if (refused.length > 0)
      yield* giveBack(items.filter((item) => item._tag === "Decide" && !accepted.includes(item)).flatMap(admissionsOf))
  })

  const keyOf = (live: LiveSession) => ({ session: live.id, role: "main", index: 0 })

  const mark = (live: LiveSession, status: "busy" | "idle") => Effect.ignore(registry.update(keyOf(live), { status }))

  /** Nobody waits for a fiber that is gone. */
  const goDown = (life: Life): Effect.Effect<void> =>
    Effect.suspend(() => {
      const { inbox, live } = life
      const left = [...live.inFlight, ...Inbox.close(inbox)]
      const hasEnded = live.state.isEnded
      const waiting = [...(live.stopping ?? []), ...(live.turn?.cancelling ?? [])]
      const outcomes = Array.from(live.outcomes?.values() ?? [])
      live.inFlight = []
      live.turn = undefined
      live.personal = undefined
      live.outcomes = undefined
      live.stopping = undefined
      live.status = hasEnded ? "gone" : "down"
      // An answer runs whoever waits for it at once, so everything has to be in its place by then.
      onDown(live)
      for (const reply of waiting) reply(hasEnded ? Effect.void : Effect.fail(interrupted(live)))
      for (const outcome of outcomes) Deferred.doneUnsafe(outcome, Effect.fail(interrupted(live)))
      for (const item of left) {
        if (item._tag === "Stop") item.reply(hasEnded ? Effect.void : Effect.fail(interrupted(live)))
        else item.reply(Effect.fail(hasEnded ? ended(live) : interrupted(live)))
      }
      return giveBack(left.flatMap(admissionsOf))
    })

  const body = (life: Life): Body => {
    const { inbox, live } = life
    return Effect.whileLoop({
      while: () => !live.state.isEnded,
      // Between the append and the last answer there is no place to stop.
      body: () => Effect.flatMap(Inbox.takeAll(inbox), (items) => Effect.uninterruptible(commit(life, items))),
      step: () => undefined
    }).pipe(Effect.onExit(() => goDown(life)))
  }

  /** Starts one life: with the state it was made with, and after a crash with that of the journal. */
  const start = Effect.fnUntraced(function* (live: LiveSession): Effect.fn.Return<Body, unknown, Scope.Scope> {
    const scope = yield* Effect.scope
    if (live.status !== "starting") {
      const state = yield* load(journal, live.id)
      if (state !== undefined) live.state = state
    }
    const inbox = Inbox.make<Item>()
    const life: Life = { live, inbox, scope }
    yield* registry.register({
      key: keyOf(live),
      metadata: { agentType: live.state.agentType, ...live.state.metadata }
    })
    live.inbox = inbox
    live.status = "running"
    for (const call of live.state.calls) yield* duties.takeUp(life, call)
    if (live.state.turn !== undefined) {
      yield* mark(live, "busy")
      yield* duties.startTurn(life)
    } else if (live.state.waiting.length > 0) {
      // Taking a look is enough: with no turn running, the first message that waits gets one.
      yield* Effect.forkIn(Effect.ignore(look(live, inbox)), scope)
    }
    for (const resume of live.comeback?.splice(0) ?? []) resume()
    live.comeback = undefined
    return body(life)
  })

  /** A session that ends is forgotten; one that crashes is started again. */
  const spec = (live: LiveSession): ChildSpec => ({
    id: live.id,
    restart: "transient",
    start: start(live),
    mailbox: Effect.sync(() => live.inbox.items.length + live.state.waiting.length)
  })

  return { spec }
}
