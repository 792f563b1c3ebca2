// Appends to the journal of the directory it is given, one event at a time, until it was refused twice; prints each
// acknowledgement and refusal, and whether what was acknowledged can still be read.
import { Effect, Layer } from "effect"
import { writeSync } from "node:fs"
import * as DataDirectory from "../../layers/journal/DataDirectory.ts"
import * as SqlJournal from "../../layers/journal/SqlJournal.ts"
import { Journal } from "../../services/journal/Journal.ts"
import { foundationLayer } from "./foundation.ts"
import { sessionTopic } from "./topics.ts"

const program = Effect.gen(function* () {
  const journal = yield* Journal
  const stream = sessionTopic("a")
  const count = { refused: 0, acknowledged: 0 }
  while (count.refused < 2 && count.acknowledged < 500) {
    const after = count.acknowledged
    const event = { _tag: "SessionEnded" as const, reason: `${after + 1}` }
    yield* journal.append([{ stream, after, events: [event], open: true, summary: "{}" }]).pipe(
      Effect.match({
        onSuccess: () => writeSync(1, `ack ${++count.acknowledged}\n`),
        onFailure: ({ _tag }) => {
          count.refused++
          writeSync(1, `refused ${_tag}\n`)
        }
      })
    )
  }
  const read = yield* journal.read({ stream, after: 0 })
  writeSync(1, `read ${read.length}\n`)
})

const [directory = ""] = process.argv.slice(2)
await Effect.runPromise(
  program.pipe(
    Effect.provide(SqlJournal.layer),
    Effect.provide(Layer.merge(DataDirectory.layer(directory), foundationLayer)),
    Effect.catch(({ _tag, message }) => Effect.sync(() => void writeSync(1, `not opened ${_tag}: ${message}\n`)))
  )
)
