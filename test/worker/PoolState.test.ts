import { assert, describe, it } from "@effect/vitest"
import { Clock, Effect } from "effect"
import { PoolState } from "../../layers/worker/PoolState.ts"
import * as Topic from "../../services/events/Topic.ts"
import { CallId, SessionId } from "../../services/session/SessionId.ts"
import { resolvePools } from "../../services/worker/PoolLimits.ts"
import type { Worker } from "../../services/worker/Worker.ts"
import { WorkerId } from "../../services/worker/WorkerId.ts"

const worker = (name: string): Worker => ({
  id: WorkerId.make(`wrk_${name}`),
  sessionId: SessionId.make("ses_one"),
  callId: CallId.make("call_one"),
  tool: "tool",
  args: {},
  idempotent: false,
  limits: { deadline: 1, hardCap: 1 },
  pool: "tools",
  priority: 5,
  status: "queued",
  percent: 0,
  stage: "",
  attempt: 0,
  queuedAt: 0,
  sequence: 1
})

const settings = { pools: resolvePools({ tools: { permits: 1, queue: 1, patience: 10 } }).pools, lease: 10 }

describe("PoolState", () => {
  it.effect("does not begin what was cancelled after it got its permit, nor begin anything twice", () =>
    Effect.gen(function* () {
      const state = new PoolState(settings, yield* Clock.Clock)
      const admit = (name: string) =>
        state.admit(state.main, state.ticketOf(state.main, worker(name)), worker(name), Topic.ofWorker(worker(name).id))
      const [first, second] = [admit("a"), admit("b")]
      state.enqueue(first)
      state.enqueue(second)
      assert.strictEqual(first.phase, "granted")
      assert.isTrue(state.leaveQueue(first))
      state.settle(first, { _tag: "WorkerCancelled", reason: "no" })
      assert.isFalse(state.begin(first))
      assert.strictEqual(second.phase, "granted")
      assert.isTrue(state.begin(second))
      assert.isFalse(state.begin(second))
      assert.strictEqual(state.main.schedule.running, 1)
    })
  )
})
