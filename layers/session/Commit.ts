/**
 * What a session does with all that waits in its inbox: it is decided against the evolving state, appended in one go, and
 * once it is durable folded in, published, followed and answered. Nothing of it happens where the append fails.
 */
import { Cause, type Clock, Deferred, Effect } from "effect"
import type { StorageError } from "../../services/journal/StorageError.ts"
import type { Answer, AnswerContent, QuestionEnd } from "../../services/question/Question.ts"
import type { AgentUpdate } from "../../services/registry/Registry.ts"
import { labelsOf, workOf } from "../../services/session/presenceOf.ts"
import type { SessionEvent } from "../../services/session/SessionEvent.ts"
import { generateTurnId } from "../../services/session/SessionId.ts"
import { fold, isOpen, statusOf } from "../../services/session/SessionState.ts"
import { Batch } from "./Batch.ts"
import { giveBack, type Item, type Life, type LiveSession, nothing } from "./LiveSession.ts"
import type * as SessionDuties from "./SessionDuties.ts"
import { appendOf } from "./SessionStore.ts"

export interface Services extends SessionDuties.Services {
  readonly clock: Clock.Clock
  /** Told when there is nothing left to do, each time that there was something. */
  readonly onIdle: (live: LiveSession) => void
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

/** What the server hears whose question it is. */
const heardOf = (action: QuestionEnd, content: AnswerContent | undefined): Answer => {
  if (action === "accept" && content !== undefined) return { action, content }
  return { action: action === "decline" ? "decline" : "cancel" }
}

/** Nothing is under way and nobody is waited for. Sub-sessions keep their own time. */
export const maySleep = ({ personal, state, stopping }: LiveSession): boolean =>
  state.parent === undefined &&
  stopping === undefined &&
  (personal === undefined || personal.size === 0) &&
  !isOpen(state) &&
  !state.isEnded

export const make = ({ bus, clock, journal, onIdle }: Services, duties: SessionDuties.Duties) => {
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

  return commit
}
