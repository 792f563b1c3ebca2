import { assert, describe, it } from "@effect/vitest"
import { Context, Deferred, Effect, Layer } from "effect"
import * as PubSubEventBus from "../../layers/events/PubSubEventBus.ts"
import * as DataDirectory from "../../layers/journal/DataDirectory.ts"
import * as SqlJournal from "../../layers/journal/SqlJournal.ts"
import { Foundation } from "../../services/supervision/Places.ts"
import { a, listen, range, show, write } from "../contracts/EventBus.ts"
import { foundationLayer } from "../support/foundation.ts"
import { temporaryDirectory } from "../support/temporaryDirectory.ts"

/** Crashes the first child of the foundation, on which journal and event bus stand. */
class Crash extends Context.Service<Crash, { readonly now: Effect.Effect<void> }>()("test/Crash") {}

const crashLayer = Layer.effect(
  Crash,
  Effect.gen(function* () {
    const foundation = yield* Foundation
    let crash = Deferred.makeUnsafe<never, Error>()
    yield* foundation.startChild({
      id: "first",
      start: Effect.sync(() => {
        crash = Deferred.makeUnsafe()
        return Deferred.await(crash)
      })
    })
    return { now: Effect.suspend(() => Effect.asVoid(Deferred.fail(crash, new Error("crash")))) }
  })
)

const StandingLayer = PubSubEventBus.layer().pipe(
  Layer.provideMerge(SqlJournal.layer),
  Layer.provide(Layer.unwrap(Effect.map(temporaryDirectory, DataDirectory.layer))),
  Layer.provideMerge(crashLayer),
  Layer.provideMerge(foundationLayer)
)

/** Until the subscriber has as many, real time passing. */
const until = (got: ReadonlyArray<unknown>, count: number): Effect.Effect<void> =>
  Effect.suspend(() => (got.length >= count ? Effect.void : Effect.andThen(Effect.sleep(1), until(got, count))))

describe("the foundation", () => {
  it.live("crashes below journal and event bus, and writers and readers go on as if nothing had been", () =>
    Effect.gen(function* () {
      const foundation = yield* Foundation
      const crash = yield* Crash
      const names = Effect.map(foundation.whichChildren, (children) => children.map(({ id, state }) => [id, state]))
      const running = [
        ["first", "running"],
        ["journal", "running"],
        ["event bus", "running"]
      ]
      assert.deepStrictEqual(yield* names, running)

      const early = yield* listen({ topic: a, from: 1 })
      const live = yield* listen({ topic: a })
      for (let round = 0; round < 3; round++) {
        yield* write(5)
        yield* crash.now
        yield* write(5)
        yield* until(early.got, 10 * (round + 1))
      }
      yield* until(live.got, 30)
      assert.deepStrictEqual(show(early.got), range(1, 30))
      assert.deepStrictEqual(show(live.got), range(1, 30))
      assert.deepStrictEqual(yield* names, running)
    }).pipe(Effect.scoped, Effect.provide(StandingLayer), Effect.timeout("10 seconds"))
  )
})
