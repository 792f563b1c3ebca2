/**
 * Has a message answered by a session of this process:
 *
 *     const text = yield* ask(session.id, "What is in this directory?")
 *
 * It fails with `TurnFailed` or `TurnCancelled` where there is no answer. Interrupting it cancels the turn.
 */
import { Effect } from "effect"
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
  const messageId = yield* generateMessageId
  // Listens before it says anything, so that nothing of the answer is missed.
  const deliveries = yield* events.open({ topic: Topic.ofSession(sessionId) })
  const answer = answerTo(messageId, deliveries, (piece) => Effect.sync(() => onText?.(piece)))
  return yield* Effect.andThen(sessions.send({ sessionId, text, messageId }), answer).pipe(
    Effect.onInterrupt(() => Effect.ignore(sessions.cancelTurn(sessionId)))
  )
}, Effect.scoped)

export * from "./TurnOutcome.ts"
