/** What a message may bring along. Large ones are kept beside the events, each once. */
import { Schema } from "effect"

const name = Schema.String.check(Schema.isMinLength(1), Schema.isMaxLength(200))

export const MessageAttachment = Schema.TaggedUnion({
  Text: { name, text: Schema.String },
  /** `data` is base64. */
  Image: {
    name: Schema.optionalKey(name),
    mediaType: Schema.Literals(["image/png", "image/jpeg", "image/gif", "image/webp"]),
    data: Schema.String.check(Schema.isPattern(/^[A-Za-z0-9+/]+={0,2}$/, { message: "base64" }))
  }
})
export type MessageAttachment = typeof MessageAttachment.Type

/** Attachments of one message, and characters of all of them. */
export const MAX_ATTACHMENTS = 16
export const MAX_CHARACTERS = 768 * 1024

export const sizeOf = (attachment: MessageAttachment): number =>
  attachment._tag === "Text" ? attachment.text.length : attachment.data.length

export const MessageAttachments = Schema.Array(MessageAttachment).check(
  Schema.makeFilter((all) =>
    all.length <= MAX_ATTACHMENTS && all.reduce((sum, one) => sum + sizeOf(one), 0) <= MAX_CHARACTERS
      ? undefined
      : `at most ${MAX_ATTACHMENTS} attachments of ${MAX_CHARACTERS} characters in all`
  )
)
