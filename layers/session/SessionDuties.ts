/**
 * What a session does besides deciding: its turn, the calls that persons make, the workers it waits for, and how all
 * that is brought to an end. Everything runs in the scope of the session's fiber and reports to its inbox.
 */
import { Cause, Effect, Fiber, Option, Schedule, Stream } from "effect"
import type { LanguageModel } from "effect/ai"
import type { EventBus } from "../../services/events/EventBus.ts"
import type { Delivery } from "../../services/events/RuntimeEvent.ts"
import * as Topic from "../../services/events/Topic.ts"
import { isSeen, type SeenServers } from "../../services/mcp/seenServers.ts"
import type { Limits } from "../../services/model/ModelLimits.ts"
import type * as Budget from "../../services/session/Budget.ts"
import type * as Approval from "../../services/permission/Approval.ts"
import type { Permission } from "../../services/permission/Permission.ts"
import { offerable } from "../../services/permission/offerable.ts"
import { type LiveSub, reasons } from "../../services/session/SubSession.ts"
import type { AgentType } from "../../services/session/AgentType.ts"
import type { Strategy } from "../../services/session/Compaction.ts"
import { Command } from "../../services/session/decide.ts"
import type { ToolOutcome } from "../../services/session/SessionEvent.ts"
import type { CallId } from "../../services/session/SessionId.ts"
import type { UnsettledCall } from "../../services/session/SessionState.ts"
import type { Tool } from "../../services/tools/Tool.ts"
import type { Tools } from "../../services/tools/Tools.ts"
import type { WorkerId } from "../../services/worker/WorkerId.ts"
import type { WorkerPool } from "../../services/worker/WorkerPool.ts"
import { type Ending, interrupted, type Life, look, persist, report, type RunningTurn } from "./LiveSession.ts"
import * as QuestionDuties from "./QuestionDuties.ts"
import { again } from "./CarryOut.ts"
import * as Inbox from "./Inbox.ts"
import { type OfferedTools, offered } from "./Prompt.ts"
import type { Reservations } from "./Reservations.ts"
import type { Others } from "./SubSessions.ts"
import * as SubSessions from "./SubSessions.ts"
import type { JournalService } from "./SessionStore.ts"
import * as ToolRunner from "./ToolRunner.ts"
import * as Turn from "./Turn.ts"
import * as TurnHost from "./TurnHost.ts"

export interface Services {
  readonly journal: JournalService
  readonly bus: EventBus["Service"]
  readonly pool: WorkerPool["Service"]
  readonly tools: Tools["Service"]
  readonly model: LanguageModel.LanguageModel
  readonly others: Others
  readonly agentTypes: ReadonlyMap<string, AgentType>
  readonly compaction: Strategy
  readonly instructions: { readonly read: (directory: string) => Effect.Effect<string | undefined> }
  /** What every session may use up at most. */
  readonly budget: Budget.Limits
  readonly reservations: Reservations
  readonly limits: Limits
  /** Whether the model can see. */
  readonly pictures: boolean
}

/** How long what was interrupted may take to let go of what it holds. */
const GRACE = "10 seconds"

/** Toolkits that are kept ready, for as many ways of seeing servers and denying tools. */
const maxToolkits = 32

const seenOf = (tools: ReadonlyArray<Tool>, seen: SeenServers): ReadonlyArray<Tool> =>
  seen === undefined ? tools : tools.filter((tool) => isSeen(tool, seen))

const letGo = (fiber: Fiber.Fiber<unknown> | undefined): Effect.Effect<void> =>
  fiber === undefined
    ? Effect.void
    : Effect.flatMap(Effect.timeoutOption(Fiber.interrupt(fiber), GRACE), (ended) =>
        Option.isSome(ended) ? Effect.void : Effect.logWarning(`what was cancelled did not end within ${GRACE}`)
      )

const outcomeOf = (delivery: Delivery): ToolOutcome | undefined => {
  if (delivery._tag !== "Event") return undefined
  const { event } = delivery
  switch (event._tag) {
    case "WorkerCompleted":
      return { _tag: "ToolCompleted", result: event.result }
    case "WorkerFailed":
      return { _tag: "ToolFailed", failure: event.failure }
    case "WorkerCancelled":
      return { _tag: "ToolCancelled" }
    default:
      return undefined
  }
}

/**
 * Runs beside the session's fiber and reports to it. What breaks here for no foreseen reason breaks the session, whose
 * restart takes everything up again: nothing is left half done and forgotten.
 */
const beside = (life: Life, work: Effect.Effect<unknown, unknown>): Effect.Effect<Fiber.Fiber<void>> =>
  work.pipe(
    Effect.ignore,
    // An interruption of its own making is a defect like any other: one from outside does not come here.
    Effect.catchCause((cause) =>
      Cause.hasInterruptsOnly(cause)
        ? Effect.die(new Error("it was interrupted, and nobody had asked for that"))
        : Effect.failCause(cause)
    ),
    Effect.onError((cause) =>
      Effect.sync(() => {
        if (!Cause.hasInterruptsOnly(cause)) Inbox.post(life.inbox, { _tag: "Broken", cause })
      })
    ),
    Effect.forkIn(life.scope)
  )

