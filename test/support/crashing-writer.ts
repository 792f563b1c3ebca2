// Appends to the journal of the directory it is given, as fast as it can from many streams, and prints each
// acknowledgement. Made to be killed.
import { Effect, Layer } from "effect"
import { writeSync } from "node:fs"
import * as DataDirectory from "../../layers/journal/DataDirectory.ts"
import * as SqlJournal from "../../layers/journal/SqlJournal.ts"
import { Journal } from "../../services/journal/Journal.ts"
import { foundationLayer } from "./foundation.ts"
import { sessionTopic } from "./topics.ts"

const WRITERS = 200

const writer = Effect.fnUntraced(function* (name: string) {
  const journal = yield* Journal
  const stream = sessionTopic(name)
  let after = (yield* journal.head(stream))?.sequence ?? 0
  while (true) {
    const event = { _tag: "SessionEnded" as const, reason: `${stream} ${after + 1}` }
    yield* journal.append([{ stream, after, events: [event], open: true, summary: `{"n":${after + 1}}` }])
    after++
    writeSync(1, `${stream} ${after}\n`)
  }
})

const names = Array.from({ length: WRITERS }, (_, index) => `w${index}`)
const [directory = ""] = process.argv.slice(2)
await Effect.runPromise(
  Effect.forEach(names, writer, { concurrency: "unbounded", discard: true }).pipe(
    Effect.provide(SqlJournal.layer),
    Effect.provide(Layer.merge(DataDirectory.layer(directory), foundationLayer))
  )
)
