import { assert, describe, it } from "@effect/vitest"
import { Deferred, Effect, Stream } from "effect"
import { TestClock } from "effect/testing"
import * as FiberSupervisor from "../../layers/supervision/FiberSupervisor.ts"
import { Supervisor } from "../../services/supervision/Supervisor.ts"
import type { TreeNode } from "../../services/supervision/SupervisionTree.ts"
import { isSameTree, watchTree } from "../../services/supervision/watchTree.ts"
import { makeProbe, settle } from "./probe.ts"

const leaf = (id: string, more: Partial<TreeNode> = {}): TreeNode => ({
  id,
  type: "worker",
  state: "running",
  restart: "permanent",
  restarts: 0,
  age: 0,
  children: [],
  total: 0,
  ...more
})

const watched = Effect.gen(function* () {
  const supervisor = yield* Supervisor
  const ref = yield* supervisor.start({ id: "top", intensity: 1_000, children: [] })
  const shown: Array<TreeNode> = []
  yield* watchTree(ref.tree).pipe(
    Stream.runForEach((node) => Effect.sync(() => shown.push(node))),
    Effect.forkScoped({ startImmediately: true })
  )
  return { ref, shown }
})

describe("watchTree", () => {
  it.effect("shows the tree at once, and then only when something has changed", () =>
    Effect.gen(function* () {
      const { ref, shown } = yield* watched
      const { child } = makeProbe()
      yield* TestClock.adjust("1 minute")
      assert.strictEqual(shown.length, 1)
      yield* ref.startChild(child("a"))
      yield* TestClock.adjust("1 minute")
      assert.deepStrictEqual(
        shown.map(({ children }) => children.map(({ id }) => id)),
        [[], ["a"]]
      )
    }).pipe(Effect.scoped, Effect.provide(FiberSupervisor.layer))
  )

  it.effect("a storm of crashes makes at most five snapshots a second, and the last one is shown", () =>
    Effect.gen(function* () {
      const { ref, shown } = yield* watched
      const { child, crash } = makeProbe()
      yield* ref.startChild(child("a"))
      for (let step = 0; step < 200; step++) {
        yield* crash("a")
        yield* TestClock.adjust("10 millis")
      }
      yield* TestClock.adjust("1 second")
      assert.isAtMost(shown.length, 1 + 5 * 3)
      assert.isAtLeast(shown.length, 5)
      assert.strictEqual(shown.at(-1)?.children[0]?.restarts, 200)
    }).pipe(Effect.scoped, Effect.provide(FiberSupervisor.layer))
  )

  it.effect("a reader that stalls is shown the newest when it goes on, and nothing piles up meanwhile", () =>
    Effect.gen(function* () {
      const supervisor = yield* Supervisor
      const ref = yield* supervisor.start({ id: "top", children: [] })
      const { child } = makeProbe()
      let looked = 0
      const gate = yield* Deferred.make<void>()
      const shown: Array<number> = []
      yield* watchTree(Effect.tap(ref.tree, () => Effect.sync(() => looked++))).pipe(
        Stream.runForEach(({ total }) =>
          Effect.andThen(
            Effect.sync(() => shown.push(total)),
            Deferred.await(gate)
          )
        ),
        Effect.forkScoped({ startImmediately: true })
      )
      for (let index = 0; index < 50; index++) {
        yield* ref.startChild(child(`c${index}`))
        yield* TestClock.adjust("1 second")
      }
      assert.isAtMost(looked, 2)
      yield* Deferred.succeed(gate, undefined)
      yield* settle
      yield* TestClock.adjust("1 second")
      assert.strictEqual(shown.at(-1), 50)
    }).pipe(Effect.scoped, Effect.provide(FiberSupervisor.layer))
  )

  it("a child that came back is another one, however alike it looks", () => {
    const before = leaf("top", { children: [leaf("a", { age: 1_000 })] })
    assert.isTrue(isSameTree(before, leaf("top", { age: 200, children: [leaf("a", { age: 1_200 })] })))
    assert.isFalse(isSameTree(before, leaf("top", { children: [leaf("a", { age: 10 })] })))
    assert.isFalse(isSameTree(before, leaf("top", { children: [leaf("a", { age: 1_000, mailbox: 1 })] })))
    assert.isFalse(isSameTree(before, leaf("top", { children: [] })))
  })
})
