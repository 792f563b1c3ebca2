/** A session's messages as they are listed: a fold over its events that knows when it has enough. */
import type { Recorded } from "../events/RuntimeEvent.ts"
import type { MessageAttachment } from "./MessageAttachment.ts"
import type { Message } from "./Session.ts"
import type { CallId } from "./SessionId.ts"

const nameOf = (attachment: MessageAttachment): string =>
  attachment._tag === "Text" ? attachment.name : (attachment.name ?? attachment.mediaType)

export class Transcript {
  readonly #limit: number
  readonly #messages: Array<Message> = []
  /** Where the calls that are listed without an outcome stand. */
  readonly #unsettled = new Map<CallId, number>()

  constructor(limit: number) {
    this.#limit = limit
  }

  get isFull(): boolean {
    return this.#messages.length >= this.#limit
  }

  /** Calls that are listed and whose outcome has not been met yet. */
  get unsettled(): Iterable<CallId> {
    return this.#unsettled.keys()
  }

  get messages(): ReadonlyArray<Message> {
    return this.#messages
  }

  add({ at, event, sequence }: Recorded): void {
    if (event._tag === "ToolCallSettled") {
      const index = this.#unsettled.get(event.callId)
      const message = index === undefined ? undefined : this.#messages[index]
      if (index === undefined || message?._tag !== "ToolMessage") return
      this.#messages[index] = { ...message, outcome: event.outcome }
      this.#unsettled.delete(event.callId)
      return
    }
    if (event._tag === "ToolCallQueued") {
      const index = this.#unsettled.get(event.callId)
      const message = index === undefined ? undefined : this.#messages[index]
      if (index !== undefined && message?._tag === "ToolMessage") {
        this.#messages[index] = { ...message, workerId: event.workerId }
      }
      return
    }
    if (this.isFull) return
    switch (event._tag) {
      case "MessageReceived":
        this.#messages.push({
          _tag: "UserMessage",
          id: event.messageId,
          sequence,
          at,
          text: event.text,
          ...(event.attachments === undefined ? undefined : { attachments: event.attachments.map(nameOf) }),
          ...(event.from === undefined ? undefined : { from: event.from })
        })
        break
      case "MessageSettled": {
        const { messageId, partial, text, turnId } = event
        this.#messages.push({ _tag: "AssistantMessage", id: messageId, sequence, at, turnId, text, partial })
        break
      }
      case "ToolCallRequested": {
        const { _tag, answer: _, ...call } = event
        this.#unsettled.set(event.callId, this.#messages.length)
        this.#messages.push({ _tag: "ToolMessage", ...call, sequence, at })
        break
      }
      default:
        break
    }
  }
}
