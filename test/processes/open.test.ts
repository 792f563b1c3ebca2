import { assert, describe, it } from "@effect/vitest"
import { Effect, Fiber, Stream } from "effect"
import * as ReapedProcesses from "../../layers/processes/ReapedProcesses.ts"
import { type Command, type Process, Processes } from "../../services/processes/Processes.ts"
import { isRunning, soon } from "../support/processes.ts"

const open = (command: string, args: ReadonlyArray<string> = [], options: Partial<Command> = {}) =>
  Effect.flatMap(Processes, (processes) => processes.open({ command, args, ...options })).pipe(
    Effect.provide(ReapedProcesses.layer)
  )

const text = (value: string) => new TextEncoder().encode(value)

const textOf = (process: Process) => process.stdout.pipe(Stream.decodeText(), Stream.mkString)

describe("an opened process", () => {
  it.live("is talked to and answers, and says how it ended", () =>
    Effect.gen(function* () {
      const child = yield* open("sh", ["-c", 'while read -r line; do echo "got $line"; done; echo done >&2; exit 7'])
      const output = yield* Effect.forkChild(textOf(child))
      yield* child.write(text("one\n"))
      yield* child.write(text("two\n"))
      yield* child.closeInput
      assert.deepStrictEqual(yield* child.exit, { code: 7, signal: undefined })
      assert.strictEqual(yield* Fiber.join(output), "got one\ngot two\n")
      assert.strictEqual(yield* child.stderr, "done\n")
      assert.strictEqual((yield* Effect.flip(child.write(text("three\n"))))._tag, "InputClosed")
    }).pipe(Effect.scoped)
  )

  it.live("waits when nobody reads its output, and makes who writes wait when it does not read", () =>
    Effect.gen(function* () {
      const writer = yield* open("sh", ["-c", "yes | head -c 50000000; sleep 300"])
      const reader = yield* open("sleep", ["300"])
      const pushing = yield* Effect.forkChild(
        Effect.forEach(Array.from({ length: 1_000 }), () => reader.write(new Uint8Array(64 * 1024)))
      )
      const before = process.memoryUsage().rss
      yield* Effect.sleep("500 millis")
      assert.isUndefined(pushing.pollUnsafe())
      assert.isBelow(process.memoryUsage().rss - before, 20 * 1024 * 1024)
      // And nothing of it is lost.
      const bytes = yield* writer.stdout.pipe(
        Stream.scan(
          () => 0,
          (sum, chunk) => sum + chunk.length
        ),
        Stream.filter((sum) => sum === 50_000_000),
        Stream.runHead
      )
      assert.isTrue(bytes._tag === "Some")
      yield* Fiber.interrupt(pushing)
    }).pipe(Effect.scoped)
  )

  it.live("keeps the last 64 KiB of what it complains of", () =>
    Effect.gen(function* () {
      const child = yield* open("sh", ["-c", "yes complaint | head -c 10000000 >&2; echo last >&2"])
      yield* child.exit
      yield* soon("the last word", () => Effect.runSync(child.stderr).endsWith("last\n"))
      assert.strictEqual((yield* child.stderr).length, 64 * 1024)
    }).pipe(Effect.scoped)
  )

  it.live("is gone when its scope is closed, with all it started", () =>
    Effect.gen(function* () {
      const pids = yield* Effect.scoped(
        Effect.gen(function* () {
          const child = yield* open("sh", [
            "-c",
            "trap '' TERM; sleep 300 & echo $!; setsid sleep 300 & echo $!; sleep 300"
          ])
          const lines = yield* child.stdout.pipe(
            Stream.decodeText(),
            Stream.splitLines,
            Stream.take(2),
            Stream.runCollect
          )
          return [child.pid, ...lines.map(Number)]
        })
      )
      assert.strictEqual(pids.length, 3)
      assert.deepStrictEqual(pids.filter(isRunning), [])
    })
  )

  it.live("ends its output when it ends, whoever of its children holds on to it", () =>
    Effect.gen(function* () {
      const child = yield* open("sh", ["-c", "setsid sleep 300 & sleep 300 & echo last"])
      assert.strictEqual(yield* textOf(child), "last\n")
    }).pipe(Effect.scoped)
  )
})
