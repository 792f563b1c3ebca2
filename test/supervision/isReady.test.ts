import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import { isReady } from "../../services/supervision/isReady.ts"
import { Foundation, Root, Sessions, Workers } from "../../services/supervision/Places.ts"
import { foundationLayer } from "../support/foundation.ts"

const part = (id: string) => ({ id, start: Effect.succeed(Effect.never) })
const hanging = (id: string) => ({ id, start: Effect.never })

describe("isReady", () => {
  const test = (name: string, body: Effect.Effect<void, unknown, Root | Foundation | Sessions | Workers>) =>
    it.effect(name, () => Effect.provide(body, foundationLayer))

  test(
    "is true as long as each part runs, and false as soon as one does not",
    Effect.gen(function* () {
      const root = yield* Root
      const foundation = yield* Foundation
      assert.isTrue(yield* isReady(root))
      yield* foundation.startChild(part("journal"))
      assert.isTrue(yield* isReady(root))
      yield* foundation.terminateChild("journal")
      assert.isFalse(yield* isReady(root))
      yield* foundation.restartChild("journal")
      assert.isTrue(yield* isReady(root))
      yield* root.terminateChild("workers")
      assert.isFalse(yield* isReady(root))
    })
  )

  test(
    "is false while a part is being started",
    Effect.gen(function* () {
      const root = yield* Root
      yield* Effect.forkChild((yield* Workers).startChild(hanging("pool")), { startImmediately: true })
      yield* Effect.yieldNow
      assert.isFalse(yield* isReady(root))
    })
  )

  test(
    "does not look at what comes and goes below the parts",
    Effect.gen(function* () {
      const root = yield* Root
      yield* Effect.forkChild((yield* Sessions).startChild(hanging("session")), { startImmediately: true })
      const mcp = yield* (yield* Workers).startSupervisor({ id: "mcp", children: [part("server")] })
      yield* mcp.terminateChild("server")
      yield* Effect.yieldNow
      assert.strictEqual((yield* (yield* Sessions).whichChildren)[0]?.state, "starting")
      assert.strictEqual((yield* mcp.whichChildren)[0]?.state, "stopped")
      assert.isTrue(yield* isReady(root))
    })
  )
})
