/** Where an agent works that is started from here. */
import { Effect, Option } from "effect"
import { Flag } from "effect/cli"
import { resolve } from "node:path"
import { isHere } from "./Root.ts"

export const directoryFlag = Flag.Path("directory").pipe(
  Flag.withDescription(
    "Where a new session works: its AGENTS.md is told to the model (default: here, when the server is on this machine)"
  ),
  Flag.optional
)

export const directoryOf = (given: Option.Option<string>) =>
  Effect.map(Option.isSome(given) ? Effect.succeed(true) : isHere, (isKnown) =>
    isKnown ? { directory: resolve(Option.getOrElse(given, () => ".")) } : {}
  )
