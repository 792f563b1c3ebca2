/**
 * The numbers behind the claims: every figure beside its baseline, taken in the same run.
 *
 *     npm run bench                    a table
 *     npm run bench -- --json          one line a figure
 *     npm run bench -- pool append     some suites only
 */
import { NodeRuntime, NodeServices } from "@effect/platform-node"
import { Console, Effect, References } from "effect"
import * as Beam from "./beam.ts"
import { toJson, toTable } from "./Figure.ts"
import * as append from "./suites/append.ts"
import * as fanOut from "./suites/fanOut.ts"
import * as hibernation from "./suites/hibernation.ts"
import * as mcp from "./suites/mcp.ts"
import * as pool from "./suites/pool.ts"
import * as registry from "./suites/registry.ts"
import * as rpc from "./suites/rpc.ts"
import * as sessions from "./suites/sessions.ts"
import * as start from "./suites/start.ts"
import * as turn from "./suites/turn.ts"
import * as supervision from "./suites/supervision.ts"

const args = process.argv.slice(2)
const isJson = args.includes("--json")
const wanted = args.filter((arg) => !arg.startsWith("--"))

const program = Effect.gen(function* () {
  if (!isJson) yield* Console.error("measuring BEAM …")
  const beam = yield* Beam.measure
  if (Object.keys(beam).length === 0) yield* Console.error("erl and erlc are not installed: no figures of BEAM")
  const suites = {
    supervision: supervision.suite(beam),
    sessions: sessions.suite(beam),
    registry: registry.suite(beam),
    hibernation: hibernation.suite,
    fanOut: fanOut.suite(beam),
    pool: pool.suite,
    append: append.suite,
    start: start.suite,
    rpc: rpc.suite,
    turn: turn.suite,
    mcp: mcp.suite
  }
  const unknown = wanted.filter((name) => !(name in suites))
  if (unknown.length > 0) {
    yield* Console.error(`no suite ${unknown.join(", ")}; there are ${Object.keys(suites).join(", ")}`)
    process.exitCode = 64
    return
  }
  for (const [name, suite] of Object.entries(suites)) {
    if (wanted.length > 0 && !wanted.includes(name)) continue
    const figures = yield* suite
    if (isJson) for (const figure of figures) yield* Console.log(toJson(figure))
    else yield* Console.log(`\n${name}\n${toTable(figures)}`)
  }
})

program.pipe(
  Effect.provide(NodeServices.layer),
  Effect.provideService(References.MinimumLogLevel, "None"),
  NodeRuntime.runMain
)
