/** What a session did, gathered from its events one by one and in bounded memory. */
import type { Recorded } from "../events/RuntimeEvent.ts"
import type { Failure } from "../Failure.ts"
import type { Session } from "../session/Session.ts"
import type { WorkerId } from "../worker/WorkerId.ts"
import { limits, type ReportedFailure, type ToolUse } from "./SessionReport.ts"

type Mutable<A> = { -readonly [K in keyof A]: A[K] }

export interface Said {
  readonly who: "user" | "assistant"
  readonly at: number
  readonly text: string
}

export interface Activity {
  title: string
  agentType: string
  startedAt: number
  endedAt: number | undefined
  endReason: string
  lastEventAt: number
  events: number
  /** Events before those that were looked at, which are no longer kept. */
  notKept: number
  readonly messages: { user: number; assistant: number }
  readonly turns: { completed: number; cancelled: number; failed: number; running: number }
  readonly tools: Map<string, Mutable<ToolUse>>
  workerCount: number
  readonly workers: Array<{ readonly workerId: WorkerId; readonly tool: string }>
  failureCount: number
  readonly failures: Array<ReportedFailure>
  readonly said: Array<Said>
  /** Calls that have no outcome yet. */
  readonly open: Map<string, { readonly tool: string; readonly at: number }>
}

export const empty = (): Activity => ({
  title: "",
  agentType: "",
  startedAt: 0,
  endedAt: undefined,
  endReason: "",
  lastEventAt: 0,
  events: 0,
  notKept: 0,
  messages: { user: 0, assistant: 0 },
  turns: { completed: 0, cancelled: 0, failed: 0, running: 0 },
  tools: new Map(),
  workerCount: 0,
  workers: [],
  failureCount: 0,
  failures: [],
  said: [],
  open: new Map()
})

/** Appends and lets the oldest go. */
const keep = <A>(list: Array<A>, value: A, limit: number) => {
  list.push(value)
  if (list.length > limit) list.shift()
}

const useOf = (activity: Activity, tool: string): Mutable<ToolUse> => {
  // Tools are few, but their names come from a model.
  const name = activity.tools.has(tool) || activity.tools.size < limits.tools - 1 ? tool : "(others)"
  let use = activity.tools.get(name)
  if (use === undefined) {
    use = { tool: name, calls: 0, completed: 0, failed: 0, cancelled: 0, interrupted: 0, unsettled: 0, duration: 0 }
    activity.tools.set(name, use)
  }
  return use
}

const fail = (activity: Activity, subject: string, at: number, failure: Failure) => {
  activity.failureCount++
  keep(activity.failures, { subject, at, failure }, limits.failures)
}

const say = (activity: Activity, who: Said["who"], at: number, text: string) => {
  activity.messages[who]++
  keep(activity.said, { who, at, text: text.slice(0, limits.messageCharacters + 1) }, limits.messages)
}

/** Takes into account that the next `count` events are no longer kept, and what is known of the session all the same. */
export const skip = (activity: Activity, count: number, session: Session | undefined): void => {
  activity.notKept += count
  if (session === undefined) return
  activity.title = session.title
  activity.agentType = session.agentType
  activity.startedAt = session.createdAt
}

/** Takes the next event of the session into account. */
export const add = (activity: Activity, { at, event }: Recorded): void => {
  activity.events++
  activity.lastEventAt = at
  switch (event._tag) {
    case "SessionStarted":
      activity.title = event.title
      activity.agentType = event.agentType
      activity.startedAt = at
      break
    case "SessionUpdated":
      activity.title = event.title ?? activity.title
      break
    case "MessageReceived":
      say(activity, "user", at, event.text)
      break
    case "MessageSettled":
      say(activity, "assistant", at, event.text)
      break
    case "TurnStarted":
      activity.turns.running++
      break
    case "TurnEnded":
      activity.turns.running = Math.max(0, activity.turns.running - 1)
      activity.turns[event.outcome]++
      if (event.failure !== undefined) fail(activity, "turn", at, event.failure)
      break
    case "ToolCallRequested": {
      const use = useOf(activity, event.tool)
      use.calls++
      use.unsettled++
      activity.open.set(event.callId, { tool: event.tool, at })
      if (event.workerId !== undefined) {
        activity.workerCount++
        keep(activity.workers, { workerId: event.workerId, tool: event.tool }, limits.workers)
      }
      break
    }
    case "ToolCallSettled": {
      const call = activity.open.get(event.callId)
      if (call === undefined) break
      activity.open.delete(event.callId)
      const use = useOf(activity, call.tool)
      use.unsettled--
      use.duration += Math.max(0, at - call.at)
      switch (event.outcome._tag) {
        case "ToolCompleted":
          use.completed++
          break
        case "ToolFailed":
          use.failed++
          fail(activity, call.tool, at, event.outcome.failure)
          break
        case "ToolCancelled":
          use.cancelled++
          break
        case "ToolInterrupted":
          use.interrupted++
          break
      }
      break
    }
    case "SessionEnded":
      activity.endedAt = at
      activity.endReason = event.reason
      break
    default:
      break
  }
}
