/**
 * `SessionManager` in this process: sessions are children of `Sessions`, loaded from the journal at first use.
 *
 * The child `session manager` takes up what the last process left unfinished and lets go of what was given up on. It
 * holds nothing that could be lost: started again, it compares the sessions in memory with those that run and looks
 * through the journal once more.
 */
import { Clock, Duration, Effect, Layer } from "effect"
import { LanguageModel } from "effect/ai"
import { EventBus } from "../../services/events/EventBus.ts"
import * as Topic from "../../services/events/Topic.ts"
import { InvalidInput } from "../../services/InvalidInput.ts"
import { Journal } from "../../services/journal/Journal.ts"
import type { StorageError } from "../../services/journal/StorageError.ts"
import { McpServerNotFound } from "../../services/mcp/McpServer.ts"
import { McpServers } from "../../services/mcp/McpServers.ts"
import { isSeen, type SeenServers } from "../../services/mcp/seenServers.ts"
import { ModelLimits } from "../../services/model/ModelLimits.ts"
import { Prices } from "../../services/model/Models.ts"
import { ModelSight } from "../../services/model/ModelSight.ts"
import { Registry } from "../../services/registry/Registry.ts"
import { LOCAL, Person } from "../../services/access/Person.ts"
import { defaults as budgetDefaults, type Limits, tighter } from "../../services/session/Budget.ts"
import { AgentTypes } from "../../services/session/AgentType.ts"
import { Compaction } from "../../services/session/Compaction.ts"
import { Instructions } from "../../services/session/Instructions.ts"
import { Command } from "../../services/session/decide.ts"
import { recall } from "../../services/session/RecentMessages.ts"
import type { Message, SessionSummary } from "../../services/session/Session.ts"
import type { ToolOutcome } from "../../services/session/SessionEvent.ts"
import {
  generateCallId,
  generateMessageId,
  generateSessionId,
  type SessionId
} from "../../services/session/SessionId.ts"
import {
  type Acknowledgement,
  type StartOptions,
  TooManySubSessions,
  SessionInterrupted,
  SessionManager,
  SessionNotFound,
  type ToolRun
} from "../../services/session/SessionManager.ts"
import { toSession } from "../../services/session/SessionState.ts"
import { Transcript } from "../../services/session/Transcript.ts"
import { Coordinators, Sessions } from "../../services/supervision/Places.ts"
import { type Tool, ToolFailure } from "../../services/tools/Tool.ts"
import { ToolNotFound, Tools } from "../../services/tools/Tools.ts"
import { WorkerPool } from "../../services/worker/WorkerPool.ts"
import { SessionDesk } from "../../services/session/SessionDesk.ts"
import * as PermissionDesk from "./PermissionDesk.ts"
import * as QuestionDesk from "./QuestionDesk.ts"
import { chargeTo } from "./chargeTo.ts"
import * as LiveSession from "./LiveSession.ts"
import { recoverOpen } from "./RecoverSessions.ts"
import { conceive } from "./SubSessions.ts"
import * as SessionSupply from "./SessionSupply.ts"
import { dormant, summaryOf } from "./SessionStore.ts"

export interface Options {
  /** Sessions in memory at the same time (default 100,000). */
  readonly limit?: number | undefined
  /** What a session and each of its turns may use up at most (default 50 rounds of tool calls, depth 3). */
  readonly budget?: Limits | undefined
  /** How long a session is idle before it leaves memory (default 5 minutes). */
  readonly hibernateAfter?: Duration.Input | undefined
}

const childId = "session manager"
/** Names that a refusal lists. */
const maxNames = 100
/** Events read at a time to list messages. */
const PAGE = 500

