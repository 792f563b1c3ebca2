/** Reading files of a tree that nobody vouches for: links are not followed, pipes and devices never waited for. */
import { closeSync, constants, fstatSync, openSync, readSync } from "node:fs"

const flags = constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK

export type Contents =
  | { readonly _tag: "Read"; readonly bytes: Buffer; readonly size: number }
  | { readonly _tag: "TooLarge"; readonly size: number }
  | { readonly _tag: "NotAFile" }
  | { readonly _tag: "Unreadable" }

/** Reads whole files into one buffer that each call overwrites. */
export const makeReader = (maxBytes: number) => {
  let buffer = Buffer.allocUnsafe(0)
  return (path: string): Contents => {
    let descriptor: number
    try {
      descriptor = openSync(path, flags)
    } catch (error) {
      return error instanceof Error && "code" in error && error.code === "ELOOP"
        ? { _tag: "NotAFile" }
        : { _tag: "Unreadable" }
    }
    try {
      const stat = fstatSync(descriptor)
      if (!stat.isFile()) return { _tag: "NotAFile" }
      if (stat.size > maxBytes) return { _tag: "TooLarge", size: stat.size }
      if (stat.size > buffer.length) buffer = Buffer.allocUnsafe(Math.min(maxBytes, Math.max(16 * 1024, stat.size * 2)))
      let length = 0
      while (length < stat.size) {
        const read = readSync(descriptor, buffer, length, stat.size - length, length)
        if (read === 0) break
        length += read
      }
      return { _tag: "Read", bytes: buffer.subarray(0, length), size: length }
    } catch {
      return { _tag: "Unreadable" }
    } finally {
      closeSync(descriptor)
    }
  }
}

/** The text of a small file; undefined when there is none, or it is larger than `maxBytes`. */
export const readSmallText = (path: string, maxBytes: number): string | undefined => {
  const contents = makeReader(maxBytes)(path)
  return contents._tag === "Read" ? contents.bytes.toString("utf8") : undefined
}
