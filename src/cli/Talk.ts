/** A session's events as a person follows them: what is said on stdout, what is done for it on stderr. */
import { Effect, type Scope, Stream } from "effect"
import type { Delivery } from "../../services/events/RuntimeEvent.ts"
import * as Topic from "../../services/events/Topic.ts"
import type { Failure } from "../../services/Failure.ts"
import * as Usage from "../../services/model/Usage.ts"
import type { CallId, MessageId, SessionId, TurnId } from "../../services/session/SessionId.ts"
import type { ToolOutcome } from "../../services/session/SessionEvent.ts"
import type { WorkerId } from "../../services/worker/WorkerId.ts"
import type * as Client from "../client.ts"
import { follow } from "../client/follow.ts"
import * as Terminal from "./Terminal.ts"

export interface Ended {
  readonly turnId: TurnId
  readonly messageId: MessageId | undefined
  readonly outcome: "completed" | "cancelled" | "failed"
  readonly failure: Failure | undefined
  /** All that was said. */
  readonly text: string
}

export interface Screen {
  /** A piece of the answer, as it is. */
  readonly write: (text: string) => Effect.Effect<void>
  /** A line about what is done. */
  readonly note: (line: string) => Effect.Effect<void>
  /** Ends the line of the answer, if it is not at its end. */
  readonly endLine: Effect.Effect<void>
}

/** On this process's own outputs. A line of notes never stands in the middle of a line of the answer. */
export const screen = (): Screen => {
  let isMidLine = false
  const endLine = () => {
    if (isMidLine) process.stdout.write("\n")
    isMidLine = false
  }
  return {
    write: (text) =>
      Effect.sync(() => {
        if (text === "") return
        process.stdout.write(Terminal.lines(text))
        isMidLine = !text.endsWith("\n")
      }),
    note: (line) =>
      Effect.sync(() => {
        if (Terminal.isTerminal("stdout")) endLine()
        process.stderr.write(`${Terminal.dim(Terminal.plain(line), "stderr")}\n`)
      }),
    endLine: Effect.sync(endLine)
  }
}

/** For programs, which read the events themselves. */
export const silent: Screen = { write: () => Effect.void, note: () => Effect.void, endLine: Effect.void }

/** Columns of a call's arguments that are shown. */
const ARGUMENTS = 100
/** Percent of progress that make a new line. */
const STEP = 10

const short = (args: unknown): string => Terminal.fit(Terminal.plain(JSON.stringify(args) ?? ""), ARGUMENTS)

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

const usageText = ({ cachedTokens = 0, cost, inputTokens, outputTokens }: Usage.Usage): string =>
  [
    `${inputTokens} tokens in${cachedTokens === 0 ? "" : ` (${cachedTokens} from the cache)`}`,
    `${outputTokens} out`,
    ...(cost === undefined ? [] : [`cost ${cost.toPrecision(2)}`])
  ].join(", ")

/** One turn while it is told. */
interface Turn {
  readonly id: TurnId
  readonly messageId: MessageId | undefined
  shown: string
  settled: string
  usage: Usage.Usage
}

/** Follows the workers of a session's calls; they are let go of with the scope. */
const watchWorker = (espalier: Client.Operation, screen: Screen, tool: string, workerId: WorkerId) => {
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
      return screen.note(`  ${tool}  ${String(Math.round(event.percent)).padStart(3)} %  ${event.stage}`)
    }),
    Effect.ignore
  )
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
  /** The turn that runs. */
  readonly running: () => TurnId | undefined
}

export const make = (espalier: Client.Operation, screen: Screen): Talk => {
  let turn: Turn | undefined
  const names = new Map<CallId, string>()

  const say = (turn: Turn, text: string) => {
    turn.shown += text
    return screen.write(text)
  }

  const take = (delivery: Delivery): Effect.Effect<Ended | undefined, never, Scope.Scope> => {
    if (delivery._tag !== "Event" && delivery._tag !== "Ephemeral") return Effect.undefined
    const { event } = delivery
    if ("answer" in event && event.answer !== undefined && turn !== undefined) {
      turn.usage = Usage.add(turn.usage, event.answer.usage)
    }
    switch (event._tag) {
      case "TurnStarted":
        turn = { id: event.turnId, messageId: event.messageId, shown: "", settled: "", usage: Usage.none }
        return Effect.undefined
      case "TextDelta":
        // Of a turn that began before we came: what it said is in its message, once it is whole.
        return event.turnId === turn?.id ? Effect.as(say(turn, event.text), undefined) : Effect.undefined
      case "MessageSettled": {
        if (event.turnId !== turn?.id) return Effect.as(screen.write(event.text), undefined)
        turn.settled += event.text
        // Deltas may be missed, and what came of a turn that was cut off is said anew.
        const rest = turn.settled.startsWith(turn.shown) ? turn.settled.slice(turn.shown.length) : `\n${event.text}`
        turn.shown = turn.settled
        return Effect.as(screen.write(rest), undefined)
      }
      case "ToolCallRequested": {
        names.set(event.callId, event.tool)
        const note = screen.note(`* ${event.tool} ${short(event.args)}`)
        if (event.workerId === undefined) return Effect.as(note, undefined)
        return Effect.as(
          Effect.andThen(note, Effect.forkScoped(watchWorker(espalier, screen, event.tool, event.workerId))),
          undefined
        )
      }
      case "ToolCallSettled": {
        const name = names.get(event.callId)
        names.delete(event.callId)
        return name === undefined
          ? Effect.undefined
          : Effect.as(screen.note(`  ${name}  ${outcomeText(event.outcome)}`), undefined)
      }
      case "TurnEnded": {
        const ended = turn?.id === event.turnId ? turn : undefined
        turn = undefined
        const { failure, outcome, turnId } = event
        const spent = ended === undefined || ended.usage.outputTokens === 0 ? undefined : usageText(ended.usage)
        return Effect.as(spent === undefined ? Effect.void : screen.note(spent), {
          turnId,
          messageId: ended?.messageId,
          outcome,
          failure,
          text: ended?.settled ?? ""
        })
      }
      default:
        return Effect.undefined
    }
  }

  return { take, running: () => turn?.id }
}
