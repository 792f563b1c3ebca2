import { assert, describe, expect, it } from "@effect/vitest"
import { ConfigProvider, Effect, Exit } from "effect"
import { readdirSync, readFileSync } from "node:fs"
import { join } from "node:path"
import { errorCodes } from "../../services/gateway/ErrorCodes.ts"
import { resolveSettings } from "../../src/server/Settings.ts"
import { render, sections } from "../support/limitsPage.ts"

const settingsOf = (environment: Readonly<Record<string, string>>) =>
  resolveSettings({ dataDirectory: "/nonexistent" }).pipe(
    Effect.provide(ConfigProvider.layer(ConfigProvider.fromUnknown(environment)))
  )

const root = new URL("../../", import.meta.url).pathname
const sources = ["services", "layers", "src"]
  .flatMap((room) =>
    readdirSync(join(root, room), { recursive: true, encoding: "utf8" }).map((file) => join(root, room, file))
  )
  .filter((file) => file.endsWith(".ts"))
  .map((file) => readFileSync(file, "utf8"))
  .join("\n")

describe("docs/limits.md", () => {
  it.effect("is what the code says", () =>
    Effect.gen(function* () {
      const page = render(yield* settingsOf({}))
      yield* Effect.promise(() => expect(page).toMatchFileSnapshot("../../docs/limits.md"))
    })
  )

  it.effect("names settings, errors, failures and metrics that there are", () =>
    Effect.gen(function* () {
      const errors = readFileSync(join(root, "docs/errors.md"), "utf8")
      for (const { error, failure, metric, setting } of Object.values(sections(yield* settingsOf({}))).flat()) {
        if (error !== undefined) assert.property(errorCodes, error)
        if (failure !== undefined) assert.include(errors, `\`${failure}\``)
        if (metric !== undefined) assert.include(sources, `"${metric}"`)
        if (setting !== undefined) assert.include(sources, `"${setting}"`)
      }
    })
  )

  it.effect("every setting takes what lies at its ends, and refuses what lies beyond with a sentence", () =>
    Effect.gen(function* () {
      for (const { refuses = [], setting, takes = [] } of Object.values(sections(yield* settingsOf({}))).flat()) {
        if (setting === undefined) continue
        for (const value of takes) {
          assert.isTrue(Exit.isSuccess(yield* Effect.exit(settingsOf({ [setting]: value }))), `${setting}=${value}`)
        }
        for (const value of refuses) {
          const refusal = yield* Effect.flip(settingsOf({ [setting]: value }))
          assert.strictEqual(refusal._tag, "InvalidConfig", `${setting}=${value}`)
          assert.include(refusal.message, setting)
        }
      }
    })
  )
})
