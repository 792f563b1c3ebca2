import { assert, describe, it } from "@effect/vitest"
import { Effect, Exit, Layer, Scope } from "effect"
import * as FiberSupervisor from "../../layers/supervision/FiberSupervisor.ts"
import * as RuntimeTree from "../../layers/supervision/RuntimeTree.ts"
import { Coordinators, Foundation, Root, Sessions, Workers } from "../../services/supervision/Places.ts"
import type { TreeNode } from "../../services/supervision/SupervisionTree.ts"
import { makeProbe } from "./probe.ts"

const TreeLayer = RuntimeTree.layer.pipe(Layer.provide(FiberSupervisor.layer))

const outline = (node: TreeNode, depth = 0): ReadonlyArray<string> => [
  `${"  ".repeat(depth)}${node.id}: ${node.strategy ?? "-"}, ${node.state}`,
  ...node.children.flatMap((child) => outline(child, depth + 1))
]

describe("RuntimeTree", () => {
  it.effect("is the tree of the design", () =>
    Effect.gen(function* () {
      const root = yield* Root
      const { child } = makeProbe()
      yield* (yield* Foundation).startChild(child("journal"))
      yield* (yield* Sessions).startChild(child("ses_1"))
      assert.deepStrictEqual(outline(yield* root.tree), [
        "espalier: one_for_one, running",
        "  foundation: rest_for_one, running",
        "    journal: -, running",
        "  coordinators: one_for_one, running",
        "    sessions: dynamic, running",
        "      ses_1: -, running",
        "  workers: one_for_one, running",
        "    tool executors: dynamic, running",
        "    exports: dynamic, running"
      ])
    }).pipe(Effect.provide(TreeLayer))
  )

  it.effect("stops everything against the order of starting when its scope closes", () =>
    Effect.gen(function* () {
      const scope = yield* Scope.make()
      const context = yield* Layer.buildWithScope(TreeLayer, scope)
      const { child, news } = makeProbe()
      yield* Effect.gen(function* () {
        yield* (yield* Workers).startChild(child("pool"))
        yield* (yield* Foundation).startChild(child("journal"))
        yield* (yield* Foundation).startChild(child("bus"))
        yield* (yield* Coordinators).startChild(child("manager"))
        yield* (yield* Sessions).startChild(child("ses_1"))
      }).pipe(Effect.provideContext(context))
      news()
      yield* Scope.close(scope, Exit.void)
      assert.strictEqual(news(), "-pool -manager -ses_1 -bus -journal")
    })
  )

  it.effect("a place that gave up comes back with what layers have put there", () =>
    Effect.gen(function* () {
      const foundation = yield* Foundation
      const { child, crash, news } = makeProbe()
      yield* foundation.startChild(child("journal"))
      yield* foundation.startChild(child("bus"))
      news()
      for (let crashes = 0; crashes < 3; crashes++) yield* crash("journal")
      assert.strictEqual(news(), "-journal -bus +journal +bus ".repeat(3).trim())
      yield* crash("journal")
      assert.strictEqual(news(), "-journal -bus +journal +bus")
      assert.deepInclude(yield* foundation.countChildren, { specs: 2, active: 2 })
    }).pipe(Effect.provide(TreeLayer))
  )
})
