import { assert, describe, it } from "@effect/vitest"
import { ConfigProvider, Duration, Effect } from "effect"
import { resolveSettings } from "../../src/server/Settings.ts"

const settings = (env: Readonly<Record<string, string>>) =>
  resolveSettings({}).pipe(
    Effect.provideService(ConfigProvider.ConfigProvider, ConfigProvider.fromUnknown({ ESPALIER_DATA: "/data", ...env }))
  )

const refusal = (env: Readonly<Record<string, string>>) =>
  Effect.map(Effect.flip(settings(env)), (error) => [error._tag, error.message] as const)

describe("the settings of a server", () => {
  it.effect("let go of nothing unless they say so", () =>
    Effect.gen(function* () {
      const { retention } = yield* settings({})
      assert.deepStrictEqual(retention, { workers: undefined, sessions: undefined, sessionEvents: undefined })
    })
  )

  it.effect("say how long workers, sessions and a session's events are kept", () =>
    Effect.gen(function* () {
      const { retention } = yield* settings({
        ESPALIER_RETENTION_WORKERS: "12 hours",
        ESPALIER_RETENTION_SESSIONS: "90 days",
        ESPALIER_RETENTION_SESSION_EVENTS: "10000"
      })
      assert.deepStrictEqual(retention, {
        workers: Duration.hours(12),
        sessions: Duration.days(90),
        sessionEvents: 10_000
      })
    })
  )

  for (const [name, value, told] of [
    ["ESPALIER_RETENTION_WORKERS", "soon", /ESPALIER_RETENTION_WORKERS/],
    ["ESPALIER_RETENTION_WORKERS", "Infinity", /ESPALIER_RETENTION_WORKERS: .*at least a minute/],
    ["ESPALIER_RETENTION_SESSIONS", "-3 days", /ESPALIER_RETENTION_SESSIONS: .*at least a minute/],
    ["ESPALIER_RETENTION_SESSIONS", "5 seconds", /ESPALIER_RETENTION_SESSIONS: .*at least a minute/],
    ["ESPALIER_RETENTION_SESSION_EVENTS", "0", /ESPALIER_RETENTION_SESSION_EVENTS: a whole number from 1/],
    ["ESPALIER_RETENTION_SESSION_EVENTS", "1.5", /ESPALIER_RETENTION_SESSION_EVENTS/]
  ] as const) {
    it.effect(`refuse ${name}=${value}`, () =>
      Effect.gen(function* () {
        const [tag, message] = yield* refusal({ [name]: value })
        assert.strictEqual(tag, "InvalidConfig")
        assert.match(message, told)
      })
    )
  }
})
