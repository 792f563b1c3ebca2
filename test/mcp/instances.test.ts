/** Servers that each session has one of: begun with its first call, its own, and gone with it. */
import { assert, describe, it } from "@effect/vitest"
import { Effect, Layer, Logger, Schedule } from "effect"
import { mkdirSync, readdirSync, realpathSync } from "node:fs"
import { join } from "node:path"
import type { McpServerDeclaration } from "../../services/mcp/McpConfig.ts"
import { McpServers } from "../../services/mcp/McpServers.ts"
import type { SessionId } from "../../services/session/SessionId.ts"
import { SessionManager } from "../../services/session/SessionManager.ts"
import { Chaos } from "../../services/supervision/Chaos.ts"
import { Root } from "../../services/supervision/Places.ts"
import { Tools } from "../../services/tools/Tools.ts"
import { type Worker } from "../../services/worker/Worker.ts"
import { WorkerPool } from "../../services/worker/WorkerPool.ts"
import * as Runtime from "../../src/server/Runtime.ts"
import { httpServer } from "../support/McpHttpServer.ts"
import { fake, server, textOf, until } from "../support/McpWorld.ts"
import { isRunning as isAlive } from "../support/processes.ts"
import { temporaryDirectory } from "../support/temporaryDirectory.ts"

/** One for each session, told whose it is. */
const own = (grants: object = {}, env: Readonly<Record<string, string>> = {}): McpServerDeclaration => {
  const declared = fake(env, { scope: "session", ...grants })
  if (!("command" in declared)) return declared
  return {
    ...declared,
    args: [...(declared.args ?? []), "${ESPALIER_SESSION_ID}", "${ESPALIER_SESSION_DIRECTORY:-none}"]
  }
}

const layer = (mcpServers: Readonly<Record<string, McpServerDeclaration>>, options: Runtime.Options = {}) =>
  Runtime.layerMemory({ mcpServers, ...options }).pipe(Layer.provide(Logger.layer([])))

const start = (directory?: string) =>
  Effect.map(
    Effect.flatMap(SessionManager, (sessions) => sessions.start({ directory })),
    ({ id }) => id
  )

/** A call as a person makes it, to its end. */
const run = Effect.fnUntraced(function* (sessionId: SessionId, tool: string, what: string) {
  const answer = yield* (yield* SessionManager).runTool({ sessionId, tool, args: { what } })
  if (!("workerId" in answer)) return yield* Effect.die(new Error("it was taken for a fast tool"))
  const { get } = yield* WorkerPool
  return yield* get(answer.workerId).pipe(
    Effect.repeat({
      schedule: Schedule.spaced("10 millis"),
      until: ({ status }: Worker) => status !== "queued" && status !== "running"
    }),
    Effect.timeout("15 seconds")
  )
})

interface Where {
  readonly cwd: string
  readonly args: ReadonlyArray<string>
  readonly pid: number
}

const where = (sessionId: SessionId, name = "own") =>
  Effect.map(run(sessionId, `${name}__do`, "where"), ({ failure, result }): Where => {
    if (result === undefined) throw new Error(JSON.stringify(failure))
    return JSON.parse(textOf(result)) as Where
  })

const gone = (pid: number) =>
  Effect.sync(() => isAlive(pid)).pipe(
    Effect.repeat({ schedule: Schedule.spaced("20 millis"), until: (alive) => !alive }),
    Effect.timeout("10 seconds")
  )

const none = until("own", ({ instances }) => instances.length === 0)

