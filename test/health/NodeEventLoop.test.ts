import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import * as NodeEventLoop from "../../layers/health/NodeEventLoop.ts"
import { EventLoop } from "../../services/health/EventLoop.ts"

const block = (milliseconds: number) =>
  Effect.sync(() => {
    const until = performance.now() + milliseconds
    while (performance.now() < until);
  })

/** Blocks the event loop so long after it was last asked, and asks then and once more. */
const blocked = (after: number) =>
  Effect.gen(function* () {
    const lateness = yield* (yield* EventLoop).watch
    yield* Effect.sleep(60)
    yield* lateness
    yield* Effect.sleep(after)
    yield* block(300)
    const seen = yield* lateness
    yield* Effect.sleep(60)
    return { seen, next: yield* lateness }
  }).pipe(Effect.scoped, Effect.provide(NodeEventLoop.layer))

describe("EventLoop", () => {
  for (const after of [0, 3, 9, 50]) {
    it.live(`tells of a block that begins ${after} ms after it was asked, once`, () =>
      Effect.gen(function* () {
        const { next, seen } = yield* blocked(after)
        assert.isAbove(seen.max, 200)
        assert.isAbove(seen.p99, 200, "one of less than a hundred looks")
        assert.isBelow(next.max, seen.max)
      })
    )
  }

  it.live("one who watches takes nothing from another", () =>
    Effect.gen(function* () {
      const { watch } = yield* EventLoop
      const [one, other] = [yield* watch, yield* watch]
      yield* Effect.sleep(50)
      yield* block(300)
      assert.isAbove((yield* one).max, 200)
      assert.isAbove((yield* other).max, 200)
    }).pipe(Effect.scoped, Effect.provide(NodeEventLoop.layer))
  )

  it.effect("where nothing measures it, nothing is late", () =>
    Effect.gen(function* () {
      const lateness = yield* (yield* EventLoop).watch
      assert.deepStrictEqual(yield* lateness, { p50: 0, p99: 0, max: 0 })
    })
  )
})
