/** The same random programs on Erlang/OTP's own `supervisor` and on ours: every trace is the same. */
import { afterAll, assert, beforeAll, describe, it } from "@effect/vitest"
import { Effect, References } from "effect"
import { TestClock } from "effect/testing"
import * as fc from "fast-check"
import * as FiberSupervisor from "../../layers/supervision/FiberSupervisor.ts"
import { program } from "./otp/arbitrary.ts"
import * as Erlang from "./otp/Erlang.ts"
import * as Fibers from "./otp/Fibers.ts"
import { canonical, type Program, stepText, treeText } from "./otp/Program.ts"

const isLong = process.env["ESPALIER_LONG"] !== undefined
const size = Number(process.env["ESPALIER_OTP_CASES"] ?? (isLong ? 10_000 : 300))
const seed = Number(process.env["ESPALIER_SEED"] ?? (isLong ? Date.now() % 1_000_000_000 : 25))

/** No fondness for small programs: little happens in them. */
const drawing = { seed, unbiased: true }

/** Programs at a time: those with ticks wait for seconds, and do it together. */
const width = 1_000

const onFibers = (program: Program) =>
  Effect.runPromise(
    Effect.andThen(TestClock.adjust("1 minute"), Fibers.run(program)).pipe(
      Effect.provide(FiberSupervisor.layer),
      Effect.provide(TestClock.layer()),
      Effect.provideService(References.MinimumLogLevel, "None")
    )
  )

/** Both traces beside the program, down to the first difference. */
const report = (program: Program, otp: ReadonlyArray<string>, ours: ReadonlyArray<string>): string | undefined => {
  const titles = ["start", ...program.steps.map(stepText), "stop"]
  const lines = [treeText(program.tree), ""]
  for (let step = 0; step < Math.max(otp.length, ours.length); step++) {
    lines.push(`${step + 1}. ${titles[step] ?? "afterwards"}`)
    if (otp[step] === ours[step]) {
      lines.push(`     ${otp[step]}`)
      continue
    }
    lines.push(`OTP  ${otp[step] ?? "(nothing)"}`, `ours ${ours[step] ?? "(nothing)"}`)
    return lines.join("\n")
  }
  return undefined
}

describe("what is compared", () => {
  const isSame = (one: string, other: string) => canonical(`ok | ${one} | `) === canonical(`ok | ${other} | `)

  it("the killed are missed in any order, also beside the ends of dynamic children", () => {
    assert.isTrue(isSame("-p2 error -a killed -p1 killed +s", "-p2 error -p1 killed -a killed +s"))
    assert.isTrue(isSame("-p1 stopped -p2 killed -b killed", "-p2 killed -p1 stopped -b killed"))
  })

  it("everything else keeps its order", () => {
    assert.isFalse(isSame("-a stopped -b stopped", "-b stopped -a stopped"))
    assert.isFalse(isSame("-a error -p1 killed", "-p1 killed -a error"))
    assert.isFalse(isSame("-p1 killed +a -b killed", "-b killed +a -p1 killed"))
  })
})

describe.skipIf(!Erlang.isInstalled && process.env["CI"] === undefined)(
  "otp-differential (without `erl` and `erlc` there is nothing to compare with; install erlang-base)",
  () => {
    let erlang: Erlang.Erlang
    beforeAll(() => {
      assert.isTrue(Erlang.isInstalled, "`erl` and `erlc` are needed here: install erlang-base")
      erlang = Erlang.start()
    })
    afterAll(() => erlang.close())

    const compare = async (program: Program): Promise<string | undefined> => {
      const otp = erlang.run(program)
      return report(program, await otp, await onFibers(program))
    }

    it(`${size} random programs from seed ${seed}, 0 differences`, { timeout: 3_600_000 }, async () => {
      const programs: Array<Program> = []
      // Drawn by the same means as below, so that the same index is the same program.
      fc.check(
        fc.property(program, (drawn) => void programs.push(drawn)),
        { ...drawing, numRuns: size }
      )
      assert.lengthOf(programs, size)
      for (let from = 0; from < size; from += width) {
        const batch = programs.slice(from, from + width)
        const traces = batch.map((drawn) => erlang.run(drawn))
        for (const [index, drawn] of batch.entries()) {
          const ours = await onFibers(drawn)
          if (report(drawn, (await traces[index]) ?? [], ours) === undefined) continue
          await Promise.all(traces)
          await shrink(from + index)
          assert.fail(`${report(drawn, (await traces[index]) ?? [], ours)}\n\n(it does not fail again)`)
        }
      }
    })

    /** The smallest program near this one on which the two still differ. */
    const shrink = async (index: number) => {
      let last = ""
      const result = await fc.check(
        fc.asyncProperty(program, async (drawn) => {
          const difference = await compare(drawn)
          if (difference !== undefined) last = difference
          return difference === undefined
        }),
        { ...drawing, path: String(index), numRuns: index + 1, interruptAfterTimeLimit: 120_000 }
      )
      if (last !== "") assert.fail(`seed ${seed}, program ${index}, ${result.numShrinks} shrinks\n\n${last}\n`)
    }
  }
)
