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

/** The same, of which an interruption changes nothing but that nobody waits any more. */
export const sayAndWait = Effect.fnUntraced(function* (
  sessionId: SessionId,
  text: string,
  { onPermission, onText }: AskOptions = {}
) {
  const sessions = yield* SessionManager
  const events = yield* EventBus
  const messageId = yield* generateMessageId
  // Listens before it says anything, so that nothing of the answer is missed.
  const deliveries = yield* events.open({ topic: Topic.ofSession(sessionId) })
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
  const answer = answerTo(messageId, deliveries, (piece) => Effect.sync(() => onText?.(piece)), decide)
  return yield* Effect.andThen(sessions.send({ sessionId, text, messageId }), answer)
}, Effect.scoped)

export const ask = (sessionId: SessionId, text: string, options?: AskOptions) =>
  Effect.onInterrupt(sayAndWait(sessionId, text, options), () =>
    Effect.ignore(SessionManager.use((sessions) => sessions.cancelTurn(sessionId)))
  )

export * from "./TurnOutcome.ts"
