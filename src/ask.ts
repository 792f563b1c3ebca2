/**
 * Has a message answered by a session of this process:
 *
 *     const text = yield* ask(session.id, "What is in this directory?")
 *
 * It fails with `TurnFailed` or `TurnCancelled` where there is no answer. Interrupting it cancels the turn; a message that
 * still waits behind others is answered in its turn all the same.
 */
import { Effect, Stream } from "effect"
import { EventBus } from "../services/events/EventBus.ts"
import * as Topic from "../services/events/Topic.ts"
import type { Permission } from "../services/permission/Permission.ts"
import { generateMessageId, type SessionId } from "../services/session/SessionId.ts"
import { SessionManager } from "../services/session/SessionManager.ts"
import { answerTo } from "./answer.ts"

export interface AskOptions {
  /** Called with each piece of the answer as it comes. */
  readonly onText?: ((piece: string) => void) | undefined
  /**
   * Asked about each call that has to be allowed, with its exact arguments: `true` lets it run, this once. Without it such
   * a call waits until somebody else answers, or until its time is over, which is a no.
   */
  readonly onPermission?: ((permission: Permission) => boolean | Promise<boolean>) | undefined
}

export const ask = Effect.fnUntraced(function* (
  sessionId: SessionId,
  text: string,
  { onPermission, onText }: AskOptions = {},
  /** Whether an interruption cancels the turn; otherwise it changes nothing but that nobody waits any more. */
  isCancel: () => boolean = () => true
) {
  const sessions = yield* SessionManager
  const events = yield* EventBus
  const messageId = yield* generateMessageId
  // Listens before it says anything, so that nothing of the answer is missed.
  const deliveries = yield* events.open({ topic: Topic.ofSession(sessionId) })
  /** A turn that answers another message: that is not ours to cancel. */
  let other = (yield* sessions.get(sessionId)).turn
  const heard = Stream.map(deliveries, (delivery) => {
    if (delivery._tag === "Event" && delivery.event._tag === "TurnStarted") {
      other = delivery.event.messageId === messageId ? undefined : delivery.event.turnId
    }
    return delivery
  })
  const cancel = Effect.flatMap(sessions.get(sessionId), ({ turn }) =>
    turn === undefined || turn === other ? Effect.void : sessions.cancelTurn(sessionId)
  )
  /** Whoever is asked may take their time: the rest goes on. What goes wrong with them is a no. */
  const decide = (permission: Permission) =>
    onPermission === undefined
      ? Effect.void
      : Effect.tryPromise(async () => onPermission(permission)).pipe(
          Effect.catch(() => Effect.succeed(false)),
          Effect.flatMap((isAllowed) =>
            sessions.resolvePermission({
              sessionId,
              permissionId: permission.permissionId,
              hash: permission.hash,
              decision: isAllowed ? "allow" : "deny"
            })
          ),
          Effect.ignore,
          Effect.forkScoped,
          Effect.asVoid
        )
  const answer = answerTo(messageId, heard, (piece) => Effect.sync(() => onText?.(piece)), decide)
  return yield* Effect.andThen(sessions.send({ sessionId, text, messageId }), answer).pipe(
    Effect.onInterrupt(() => (isCancel() ? Effect.ignore(cancel) : Effect.void))
  )
}, Effect.scoped)

export * from "./TurnOutcome.ts"
