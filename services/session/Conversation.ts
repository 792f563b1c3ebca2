/**
 * What a model is shown of a session: its turns in the order they ran, each with the message it answers. Bounded, so
 * that a long session costs no more than a short one: the oldest turns go first, then the oldest steps of the
 * current one; its message always stays.
 */
import type { Schema } from "effect"
import { type AnswerPart, sizeOfParts } from "../model/ModelAnswer.ts"
import type { Recorded } from "../events/RuntimeEvent.ts"
import { nameOf } from "../registry/Agent.ts"
import type { ToolOutcome } from "./SessionEvent.ts"
import type { CallId, MessageId } from "./SessionId.ts"

export interface ConversationCall {
  readonly callId: CallId
  readonly tool: string
  readonly args: Schema.Json
  /** Set once the call is settled. */
  outcome: ToolOutcome | undefined
}

export interface UserEntry {
  readonly _tag: "User"
  readonly text: string
}
export interface AssistantEntry {
  readonly _tag: "Assistant"
  readonly text: string
  readonly calls: ReadonlyArray<ConversationCall>
  /** In which order text, calls and reasoning came, and what the provider attached to them. */
  readonly parts?: ReadonlyArray<AnswerPart> | undefined
}
export type Entry = UserEntry | AssistantEntry

/** Events that are looked at, from the newest back. */
export const WINDOW = 1_000
const MAX_ENTRIES = 200
const MAX_CHARACTERS = 400_000
const MAX_RESULT = 50_000

const cut = (result: Schema.Json): Schema.Json => {
  const text = JSON.stringify(result)
  return text.length <= MAX_RESULT
    ? result
    : `${text.slice(0, MAX_RESULT)}… (cut: the result has ${text.length} characters)`
}

/** What the model is told of a call's outcome. Long results are cut. */
export const toldOf = (outcome: ToolOutcome): { readonly isFailure: boolean; readonly result: Schema.Json } => {
  switch (outcome._tag) {
    case "ToolCompleted":
      return { isFailure: false, result: cut(outcome.result) }
    case "ToolFailed":
      return {
        isFailure: true,
        result: {
          error: outcome.failure.code,
          message: outcome.failure.message,
          ...(outcome.partial === undefined ? undefined : { partial: cut(outcome.partial) })
        }
      }
    case "ToolCancelled":
      return { isFailure: true, result: { error: "cancelled", message: "the call was cancelled before it ended" } }
    // ToolInterrupted
    default:
      return {
        isFailure: true,
        result: {
          error: "interrupted",
          message: "a crash cut the call off; whether it took effect is not known, so look before you call it again"
        }
      }
  }
}

/** The entries that events tell of, in order. Calls that persons made, and turns that were rolled back, are no part of it. */
export const fromEvents = (events: ReadonlyArray<Recorded>): Array<Entry> => {
  const entries: Array<Entry> = []
  const texts = new Map<MessageId, string>()
  const calls = new Map<CallId, ConversationCall>()
  const undone = new Set(events.flatMap(({ event }) => (event._tag === "TurnRolledBack" ? [event.turnId] : [])))
  let step: Array<ConversationCall> | undefined
  for (const { event } of events) {
    switch (event._tag) {
      case "MessageReceived":
        texts.set(
          event.messageId,
          event.from === undefined ? event.text : `[from agent ${nameOf(event.from)}] ${event.text}`
        )
        break
      case "TurnStarted": {
        const text = texts.get(event.messageId)
        texts.delete(event.messageId)
        if (text !== undefined && !undone.has(event.turnId)) entries.push({ _tag: "User", text })
        step = undefined
        break
      }
      case "MessageSettled":
        if (undone.has(event.turnId)) break
        step = []
        entries.push({ _tag: "Assistant", text: event.text, calls: step, parts: event.answer?.parts })
        break
      case "ToolCallRequested": {
        if (event.turnId === undefined || undone.has(event.turnId)) break
        const call: ConversationCall = {
          callId: event.callId,
          tool: event.tool,
          args: event.args,
          outcome: undefined
        }
        calls.set(call.callId, call)
        if (step === undefined) {
          step = []
          entries.push({ _tag: "Assistant", text: "", calls: step, parts: event.answer?.parts })
        }
        step.push(call)
        break
      }
      case "ToolCallSettled": {
        const call = calls.get(event.callId)
        if (call === undefined) break
        call.outcome = event.outcome
        step = undefined
        break
      }
      default:
        break
    }
  }
  return entries
}

const sizeOf = (entry: Entry): number =>
  entry._tag === "User"
    ? entry.text.length
    : entry.calls.reduce(
        (size, { args, outcome }) =>
          size +
          JSON.stringify(args).length +
          (outcome === undefined ? 0 : JSON.stringify(toldOf(outcome).result).length),
        entry.text.length + (entry.parts === undefined ? 0 : sizeOfParts(entry.parts))
      )

/** The newest entries that fit, beginning with a user's message. */
export const bounded = (entries: ReadonlyArray<Entry>): ReadonlyArray<Entry> => {
  const current = entries.findLastIndex(({ _tag }) => _tag === "User")
  let left = MAX_CHARACTERS
  let from = entries.length
  while (from > 0 && entries.length - from < MAX_ENTRIES) {
    const entry = entries[from - 1]
    if (entry === undefined) break
    left -= sizeOf(entry)
    if (left < 0 && from < entries.length) break
    from--
  }
  if (from === 0 && entries[0]?._tag === "User") return entries
  const start = entries.findIndex(({ _tag }, index) => index >= from && _tag === "User")
  if (start !== -1) return entries.slice(start)
  const message = entries[current]
  return message === undefined ? entries.slice(from) : [message, ...entries.slice(from)]
}