describe("a server of sessions", () => {
  it.live(
    "is one for each session, in its directory, from its first call to its end; a shared one is one for all",
    () =>
      Effect.gen(function* () {
        const directory = realpathSync(yield* temporaryDirectory)
        const scratch = join(directory, "tmp")
        mkdirSync(scratch)
        yield* Effect.gen(function* () {
          const [one, two, nowhere] = [yield* start(directory), yield* start(directory), yield* start()]
          // Its tools are known before anybody has one.
          const names = (yield* Effect.flatMap(Tools, ({ list }) => list)).map(({ name }) => name)
          assert.includeMembers(names, ["own__do", "shared__do"])
          assert.deepInclude(yield* until("own", ({ state }) => state === "ready"), { scope: "session", instances: [] })

          const first = yield* where(one)
          assert.deepStrictEqual(first, { cwd: directory, args: [one, directory], pid: first.pid })
          assert.strictEqual((yield* where(one)).pid, first.pid)
          const second = yield* where(two)
          assert.notStrictEqual(second.pid, first.pid)
          assert.deepStrictEqual((yield* where(nowhere)).args, [nowhere, "none"])
          const { instances } = yield* server("own")
          assert.deepStrictEqual(
            instances.map(({ session, state }) => [session, state]),
            [one, two, nowhere].map((id) => [id, "ready"])
          )
          assert.strictEqual((yield* where(one, "shared")).pid, (yield* where(two, "shared")).pid)

          const tree = JSON.stringify(yield* (yield* Root).tree)
          assert.include(tree, `own ${one}`)

          yield* (yield* SessionManager).stop(one)
          yield* gone(first.pid)
          assert.isTrue(isAlive(second.pid))
          yield* until("own", ({ instances }) => instances.length === 2)
          // What is left ends with the runtime.
          return second.pid
        }).pipe(Effect.provide(layer({ own: own(), shared: fake() })), Effect.flatMap(gone))
        assert.deepStrictEqual(readdirSync(scratch), [])
      })
  )

  it.live("is gone while its session hibernates, and another one when it wakes", () =>
    Effect.gen(function* () {
      const id = yield* start()
      const before = yield* where(id)
      yield* gone(before.pid)
      yield* none
      const after = yield* where(id)
      assert.notStrictEqual(after.pid, before.pid)
    }).pipe(Effect.provide(layer({ own: own() }, { hibernateAfter: "300 millis" })))
  )

  it.live("is stopped when it has had nothing to do for as long as it may, and not in the middle of a call", () =>
    Effect.gen(function* () {
      const id = yield* start()
      const worked = yield* run(id, "own__do", "slow_progress")
      assert.strictEqual(worked.status, "completed")
      const { pid } = yield* where(id)
      yield* gone(pid)
      yield* none
    }).pipe(Effect.provide(layer({ own: own({ idle: "500 millis" }) })))
  )

  it.live("is refused beyond as many as there may be, with nothing started, and taken again when one has ended", () =>
    Effect.gen(function* () {
      const [one, two, three] = [yield* start(), yield* start(), yield* start()]
      yield* Effect.all([where(one), where(two)], { concurrency: 2 })
      const refused = yield* run(three, "own__do", "where")
      assert.strictEqual(refused.failure?.code, "mcp_too_many_instances")
      assert.include(refused.failure?.message, "2 MCP servers of sessions run")
      assert.lengthOf((yield* server("own")).instances, 2)
      yield* (yield* SessionManager).stop(one)
      yield* until("own", ({ instances }) => instances.length === 1)
      yield* where(three)
    }).pipe(Effect.provide(layer({ own: own() }, { mcp: { instances: 2 } })))
  )

  it.live("of one session crashes for that session alone, and is started again", () =>
    Effect.gen(function* () {
      const [one, two] = [yield* start(), yield* start()]
      const [mine, other] = [yield* where(one), yield* where(two)]
      assert.strictEqual((yield* run(one, "own__do", "crash")).failure?.code, "mcp_server_unavailable")
      process.kill((yield* where(one)).pid, "SIGKILL")
      yield* until("own", ({ instances }) => instances.some(({ restarts }) => restarts === 2))
      assert.notStrictEqual((yield* where(one)).pid, mine.pid)
      assert.strictEqual((yield* where(two)).pid, other.pid)
    }).pipe(Effect.provide(layer({ own: own() })))
  )

  it.live("goes on when its keeper is killed, and still ends with its session", () =>
    Effect.gen(function* () {
      const id = yield* start()
      const { pid } = yield* where(id)
      yield* (yield* Chaos).kill("espalier/workers/mcp/keeper")
      assert.strictEqual((yield* where(id)).pid, pid)
      yield* (yield* SessionManager).stop(id)
      yield* gone(pid)
      yield* none
    }).pipe(Effect.provide(layer({ own: own() }, { chaos: true })))
  )

  it.live("over HTTP is a connection of the session's own, with its headers", () =>
    Effect.gen(function* () {
      const { seen, url } = yield* httpServer({ forgetsAfter: 1_000 })
      const declared: McpServerDeclaration = {
        type: "http",
        url,
        headers: { "x-session": "${ESPALIER_SESSION_ID}" },
        espalier: { trust: true, scope: "session" }
      }
      const [one, two] = yield* Effect.gen(function* () {
        const [one, two] = [yield* start(), yield* start()]
        assert.strictEqual((yield* echo(one)).status, "completed")
        assert.strictEqual((yield* echo(two)).status, "completed")
        yield* (yield* SessionManager).stop(one)
        yield* until("own", ({ instances }) => instances.length === 1)
        return [one, two] as const
      }).pipe(Effect.provide(layer({ own: declared })))
      const callsOf = (session: string) =>
        seen.headers.flatMap((headers, at) => (headers["x-session"] === session ? [seen.methods[at]] : []))
      assert.strictEqual(callsOf("none").at(-1), "DELETE")
      for (const id of [one, two]) {
        assert.include(callsOf(id), "POST tools/call")
        assert.strictEqual(callsOf(id).at(-1), "DELETE")
      }
    }).pipe(Effect.scoped)
  )

  it.live("that cannot be started for a session fails that session's calls, in words that say why", () =>
    Effect.gen(function* () {
      const directory = yield* temporaryDirectory
      const declared = own()
      if (!("command" in declared)) return
      const strict = { ...declared, env: { WHERE: "${ESPALIER_SESSION_DIRECTORY}" } }
      yield* Effect.gen(function* () {
        const [homeless, lost, fine] = [yield* start(), yield* start(join(directory, "gone")), yield* start(directory)]
        const { failure } = yield* run(homeless, "own__do", "where")
        assert.strictEqual(failure?.code, "mcp_no_directory")
        assert.include(failure?.message, "start one with a directory")
        const missing = yield* run(lost, "own__do", "where")
        assert.strictEqual(missing.failure?.code, "mcp_server_unavailable")
        assert.include(missing.failure?.message, `its working directory ${join(directory, "gone")} does not exist`)
        yield* where(fine)
      }).pipe(Effect.provide(layer({ own: strict })))
    })
  )

  it.live("mcp-rug-pull: one that shows a session what was not approved is blocked for it, and for nobody else", () =>
    Effect.gen(function* () {
      const [good, bad] = [yield* start(), yield* start()]
      yield* where(good)
      assert.strictEqual((yield* run(bad, "own__do", "change")).status, "completed")
      yield* until("own", ({ blocked }) => blocked === 1)
      const blocked = yield* echo(bad)
      assert.strictEqual(blocked.failure?.code, "mcp_tool_blocked")
      // What it shows this session is what was approved.
      assert.strictEqual((yield* echo(good)).status, "completed")
      const mcp = yield* McpServers
      assert.deepStrictEqual(yield* mcp.approve({ server: "own" }), ["echo"])
      assert.strictEqual((yield* echo(bad)).status, "completed")
      assert.strictEqual((yield* echo(good)).failure?.code, "mcp_tool_blocked")
    }).pipe(Effect.provide(layer({ own: own() })))
  )
})

const echo = Effect.fnUntraced(function* (sessionId: SessionId) {
  const answer = yield* (yield* SessionManager).runTool({ sessionId, tool: "own__echo", args: { text: "a" } })
  const { get } = yield* WorkerPool
  const ended = "workerId" in answer ? get(answer.workerId) : Effect.die(new Error("it was taken for a fast tool"))
  return yield* ended.pipe(
    Effect.repeat({
      schedule: Schedule.spaced("10 millis"),
      until: ({ status }: Worker) => status !== "queued" && status !== "running"
    })
  )
})
