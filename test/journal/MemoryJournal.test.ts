import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import * as MemoryJournal from "../../layers/journal/MemoryJournal.ts"
import { Journal } from "../../services/journal/Journal.ts"
import { journalContract } from "../contracts/Journal.ts"
import { sessionTopic } from "../support/topics.ts"

describe("MemoryJournal", () => {
  journalContract(MemoryJournal.layer())

  it.effect("refuses what does not fit and keeps what it has", () =>
    Effect.gen(function* () {
      const journal = yield* Journal
      const stream = sessionTopic("a")
      const end = { _tag: "SessionEnded" as const, reason: "done" }
      yield* journal.append([{ stream, after: 0, events: [end, end], open: false, summary: "{}" }])
      const refusal = yield* Effect.flip(
        journal.append([{ stream, after: 2, events: [end, end], open: false, summary: "{}" }])
      )
      assert.strictEqual(refusal._tag, "StorageFull")
      assert.strictEqual((yield* journal.read({ stream, after: 0 })).length, 2)
    }).pipe(Effect.provide(MemoryJournal.layer({ capacity: 3 })))
  )
})
