/** A crash, of whatever kind and wherever in a tree, is felt by those whom the strategies name, and by nobody else. */
import { assert, describe, it } from "@effect/vitest"
import { Deferred, Effect, References } from "effect"
import { TestClock } from "effect/testing"
import * as fc from "fast-check"
import * as FiberSupervisor from "../../layers/supervision/FiberSupervisor.ts"
import type { ChildSpec, Strategy } from "../../services/supervision/ChildSpec.ts"

interface Branch {
  readonly strategy: Strategy
  readonly children: ReadonlyArray<Branch | "worker">
}

const { branch } = fc.letrec<{ branch: Branch; child: Branch | "worker" }>((tie) => ({
  branch: fc.record({
    strategy: fc.constantFrom("one_for_one", "one_for_all", "rest_for_one"),
    children: fc.array(tie("child"), { minLength: 1, maxLength: 4 })
  }),
  child: fc.oneof({ maxDepth: 3, withCrossShrink: true }, fc.constant("worker" as const), tie("branch"))
}))

const kinds: Record<string, Effect.Effect<unknown, unknown>> = {
  throws: Effect.sync(() => {
    throw new Error("thrown")
  }),
  rejects: Effect.promise(() => Promise.reject(new Error("rejected"))),
  dies: Effect.die("defect"),
  fails: Effect.fail("failure"),
  interrupts: Effect.interrupt,
  overflows: Effect.sync(function deeper(): number {
    return 1 + deeper()
  }),
  badFinalizer: Effect.void,
  badRestart: Effect.die("and the next start throws")
}
const crash = fc.record({ kind: fc.constantFrom(...Object.keys(kinds)), target: fc.nat(999) })

const injections = 20
const trees = process.env["ESPALIER_LONG"] === undefined ? 100 : 5_000

const run = (tree: Branch, crashes: ReadonlyArray<{ readonly kind: string; readonly target: number }>) =>
  Effect.gen(function* () {
    yield* TestClock.adjust("1 minute")
    /** How often each worker has been started. */
    const starts: Array<number> = []
    const crashers: Array<Deferred.Deferred<Effect.Effect<unknown, unknown>>> = []
    /** Whom each worker's crash concerns. */
    const concerned: Array<ReadonlyArray<number>> = []
    let breaksOnTheWayOut: number | undefined
    let doesNotStart: number | undefined

    const worker = (id: number): ChildSpec["start"] =>
      Effect.gen(function* () {
        if (doesNotStart === id) {
          doesNotStart = undefined
          throw new Error("no start")
        }
        const crasher = yield* Deferred.make<Effect.Effect<unknown, unknown>>()
        crashers[id] = crasher
        starts[id] = (starts[id] ?? 0) + 1
        yield* Effect.addFinalizer(() =>
          Effect.suspend(() => {
            if (breaksOnTheWayOut !== id) return Effect.void
            breaksOnTheWayOut = undefined
            return Effect.die("bad finalizer")
          })
        )
        return Effect.flatten(Deferred.await(crasher))
      })

    /** The spec of a branch, and the workers below it. */
    const build = ({ children, strategy }: Branch, id: string): { spec: ChildSpec; workers: ReadonlyArray<number> } => {
      const parts = children.map((child, index) => {
        if (child !== "worker") return { ...build(child, `${id}.${index}`), isWorker: false }
        const number = starts.length
        starts.push(0)
        return { spec: { id: `w${number}`, start: worker(number) }, workers: [number], isWorker: true }
      })
      for (const [index, part] of parts.entries()) {
        if (!part.isWorker) continue
        const group =
          strategy === "one_for_all" ? parts : parts.slice(index, strategy === "rest_for_one" ? undefined : index + 1)
        for (const number of part.workers) concerned[number] = group.flatMap(({ workers }) => workers)
      }
      const specs = parts.map(({ spec }) => spec)
      return {
        spec: {
          id,
          type: "supervisor",
          start: Effect.map(
            FiberSupervisor.make.start({ id, strategy, intensity: 100_000, children: specs }),
            ({ awaitExit }) => awaitExit
          )
        },
        workers: parts.flatMap(({ workers }) => workers)
      }
    }

    const { spec } = build(tree, "tree")
    const beside = { id: "beside", start: worker(starts.push(0) - 1) }
    yield* FiberSupervisor.make.start({ id: "top", intensity: 0, children: [spec, beside] })

    for (const { kind, target } of crashes) {
      const id = target % (starts.length - 1)
      const crasher = crashers[id]
      const effect = kinds[kind]
      if (crasher === undefined || effect === undefined) continue
      const before = [...starts]
      const group = concerned[id] ?? []
      if (kind === "badFinalizer") breaksOnTheWayOut = id
      if (kind === "badRestart") doesNotStart = id
      yield* Deferred.succeed(crasher, effect)
      for (let turn = 0; turn < 200 && group.some((member) => starts[member] === before[member]); turn++) {
        yield* Effect.yieldNow
      }
      for (let turn = 0; turn < 5; turn++) yield* Effect.yieldNow
      for (const [member, times] of starts.entries()) {
        const who = `worker ${member} when worker ${id} ${kind}`
        if (group.includes(member)) assert.isAbove(times, before[member] ?? 0, `not started again: ${who}`)
        else assert.strictEqual(times, before[member], `touched: ${who}`)
      }
    }
  }).pipe(Effect.scoped, Effect.provide(TestClock.layer()), Effect.provideService(References.MinimumLogLevel, "None"))

describe("any-crash-contained", () => {
  it(
    `${trees * injections} crashes in ${trees} random trees: only those whom the strategies name are started again`,
    { timeout: 3_600_000 },
    () =>
      fc.assert(
        fc.asyncProperty(
          // A tree without workers has nobody to crash.
          branch.filter((tree) => JSON.stringify(tree).includes(`"worker"`)),
          fc.array(crash, { minLength: injections, maxLength: injections }),
          (tree, crashes) => Effect.runPromise(run(tree, crashes))
        ),
        { numRuns: trees }
      )
  )
})
