import { assert, describe, it } from "@effect/vitest"
import { Effect, Exit, Fiber, Layer, Scope } from "effect"
import { LiveTopics } from "../../layers/events/LiveTopics.ts"
import * as PubSubEventBus from "../../layers/events/PubSubEventBus.ts"
import * as MemoryJournal from "../../layers/journal/MemoryJournal.ts"
import * as Topic from "../../services/events/Topic.ts"
import { EventBus } from "../../services/events/EventBus.ts"
import { Foundation } from "../../services/supervision/Places.ts"
import { a, eventBusContract, listen, range, record, settle, show, write } from "../contracts/EventBus.ts"
import { eventBusPolicies } from "../contracts/EventBusPolicies.ts"
import { foundationLayer } from "../support/foundation.ts"

const BusLayer = PubSubEventBus.layer().pipe(Layer.provideMerge([MemoryJournal.layer(), foundationLayer]))

describe("PubSubEventBus", () => {
  eventBusContract(BusLayer)
  eventBusPolicies(BusLayer)

  it.effect("readers outlive a crash of the bus and miss nothing", () =>
    Effect.gen(function* () {
      const bus = yield* EventBus
      const foundation = yield* Foundation
      assert.deepStrictEqual(yield* foundation.whichChildren, [{ id: "event bus", state: "running", type: "worker" }])
      yield* write(3)
      const replaying = yield* listen({ topic: a, from: 2 })
      const live = yield* listen({ topic: a })
      const fresh = yield* listen({ topic: a })
      yield* listen({ topic: Topic.agents })
      const agents = yield* listen({ topic: Topic.agents, from: 1, policy: "sliding" })
      yield* settle
      yield* write(1)
      yield* settle
      assert.deepStrictEqual(show(live.got), ["4"])

      yield* foundation.terminateChild("event bus")
      yield* write(2)
      yield* bus.publishSystem(Topic.agents, [{ _tag: "ChildStarted", path: "while it was away", reason: "call" }])
      const joined = yield* listen({ topic: a, from: 5 })
      yield* settle
      assert.deepStrictEqual(show(joined.got), [])
      yield* foundation.restartChild("event bus")
      yield* settle
      yield* write(1)
      yield* settle

      assert.deepStrictEqual(show(replaying.got), range(2, 7))
      assert.deepStrictEqual(show(live.got), range(4, 7))
      assert.deepStrictEqual(show(fresh.got), range(4, 7))
      assert.deepStrictEqual(show(joined.got), range(5, 7))
      assert.deepStrictEqual(show(agents.got), ["1"])
    }).pipe(Effect.scoped, Effect.provide(BusLayer))
  )

  it.effect("a reader that has had nothing yet is told what happened while the bus was away", () =>
    Effect.gen(function* () {
      const foundation = yield* Foundation
      yield* write(3)
      const live = yield* listen({ topic: a })
      yield* settle
      yield* foundation.terminateChild("event bus")
      yield* write(2)
      yield* foundation.restartChild("event bus")
      yield* settle
      assert.deepStrictEqual(show(live.got), ["4", "5"])
    }).pipe(Effect.scoped, Effect.provide(BusLayer))
  )

  it.effect("readers end when the bus is closed, whether it is alive or away", () =>
    Effect.gen(function* () {
      const scope = yield* Scope.make()
      const context = yield* Layer.buildWithScope(BusLayer, scope)
      const fibers = yield* Effect.gen(function* () {
        const foundation = yield* Foundation
        const one = yield* listen({ topic: a })
        yield* foundation.terminateChild("event bus")
        const other = yield* listen({ topic: a, from: 1 })
        yield* settle
        return [one.fiber, other.fiber]
      }).pipe(Effect.provideContext(context))
      yield* Scope.close(scope, Exit.void)
      yield* Fiber.joinAll(fibers)
    })
  )

  it.effect("publishing where nobody listens leaves nothing behind", () =>
    Effect.gen(function* () {
      const topics = new LiveTopics()
      yield* topics.publish(yield* record(3))
      assert.strictEqual(topics.size, 0)
      const scope = yield* Scope.make()
      yield* Scope.provide(topics.attach(a), scope)
      yield* Effect.scoped(topics.attach(a))
      assert.strictEqual(topics.size, 1)
      yield* Scope.close(scope, Exit.void)
      assert.strictEqual(topics.size, 0)
    }).pipe(Effect.provide(MemoryJournal.layer()))
  )
})
