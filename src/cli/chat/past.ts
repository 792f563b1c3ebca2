/** What was said in a session before. */
import { Effect } from "effect"
import type { Message } from "../../../services/session/Session.ts"
import type { SessionId } from "../../../services/session/SessionId.ts"
import type * as Client from "../../client.ts"
import type { Screen } from "../Screen.ts"

/** Messages shown of a session that is gone on with. */
const SHOWN = 10
const PAGE = 500

export const allMessages = (espalier: Client.Operation, sessionId: SessionId, from = 0) =>
  Effect.gen(function* () {
    const messages: Array<Message> = []
    let after = from
    while (true) {
      const page = yield* espalier.GetMessages({ sessionId, after, limit: PAGE })
      messages.push(...page)
      const last = page.at(-1)
      if (last === undefined || page.length < PAGE) return messages
      after = last.sequence
    }
  })

const textOf = (message: Message): string => {
  switch (message._tag) {
    case "UserMessage":
      return `> ${message.text}`
    case "AssistantMessage":
      return message.text
    // ToolMessage
    default:
      return `* ${message.tool}`
  }
}

/** The end of what there is of a session. */
export const read = (
  espalier: Client.Operation,
  { id, sequence }: { readonly id: SessionId; readonly sequence: number }
): ReturnType<typeof allMessages> => allMessages(espalier, id, Math.max(0, sequence - 5 * SHOWN))

export const show = (screen: Screen, messages: ReadonlyArray<Message>) =>
  Effect.forEach(messages.slice(-SHOWN), (message) => screen.write(`${textOf(message)}\n`), { discard: true })

/** What people said in it, the newest first. */
export const typed = (messages: ReadonlyArray<Message>): ReadonlyArray<string> =>
  messages.flatMap((message) => (message._tag === "UserMessage" ? [message.text] : [])).toReversed()