export const make = Effect.fnUntraced(function* ({
  budget = {},
  hibernateAfter = "5 minutes",
  limit = 100_000
}: Options = {}) {
  const journal = yield* Journal
  const bus = yield* EventBus
  const pool = yield* WorkerPool
  const tools = yield* Tools
  const mcp = yield* McpServers
  const coordinators = yield* Coordinators
  const limits = { ...budgetDefaults, ...budget }
  const supply = SessionSupply.make({
    journal,
    bus,
    pool,
    tools,
    registry: yield* Registry,
    clock: yield* Clock.Clock,
    model: yield* LanguageModel.LanguageModel,
    limits: yield* ModelLimits,
    pictures: yield* ModelSight,
    prices: yield* Prices,
    agentTypes: yield* AgentTypes,
    compaction: yield* Compaction,
    instructions: yield* Instructions,
    sessions: yield* Sessions,
    limit,
    budget: limits,
    hibernateAfter: Duration.toMillis(Duration.fromInputUnsafe(hibernateAfter)),
    scope: yield* Effect.scope
  })

  const desk = PermissionDesk.make({ journal, reach: supply.reach })
  const questionDesk = QuestionDesk.make({ journal, reach: supply.reach, isClosing: supply.isClosing })

  yield* Effect.addFinalizer(() => supply.close)
  const clerk = { ask: questionDesk.ask, charge: chargeTo(supply, supply.reservations, limits) }
  yield* Effect.flatMap(SessionDesk, ({ attend }) => attend(clerk))
  yield* Effect.acquireRelease(
    Effect.orDie(
      coordinators.startChild({
        id: childId,
        start: Effect.as(
          supply.reconcile,
          Effect.all([LiveSession.persist(recoverOpen(journal, supply.reach)), supply.keep, supply.hibernate], {
            concurrency: 3,
            discard: true
          })
        )
      })
    ),
    () => Effect.ignore(Effect.andThen(coordinators.terminateChild(childId), coordinators.deleteChild(childId)))
  )

  /** As it is seen while it is not in memory. */
  const asStored = <A extends SessionSummary>(session: A): A =>
    supply.isAsleep(session.id) ? { ...session, status: "hibernated" } : session

  /** What is stored of a session that need not be in memory for that. */
  const getStored = Effect.fnUntraced(function* (sessionId: SessionId) {
    const head = yield* journal.head(Topic.ofSession(sessionId))
    if (head === undefined) return yield* new SessionNotFound({ sessionId })
    if (!head.open) return asStored(yield* dormant(head))
    const session = yield* Effect.catchTag(supply.reach(sessionId), "SessionHasEnded", () => Effect.undefined)
    return session === undefined ? yield* dormant(head) : toSession(session.state)
  })

  const messages = Effect.fnUntraced(function* (options: {
    readonly sessionId: SessionId
    readonly after: number
    readonly limit: number
  }): Effect.fn.Return<ReadonlyArray<Message>, SessionNotFound | StorageError> {
    const { sessionId } = options
    const stream = Topic.ofSession(sessionId)
    const head = yield* journal.head(stream)
    if (head === undefined) return yield* new SessionNotFound({ sessionId })
    const transcript = new Transcript(options.limit)
    let after = options.after
    while (true) {
      const page = yield* journal.read({ stream, after, limit: PAGE })
      for (const recorded of page) transcript.add(recorded)
      const last = page.at(-1)
      if (last === undefined || page.length < PAGE) return transcript.messages
      after = last.sequence
      if (!transcript.isFull) continue
      // Outcomes stand after their calls: read on, unless all that are missing have not happened yet.
      const calls = supply.find(sessionId)?.state.calls ?? []
      const isUnsettled = (id: string) => calls.some(({ callId }) => callId === id)
      if (Array.from(transcript.unsettled).every(isUnsettled)) return transcript.messages
    }
  })

  /** A tool that needs permission is run here: that a person asks for it is the permission. */
  const runTool = Effect.fnUntraced(function* (options: Parameters<SessionManager["Service"]["runTool"]>[0]) {
    const { args, sessionId } = options
    const tool = yield* tools.get(options.tool)
    const issues = yield* tool.check(args)
    if (issues.length > 0) return yield* new InvalidInput({ subject: `tool ${tool.name}`, issues })
    return yield* supply.use(sessionId, (session) => runIn(session, tool, options))
  })

  const runIn = Effect.fnUntraced(function* (
    session: LiveSession.LiveSession,
    tool: Tool,
    { args, priority, sessionId }: Parameters<SessionManager["Service"]["runTool"]>[0]
  ) {
    if (!isSeen(tool, session.state.mcpServers)) {
      const available = (yield* tools.list).filter((other) => isSeen(other, session.state.mcpServers))
      return yield* new ToolNotFound({
        name: tool.name,
        available: available.slice(0, maxNames).map(({ name }) => name)
      })
    }
    const callId = yield* generateCallId
    if (tool.annotations.weight === "heavy") {
      const task = { sessionId, callId, tool, args, priority, key: session.state.agentType }
      const place = Effect.map(pool.admit(task), (admission) => ({
        admissions: [admission],
        command: Command.RequestCall({ call: { callId, tool: tool.name, args, workerId: admission.workerId } })
      }))
      const { admissions } = yield* LiveSession.submit(session, session.inbox, place).pipe(
        LiveSession.narrow,
        Effect.catchTag(["SessionBusy", "TooManySubSessions"], Effect.die)
      )
      const workerId = admissions[0]?.workerId
      if (workerId === undefined) return yield* Effect.die(new Error("a heavy call was admitted without a worker"))
      const run: ToolRun = { workerId }
      return run
    }
    // Registered first: the call may be settled in the same instant in which it is journaled.
    const outcome = LiveSession.outcomeOf(session, callId)
    const asked = LiveSession.decide(session, Command.RequestCall({ call: { callId, tool: tool.name, args } }))
    yield* asked.pipe(
      Effect.onError(() => Effect.sync(() => session.outcomes?.delete(callId))),
      LiveSession.narrow,
      Effect.catchTag(["SessionBusy", "TooManySubSessions"], Effect.die)
    )
    return yield* resultOf(yield* outcome)
  })

  /** Each of them once; a name that is not there is refused, and so is one that the session above does not see. */
  const seen = (
    names: ReadonlyArray<string> | undefined,
    above: SeenServers
  ): Effect.Effect<SeenServers, McpServerNotFound> => {
    const declared = above === undefined ? mcp.names : mcp.names.filter((name) => above.includes(name))
    const unknown = names?.find((name) => !declared.includes(name))
    if (unknown !== undefined) return Effect.fail(new McpServerNotFound({ name: unknown, declared }))
    return Effect.succeed(names === undefined ? above : [...new Set(names)])
  }

  const startBelow = Effect.fnUntraced(function* (options: StartOptions, above: NonNullable<StartOptions["parent"]>) {
    if (options.sessionId !== undefined) {
      const issues = [{ path: "sessionId", message: "a sub-session's id is made for it: leave it out" }]
      return yield* new InvalidInput({ subject: "StartSession", issues })
    }
    const begun = yield* supply.use(above.sessionId, (parent) => beginBelow(parent, options, above))
    return toSession((yield* supply.reach(begun)).state)
  })

  const beginBelow = Effect.fnUntraced(function* (
    parent: LiveSession.LiveSession,
    options: StartOptions,
    above: NonNullable<StartOptions["parent"]>
  ) {
    const { limits, parent: grand } = parent.state
    const { depth = budgetDefaults.depth } = tighter({ ...budgetDefaults, ...budget }, limits ?? {})
    if ((grand?.depth ?? 0) >= depth) return yield* new TooManySubSessions({ sessionId: parent.id, limit: depth })
    const { agentType = parent.state.agentType, metadata, title = "" } = options
    const mcpServers = yield* seen(options.mcpServers, parent.state.mcpServers)
    const begin = Effect.map(
      conceive(parent, { ...above, agentType, mcpServers, metadata, title }),
      ({ attachment, child }) => ({
        admissions: [attachment],
        command: Command.Spawn({ child, callId: undefined }),
        child
      })
    )
    const { child } = yield* LiveSession.submit(parent, parent.inbox, begin).pipe(
      LiveSession.narrow,
      Effect.catchTag(["SessionBusy", "MailboxFull"], Effect.die)
    )
    return child.sessionId
  })

  return SessionManager.of({
    start: Effect.fnUntraced(function* (options) {
      if (options.parent !== undefined) return yield* startBelow(options, options.parent)
      const sessionId = options.sessionId ?? (yield* generateSessionId)
      const mcpServers = yield* seen(options.mcpServers, undefined)
      const person = yield* Person
      const session = yield* supply
        .begin(sessionId, {
          _tag: "SessionStarted",
          title: options.title ?? "",
          agentType: options.agentType ?? "default",
          metadata: options.metadata ?? {},
          ...(person === LOCAL ? undefined : { owner: person }),
          ...(options.directory === undefined ? undefined : { directory: options.directory }),
          ...(mcpServers === undefined ? undefined : { mcpServers }),
          ...(options.limits === undefined ? undefined : { limits: options.limits }),
          ...(options.whenBusy === undefined ? undefined : { whenBusy: options.whenBusy }),
          ...(options.permissions === undefined ? undefined : { permissions: options.permissions })
        })
        .pipe(Effect.catchTag("SessionNotFound", Effect.die))
      return toSession(session.state)
    }),
    stop: (sessionId, reason = "stopped") =>
      supply
        .use(sessionId, (session) => LiveSession.stop(session, reason))
        .pipe(Effect.catchTag("SessionHasEnded", () => Effect.void)),
    get: (sessionId) =>
      Effect.suspend(() => {
        const session = supply.find(sessionId)
        return session === undefined ? getStored(sessionId) : Effect.succeed(toSession(session.state))
      }),
    list: ({ before, limit, parent }) =>
      Effect.flatMap(
        journal.heads({
          prefix: "session:",
          before: before === undefined ? undefined : Topic.ofSession(before),
          owner: parent,
          limit
        }),
        (heads) => Effect.forEach(heads, (head) => Effect.map(summaryOf(head), asStored))
      ),
    send: ({ attachments, from, messageId, sessionId, text, whenBusy }) =>
      Effect.flatMap(messageId === undefined ? generateMessageId : Effect.succeed(messageId), (messageId) =>
        supply.use(sessionId, (session) =>
          LiveSession.decide(session, Command.Send({ messageId, text, attachments, from, whenBusy })).pipe(
            Effect.map((state): Acknowledgement => ({
              messageId,
              sequence: recall(state.recent, messageId) ?? state.sequence
            })),
            LiveSession.narrow,
            Effect.catchTag("TooManySubSessions", Effect.die)
          )
        )
      ),
    cancelTurn: (sessionId) => supply.use(sessionId, LiveSession.cancelTurn),
    update: (sessionId, { metadata, title }) =>
      supply.use(sessionId, (session) =>
        LiveSession.decide(session, Command.Update({ title, metadata })).pipe(
          LiveSession.narrow,
          Effect.catchTag(["SessionBusy", "TooManySubSessions"], Effect.die),
          // An update waits in no mailbox: only a session that takes nothing at all refuses it so.
          Effect.catchTag("MailboxFull", () => Effect.fail(new SessionInterrupted({ sessionId }))),
          Effect.map(toSession)
        )
      ),
    messages,
    permissions: desk.permissions,
    resolvePermission: desk.resolve,
    questions: questionDesk.questions,
    answerQuestion: questionDesk.answer,
    runTool
  })
})

const resultOf = (outcome: ToolOutcome): Effect.Effect<ToolRun, ToolFailure> => {
  switch (outcome._tag) {
    case "ToolCompleted":
      return Effect.succeed({ result: outcome.result })
    case "ToolFailed":
      return Effect.fail(new ToolFailure(outcome.failure))
    case "ToolCancelled":
      return Effect.fail(new ToolFailure({ code: "cancelled", message: "the call was cancelled before it ended" }))
    // ToolInterrupted
    default:
      return Effect.fail(new ToolFailure({ code: "interrupted", message: "a crash cut the call off; try again" }))
  }
}

export const layer = (options?: Options) => Layer.effect(SessionManager, make(options))
