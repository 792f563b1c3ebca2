/** A session's events as a person follows them: what is said on stdout, what is done for it on stderr. */
import { Effect, type Scope, Stream } from "effect"
import type { Delivery, RuntimeEvent } from "../../services/events/RuntimeEvent.ts"
import * as Topic from "../../services/events/Topic.ts"
import type { Failure } from "../../services/Failure.ts"
import * as Usage from "../../services/model/Usage.ts"
import { visible, visibleJson } from "../../services/permission/visible.ts"
import type { CallId, MessageId, SessionId, TurnId } from "../../services/session/SessionId.ts"
import type { ToolOutcome } from "../../services/session/SessionEvent.ts"
import type { WorkerId } from "../../services/worker/WorkerId.ts"
import type * as Client from "../client.ts"
import { follow } from "../client/follow.ts"
import { TellingText } from "../TellingText.ts"
import type { Screen } from "./Screen.ts"
import * as Terminal from "./Terminal.ts"

export interface Ended {
  readonly turnId: TurnId
  readonly messageId: MessageId | undefined
  readonly outcome: "completed" | "cancelled" | "failed"
  readonly failure: Failure | undefined
}

/** Columns of a call's arguments that are shown in a pipe, and at least on a terminal. */
const ARGUMENTS = 100
const LEAST = 20
/** Percent of progress that make a new line. */
const STEP = 10

/** On one line of the screen. */
const short = (before: string, text: string): string => {
  const room = Terminal.isTerminal("stderr") ? Terminal.width("stderr") - Terminal.columns(before) - 1 : ARGUMENTS
  return `${before}${Terminal.fit(Terminal.plain(text), Math.max(LEAST, room))}`
}

const outcomeText = (outcome: ToolOutcome): string => {
  switch (outcome._tag) {
    case "ToolCompleted":
      return "done"
    case "ToolFailed":
      return `failed: ${outcome.failure.message} (${outcome.failure.code})`
    case "ToolCancelled":
      return "cancelled"
    // ToolInterrupted
    default:
      return "cut off by a crash"
  }
}

const money = (cost: number): string => (cost === 0 ? "0" : cost.toPrecision(2))

const usageText = ({ cachedTokens = 0, cost, inputTokens, outputTokens }: Usage.Usage): string =>
  [
    `${inputTokens} tokens in${cachedTokens === 0 ? "" : ` (${cachedTokens} from the cache)`}`,
    `${outputTokens} out`,
    ...(cost === undefined ? [] : [`cost ${money(cost)}`])
  ].join(", ")

/** One turn while it is told. */
interface Turn {
  readonly id: TurnId
  readonly messageId: MessageId | undefined
  usage: Usage.Usage
}

/**
 * What happens in a session after the state that was read of it. `isHere` is called once nothing can be missed any more:
 * pieces of text that pass before that are not told again.
 */
export const deliveries = (
  subscribe: Client.Operation["Subscribe"],
  session: { readonly id: SessionId; readonly sequence: number },
  label: string,
  isHere: Effect.Effect<unknown>
) =>
  // The last event that is known is told again, and by that we know that we are listening.
  follow(subscribe, Topic.ofSession(session.id), { from: session.sequence, label }).pipe(
    Stream.mapEffect((delivery) =>
      delivery._tag === "Event" && delivery.sequence <= session.sequence
        ? Effect.as(isHere, [])
        : Effect.succeed([delivery])
    ),
    Stream.flattenIterable
  )

export interface Talk {
  /** Shows what has happened; gives the turn that has ended with it. */
  readonly take: (delivery: Delivery) => Effect.Effect<Ended | undefined, never, Scope.Scope>
  /** Shows what a session below this one does, from now on. */
  readonly join: (sessionId: SessionId) => Effect.Effect<void, never, Scope.Scope>
  /** What a sub-session is called on the screen. */
  readonly nameOf: (sessionId: SessionId) => string | undefined
  /** The turn that runs. */
  readonly running: () => TurnId | undefined
}

const DELEGATE = "delegate"
const INDENT = "  "

