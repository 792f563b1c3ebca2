/** mcp-hang: servers that do not answer before they are ready. Each limit is ten seconds of real time. */
import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import { fake, layer, until } from "../support/McpWorld.ts"

describe("mcp-hang", () => {
  it.live(
    "never answers initialize, or the list of its tools: given up after ten seconds each, while others work",
    () =>
      Effect.gen(function* () {
        yield* until("well", ({ state }) => state === "ready")
        const [handshake, list] = yield* Effect.all(
          [until("handshake", ({ state }) => state === "broken"), until("list", ({ state }) => state === "broken")],
          { concurrency: 2 }
        )
        assert.match(handshake.lastError ?? "", /did not answer initialize within 10s/)
        assert.match(list.lastError ?? "", /did not answer tools\/list within 10s/)
        assert.strictEqual((yield* until("well", () => true)).restarts, 0)
      }).pipe(
        Effect.provide(
          layer(
            {
              handshake: fake({ FAKE_START: "hang_initialize" }),
              list: fake({ FAKE_START: "hang_list" }),
              well: fake()
            },
            { intensity: 0 }
          )
        )
      )
  )
})
