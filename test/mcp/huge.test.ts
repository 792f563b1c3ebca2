/**
 * mcp-huge: what a line of 40 MB costs, measured in processes of its own beside one that reads as many bytes and does
 * nothing with them. What both cost is Node's: it reads into buffers of 64 KiB that are collected some 32 MiB later.
 */
import { assert, describe, it } from "@effect/vitest"
import { Effect, Schema } from "effect"
import { execFile } from "node:child_process"
import { fileURLToPath } from "node:url"
import { promisify } from "node:util"

const Rounds = Schema.fromJsonString(Schema.Array(Schema.Struct({ grown: Schema.Finite, stalled: Schema.Finite })))
const fixture = fileURLToPath(new URL("../fixtures/mcp/huge-line.ts", import.meta.url))

const measure = (whose: "ours" | "control") =>
  Effect.promise(() =>
    promisify(execFile)(process.execPath, ["--expose-gc", "--no-warnings", fixture, whose], { timeout: 60_000 })
  ).pipe(
    Effect.flatMap(({ stdout }) => Schema.decodeUnknownEffect(Rounds)(stdout)),
    Effect.map((rounds) => ({
      grown: Math.max(...rounds.map(({ grown }) => grown)),
      stalled: rounds.map(({ stalled }) => stalled).toSorted((a, b) => a - b)[Math.floor(rounds.length / 2)] ?? Infinity
    }))
  )

describe("mcp-huge", () => {
  it.live("an answer of 40 MB adds at most 16 MiB and 200 ms to what reading it costs", () =>
    Effect.gen(function* () {
      const ours = yield* measure("ours")
      const control = yield* measure("control")
      assert.isAtMost(ours.grown - control.grown, 16, JSON.stringify({ ours, control }))
      assert.isAtMost(ours.stalled - control.stalled, 200, JSON.stringify({ ours, control }))
    })
  )
})
