import { assert, describe, it } from "@effect/vitest"
import { Effect, Fiber } from "effect"
import { monitorEventLoopDelay } from "node:perf_hooks"
import * as AnalyzeCodebase from "../../layers/tools/AnalyzeCodebase.ts"
import * as ReapedProcesses from "../../layers/processes/ReapedProcesses.ts"
import * as Thread from "../../layers/tools/Thread.ts"
import { CodebaseAnalysis } from "../../services/tools/CodebaseAnalysis.ts"
import { ToolCall } from "../../services/tools/Tool.ts"
import { callTool, type Report, reporting } from "../support/callTool.ts"
import { soon } from "../support/processes.ts"

const entry = Thread.entry("../fixtures/tools/thread-that", import.meta.url)

const runThat = (input: string, reports?: Array<Report>) =>
  Thread.run<unknown, string>({ entry, input, heap: 64 }).pipe(Effect.provideService(ToolCall, reporting(reports).call))

/** Threads of this process, told by what each of them must have. */
const threads = () => process.getActiveResourcesInfo().filter((resource) => resource === "MessagePort").length

describe("Thread", () => {
  it.live("gives what the thread computes, in a thread that knows nothing of our environment", () =>
    Effect.gen(function* () {
      assert.deepStrictEqual(yield* runThat("answers"), { env: [], answer: 42 })
    })
  )

  it.live("tells a failure that the tool expects from a crash", () =>
    Effect.gen(function* () {
      const expected = yield* Effect.flip(runThat("fails"))
      assert.deepStrictEqual([expected.code, expected.message], ["path_not_found", "it is not there"])
      for (const input of ["throws", "exits", "hoards", "rejects", "clones badly"]) {
        const failure = yield* Effect.flip(runThat(input))
        assert.strictEqual(failure.code, "tool_crashed", input)
      }
    })
  )

  it.live("says that memory ran out", () =>
    Effect.gen(function* () {
      assert.include((yield* Effect.flip(runThat("hoards"))).message, "ran out of memory")
    })
  )

  it.live("throws away what a thread prints", () =>
    Effect.gen(function* () {
      assert.strictEqual(yield* runThat("prints"), "printed")
    })
  )

  it.live("lets a few reports a second through, and every new stage", () =>
    Effect.gen(function* () {
      const reports: Array<Report> = []
      assert.strictEqual(yield* runThat("reports", reports), "reported")
      assert.isBelow(reports.length, 60)
      assert.isAtLeast(new Set(reports.map(({ stage }) => stage)).size, 11)
    })
  )

  it.live("stops a thread that computes without end when the call is interrupted", () =>
    Effect.gen(function* () {
      const before = threads()
      const reports: Array<Report> = []
      const fiber = yield* Effect.forkChild(runThat("spins", reports))
      yield* soon("the thread runs", () => reports.length > 0)
      const cpu = () => process.cpuUsage().user
      yield* Fiber.interrupt(fiber)
      assert.isAtMost(threads(), before)
      const after = cpu()
      yield* Effect.sleep("300 millis")
      assert.isBelow(cpu() - after, 200_000)
    })
  )

  it.live(
    "leaves the event loop free while two analyses run",
    () =>
      Effect.gen(function* () {
        const tool = yield* AnalyzeCodebase.make({ scratch: "/nonexistent" })
        const path = new URL("../../node_modules/effect/src", import.meta.url).pathname
        const delay = monitorEventLoopDelay({ resolution: 5 })
        delay.enable()
        const results = yield* Effect.all(
          Array.from({ length: 2 }, () => callTool(tool, CodebaseAnalysis, { path })),
          { concurrency: 2 }
        )
        delay.disable()
        assert.isAbove(results[0]?.files ?? 0, 300)
        const [p50, p99, max] = [delay.percentile(50), delay.percentile(99), delay.max].map((ns) => ns / 1e6 - 5)
        yield* Effect.log(
          `event loop delay with two analyses: p50 ${p50?.toFixed(1)} ms, p99 ${p99?.toFixed(1)} ms, max ${max?.toFixed(1)} ms`
        )
        // Other programs on the machine add their share; work on the loop itself would stop it for seconds.
        assert.isBelow(max ?? Infinity, 1_500)
      }).pipe(Effect.provide(ReapedProcesses.layer)),
    180_000
  )
})
