/** The process dies at each step of turns that do all there is to do in a turn, over a real model and MCP server. */
import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import { spawn } from "node:child_process"
import { once } from "node:events"
import { join } from "node:path"
import { fileURLToPath } from "node:url"
import { steps } from "../../layers/journal/AppendWriter.ts"
import type { RuntimeEvent } from "../../services/events/RuntimeEvent.ts"
import * as Topic from "../../services/events/Topic.ts"
import type { ToolOutcome } from "../../services/session/SessionEvent.ts"
import { SessionId } from "../../services/session/SessionId.ts"
import { randomFrom, reader } from "../support/journalImages.ts"
import { readLedger } from "../support/Ledger.ts"
import * as ModelServer from "../support/ModelServer.ts"
import { assertLaws } from "../support/sessionLaws.ts"
import { temporaryDirectory } from "../support/temporaryDirectory.ts"
import { day, isIdempotent, STEPS, strictModel } from "../support/turnPrograms.ts"

const points = [...steps, "before publish", "after publish"]
const isLong = process.env["ESPALIER_LONG"] !== undefined
/** How often the process dies at each of them, spread over the whole day. */
const deaths = isLong ? 20 : 1
const patience = 60_000

const program = fileURLToPath(new URL("../support/crashing-turns.ts", import.meta.url))
const session = Topic.ofSession(SessionId.make("ses_day"))

const run = (args: ReadonlyArray<string>) =>
  Effect.promise(async () => {
    const child = spawn(process.execPath, [program, ...args], {
      stdio: ["ignore", "pipe", "inherit"],
      timeout: patience,
      killSignal: "SIGTERM"
    })
    let stdout = ""
    child.stdout.setEncoding("utf8").on("data", (text: string) => (stdout += text))
    const [status, signal] = await once(child, "close")
    return { stdout, status: Number(status), isKilled: signal === "SIGKILL" }
  })

/** What is journaled of the session and of all below it. */
const stored = (directory: string) =>
  Effect.scoped(
    Effect.map(reader(directory), ({ heads, read }) =>
      heads({ prefix: "session:", limit: 1_000 }).found.map(({ stream }) => ({
        stream,
        events: read({ stream, after: 0, limit: 10_000 }).map(({ event }) => event)
      }))
    )
  )

type Requested = Extract<RuntimeEvent, { readonly _tag: "ToolCallRequested" }>

const keyOf = ({ args }: Requested): string => (args as { readonly key?: string }).key ?? ""

/** The run that an outcome came from, as the ledger has it. */
const runOf = (outcome: ToolOutcome): string | undefined => {
  if (outcome._tag !== "ToolCompleted") return undefined
  const { result } = outcome
  const text = typeof result === "string" ? result : JSON.stringify(result)
  return /[a-z.]+[a-z0-9] \d+\.\d+/.exec(text)?.[0]
}

const assertCalls = (
  events: ReadonlyArray<RuntimeEvent>,
  runs: ReadonlyMap<string, ReadonlyArray<string>>,
  what: string
) => {
  const outcomes = new Map(
    events.flatMap((e) => (e._tag === "ToolCallSettled" ? [[e.callId, e.outcome] as const] : []))
  )
  const turns = new Map(events.flatMap((e) => (e._tag === "TurnEnded" ? [[e.turnId, e.outcome] as const] : [])))
  for (const call of events) {
    if (call._tag !== "ToolCallRequested") continue
    const { callId, tool, turnId } = call
    const outcome = outcomes.get(callId)
    const told = `${what}: ${tool} ${JSON.stringify(call.args)} came to ${JSON.stringify(outcome)}`
    assert(outcome !== undefined, told)
    if (tool === "delegate") continue
    const ran = runs.get(keyOf(call)) ?? []
    if (JSON.stringify(call.args).includes('"deny":true')) {
      assert.deepInclude(outcome, { _tag: "ToolFailed" }, told)
      assert.deepStrictEqual(ran, [], told)
      continue
    }
    if (!isIdempotent(tool)) {
      assert.isAtMost(ran.length, 1, `${told}, and ran as ${ran.join()}`)
      // Cut off, it is told as that and not run again; a worker's failure says so too.
      const isCut = outcome._tag === "ToolInterrupted" || JSON.stringify(outcome).includes("interrupted")
      if (isCut) continue
    }
    if (turnId !== undefined && turns.get(turnId) === "cancelled" && outcome._tag === "ToolCancelled") continue
    assert.strictEqual(outcome._tag, "ToolCompleted", told)
    // What was journaled is of the last run: none came after it.
    assert.strictEqual(runOf(outcome), ran.at(-1), `${told}, and ran as ${ran.join()}`)
  }
}

