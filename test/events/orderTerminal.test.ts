/** order-terminal: 64 tools at a time tell how they go while their session ends, with messages under way. */
import { assert, describe, it } from "@effect/vitest"
import { Duration, Effect, Fiber, Random, Schema, Stream } from "effect"
import { EventBus } from "../../services/events/EventBus.ts"
import type { Delivery } from "../../services/events/RuntimeEvent.ts"
import * as Topic from "../../services/events/Topic.ts"
import { SessionManager } from "../../services/session/SessionManager.ts"
import * as Tool from "../../services/tools/Tool.ts"
import { isTerminal } from "../../services/worker/WorkerEvent.ts"
import * as Runtime from "../../src/server/Runtime.ts"

const RUNS = process.env["ESPALIER_LONG"] === undefined ? 500 : 10_000
/** Runs at a time: each session ends amidst its own tools, and amidst those of the others. */
const TOGETHER = 25
const pause = (most: number) => Effect.flatMap(Random.nextIntBetween(0, most), (times) => Effect.sleep(times))

const tool = (name: string, weight: "fast" | "heavy") =>
  Tool.make({
    name,
    description: "Takes a moment",
    parameters: Schema.Struct({}),
    result: Schema.Int,
    weight,
    run: () => Effect.as(pause(30), 1)
  })

const sequences = (got: ReadonlyArray<Delivery>) =>
  got.flatMap((delivery) => (delivery._tag === "Event" ? [delivery.sequence] : []))
const tagsOf = (got: ReadonlyArray<Delivery>) =>
  got.flatMap((delivery) => (delivery._tag === "Event" ? [delivery.event._tag] : []))

const once = Effect.gen(function* () {
  const sessions = yield* SessionManager
  const bus = yield* EventBus
  const { id } = yield* sessions.start({ title: "" })
  const topic = Topic.ofSession(id)
  const untilEnd = Stream.takeUntil<Delivery>(
    (delivery) => delivery._tag === "Event" && delivery.event._tag === "SessionEnded"
  )
  const early = yield* Effect.forkChild(Stream.runCollect(untilEnd(bus.subscribe({ topic, from: 1, capacity: 4 }))))
  const calls = yield* Effect.forkChild(
    Effect.forEach(
      Array.from({ length: 64 }),
      (_, index) => {
        const call = { sessionId: id, tool: index % 2 === 0 ? "moment" : "work", args: {} }
        return Effect.exit(Effect.andThen(pause(20), sessions.runTool(call)))
      },
      { concurrency: "unbounded" }
    )
  )
  yield* Effect.exit(sessions.send({ sessionId: id, text: "hello" }))
  yield* pause(25)
  yield* sessions.stop(id, "enough")
  const got = yield* Fiber.join(early)
  const answers = yield* Fiber.join(calls)

  assert.deepStrictEqual(
    sequences(got),
    sequences(got).map((_, index) => index + 1)
  )
  const tags = tagsOf(got)
  const count = (tag: string) => tags.filter((one) => one === tag).length
  assert.strictEqual(tags.at(-1), "SessionEnded")
  assert.strictEqual(count("SessionEnded"), 1)
  assert.strictEqual(count("TurnEnded"), count("TurnStarted"))
  assert.strictEqual(count("ToolCallSettled"), count("ToolCallRequested"))
  // Nothing comes after the end.
  yield* Effect.sleep(50)
  const late = yield* bus.subscribe({ topic, from: 1 }).pipe(Stream.interruptWhen(Effect.sleep(50)), Stream.runCollect)
  assert.deepStrictEqual(tagsOf(late), tags)

  const workers = answers.flatMap((exit) =>
    exit._tag === "Success" && "workerId" in exit.value ? [exit.value.workerId] : []
  )
  for (const workerId of workers) {
    const worker = yield* bus.subscribe({ topic: Topic.ofWorker(workerId), from: 1 }).pipe(
      Stream.takeUntil((delivery) => delivery._tag === "Event" && isTerminal(delivery.event)),
      Stream.interruptWhen(Effect.sleep(Duration.seconds(5))),
      Stream.runCollect
    )
    const last = worker.at(-1)
    assert.isTrue(last?._tag === "Event" && isTerminal(last.event), `${workerId} has no end`)
  }
  return workers.length
})

describe("order-terminal", () => {
  it.live(
    `${RUNS} sessions end amidst 64 tools each: one order, one end each, and the end is last`,
    () =>
      Effect.gen(function* () {
        const workers = yield* Effect.replicateEffect(once, RUNS, { concurrency: TOGETHER })
        assert.isAbove(
          workers.reduce((sum, count) => sum + count, 0),
          RUNS
        )
      }).pipe(
        Effect.provide(
          Runtime.layerMemory({ permits: 64, queue: 5_000, tools: [tool("moment", "fast"), tool("work", "heavy")] })
        ),
        Effect.timeout("30 minutes")
      ),
    1_800_000
  )
})
