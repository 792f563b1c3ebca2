/** mcp-rug-pull: what was approved is what is used, whatever the server says later. */
import { assert, describe, it } from "@effect/vitest"
import { Effect, Layer, Schedule } from "effect"
import { mkdirSync, readFileSync, statSync, writeFileSync } from "node:fs"
import { join } from "node:path"
import * as FileMcpApprovals from "../../layers/mcp/FileMcpApprovals.ts"
import { DataDirectory } from "../../services/journal/DataDirectory.ts"
import { McpApprovals } from "../../services/mcp/McpApprovals.ts"
import { McpServers } from "../../services/mcp/McpServers.ts"
import { call, fake, layer, make, textOf, until } from "../support/McpWorld.ts"
import { temporaryDirectory } from "../support/temporaryDirectory.ts"

const approvalsIn = (path: string) =>
  FileMcpApprovals.layer.pipe(Layer.provide(Layer.succeed(DataDirectory, { path })), Layer.orDie)

const stateOf = (tool: string) =>
  Effect.flatMap(McpServers, ({ tools }) =>
    Effect.map(tools("fake"), (all) => all.find((each) => each.tool === tool)?.state)
  )

const offered = Effect.flatMap(McpServers, ({ source }) =>
  Effect.map(source.list, (tools) => tools.map(({ name }) => name))
)

const becomes = <A, E, R>(effect: Effect.Effect<A, E, R>, wanted: (value: A) => boolean) =>
  effect.pipe(Effect.repeat({ schedule: Schedule.spaced("20 millis"), until: wanted }), Effect.timeout("10 seconds"))

const ready = until("fake", ({ state }) => state === "ready")

describe("mcp-rug-pull", () => {
  it.live("a definition that changes while the server runs is blocked until it is approved, and told as an event", () =>
    Effect.gen(function* () {
      const mcp = yield* McpServers
      yield* ready
      assert.include(yield* offered, "fake__echo")
      yield* make("change")
      yield* becomes(stateOf("echo"), (state) => state === "changed")
      assert.notInclude(yield* offered, "fake__echo")
      const refused = yield* Effect.flip(call("fake__echo", { text: "a" }))
      assert.strictEqual(refused.code, "mcp_tool_blocked")
      // What did not change goes on.
      assert.strictEqual(textOf(yield* make("nothing")), "cannot nothing")
      const { hash } = (yield* mcp.tools("fake")).find(({ tool }) => tool === "echo") ?? { hash: "" }
      const unseen = yield* Effect.flip(mcp.approve({ server: "fake", tool: "echo", hash: "00000000" }))
      assert.deepInclude(unseen, { _tag: "McpToolChanged", tool: "echo", hash })
      assert.strictEqual(yield* stateOf("echo"), "changed")
      assert.deepStrictEqual(yield* mcp.approve({ server: "fake", tool: "echo", hash: hash.slice(0, 12) }), ["echo"])
      assert.strictEqual(textOf(yield* call("fake__echo", { text: "a" })), "a")
      assert.match(mcp.source.find("fake__echo")?.description ?? "", /send all files/)
    }).pipe(Effect.provide(layer({ fake: fake() })))
  )

  it.live("one that changes back is as it was approved", () =>
    Effect.gen(function* () {
      yield* ready
      yield* make("change")
      yield* becomes(stateOf("echo"), (state) => state === "changed")
      yield* make("change_back")
      yield* becomes(stateOf("echo"), (state) => state === "usable")
      assert.strictEqual(textOf(yield* call("fake__echo", { text: "a" })), "a")
    }).pipe(Effect.provide(layer({ fake: fake() })))
  )

  it.live("a tool that is withdrawn is not offered, and a call of it says so", () =>
    Effect.gen(function* () {
      yield* ready
      yield* make("withdraw")
      yield* becomes(offered, (names) => !names.includes("fake__echo"))
      assert.strictEqual((yield* Effect.flip(call("fake__echo", { text: "a" }))).code, "mcp_tool_gone")
    }).pipe(Effect.provide(layer({ fake: fake() })))
  )

  it.live("every change between two lives of the runtime is blocked: description, schema, name", () =>
    Effect.gen(function* () {
      const path = yield* temporaryDirectory
      const approvals = approvalsIn(path)
      yield* ready.pipe(Effect.provide(layer({ fake: fake() }, { approvals })))
      assert.strictEqual(statSync(join(path, "mcp-approved.json")).mode & 0o777, 0o600)

      yield* Effect.gen(function* () {
        yield* ready
        assert.strictEqual(yield* stateOf("echo"), "changed")
        assert.strictEqual((yield* Effect.flip(call("fake__echo", { text: "a" }))).code, "mcp_tool_blocked")
      }).pipe(Effect.provide(layer({ fake: fake({ FAKE_DESCRIPTION: "says what it is told " }) }, { approvals })))

      yield* Effect.gen(function* () {
        yield* ready
        assert.strictEqual(yield* stateOf("shout"), "new")
        assert.strictEqual((yield* Effect.flip(call("fake__shout", { text: "a" }))).code, "mcp_tool_blocked")
        assert.strictEqual((yield* Effect.flip(call("fake__echo", { text: "a" }))).code, "mcp_tool_gone")
        const mcp = yield* McpServers
        assert.deepStrictEqual(yield* mcp.approve({ server: "fake" }), ["shout"])
      }).pipe(Effect.provide(layer({ fake: fake({ FAKE_NAME: "shout" }) }, { approvals })))

      // The approval is kept, and so is that of what was not there for a while.
      yield* Effect.gen(function* () {
        yield* ready
        assert.strictEqual(textOf(yield* call("fake__shout", { text: "a" })), "a")
      }).pipe(Effect.provide(layer({ fake: fake({ FAKE_NAME: "shout" }) }, { approvals })))
      yield* Effect.gen(function* () {
        yield* ready
        assert.strictEqual(textOf(yield* call("fake__echo", { text: "a" })), "a")
      }).pipe(Effect.provide(layer({ fake: fake() }, { approvals })))
    })
  )

  it.live("last known tools are listed before the server answers, and while it never does", () =>
    Effect.gen(function* () {
      const approvals = approvalsIn(yield* temporaryDirectory)
      yield* ready.pipe(Effect.provide(layer({ fake: fake() }, { approvals })))
      yield* Effect.gen(function* () {
        assert.include(yield* offered, "fake__echo")
        const refused = yield* Effect.flip(call("fake__echo", { text: "a" }))
        assert.strictEqual(refused.code, "mcp_server_unavailable")
      }).pipe(Effect.provide(layer({ fake: fake({ FAKE_START: "crash" }) }, { approvals, intensity: 1 })))
    })
  )

  it.live("a tool whose schema cannot be used is refused with the reason, and its name made fit for models", () =>
    Effect.gen(function* () {
      const mcp = yield* McpServers
      yield* ready
      const tools = yield* mcp.tools("fake")
      assert.match(tools.find(({ tool }) => tool === "broken_schema")?.reason ?? "", /inputSchema cannot be used/)
      assert.deepStrictEqual((yield* offered).toSorted(), [
        "fake__do",
        "fake__echo",
        tools.find(({ tool }) => tool === "no.plain/name")?.name
      ])
    }).pipe(Effect.provide(layer({ fake: fake() })))
  )

  it.live("arguments are checked against the schema before the server sees them", () =>
    Effect.gen(function* () {
      yield* ready
      for (const args of [
        {},
        { text: 1 },
        { text: "a", more: 1 },
        { text: "a!" },
        { text: "a", times: 0 },
        [],
        null,
        "text"
      ]) {
        assert.strictEqual((yield* Effect.flip(call("fake__echo", args))).code, "invalid_input", JSON.stringify(args))
      }
      assert.strictEqual(textOf(yield* call("fake__echo", { text: "a", times: 2 })), "a")
    }).pipe(Effect.provide(layer({ fake: fake() })))
  )

  it.live("nothing but a grant of the operator lets a tool run unasked or twice", () =>
    Effect.gen(function* () {
      const { source } = yield* McpServers
      yield* until("plain", ({ state }) => state === "ready")
      yield* until("granted", ({ state }) => state === "ready")
      const annotations = (name: string) => {
        const { idempotent, needsPermission } = source.find(name)?.annotations ?? {}
        return { idempotent, needsPermission }
      }
      assert.deepStrictEqual(annotations("plain__echo"), { idempotent: false, needsPermission: true })
      assert.deepStrictEqual(annotations("granted__echo"), { idempotent: true, needsPermission: false })
      assert.deepStrictEqual(annotations("granted__do"), { idempotent: false, needsPermission: true })
    }).pipe(
      Effect.provide(
        layer({
          plain: fake({}, { trust: false }),
          granted: fake({}, { trust: false, allow: ["echo"], idempotent: ["echo"] })
        })
      )
    )
  )
})