const assertDay = (events: ReadonlyArray<RuntimeEvent>, what: string) => {
  const started = events.flatMap((e) => (e._tag === "TurnStarted" ? [e] : []))
  assert.deepStrictEqual(
    started.map(({ messageId }) => messageId),
    day.map(({ id }) => `msg_${id}`),
    `${what}: each message has its turn, in order`
  )
  const ended = events.flatMap((e) => (e._tag === "TurnEnded" ? [e] : []))
  assert.deepStrictEqual(
    ended.map(({ outcome }) => outcome),
    day.map(({ outcome }) => outcome),
    `${what}: each turn ends once, as it should: ${JSON.stringify(ended)}`
  )
  const turnOf = (id: string) => started.find(({ messageId }) => messageId === `msg_${id}`)?.turnId
  assert.deepStrictEqual(
    events.flatMap((e) => (e._tag === "TurnRolledBack" ? [e.turnId] : [])),
    [turnOf("undone")],
    what
  )
  assert.deepInclude(ended.find(({ outcome }) => outcome === "failed")?.failure, { code: "too_many_steps" }, what)
  const endless = events.filter((e) => e._tag === "ToolCallRequested" && e.turnId === turnOf("endless"))
  assert.strictEqual(endless.length, STEPS, `${what}: no round beyond the limit`)
  assert.strictEqual(events.at(-1)?._tag, "SessionEnded", what)
}

/** Lives to the end of the day, and holds what the journal says against what was done. */
const finish = Effect.fnUntraced(function* (
  directory: string,
  url: string,
  model: ReturnType<typeof strictModel>,
  what: string
) {
  const { status, stdout } = yield* run([directory, url])
  assert.strictEqual(status, 0, what)
  assert.deepStrictEqual(model.violations, [], what)
  const runs = readLedger(join(directory, "ledger"))
  for (const { events, stream } of yield* stored(directory)) {
    assertLaws(events)
    assertCalls(events, runs, `${what}, ${stream}`)
    if (stream === session) assertDay(events, what)
    else assert.strictEqual(events.at(-1)?._tag, "SessionEnded", `${what}: ${stream} has ended`)
  }
  return JSON.parse(stdout) as Readonly<Record<string, number>>
})

const withModel = Effect.gen(function* () {
  const model = strictModel()
  const { url } = yield* ModelServer.make(model.script)
  return { model, url }
})

describe("crash-every-point", () => {
  it.live(
    `a process that dies at ${points.length * deaths} points of its turns answers every message once, repeats no result and shows its model no orphan`,
    () =>
      Effect.gen(function* () {
        const random = randomFrom(5)
        const passed = yield* Effect.scoped(
          Effect.gen(function* () {
            const { model, url } = yield* withModel
            const passed = yield* finish(yield* temporaryDirectory, url, model, "nobody dies")
            assert.isAbove(model.summaries(), 0, "its conversation was summed up")
            return passed
          })
        )
        for (const [index, point] of points.entries()) {
          const all = passed[point] ?? 0
          for (let death = 0; death < deaths; death++) {
            // One in each part of the day, and other parts for other points.
            const part = (death * points.length + index) / (deaths * points.length)
            const nth = 1 + Math.floor(part * (all - 5)) + random.below(Math.ceil(all / (deaths * points.length)))
            yield* Effect.scoped(
              Effect.gen(function* () {
                const directory = yield* temporaryDirectory
                const { model, url } = yield* withModel
                const { isKilled } = yield* run([directory, url, point, String(nth)])
                assert.isTrue(isKilled, `${point} was passed ${nth} times`)
                yield* finish(directory, url, model, `${point}, ${nth}`)
              })
            )
          }
        }
      }).pipe(Effect.scoped),
    3_000_000
  )
})