export const make = ({
  agentTypes,
  budget,
  bus,
  compaction,
  instructions,
  journal,
  limits,
  model,
  others,
  pictures,
  pool,
  reservations,
  tools
}: Services) => {
  const subSessions = SubSessions.make({ bus, journal, others })
  let listed: ReadonlyArray<Tool> | undefined
  /** By the servers that are seen and the rules that deny; all of one list. */
  const toolkits = new Map<string, OfferedTools>()
  const around: Turn.Surroundings = {
    journal,
    tools,
    model,
    limits,
    pictures,
    compaction,
    agentTypes,
    instructions: ({ agentType, directory }) =>
      Effect.map(directory === undefined ? Effect.undefined : instructions.read(directory), (own) => {
        const told = [agentTypes.get(agentType)?.prompt, own].filter((text) => text !== undefined && text.trim() !== "")
        return told.length === 0 ? undefined : told.join("\n\n")
      }),
    // Made anew only when the list is another one: decoders are cached by its identity.
    offered: ({ mcpServers, permission: { rules } }) =>
      Effect.map(tools.list, (list) => {
        if (listed !== list || toolkits.size >= maxToolkits) toolkits.clear()
        listed = list
        const denials = rules.filter(({ decision }) => decision === "deny")
        const key =
          denials.length === 0 && mcpServers === undefined ? "" : JSON.stringify([denials, mcpServers ?? null])
        const toolkit = toolkits.get(key) ?? offered(offerable(seenOf(list, mcpServers), denials))
        toolkits.set(key, toolkit)
        return toolkit
      })
  }

  /** Runs the turn that the state says is open. */
  const startTurn = (life: Life): Effect.Effect<void> => {
    const { live } = life
    const current = live.state.turn
    if (current === undefined) return Effect.void
    const turn: RunningTurn = { id: current.id, draft: "", fiber: undefined, cancelling: undefined }
    live.turn = turn
    return Effect.map(
      beside(life, Turn.run(around, TurnHost.make(bus, pool, budget, others, reservations, life, turn, current))),
      (fiber) => {
        turn.fiber = fiber
      }
    )
  }

  /** Learns how a worker ended from its own events, so it is told once however often it asks. */
  const watchWorker = (life: Life, callId: CallId, workerId: WorkerId): Effect.Effect<void> =>
    bus.subscribe({ topic: Topic.ofWorker(workerId), from: 1, policy: "catchup", capacity: 64 }).pipe(
      Stream.map(outcomeOf),
      Stream.filter((outcome) => outcome !== undefined),
      Stream.runHead,
      Effect.retry(Schedule.spaced("5 seconds")),
      Effect.flatMap(
        Option.match({
          // The bus has closed: the next start asks again.
          onNone: () => Effect.void,
          onSome: (outcome) => report(life.live, life.inbox, Command.SettleCall({ callId, outcome }))
        })
      ),
      (work) => Effect.asVoid(beside(life, work))
    )

  /** Runs a person's fast call, in the session's scope: whoever asked may go away meanwhile. */
  const runPersonal = (life: Life, callId: CallId, work: Effect.Effect<ToolOutcome, unknown>): Effect.Effect<void> => {
    const { inbox, live } = life
    const settle = Effect.flatMap(work, (outcome) => report(live, inbox, Command.SettleCall({ callId, outcome })))
    const call = Effect.ensuring(
      settle,
      Effect.sync(() => live.personal?.delete(callId))
    )
    return Effect.map(beside(life, call), (fiber) => {
      live.personal ??= new Map()
      live.personal.set(callId, fiber)
    })
  }

  const startPersonal = (life: Life, callId: CallId, name: string, args: Parameters<Tool["run"]>[0]) =>
    runPersonal(
      life,
      callId,
      Effect.matchEffect(tools.get(name), {
        onFailure: ({ message }) => Effect.succeed(ToolRunner.failed("tool_not_found", message)),
        onSuccess: (tool) => ToolRunner.run(life.live.id, tool, args)
      })
    )

  /** Takes up a call that a crash left without an outcome. Those of a turn are the turn's own business. */
  const takeUp = (life: Life, call: UnsettledCall): Effect.Effect<void> => {
    if (call.workerId !== undefined) return watchWorker(life, call.callId, call.workerId)
    if (call.turnId !== undefined) return Effect.void
    return runPersonal(life, call.callId, again(around, life.live.id, call))
  }

  const cancelWorkers = (calls: ReadonlyArray<UnsettledCall>, reason: string) =>
    Effect.forEach(
      calls,
      ({ workerId }) =>
        workerId === undefined
          ? Effect.void
          : persist(
              pool.cancel(workerId, reason).pipe(Effect.catchTag(["WorkerNotFound", "WorkerEnded"], () => Effect.void))
            ),
      { concurrency: 8, discard: true }
    )

  /** Stops sub-sessions, and waits until what they came to and what they used is known: it goes down the whole tree. */
  const stopSubs = (life: Life, subs: ReadonlyArray<LiveSub>, reason: string): Effect.Effect<void> =>
    Effect.andThen(
      subSessions.stop(
        subs.map(({ sessionId }) => sessionId),
        reason
      ),
      Effect.forEach(subs, (sub) => subSessions.watch(life, sub), { concurrency: 8, discard: true }).pipe(
        Effect.timeoutOption(GRACE),
        Effect.ignore
      )
    )

  /** Stops all that the turn has running, then ends it. */
  const cancelTurn = (life: Life, turn: RunningTurn, waiting: Array<Ending>): Effect.Effect<void> => {
    const { inbox, live } = life
    const tell: Ending = (answer) => {
      for (const reply of waiting.splice(0)) reply(answer)
    }
    const work = Effect.gen(function* () {
      yield* letGo(turn.fiber)
      const state = yield* look(live, inbox)
      yield* cancelWorkers(
        state.calls.filter(({ turnId }) => turnId === turn.id),
        "the turn was cancelled"
      )
      yield* stopSubs(
        life,
        state.subs.filter(({ callId }) =>
          state.calls.some((call) => call.callId === callId && call.turnId === turn.id)
        ),
        reasons.cancelled
      )
      const text = yield* TurnHost.takeDraft(turn)
      yield* report(live, inbox, Command.EndTurn({ turnId: turn.id, outcome: "cancelled", text, failure: undefined }))
      tell(Effect.void)
    })
    return Effect.asVoid(
      beside(
        life,
        Effect.ensuring(
          work,
          Effect.sync(() => tell(Effect.fail(interrupted(live))))
        )
      )
    )
  }

  /** Ends the turn that the state says is open, and that a message has superseded before the crash. */
  const dropTurn = (life: Life): Effect.Effect<void> => {
    const { live } = life
    if (live.state.turn === undefined) return Effect.void
    const cancelling: Array<Ending> = []
    live.turn = { id: live.state.turn.id, draft: "", fiber: undefined, cancelling }
    return cancelTurn(life, live.turn, cancelling)
  }

  /** Stops all that the session has running, then ends it. Those who wait are told when its fiber is gone. */
  const stop = (life: Life, reason: string): Effect.Effect<void> => {
    const { inbox, live } = life
    const { turn } = live
    const work = Effect.gen(function* () {
      yield* letGo(turn?.fiber)
      yield* Effect.forEach(Array.from(live.personal?.values() ?? []), letGo, { concurrency: 8, discard: true })
      const state = yield* look(live, inbox)
      yield* cancelWorkers(state.calls, "the session was stopped")
      yield* stopSubs(life, state.subs, reasons.stopped)
      const text = yield* TurnHost.takeDraft(turn)
      yield* report(live, inbox, Command.End({ reason, text }))
    })
    return Effect.asVoid(beside(life, work))
  }

  const inLife = (life: Life, work: Effect.Effect<unknown, unknown>): Effect.Effect<void> =>
    Effect.asVoid(beside(life, work))

  /** Keeps the time of a sub-session, and hears what those below it come to. */
  const startFamily = (life: Life): Effect.Effect<void> => {
    const { parent, permission, subs } = life.live.state
    if (parent === undefined && subs.length === 0) return Effect.void
    return Effect.gen(function* () {
      if (parent !== undefined) yield* inLife(life, subSessions.keepTime(life))
      if (parent !== undefined && permission.pending.length > 0) yield* inLife(life, subSessions.askAgain(life))
      for (const sub of subs) yield* inLife(life, subSessions.watch(life, sub))
    })
  }

  return {
    questions: QuestionDuties.make({ journal, subSessions, inLife }),
    startFamily,
    watchSub: (life: Life, sub: LiveSub) => inLife(life, subSessions.watch(life, sub)),
    askAbove: (life: Life, permission: Permission) =>
      life.live.state.parent === undefined ? Effect.void : inLife(life, subSessions.askAbove(life, permission)),
    tellOthers: (life: Life, told: Approval.Resolved) =>
      life.live.state.parent === undefined && told.path === undefined
        ? Effect.void
        : inLife(life, subSessions.tellOthers(life, told, Command.FollowPermission({ told }))),
    stopSubs: subSessions.stop,
    cancelTurn,
    cancelWorkers,
    dropTurn,
    startPersonal,
    startTurn,
    stop,
    takeUp,
    watchWorker
  }
}

export type Duties = ReturnType<typeof make>
