/**
 * The rooms behind the gateway, small enough to see through: sessions in a map, one tool, no workers. Some names make
 * trouble: `ses_broken` dies, `ses_slow` never answers.
 */
import { Effect, Layer } from "effect"
import * as PubSubEventBus from "../../layers/events/PubSubEventBus.ts"
import * as TokenRateLimits from "../../layers/limits/TokenRateLimits.ts"
import * as MemoryJournal from "../../layers/journal/MemoryJournal.ts"
import { Journal } from "../../services/journal/Journal.ts"
import { EventBus } from "../../services/events/EventBus.ts"
import * as Topic from "../../services/events/Topic.ts"
import * as NoMcpServers from "../../layers/mcp/NoMcpServers.ts"
import { AgentMessages } from "../../services/registry/AgentMessage.ts"
import { Breakers } from "../../services/limits/Breakers.ts"
import { Registry, AgentNotFound } from "../../services/registry/Registry.ts"
import type { Session } from "../../services/session/Session.ts"
import { generateMessageId, generateSessionId } from "../../services/session/SessionId.ts"
import { SessionManager, SessionNotFound } from "../../services/session/SessionManager.ts"
import * as TreeChaos from "../../layers/supervision/TreeChaos.ts"
import { Root } from "../../services/supervision/Places.ts"
import type { SupervisorRef } from "../../services/supervision/Supervisor.ts"
import { ToolNotFound, Tools } from "../../services/tools/Tools.ts"
import { WorkerNotFound, WorkerPool } from "../../services/worker/WorkerPool.ts"
import * as FakeFoundation from "./FakeFoundation.ts"

/** How often sessions were listed. */
export const listed = { times: 0 }

export const secret = "at /secret/path.ts:1"

const Sessions = Layer.effect(
  SessionManager,
  Effect.gen(function* () {
    const journal = yield* Journal
    const bus = yield* EventBus
    const sessions = new Map<string, Session>()
    const find = (id: Session["id"]) =>
      Effect.suspend(() => {
        if (id === "ses_broken") return Effect.die(new Error(secret))
        if (id === "ses_slow") return Effect.never
        const session = sessions.get(id)
        return session === undefined ? Effect.fail(new SessionNotFound({ sessionId: id })) : Effect.succeed(session)
      })
    return yield* Layer.build(
      Layer.mock(SessionManager, {
        start: Effect.fnUntraced(function* ({ metadata = {}, sessionId, title = "" }) {
          const id = sessionId ?? (yield* generateSessionId)
          const session: Session = {
            id,
            title,
            agentType: "default",
            metadata,
            status: "idle",
            messages: 0,
            createdAt: 0,
            updatedAt: 0,
            queued: 0,
            permissions: [],
            questions: [],
            workers: [],
            subSessions: [],
            sequence: 1
          }
          const recorded = yield* journal.append([
            {
              stream: Topic.ofSession(id),
              after: 0,
              events: [{ _tag: "SessionStarted", title, agentType: "default", metadata }],
              open: false,
              summary: ""
            }
          ])
          yield* bus.publish(recorded)
          sessions.set(id, session)
          return session
        }),
        get: find,
        list: ({ limit }) =>
          Effect.sync(() => {
            listed.times++
            return [...sessions.values()].toReversed().slice(0, limit)
          }),
        send: Effect.fnUntraced(function* ({ sessionId, text }) {
          const session = yield* find(sessionId)
          const messageId = yield* generateMessageId
          const recorded = yield* journal.append([
            {
              stream: Topic.ofSession(sessionId),
              after: session.sequence,
              events: [{ _tag: "MessageReceived", messageId, text }],
              open: false,
              summary: ""
            }
          ])
          yield* bus.publish(recorded)
          const sequence = session.sequence + 1
          sessions.set(sessionId, { ...session, messages: session.messages + 1, sequence })
          return { messageId, sequence }
        })
      })
    ).pipe(Effect.map((context) => context.mapUnsafe.get(SessionManager.key) as SessionManager["Service"]))
  })
)

const Pool = Layer.mock(WorkerPool, {
  status: Effect.succeed({
    permits: 3,
    running: 0,
    queued: 0,
    capacity: 50,
    patience: 30_000,
    completed: 0,
    failed: 0,
    cancelled: 0,
    refused: 0,
    pools: []
  }),
  get: (workerId) => Effect.fail(new WorkerNotFound({ workerId })),
  list: () => Effect.succeed([])
})

const NoTools = Layer.succeed(Tools, {
  get: (name) => Effect.fail(new ToolNotFound({ name, available: [] })),
  list: Effect.succeed([])
})

const NoAgents = Layer.mock(Registry, {
  find: () => Effect.succeed([]),
  lookup: (key) => Effect.fail(new AgentNotFound({ key }))
})

const NoMessages = Layer.mock(AgentMessages, {})
const NoBreakers = Layer.mock(Breakers, { list: Effect.succeed([]) })

const root: Pick<SupervisorRef, "tree" | "whichChildren"> = {
  whichChildren: Effect.succeed([]),
  tree: Effect.succeed({
    id: "espalier",
    type: "supervisor",
    state: "running",
    restart: "permanent",
    strategy: "one_for_one",
    restarts: 0,
    age: 1,
    children: [],
    total: 0
  })
}

export const layer = Layer.mergeAll(
  Sessions,
  Pool,
  NoTools,
  NoAgents,
  NoMcpServers.layer,
  NoMessages,
  NoBreakers,
  TokenRateLimits.layer(),
  TreeChaos.layerRefused,
  Layer.succeed(Root, root as SupervisorRef)
).pipe(
  Layer.provideMerge(PubSubEventBus.layer()),
  Layer.provideMerge(MemoryJournal.layer()),
  Layer.provide(FakeFoundation.layer)
)
