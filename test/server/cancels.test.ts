/** Cancelling over real sockets and real processes: a model that streams, an MCP server, a pool, sessions below, sleep. */
import { assert, describe, it } from "@effect/vitest"
import { Effect, References, Schedule, Schema } from "effect"
import { EventBus } from "../../services/events/EventBus.ts"
import { McpServers } from "../../services/mcp/McpServers.ts"
import { Registry } from "../../services/registry/Registry.ts"
import type { Session } from "../../services/session/Session.ts"
import type { SessionId } from "../../services/session/SessionId.ts"
import { SessionManager } from "../../services/session/SessionManager.ts"
import { Root } from "../../services/supervision/Places.ts"
import type { TreeNode } from "../../services/supervision/SupervisionTree.ts"
import * as Tool from "../../services/tools/Tool.ts"
import { WorkerPool } from "../../services/worker/WorkerPool.ts"
import * as Runtime from "../../src/server/Runtime.ts"
import { inTime } from "../support/eventually.ts"
import { randomFrom } from "../support/journalImages.ts"
import { fake } from "../support/McpWorld.ts"
import * as ModelServer from "../support/ModelServer.ts"
import { counted, counts } from "../support/resources.ts"
import { assertLaws } from "../support/sessionLaws.ts"
import { eventsOf } from "../support/SessionWorld.ts"

const CANCELS = process.env["ESPALIER_LONG"] === undefined ? 300 : 10_000
const SESSIONS = 10
/** Milliseconds for connections that are kept for the next request to end by themselves. */
const KEPT = 7_000
const names = ["fibers", "listeners", "descriptors", "handles", "timers"] as const

const delegated = (task: string) => ["delegate", JSON.stringify({ task })] as const

/** What a message makes its turn do, none of which comes to an end by itself but `hello`. */
const wanted: Record<string, ReadonlyArray<readonly [tool: string, args: string]>> = {
  mcp: [["fake__do", '{"what":"hang"}']],
  fast: [["fast", "{}"]],
  heavy: [["heavy", "{}"]],
  ask: [["guarded", "{}"]],
  all: [
    ["fake__do", '{"what":"hang"}'],
    ["fast", "{}"],
    ["heavy", "{}"],
    ["guarded", "{}"],
    delegated("mcp"),
    delegated("stream")
  ],
  below: [delegated("ask"), delegated("further")],
  further: [delegated("heavy")]
}
const messages = ["hello", "stream", ...Object.keys(wanted)]

const script: ModelServer.Script = (asked) => {
  const word = ModelServer.lastSaid(asked)
  if (word === "stream") return [...ModelServer.words("so", " far"), ModelServer.silence]
  const calls = asked.body.messages.at(-1)?.role === "user" ? wanted[word] : undefined
  return calls === undefined ? ModelServer.says("done") : ModelServer.calls(...calls)
}

const tool = (name: string, options: { readonly weight?: "heavy"; readonly classes?: ["exec"] }) =>
  Tool.make({
    name,
    description: "runs for ever",
    parameters: Schema.Struct({}),
    result: Schema.String,
    classes: ["read"],
    ...options,
    run: () => Effect.never
  })

const all = (node: TreeNode): ReadonlyArray<string> => [node.id, ...node.children.flatMap(all)]

const sendAndCancel = Effect.fnUntraced(function* (id: SessionId, below: (n: number) => number) {
  const manager = yield* SessionManager
  yield* manager.send({ sessionId: id, text: messages[below(messages.length)] ?? "hello" })
  // The moment of the cancel: from the same instant on to when all of the turn is at work, or asleep again.
  yield* Effect.sleep(below(5) * below(10))
  yield* Effect.ignore(manager.cancelTurn(id))
})

const soak = Effect.fnUntraced(function* (cancels: number, below: (n: number) => number) {
  const manager = yield* SessionManager
  const pool = yield* WorkerPool
  const registry = yield* Registry
  const sessions = yield* Effect.forEach(Array.from({ length: SESSIONS }), () => manager.start({}))
  for (let round = 0; round < cancels / SESSIONS; round++) {
    yield* Effect.forEach(sessions, ({ id }) => sendAndCancel(id, below), { concurrency: SESSIONS, discard: true })
  }
  const nothing: Partial<Session> = { queued: 0, permissions: [], workers: [], subSessions: [] }
  for (const { id } of sessions) {
    const session = yield* manager.get(id)
    assert.deepInclude(session, nothing)
    assert.include(["idle", "hibernated"], session.status)
    for (const sub of yield* manager.list({ parent: id, limit: 1_000 })) {
      assert.strictEqual(sub.status, "ended", `${sub.id} below ${id}`)
    }
  }
  assert.deepInclude(yield* pool.status, { running: 0, queued: 0 })
  assert.strictEqual(yield* registry.count, SESSIONS)
  for (const { id } of sessions) {
    yield* manager.stop(id)
    assertLaws((yield* eventsOf(id)).map(({ event }) => event))
  }
})

describe("cancelling", () => {
  it.live(
    `${CANCELS} cancels leave no fiber, socket, descriptor, process, call, subscription or timer behind`,
    () =>
      counted(
        Effect.gen(function* () {
          const models = yield* ModelServer.make(script)
          yield* Effect.gen(function* () {
            const { list } = yield* McpServers
            const root = yield* Root
            const bus = yield* EventBus
            const random = randomFrom(17)
            const ready = Effect.map(list, ([server]) => server?.state === "ready" && server.calls === 0)
            yield* inTime("the MCP server is ready", ready)
            // What is made only once is made by a first few.
            yield* soak(2 * SESSIONS, random.below)
            const timers = () => process.getActiveResourcesInfo().filter((resource) => resource === "Timeout").length
            yield* Effect.sleep(KEPT)
            const before = { ...(yield* counts), tree: all(yield* root.tree), timers: timers() }
            yield* soak(CANCELS, random.below)
            // Supervisors of sessions that had others below them are cleared away a moment later.
            yield* inTime(
              "the tree is as it was",
              Effect.map(root.tree, (tree) => all(tree).join() === before.tree.join())
            )
            assert.isTrue(yield* ready, "no call is left on the MCP server")
            assert.strictEqual((yield* list)[0]?.restarts, 0, "to cancel a call is no reason to start it again")
            yield* inTime(
              "no request is left",
              Effect.sync(() => models.open() === 0)
            )
            assert.isAbove(models.abandoned(), 0)
            const left = Effect.map(counts, (now) => ({ ...now, timers: timers() }))
            yield* left.pipe(
              Effect.repeat({
                schedule: Schedule.spaced("100 millis").pipe(Schedule.upTo({ times: 400 })),
                until: (now) => names.every((name) => now[name] <= before[name])
              })
            )
            const after = yield* left
            for (const name of names) assert.isAtMost(after[name], before[name], name)
            const topics = yield* bus.stats({ limit: 1_000 })
            assert.deepStrictEqual(
              topics.filter(({ subscribers }) => subscribers > 0),
              []
            )
          }).pipe(
            Effect.provide(
              Runtime.layerMemory({
                models: ModelServer.models(models),
                mcpServers: { fake: fake() },
                hibernateAfter: "15 millis",
                permits: 8,
                tools: [
                  tool("fast", {}),
                  tool("heavy", { weight: "heavy" }),
                  tool("guarded", { weight: "heavy", classes: ["exec"] })
                ]
              })
            )
          )
        }).pipe(Effect.scoped, Effect.provideService(References.MinimumLogLevel, "None"))
      ),
    1_200_000
  )
})
