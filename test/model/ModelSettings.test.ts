import { assert, describe, it } from "@effect/vitest"
import { ConfigProvider, Duration, Effect, Redacted } from "effect"
import { inspect } from "node:util"
import { resolveSettings } from "../../src/server/Settings.ts"

const settings = (env: Record<string, string>) =>
  Effect.provideService(
    resolveSettings({ dataDirectory: "/tmp/nowhere" }),
    ConfigProvider.ConfigProvider,
    ConfigProvider.fromEnvRecord(env)
  )
const models = (env: Record<string, string>) =>
  Effect.map(settings(env), ({ models }) =>
    models.map(({ key, model, name, price, provider, url }) => ({
      provider,
      model,
      name,
      url,
      key: key === undefined ? undefined : Redacted.value(key),
      price
    }))
  )

describe("a configured model", () => {
  it.effect("is none by default, whatever keys there are", () =>
    Effect.gen(function* () {
      assert.deepStrictEqual(yield* models({ OPENAI_API_KEY: "sk-1" }), [])
      assert.deepStrictEqual(yield* models({ ESPALIER_MODEL: "offline", OPENAI_API_KEY: "sk-1" }), [])
    })
  )

  it.effect("needs a name and a key, and no more", () =>
    Effect.gen(function* () {
      const [first] = yield* models({ ESPALIER_MODEL: "openai/gpt-5", OPENAI_API_KEY: "sk-1" })
      assert.deepStrictEqual(first, {
        provider: "openai",
        model: "gpt-5",
        name: "openai/gpt-5",
        url: undefined,
        key: "sk-1",
        price: undefined
      })
    })
  )

  it.effect("on this machine needs no key; the usual addresses are known", () =>
    Effect.gen(function* () {
      const urls = yield* Effect.forEach(["ollama/qwen3", "lmstudio/x", "llamacpp/x", "vllm/org/name"], (name) =>
        Effect.map(models({ ESPALIER_MODEL: name }), ([first]) => [first?.model, first?.url])
      )
      assert.deepStrictEqual(urls, [
        ["qwen3", "http://127.0.0.1:11434/v1"],
        ["x", "http://127.0.0.1:1234/v1"],
        ["x", "http://127.0.0.1:8080/v1"],
        ["org/name", "http://127.0.0.1:8000/v1"]
      ])
    })
  )

  it.effect("elsewhere has an address and a key of its own, and others stand in for it", () =>
    Effect.gen(function* () {
      const all = yield* models({
        ESPALIER_MODEL: "openai-compatible/big",
        ESPALIER_MODEL_URL: "https://models.example/v1",
        ESPALIER_MODEL_KEY: "k1",
        ESPALIER_MODEL_FALLBACK: "openai-compatible/small, anthropic/claude-sonnet-4-5,ollama/qwen3",
        ANTHROPIC_API_KEY: "k2",
        ESPALIER_MODEL_PRICES: '{"openai-compatible/big":{"input":1.25,"output":10,"cached":0.125}}'
      })
      assert.deepStrictEqual(
        all.map(({ key, name, url }) => [name, url, key]),
        [
          ["openai-compatible/big", "https://models.example/v1", "k1"],
          ["openai-compatible/small", "https://models.example/v1", "k1"],
          ["anthropic/claude-sonnet-4-5", undefined, "k2"],
          ["ollama/qwen3", "http://127.0.0.1:11434/v1", undefined]
        ]
      )
      assert.deepStrictEqual(all[0]?.price, { input: 1.25, output: 10, cached: 0.125 })
    })
  )

  it.effect("has limits of time that can be set", () =>
    Effect.gen(function* () {
      const { modelLimits } = yield* settings({ ESPALIER_MODEL_IDLE: "45 seconds" })
      assert.deepStrictEqual(modelLimits, { idle: Duration.seconds(45), total: Duration.minutes(10) })
    })
  )

  const mistakes: ReadonlyArray<readonly [Record<string, string>, string]> = [
    [{ ESPALIER_MODEL: "gpt-5" }, "write it like openai/gpt-5"],
    [{ ESPALIER_MODEL: "openai/" }, "write it like openai/gpt-5"],
    [{ ESPALIER_MODEL: "acme/best" }, "there are openai, anthropic, ollama"],
    [{ ESPALIER_MODEL: "openai/gpt-5" }, "set OPENAI_API_KEY or ESPALIER_MODEL_KEY"],
    [{ ESPALIER_MODEL: "openai/gpt-5", OPENAI_API_KEY: "" }, "set OPENAI_API_KEY or ESPALIER_MODEL_KEY"],
    [{ ESPALIER_MODEL: "anthropic/claude" }, "set ANTHROPIC_API_KEY or ESPALIER_MODEL_KEY"],
    [{ ESPALIER_MODEL: "openai-compatible/x" }, "set ESPALIER_MODEL_URL"],
    [{ ESPALIER_MODEL: "vllm/x", ESPALIER_MODEL_URL: "localhost:8000" }, "is no address"],
    [{ ESPALIER_MODEL: "ollama/x", ESPALIER_MODEL_FALLBACK: "openai/gpt-5" }, "set OPENAI_API_KEY"],
    [{ ESPALIER_MODEL_FALLBACK: "ollama/x" }, "set ESPALIER_MODEL"],
    [{ ESPALIER_MODEL_PRICES: "cheap" }, "ESPALIER_MODEL_PRICES"],
    [{ ESPALIER_MODEL_IDLE: "3 millis" }, "at least a second"]
  ]
  it.effect.each(mistakes)("that cannot be used says what to set: %o", ([env, sentence]) =>
    Effect.gen(function* () {
      const error = yield* Effect.flip(settings(env))
      assert.strictEqual(error._tag, "InvalidConfig")
      assert.include(error.message, sentence)
    })
  )

  it.effect("never shows its key", () =>
    Effect.gen(function* () {
      const shown = yield* settings({ ESPALIER_MODEL: "openai/gpt-5", OPENAI_API_KEY: "sk-secret" })
      assert.notInclude(JSON.stringify(shown), "sk-secret")
      assert.notInclude(inspect(shown, { depth: 10 }), "sk-secret")
    })
  )
})
