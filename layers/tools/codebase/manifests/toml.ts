/** TOML as every reader here wants it: the table, or an `Error` with the parser's words. */
import * as Result from "effect/Result"
import * as Toml from "effect/encoding/Toml"
import { listOf, type LockFile, lockOf, tableOf, textOf } from "./Manifest.ts"

export const parse = (text: string): Readonly<Record<string, unknown>> => {
  const result = Toml.parse(text)
  if (Result.isFailure(result)) throw new Error(result.failure.message)
  return result.success
}

/** `[[package]]` with name and version: Cargo's, Poetry's and uv's way of writing a lock file. */
export const readPackages = (text: string): LockFile =>
  lockOf(
    listOf(parse(text)["package"]).map((entry) => [textOf(tableOf(entry)["name"]), textOf(tableOf(entry)["version"])])
  )
