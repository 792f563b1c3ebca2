import { assert, describe, it } from "@effect/vitest"
import { Effect, Fiber } from "effect"
import { mkdirSync, readdirSync, renameSync, symlinkSync, writeFileSync } from "node:fs"
import { join } from "node:path"
import { removeTree } from "../../layers/maintenance/removeTree.ts"
import { temporaryDirectory } from "../support/temporaryDirectory.ts"

const ROUNDS = 60
const WIDTH = 8
const turn = Effect.promise(() => new Promise((resolve) => setImmediate(resolve)))

describe("removeTree", () => {
  it.live("removes all there is, whatever it is called, and links without what they lead to", () =>
    Effect.gen(function* () {
      const home = yield* temporaryDirectory
      mkdirSync(join(home, "outside"))
      writeFileSync(join(home, "outside", "file"), "")
      mkdirSync(join(home, "tree", "a", "b"), { recursive: true })
      writeFileSync(join(home, "tree", "a", "b", "file"), "")
      writeFileSync(Buffer.concat([Buffer.from(`${home}/tree/a/`), Buffer.from([0xff, 0xfe])]), "")
      symlinkSync(join(home, "outside"), join(home, "tree", "link"))
      symlinkSync("/nonexistent", join(home, "tree", "a", "nowhere"))
      yield* removeTree(home, "tree")
      assert.deepStrictEqual(readdirSync(home), ["outside"])
      assert.deepStrictEqual(readdirSync(join(home, "outside")), ["file"])
    }).pipe(Effect.scoped)
  )

  it.live.skipIf(process.platform !== "linux")(
    "follows no link that takes the place of a directory while it is at work",
    () =>
      Effect.gen(function* () {
        const home = yield* temporaryDirectory
        const outside = join(home, "outside")
        mkdirSync(outside)
        mkdirSync(join(home, "away"))
        for (let file = 0; file < 20; file++) writeFileSync(join(outside, `${file}`), "")
        let swapped = 0
        for (let round = 0; round < ROUNDS; round++) {
          const tree = join(home, `${round}`)
          for (let number = 0; number < WIDTH; number++) {
            mkdirSync(join(tree, `${number}`), { recursive: true })
            writeFileSync(join(tree, `${number}`, "file"), "")
          }
          const removing = yield* Effect.forkChild(Effect.ignore(removeTree(home, `${round}`)), {
            startImmediately: true
          })
          for (let turns = round % 8; turns > 0; turns--) yield* turn
          for (let number = WIDTH - 1; number >= 0; number--) {
            const directory = join(tree, `${number}`)
            try {
              renameSync(directory, join(home, "away", `${round}-${number}`))
              symlinkSync(outside, directory)
              swapped++
            } catch {
              // It was removed already.
            }
            yield* turn
          }
          yield* Fiber.join(removing)
          assert.strictEqual(readdirSync(outside).length, 20, `round ${round}`)
        }
        assert.isAbove(swapped, ROUNDS)
      }).pipe(Effect.scoped)
  )
})
