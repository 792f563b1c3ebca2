/** MCP servers in a runtime's tree, and ways to call their tools as a worker would. */
import { Effect, Layer, Logger, Result, Schedule, type Schema } from "effect"
import { fileURLToPath } from "node:url"
import * as PubSubEventBus from "../../layers/events/PubSubEventBus.ts"
import * as MemoryJournal from "../../layers/journal/MemoryJournal.ts"
import * as MemoryMcpApprovals from "../../layers/mcp/MemoryMcpApprovals.ts"
import * as SupervisedMcpServers from "../../layers/mcp/SupervisedMcpServers.ts"
import * as PersistenceBreakers from "../../layers/limits/PersistenceBreakers.ts"
import * as JournaledSessionRecords from "../../layers/session/JournaledSessionRecords.ts"
import * as FiberSupervisor from "../../layers/supervision/FiberSupervisor.ts"
import * as RuntimeTree from "../../layers/supervision/RuntimeTree.ts"
import * as ReapedProcesses from "../../layers/processes/ReapedProcesses.ts"
import type { McpApprovals } from "../../services/mcp/McpApprovals.ts"
import {
  fromDeclarations,
  type McpServerDeclaration,
  type McpServerDeclarations
} from "../../services/mcp/McpConfig.ts"
import { McpQuestions, type McpQuestionsShape } from "../../services/mcp/McpQuestions.ts"
import type { McpServer } from "../../services/mcp/McpServer.ts"
import { McpServers } from "../../services/mcp/McpServers.ts"
import { SessionId } from "../../services/session/SessionId.ts"
import { ToolCall, ToolFailure } from "../../services/tools/Tool.ts"

const path = (file: string) => fileURLToPath(new URL(file, import.meta.url))

/** The server that misbehaves on demand. */
export const fake = (env: Readonly<Record<string, string>> = {}, grants: object = {}): McpServerDeclaration => ({
  command: process.execPath,
  args: [path("../fixtures/mcp/fake-server.ts")],
  env: { ...env },
  espalier: { trust: true, ...grants }
})

/** One of the official servers. */
export const official = (name: string, ...args: ReadonlyArray<string>): McpServerDeclaration => ({
  command: process.execPath,
  args: [path(`../../node_modules/@modelcontextprotocol/server-${name}/dist/index.js`), ...args],
  espalier: { trust: true, sampling: true }
})

export interface Options extends Omit<SupervisedMcpServers.Options, "servers" | "version"> {
  readonly questions?: McpQuestionsShape | undefined
  readonly approvals?: Layer.Layer<McpApprovals> | undefined
}

export const read = (declared: McpServerDeclarations) =>
  Result.getOrThrowWith(
    fromDeclarations(declared, (name) => process.env[name]),
    (issues) => new Error(JSON.stringify(issues))
  )

const tree = Layer.provide(RuntimeTree.layer, FiberSupervisor.layer)

export const layer = (declared: McpServerDeclarations, { approvals, questions = {}, ...options }: Options = {}) =>
  SupervisedMcpServers.layer({
    servers: read(declared),
    version: "0.0.0",
    intensity: 1_000,
    backoff: { initial: "50 millis", cap: "100 millis" },
    ...options
  }).pipe(
    Layer.provide(ReapedProcesses.layer),
    Layer.provide(JournaledSessionRecords.layer),
    Layer.provide(Layer.succeed(McpQuestions, questions)),
    Layer.provide(approvals ?? MemoryMcpApprovals.layer),
    Layer.provideMerge(PersistenceBreakers.layer()),
    Layer.provideMerge(PubSubEventBus.layer()),
    Layer.provideMerge(MemoryJournal.layer()),
    Layer.provideMerge(tree),
    Layer.provide(Logger.layer([]))
  )

const sessionId = SessionId.make("ses_mcp")

export interface Report {
  readonly percent: number
  readonly stage: string
}

/** Calls a tool as a worker does, which has checked the arguments before. */
export const call = (name: string, args: Schema.Json = {}, reports: Array<Report> = [], session = sessionId) =>
  Effect.gen(function* () {
    const { source } = yield* McpServers
    yield* source.list
    const tool = source.find(name)
    if (tool === undefined) return yield* new ToolFailure({ code: "tool_not_found", message: name })
    const issues = yield* tool.check(args)
    if (issues.length > 0) return yield* new ToolFailure({ code: "invalid_input", message: JSON.stringify(issues) })
    return yield* tool.run(args).pipe(
      Effect.provideService(ToolCall, {
        sessionId: session,
        progress: (percent, stage) => Effect.sync(() => void reports.push({ percent, stage }))
      })
    )
  })

/** What the fake server is told to do. */
export const make = (what: string, server = "fake") => call(`${server}__do`, { what })

/** The text of a result. */
export const textOf = (result: Schema.Json): string => {
  const { content } = result as { readonly content: ReadonlyArray<{ readonly text?: string }> }
  return content.map(({ text }) => text ?? "").join("\n")
}

export const server = (name: string) =>
  Effect.flatMap(McpServers, ({ list }) =>
    Effect.flatMap(list, (servers) =>
      Effect.orDie(Effect.fromNullishOr(servers.find((server) => server.name === name)))
    )
  )

/** Returns the server once it is as it should be. */
export const until = (name: string, holds: (server: McpServer) => boolean) =>
  server(name).pipe(
    Effect.repeat({ schedule: Schedule.spaced("10 millis"), until: holds }),
    Effect.timeoutOrElse({
      duration: "15 seconds",
      orElse: () =>
        Effect.flatMap(server(name), (last) => Effect.die(new Error(`never came true: ${JSON.stringify(last)}`)))
    })
  )
