/**
 * Has a message answered by a session of this process:
 *
 *     const text = yield* ask(session.id, "What is in this directory?")
 *
 * It fails with `TurnFailed` or `TurnCancelled` where there is no answer. Interrupting it cancels the turn.
 */
import { Deferred, Effect, Stream } from "effect"
import { EventBus } from "../services/events/EventBus.ts"
import * as Topic from "../services/events/Topic.ts"
import { generateMessageId, type SessionId } from "../services/session/SessionId.ts"
import { SessionManager } from "../services/session/SessionManager.ts"
import { answerTo } from "./answer.ts"

export interface AskOptions {
  /** Called with each piece of the answer as it comes. */
  readonly onText?: ((piece: string) => void) | undefined
}

export const ask = Effect.fnUntraced(function* (sessionId: SessionId, text: string, { onText }: AskOptions = {}) {
  const sessions = yield* SessionManager
  const events = yield* EventBus
  const { sequence } = yield* sessions.get(sessionId)
  const messageId = yield* generateMessageId
  const listening = yield* Deferred.make<void>()
  // The last event that is known comes again, and says by that that nothing will be missed.
  const deliveries = events.subscribe({ topic: Topic.ofSession(sessionId), from: sequence }).pipe(
    Stream.tap(() => Deferred.succeed(listening, undefined)),
    Stream.filter((delivery) => delivery._tag !== "Event" || delivery.sequence > sequence)
  )
  const answer = answerTo(messageId, deliveries, (piece) => Effect.sync(() => onText?.(piece)))
  const send = Effect.andThen(Deferred.await(listening), sessions.send({ sessionId, text, messageId }))
  const [said] = yield* Effect.all([answer, send], { concurrency: 2 }).pipe(
    Effect.onInterrupt(() => Effect.ignore(sessions.cancelTurn(sessionId)))
  )
  return said
})

export * from "./TurnOutcome.ts"
