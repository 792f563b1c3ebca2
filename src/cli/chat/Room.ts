/** What the parts of a chat share. */
import type { MessageAttachment } from "../../../services/session/MessageAttachment.ts"
import type { WhenBusy } from "../../../services/session/SessionEvent.ts"
import type { MessageId, SessionId } from "../../../services/session/SessionId.ts"
import { generateMessageId } from "../../../services/session/SessionId.ts"
import { Deferred, Effect } from "effect"
import type * as Client from "../../client.ts"
import { insist } from "../insist.ts"
import type { Lines } from "../Lines.ts"
import type { Screen } from "../Screen.ts"
import type * as Talk from "../Talk.ts"

export interface Room {
  readonly espalier: Client.Operation
  readonly sessionId: SessionId
  readonly lines: Lines
  readonly screen: Screen
  readonly talk: Talk.Talk
  /** Messages that were sent from here, until they are answered; `isFresh`: to a session that did nothing. */
  readonly sent: Map<MessageId, { readonly answered: Deferred.Deferred<void>; readonly isFresh: boolean }>
  /** Goes with the next message. */
  readonly attachments: Array<MessageAttachment>
}

/** What a command that failed means for the conversation: nothing but a sentence. */
export const told = <E extends { readonly message: string }, R>(
  { screen }: Pick<Room, "screen">,
  work: Effect.Effect<void, E, R>
) => Effect.catch(work, ({ message }) => screen.note(`error: ${message}`))

/** Says something, and gives what waits for the answer. */
export const send = Effect.fnUntraced(function* (
  { attachments, espalier, sent, sessionId, talk }: Room,
  text: string,
  whenBusy?: WhenBusy
) {
  const messageId = yield* generateMessageId
  const answered = yield* Deferred.make<void>()
  const isFresh = talk.running() === undefined && sent.size === 0
  sent.set(messageId, { answered, isFresh })
  const message = {
    sessionId,
    text,
    messageId,
    ...(attachments.length === 0 ? undefined : { attachments: attachments.splice(0) }),
    ...(whenBusy === undefined ? undefined : { whenBusy })
  }
  yield* Effect.onError(insist(espalier.SendMessage(message)), () => Effect.sync(() => sent.delete(messageId)))
  return { isFresh, answered: Deferred.await(answered) }
})
