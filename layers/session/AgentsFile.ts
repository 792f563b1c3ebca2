/** `Instructions` from the file `AGENTS.md` of a directory, up to 64 KiB of it. */
import { Effect, FileSystem, Layer, Path, Stream } from "effect"
import { Instructions } from "../../services/session/Instructions.ts"

const MAX_BYTES = 64 * 1024

export const make = Effect.gen(function* () {
  const fs = yield* FileSystem.FileSystem
  const path = yield* Path.Path
  return {
    read: (directory: string) =>
      Effect.gen(function* () {
        const file = path.join(directory, "AGENTS.md")
        const { size, type } = yield* fs.stat(file)
        // A pipe would be waited for.
        if (type !== "File") return undefined
        const text = yield* fs.stream(file, { bytesToRead: MAX_BYTES }).pipe(Stream.decodeText(), Stream.mkString)
        return Number(size) > MAX_BYTES ? `${text}\n… (cut: the file has ${size} bytes)` : text
      }).pipe(
        Effect.timeout("5 seconds"),
        Effect.catch(() => Effect.undefined)
      )
  }
})

export const layer = Layer.effect(Instructions, make)
