// Holds the data directory it is given and says so, until its input ends or it is killed.
import { Effect } from "effect"
import { once } from "node:events"
import { writeSync } from "node:fs"
import * as DataDirectory from "../../layers/journal/DataDirectory.ts"

const [directory = ""] = process.argv.slice(2)
await Effect.runPromise(
  Effect.scoped(
    Effect.gen(function* () {
      yield* DataDirectory.make(directory)
      writeSync(1, "held\n")
      yield* Effect.promise(() => once(process.stdin.resume(), "end"))
    })
  )
)