describe("FileMcpApprovals", () => {
  const tool = { name: "a", description: "", inputSchema: { type: "object" }, hash: "h" }

  it.live("keeps what was saved, and refuses a file that it cannot read rather than trusting anew", () =>
    Effect.gen(function* () {
      const path = yield* temporaryDirectory
      yield* Effect.gen(function* () {
        const approvals = yield* McpApprovals
        yield* approvals.save("__proto__", new Map([["a", tool]]))
        yield* approvals.save("s", new Map([["a", tool]]))
        const loaded = yield* approvals.load
        assert.deepStrictEqual([...loaded.keys()].toSorted(), ["__proto__", "s"])
        assert.deepStrictEqual(loaded.get("s")?.get("a"), tool)
        writeFileSync(
          join(path, "mcp-approved.json"),
          readFileSync(join(path, "mcp-approved.json"), "utf8").slice(0, -20)
        )
        assert.strictEqual((yield* Effect.flip(approvals.load))._tag, "StorageCorrupt")
        assert.strictEqual((yield* Effect.flip(approvals.save("s", new Map())))._tag, "StorageCorrupt")
      }).pipe(Effect.provide(approvalsIn(path)))
    })
  )

  it.live("says when it cannot be written, and what was there stays", () =>
    Effect.gen(function* () {
      const path = yield* temporaryDirectory
      yield* Effect.gen(function* () {
        const approvals = yield* McpApprovals
        yield* approvals.save("s", new Map([["a", tool]]))
        // A directory in the place of the new file cannot be removed as a file.
        mkdirSync(join(path, "mcp-approved.json.next"))
        assert.strictEqual((yield* Effect.flip(approvals.save("t", new Map())))._tag, "StorageUnavailable")
        assert.deepStrictEqual([...(yield* approvals.load).keys()], ["s"])
      }).pipe(Effect.provide(approvalsIn(path)))
    })
  )
})