export const make = (espalier: Client.Operation, screen: Screen): Talk => {
  let turn: Turn | undefined
  let telling = new TellingText()
  const agents = new Map<SessionId, string>()

  /** Follows a worker to its end. */
  const watchWorker = (tool: string, workerId: WorkerId, before: string) => {
    let told = ""
    let percent = -STEP
    return follow(espalier.Subscribe, Topic.ofWorker(workerId), { from: 1 }).pipe(
      Stream.takeUntil(
        (delivery) => delivery._tag === "Event" && /^Worker(Completed|Failed|Cancelled)$/.test(delivery.event._tag)
      ),
      Stream.runForEach((delivery) => {
        if (delivery._tag !== "Event" && delivery._tag !== "Ephemeral") return Effect.void
        const { event } = delivery
        if (event._tag !== "WorkerProgress" || (event.stage === told && event.percent < percent + STEP))
          return Effect.void
        told = event.stage
        percent = event.percent
        const line = `${String(Math.round(event.percent)).padStart(3)} %  ${event.stage}`
        return screen.note(short(`${before}${INDENT}${tool}  `, line))
      }),
      Effect.ignore,
      Effect.forkScoped,
      Effect.asVoid
    )
  }

  /** The calls of a session, as they are asked for, run and end; and the sessions below it. */
  const calls = (above: string, before: string) => {
    const names = new Map<CallId, string>()
    return (event: RuntimeEvent): Effect.Effect<void, never, Scope.Scope> => {
      switch (event._tag) {
        case "ToolCallRequested": {
          const tool = visible(event.tool)
          names.set(event.callId, tool)
          // The agent says what it is to do.
          if (tool === DELEGATE) return Effect.void
          const note = screen.note(short(`${before}* ${tool} `, visibleJson(event.args)))
          return event.workerId === undefined ? note : Effect.andThen(note, watchWorker(tool, event.workerId, before))
        }
        // It had to be allowed first.
        case "ToolCallQueued":
          return watchWorker(names.get(event.callId) ?? "", event.workerId, before)
        case "ToolCallSettled": {
          const name = names.get(event.callId)
          names.delete(event.callId)
          return name === undefined
            ? Effect.void
            : screen.note(`${before}${INDENT}${name}  ${Terminal.plain(outcomeText(event.outcome))}`)
        }
        case "SubSessionStarted": {
          const number = `${above}${event.index + 1}`
          if (event.callId !== undefined) names.set(event.callId, `agent ${number}`)
          return watchAgent(event.sessionId, number, { from: 1 })
        }
        default:
          return Effect.void
      }
    }
  }

  /** Agents work side by side, so each of their lines says whose it is. */
  const watchAgent = (
    sessionId: SessionId,
    number: string,
    options: { readonly from?: number }
  ): Effect.Effect<void, never, Scope.Scope> => {
    const name = `agent ${number}`
    const before = `${INDENT.repeat(number.split(".").length)}${name}  `
    const takeCalls = calls(`${number}.`, before)
    agents.set(sessionId, name)
    return follow(espalier.Subscribe, Topic.ofSession(sessionId), options).pipe(
      Stream.takeUntil((delivery) => delivery._tag === "Event" && delivery.event._tag === "SessionEnded"),
      Stream.runForEach((delivery) => {
        if (delivery._tag !== "Event") return Effect.void
        const { event } = delivery
        if (event._tag === "MessageReceived") return screen.note(short(`* ${name}: `, event.text))
        if (event._tag === "MessageSettled") {
          return event.text === "" ? Effect.void : screen.note(short(before, event.text))
        }
        return takeCalls(event)
      }),
      Effect.ensuring(Effect.sync(() => agents.delete(sessionId))),
      Effect.ignore,
      Effect.forkScoped,
      Effect.asVoid
    )
  }
  const takeCalls = calls("", "")

  const take = (delivery: Delivery): Effect.Effect<Ended | undefined, never, Scope.Scope> => {
    if (delivery._tag !== "Event" && delivery._tag !== "Ephemeral") return Effect.undefined
    const { event } = delivery
    if ("answer" in event && event.answer !== undefined && turn !== undefined) {
      turn.usage = Usage.add(turn.usage, event.answer.usage)
    }
    switch (event._tag) {
      case "TurnStarted":
        turn = { id: event.turnId, messageId: event.messageId, usage: Usage.none }
        telling = new TellingText()
        return Effect.undefined
      case "TextDelta":
        return Effect.as(screen.write(telling.piece(event.text, event.from)), undefined)
      case "MessageSettled":
        return Effect.as(screen.write(telling.settle(event.text)), undefined)
      case "ContextCompacted":
        return Effect.as(
          screen.note(
            event.summary === undefined
              ? "the conversation grew long: old results of tools are shown to the model no more"
              : "the conversation grew long: its beginning was summed up for the model"
          ),
          undefined
        )
      case "TurnEnded": {
        const ended = turn?.id === event.turnId ? turn : undefined
        turn = undefined
        const { failure, outcome, turnId } = event
        const spent = ended === undefined || ended.usage.outputTokens === 0 ? undefined : usageText(ended.usage)
        return Effect.as(spent === undefined ? Effect.void : screen.note(spent), {
          turnId,
          messageId: ended?.messageId,
          outcome,
          failure
        })
      }
      default:
        return Effect.as(takeCalls(event), undefined)
    }
  }

  return {
    take,
    join: (sessionId) => watchAgent(sessionId, sessionId.slice(-6), {}),
    nameOf: (sessionId) => agents.get(sessionId),
    running: () => turn?.id
  }
}
