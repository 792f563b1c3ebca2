import { assert, describe, it } from "@effect/vitest"
import { type KnownHead, KnownHeads } from "../../layers/journal/KnownHeads.ts"
import type { Topic } from "../../services/events/Topic.ts"

const head = (number: number): KnownHead => ({
  id: number,
  stream: `worker:${number}` as Topic,
  sequence: 1,
  earliest: 1,
  open: false,
  tail: "",
  owner: undefined,
  label: undefined
})

describe("KnownHeads", () => {
  it("keeps a stream that is in use however many others come and go, and forgets those in the end", () => {
    const known = new KnownHeads()
    const busy = head(0)
    known.set(busy.stream, busy)
    for (let number = 1; number <= 100_000; number++) {
      known.age()
      const other = head(number)
      known.set(other.stream, other)
      if (number % 1_000 === 0) assert.strictEqual(known.get(busy.stream), busy)
    }
    const remembered = Array.from({ length: 100_000 }, (_, at) => head(at + 1).stream).filter(
      (stream) => known.get(stream) !== undefined
    )
    assert.isBelow(remembered.length, 20_000)
    assert.isDefined(known.get(head(100_000).stream))
  })

  it("forgets one of either generation, or all", () => {
    const known = new KnownHeads()
    for (let number = 0; number < 10_000; number++) known.set(head(number).stream, head(number))
    known.age()
    known.set(head(10_000).stream, head(10_000))
    for (const number of [5, 10_000]) {
      known.delete(head(number).stream)
      assert.isUndefined(known.get(head(number).stream))
    }
    assert.isDefined(known.get(head(6).stream))
    known.clear()
    assert.isUndefined(known.get(head(6).stream))
    assert.isUndefined(known.get(head(7).stream))
  })
})
