/** `process_large_file`: what is in a file of any size, in one pass and little memory. */
import { Effect } from "effect"
import { resolve } from "node:path"
import { FileProfile, ProcessLargeFile } from "../../services/tools/FileProfile.ts"
import * as Tool from "../../services/tools/Tool.ts"
import type { Input } from "./file/profile.ts"
import * as Thread from "./Thread.ts"

const entry = Thread.entry("./file/thread", import.meta.url)

/** Megabytes. Pieces, columns and counters need a few; a pattern's automaton up to eight more. */
const heap = 96

export const make = Tool.make({
  name: "process_large_file",
  description:
    "Reads a file of any size on the server and tells its bytes, lines, words, longest line and encoding; for CSV and JSON Lines a table of its columns with types, ranges, nulls and distinct values; and the lines that match a pattern.",
  parameters: ProcessLargeFile,
  result: FileProfile,
  weight: "heavy",
  idempotent: true,
  classes: ["read"],
  run: Effect.fn("process_large_file")(function* ({ path, pattern }) {
    const result = yield* Thread.run<FileProfile, Input>({ entry, heap, input: { file: resolve(path), path, pattern } })
    const call = yield* Tool.ToolCall
    yield* call.progress(100, "complete")
    return result
  })
})
