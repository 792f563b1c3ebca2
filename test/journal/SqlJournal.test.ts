import { describe } from "@effect/vitest"
import { Effect, Layer } from "effect"
import * as DataDirectory from "../../layers/journal/DataDirectory.ts"
import * as SqlJournal from "../../layers/journal/SqlJournal.ts"
import { journalContract } from "../contracts/Journal.ts"
import * as FakeFoundation from "../support/FakeFoundation.ts"
import { temporaryDirectory } from "../support/temporaryDirectory.ts"

const JournalLayer = SqlJournal.layer.pipe(
  Layer.provide(Layer.unwrap(Effect.map(temporaryDirectory, DataDirectory.layer))),
  Layer.provideMerge(FakeFoundation.layer)
)

describe("SqlJournal", () => {
  journalContract(JournalLayer)
})
