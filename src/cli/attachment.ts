/** Files that go with a message. */
import { Effect } from "effect"
import { readFile } from "node:fs/promises"
import { basename, extname } from "node:path"
import type { MessageAttachment } from "../../services/session/MessageAttachment.ts"
import { UsageError } from "./Failure.ts"

const pictures = {
  ".png": "image/png",
  ".jpg": "image/jpeg",
  ".jpeg": "image/jpeg",
  ".gif": "image/gif",
  ".webp": "image/webp"
} as const

const isPicture = (extension: string): extension is keyof typeof pictures => extension in pictures

const decoder = new TextDecoder("utf-8", { fatal: true })

/** A picture by its extension; anything else has to be text. */
export const attach = (path: string): Effect.Effect<MessageAttachment, UsageError> =>
  Effect.gen(function* () {
    const bytes = yield* Effect.tryPromise({
      try: () => readFile(path),
      catch: () => new UsageError({ message: `"${path}" cannot be read, and so not attached` })
    })
    const name = basename(path)
    const extension = extname(path).toLowerCase()
    if (isPicture(extension)) {
      return { _tag: "Image", name, mediaType: pictures[extension], data: bytes.toString("base64") }
    }
    const text = yield* Effect.try({
      try: () => decoder.decode(bytes),
      catch: () => new UsageError({ message: `"${path}" is neither text nor a picture, and cannot be attached` })
    })
    return { _tag: "Text", name, text }
  })
