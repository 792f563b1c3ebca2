// Opens the journal of the directory it is given and closes it again. Made to be killed on the way.
import { Effect, Layer } from "effect"
import * as DataDirectory from "../../layers/journal/DataDirectory.ts"
import * as SqlJournal from "../../layers/journal/SqlJournal.ts"
import { Journal } from "../../services/journal/Journal.ts"
import { foundationLayer } from "./foundation.ts"

const [directory = ""] = process.argv.slice(2)
await Effect.runPromise(
  Journal.use((journal) => journal.heads({ prefix: "", limit: 1_000 })).pipe(
    Effect.provide(SqlJournal.layer),
    Effect.provide(Layer.merge(DataDirectory.layer(directory), foundationLayer))
  )
)
