import { assert, describe, it } from "@effect/vitest"
import { NodeServices } from "@effect/platform-node"
import { Effect, FileSystem, Layer, Path } from "effect"
import { TestClock } from "effect/testing"
import * as Upkeep from "../../layers/maintenance/Upkeep.ts"
import { isLeftOver, ownerOf } from "../../services/maintenance/LeftOver.ts"
import { Workers } from "../../services/supervision/Places.ts"
import { eventually } from "../support/eventually.ts"
import { layerDurable, layerProcess, PoolWorld } from "../support/PoolWorld.ts"

/** Beyond what Linux gives out (at most 4,194,304). */
const deadPid = 4_294_967
const environment = Layer.provideMerge(Layer.provideMerge(layerProcess, layerDurable), NodeServices.layer)

/** Real files: the clock of the file system is the real one. */
const upkeepOf = Effect.fnUntraced(function* (scratch: string) {
  const world = yield* PoolWorld
  yield* Layer.build(Upkeep.layer({ scratch }))
  while (world.published.length === 0) yield* Effect.sleep(5)
  return world.published.map(({ event }) => event)
})

describe("Upkeep", () => {
  it.live("removes what dead processes left behind, and nothing else", () =>
    Effect.gen(function* () {
      const fs = yield* FileSystem.FileSystem
      const path = yield* Path.Path
      const home = yield* fs.makeTempDirectoryScoped()
      const scratch = path.join(home, "scratch")
      const outside = path.join(home, "outside")
      const make = (...names: ReadonlyArray<string>) =>
        Effect.gen(function* () {
          const directory = path.join(...names)
          yield* fs.makeDirectory(directory, { recursive: true })
          yield* fs.writeFileString(path.join(directory, "file"), "content")
        })
      yield* make(outside)
      yield* make(scratch, `${deadPid}-abc123`, "deep", "deeper")
      yield* make(scratch, `${process.pid}-inuse`)
      yield* make(scratch, "1-another")
      yield* make(scratch, "not ours")
      yield* make(scratch, `${deadPid}`)
      yield* make(scratch, `${deadPid}-`)
      yield* make(scratch, `0${deadPid}-x`)
      yield* fs.writeFileString(path.join(scratch, `${deadPid}-file`), "a file")
      yield* fs.symlink(outside, path.join(scratch, `${deadPid}-link`))
      yield* fs.symlink(outside, path.join(scratch, `${deadPid}-abc123`, "link"))
      yield* fs.symlink("/", path.join(scratch, `${deadPid}-abc123`, "deep", "root"))

      const events = yield* upkeepOf(scratch)
      assert.strictEqual(events[0]?._tag, "MaintenanceRan")
      assert.deepInclude(events[0], { removedDirectories: 1 })
      assert.deepStrictEqual(
        new Set(yield* fs.readDirectory(scratch)),
        new Set([
          `${process.pid}-inuse`,
          "1-another",
          "not ours",
          `${deadPid}`,
          `${deadPid}-`,
          `0${deadPid}-x`,
          `${deadPid}-file`,
          `${deadPid}-link`
        ])
      )
      assert.deepStrictEqual(yield* fs.readDirectory(outside), ["file"])
    }).pipe(Effect.scoped, Effect.provide(environment))
  )

  it.live("says so, and removes nothing, where the scratch directory is a link to another place", () =>
    Effect.gen(function* () {
      const fs = yield* FileSystem.FileSystem
      const path = yield* Path.Path
      const home = yield* fs.makeTempDirectoryScoped()
      const target = path.join(home, "target")
      yield* fs.makeDirectory(path.join(target, `${deadPid}-abc`), { recursive: true })
      yield* fs.symlink(target, path.join(home, "scratch"))
      const events = yield* upkeepOf(path.join(home, "scratch"))
      assert.strictEqual(events[0]?._tag, "MaintenanceFailed")
      assert.deepStrictEqual(yield* fs.readDirectory(target), [`${deadPid}-abc`])
    }).pipe(Effect.scoped, Effect.provide(environment))
  )

  it.live("has nothing to do where nothing was ever cloned", () =>
    Effect.gen(function* () {
      const [event] = yield* upkeepOf("/nonexistent/scratch")
      assert.deepInclude(event, { _tag: "MaintenanceRan", removedDirectories: 0 })
    }).pipe(Effect.scoped, Effect.provide(environment))
  )

  it.effect("runs at the start and then every hour, as a child that goes with its layer", () =>
    Effect.gen(function* () {
      const world = yield* PoolWorld
      const workers = yield* Workers
      yield* Effect.scoped(
        Effect.gen(function* () {
          yield* Layer.build(Upkeep.layer({ scratch: "/nonexistent/scratch" }))
          for (let runs = 1; runs <= 3; runs++) {
            while (world.published.length < runs) yield* TestClock.withLive(Effect.sleep(1))
            yield* eventually("settled", () => world.published.length === runs)
            yield* TestClock.adjust("1 hour")
          }
          assert.include(
            (yield* workers.whichChildren).map(({ id }) => id),
            "maintenance"
          )
        })
      )
      assert.notInclude(
        (yield* workers.whichChildren).map(({ id }) => id),
        "maintenance"
      )
    }).pipe(Effect.provide(environment))
  )
})

describe("isLeftOver", () => {
  const now = { ownPid: 7, startedAt: 1_000, isAlive: (pid: number) => pid === 9 }

  it("goes by whether the owner lives", () => {
    assert.isTrue(isLeftOver(8, 5_000, now))
    assert.isFalse(isLeftOver(9, 10, now))
  })

  it("knows what an earlier process of the same id has left, and keeps what may be its own", () => {
    assert.isTrue(isLeftOver(7, 999, now))
    assert.isFalse(isLeftOver(7, 1_000, now))
    assert.isFalse(isLeftOver(7, undefined, now))
  })

  it("takes only names of our making", () => {
    assert.strictEqual(ownerOf("12-0af"), 12)
    for (const name of ["", "12", "-12-x", "0-x", "12-", "12-a/b", "12-..", "x-12", "12-a b", "99999999999-a"]) {
      assert.isUndefined(ownerOf(name))
    }
  })
})
