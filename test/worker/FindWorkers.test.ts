import { assert, describe, it } from "@effect/vitest"
import { Clock, Effect } from "effect"
import * as FindWorkers from "../../layers/worker/FindWorkers.ts"
import * as MemoryJournal from "../../layers/journal/MemoryJournal.ts"
import { PoolState } from "../../layers/worker/PoolState.ts"
import { appendOf } from "../../layers/worker/WorkerRecords.ts"
import { Journal } from "../../services/journal/Journal.ts"
import { CallId, SessionId } from "../../services/session/SessionId.ts"
import { ofWorker } from "../../services/events/Topic.ts"
import { resolvePools } from "../../services/worker/PoolLimits.ts"
import { WorkerId } from "../../services/worker/WorkerId.ts"

const stored = (n: number, sessionId: SessionId, isFailed: boolean) => {
  const workerId = WorkerId.make(`wrk_${String(n).padStart(6, "0")}`)
  const failure = { code: "unlucky", message: "try another day" }
  return appendOf(
    ofWorker(workerId),
    undefined,
    [
      {
        _tag: "WorkerQueued",
        workerId,
        sessionId,
        callId: CallId.make(`call_${n}`),
        tool: "echo",
        args: null,
        idempotent: true,
        limits: { deadline: 1_000, hardCap: 1_000 }
      },
      isFailed ? { _tag: "WorkerFailed", failure } : { _tag: "WorkerCompleted", result: null }
    ],
    0
  ).append
}

describe("looking for workers", () => {
  it.effect("finds a session's oldest ones, and those that failed, below 15,000 of others and looks at no other", () =>
    Effect.gen(function* () {
      const journal = yield* Journal
      const [mine, others] = [SessionId.make("ses_mine"), SessionId.make("ses_others")]
      const isMine = (n: number) => n < 5
      yield* journal.append(
        Array.from({ length: 15_000 }, (_, n) => stored(n, isMine(n) ? mine : others, n === 3 || n === 7))
      )
      let looked = 0
      const counting: Journal["Service"] = {
        ...journal,
        heads: (options) => Effect.tap(journal.heads(options), (heads) => Effect.sync(() => (looked += heads.length)))
      }
      const state = new PoolState({ pools: resolvePools({}).pools, lease: 10 }, yield* Clock.Clock)
      const { list } = FindWorkers.make(state, counting)
      const numbers = (options: Parameters<typeof list>[0]) =>
        Effect.map(list(options), (found) => found.map(({ id }) => Number(id.slice(4))))
      assert.deepStrictEqual(yield* numbers({ sessionId: mine, limit: 100 }), [4, 3, 2, 1, 0])
      assert.deepStrictEqual(yield* numbers({ sessionId: mine, status: "failed", limit: 100 }), [3])
      assert.deepStrictEqual(yield* numbers({ status: "failed", limit: 100 }), [7, 3])
      assert.deepStrictEqual(yield* numbers({ status: "cancelled", limit: 100 }), [])
      assert.strictEqual(looked, 8)
      assert.strictEqual((yield* numbers({ status: "completed", limit: 1_200 })).length, 1_200)
    }).pipe(Effect.provide(MemoryJournal.layer()))
  )
})
