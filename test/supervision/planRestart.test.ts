import { assert, describe, it } from "@effect/vitest"
import * as fc from "fast-check"
import type { RestartType, Strategy } from "../../services/supervision/ChildSpec.ts"
import { type Member, planExit, planLeave, planRestart, wantsRestart } from "../../services/supervision/planRestart.ts"
import type { ExitReason } from "../../services/supervision/SupervisionEvent.ts"

const member = (id: string, options: Partial<Member> = {}): Member => ({
  id,
  restart: "permanent",
  significant: false,
  isAlive: true,
  ...options
})
const failed: ExitReason = { _tag: "Failed", message: "boom" }
const limits = { intensity: 3, period: 5_000 }
const members = [member("a"), member("b"), member("c", { restart: "temporary" }), member("d")]

describe("wantsRestart", () => {
  const table: ReadonlyArray<[RestartType, ExitReason, boolean]> = [
    ["permanent", { _tag: "Normal" }, true],
    ["permanent", { _tag: "Shutdown" }, true],
    ["permanent", { _tag: "Killed" }, true],
    ["permanent", failed, true],
    ["transient", { _tag: "Normal" }, false],
    ["transient", { _tag: "Shutdown" }, false],
    ["transient", { _tag: "Killed" }, true],
    ["transient", failed, true],
    ["temporary", { _tag: "Normal" }, false],
    ["temporary", { _tag: "Shutdown" }, false],
    ["temporary", { _tag: "Killed" }, false],
    ["temporary", failed, false]
  ]
  for (const [restart, reason, expected] of table) {
    it(`${restart} after ${reason._tag}: ${expected ? "again" : "stays down"}`, () =>
      assert.strictEqual(wantsRestart(restart, reason), expected))
  }
})

describe("planRestart", () => {
  const groups: ReadonlyArray<[Strategy, ReadonlyArray<string>, ReadonlyArray<string>]> = [
    ["one_for_one", [], ["b"]],
    ["rest_for_one", ["d", "c"], ["b", "d"]],
    ["one_for_all", ["d", "c", "a"], ["a", "b", "d"]]
  ]
  for (const [strategy, stop, start] of groups) {
    it(`${strategy} stops against the order and starts in it, without temporary children`, () =>
      assert.deepStrictEqual(planRestart({ id: "b" }, members, strategy, limits, [], 10), {
        _tag: "Restart",
        stop,
        start,
        history: [10]
      }))
  }

  it("gives up on one restart more than the intensity allows, and not before", () => {
    assert.strictEqual(planRestart({ id: "a" }, members, "one_for_one", limits, [1, 2], 3)._tag, "Restart")
    assert.deepStrictEqual(planRestart({ id: "a" }, members, "one_for_one", limits, [1, 2, 3], 4), {
      _tag: "GiveUp",
      restarts: 3
    })
  })

  it("counts a restart that is exactly a period old, and none that is older", () => {
    assert.strictEqual(planRestart({ id: "a" }, members, "one_for_one", limits, [0, 1, 2], 5_000)._tag, "GiveUp")
    assert.deepInclude(planRestart({ id: "a" }, members, "one_for_one", limits, [0, 1, 2], 5_001), {
      _tag: "Restart",
      history: [1, 2, 5_001]
    })
  })

  it("never allows more restarts in any period than the intensity, whatever the instants", () => {
    fc.assert(
      fc.property(
        fc.array(fc.nat(3_000), { maxLength: 60 }),
        fc.nat(5),
        fc.integer({ min: 1, max: 6_000 }),
        (gaps, intensity, period) => {
          let history: ReadonlyArray<number> = []
          let now = 0
          const done: Array<number> = []
          for (const gap of gaps) {
            now += gap
            const plan = planRestart({ id: "a" }, members, "one_for_one", { intensity, period }, history, now)
            const within = done.filter((instant) => instant >= now - period).length
            assert.strictEqual(plan._tag, within + 1 > intensity ? "GiveUp" : "Restart")
            if (plan._tag !== "Restart") return
            assert.isAtMost(plan.history.length, intensity)
            history = plan.history
            done.push(now)
          }
        }
      )
    )
  })
})

describe("planLeave", () => {
  const significant = { restart: "transient", significant: true } as const
  it("forgets temporary children only", () => {
    assert.deepStrictEqual(planLeave(member("a", { restart: "temporary" }), [], "never"), {
      _tag: "Leave",
      forget: true,
      shutDown: false
    })
    assert.deepInclude(planLeave(member("a", { restart: "transient" }), [], "never"), { forget: false })
  })

  it("shuts down with any, or with the last, significant child", () => {
    const alive = member("b", significant)
    const dead = member("b", { ...significant, isAlive: false })
    const other = member("c")
    assert.deepInclude(planLeave(significant, [alive], "any_significant"), { shutDown: true })
    assert.deepInclude(planLeave(significant, [alive], "all_significant"), { shutDown: false })
    assert.deepInclude(planLeave(significant, [dead, other], "all_significant"), { shutDown: true })
    assert.deepInclude(planLeave(significant, [], "never"), { shutDown: false })
    assert.deepInclude(planLeave({ restart: "transient", significant: false }, [], "any_significant"), {
      shutDown: false
    })
  })
})

describe("planExit", () => {
  const flags = { ...limits, strategy: "one_for_one", autoShutdown: "any_significant" } as const
  it("restarts a significant child that crashed and leaves with it when it ended", () => {
    const child = member("a", { restart: "transient", significant: true })
    assert.strictEqual(planExit(child, failed, [child], flags, [], 0)._tag, "Restart")
    assert.deepStrictEqual(planExit(child, { _tag: "Normal" }, [child], flags, [], 0), {
      _tag: "Leave",
      forget: false,
      shutDown: true
    })
  })
})
