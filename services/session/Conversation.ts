/**
 * What a model is shown of a session: its turns in the order they ran, each with the message it answers. Bounded, so
 * that a long session costs no more than a short one: the oldest turns go first, then the oldest steps of the
 * current one; its message always stays.
 */
import type { Schema } from "effect"
import { picturesOf, toldOfResult } from "../tools/resultForModel.ts"
import { type AnswerPart, sizeOfParts } from "../model/ModelAnswer.ts"
import type { Recorded } from "../events/RuntimeEvent.ts"
import { nameOf } from "../registry/Agent.ts"
import type { ToolOutcome } from "./SessionEvent.ts"
import type { MessageAttachment } from "./MessageAttachment.ts"
import type { CallId, MessageId, TurnId } from "./SessionId.ts"

export interface ConversationCall {
  readonly callId: CallId
  readonly tool: string
  readonly args: Schema.Json
  /** Set once the call is settled. */
  outcome: ToolOutcome | undefined
  /** Its result was left out to save room. */
  isDropped?: boolean | undefined
}

export interface UserEntry {
  readonly _tag: "User"
  readonly text: string
  readonly attachments?: ReadonlyArray<MessageAttachment> | undefined
  /** Of its last event. */
  sequence: number
}
export interface AssistantEntry {
  readonly _tag: "Assistant"
  readonly text: string
  readonly calls: ReadonlyArray<ConversationCall>
  /** In which order text, calls and reasoning came, and what the provider attached to them. */
  readonly parts?: ReadonlyArray<AnswerPart> | undefined
  /** Of its last event: when all its calls were settled. */
  sequence: number
}
export type Entry = UserEntry | AssistantEntry

/** Events that are looked at, from the newest back. */
export const WINDOW = 1_000
/**
 * What a model is shown begins at another place only every so many events: what begins as it did before, providers read from
 * their cache, at a tenth of the price.
 */
const STEP = 64
/** Sequence after which events are looked at. */
export const windowAfter = (sequence: number): number =>
  sequence <= WINDOW ? 0 : Math.ceil((sequence - WINDOW) / STEP) * STEP

const MAX_ENTRIES = 200
const MAX_CHARACTERS = 400_000
const MAX_RESULT = 50_000

const cut = (whole: Schema.Json): Schema.Json => {
  const result = toldOfResult(whole)
  const text = JSON.stringify(result)
  return text.length <= MAX_RESULT
    ? result
    : `${text.slice(0, MAX_RESULT)}… (cut: the result has ${text.length} characters)`
}

const left: Schema.Json = "(left out to save room; call the tool again if you need its result)"

/** What the model is told of a call. */
export const toldOfCall = ({ isDropped, outcome }: Pick<ConversationCall, "isDropped" | "outcome">) => {
  const told = toldOf(outcome ?? { _tag: "ToolInterrupted" })
  return isDropped === true ? { ...told, result: left } : told
}

/** What tools answered with that can be seen. */
export const picturesIn = ({ calls }: AssistantEntry): ReadonlyArray<MessageAttachment> =>
  calls.flatMap(({ isDropped, outcome }) =>
    isDropped !== true && outcome?._tag === "ToolCompleted" ? picturesOf(outcome.result) : []
  )

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

/** What was summed up or left out, by the newest of the events that tell of it. */
const compactedBy = (events: ReadonlyArray<Recorded>) => {
  let summary: string | undefined
  let summedUp = 0
  let withoutResults = 0
  for (const { event } of events) {
    if (event._tag !== "ContextCompacted") continue
    if (event.summary === undefined) withoutResults = Math.max(withoutResults, event.upTo)
    else {
      summary = summaryText(event.summary)
      summedUp = event.upTo
    }
  }
  return { summary, summedUp, withoutResults }
}

/** As the model is shown it, in place of what it sums up. */
export const summaryText = (summary: string): string => `[Summary of the conversation so far]\n${summary}`

/** The entries that events tell of, in order. Calls that persons made, and turns that were rolled back, are no part of it. */
export const fromEvents = (events: ReadonlyArray<Recorded>): Array<Entry> => {
  const entries: Array<Entry> = []
  const messages = new Map<MessageId, Pick<UserEntry, "text" | "attachments">>()
  const { summary, summedUp, withoutResults } = compactedBy(events)
  if (summary !== undefined) entries.push({ _tag: "User", text: summary, sequence: summedUp })
  const calls = new Map<CallId, ConversationCall>()
  const undone = new Set(events.flatMap(({ event }) => (event._tag === "TurnRolledBack" ? [event.turnId] : [])))
  const owners = new Map<CallId, AssistantEntry>()
  let step: Array<ConversationCall> | undefined
  let entry: AssistantEntry | undefined
  const isGone = (turnId: TurnId, sequence: number): boolean => sequence <= summedUp || undone.has(turnId)
  for (const { event, sequence } of events) {
    switch (event._tag) {
      case "MessageReceived":
        messages.set(event.messageId, {
          text: event.from === undefined ? event.text : `[from agent ${nameOf(event.from)}] ${event.text}`,
          attachments: event.attachments
        })
        break
      case "TurnStarted": {
        const message = messages.get(event.messageId)
        messages.delete(event.messageId)
        step = undefined
        if (message !== undefined && !isGone(event.turnId, sequence))
          entries.push({ _tag: "User", ...message, sequence })
        break
      }
      case "MessageSettled":
        if (isGone(event.turnId, sequence)) break
        step = []
        entry = { _tag: "Assistant", text: event.text, calls: step, parts: event.answer?.parts, sequence }
        entries.push(entry)
        break
      case "ToolCallRequested": {
        if (event.turnId === undefined || isGone(event.turnId, sequence)) break
        const call: ConversationCall = {
          callId: event.callId,
          tool: event.tool,
          args: event.args,
          outcome: undefined
        }
        calls.set(call.callId, call)
        if (step === undefined) {
          step = []
          entry = { _tag: "Assistant", text: "", calls: step, parts: event.answer?.parts, sequence }
          entries.push(entry)
        }
        step.push(call)
        if (entry !== undefined) {
          entry.sequence = sequence
          owners.set(call.callId, entry)
        }
        break
      }
      case "ToolCallSettled": {
        const call = calls.get(event.callId)
        if (call === undefined) break
        call.outcome = event.outcome
        if (sequence <= withoutResults) call.isDropped = true
        const owner = owners.get(event.callId)
        if (owner !== undefined) owner.sequence = sequence
        step = undefined
        break
      }
      default:
        break
    }
  }
  return entries
}

/** Characters. What is in pictures is not counted as text: a picture is about as much as a page. */
const sizeOfAttachment = (attachment: MessageAttachment): number =>
  attachment._tag === "Text" ? attachment.text.length : 4_000

export const sizeOf = (entry: Entry): number =>
  entry._tag === "User"
    ? (entry.attachments ?? []).reduce((size, one) => size + sizeOfAttachment(one), entry.text.length)
    : entry.calls.reduce(
        (size, call) =>
          size +
          JSON.stringify(call.args).length +
          (call.outcome === undefined ? 0 : JSON.stringify(toldOfCall(call).result).length),
        entry.text.length +
          (entry.parts === undefined ? 0 : sizeOfParts(entry.parts)) +
          picturesIn(entry).reduce((size, one) => size + sizeOfAttachment(one), 0)
      )

/** The first message of a user from there on; one where a step begins is worth a few that would fit as well. */
const beginning = (entries: ReadonlyArray<Entry>, from: number): number => {
  const stepOf = (index: number): number => Math.floor((entries[index]?.sequence ?? 0) / STEP)
  const isUser = ({ _tag }: Entry, index: number): boolean => index >= from && _tag === "User"
  const steady = entries.findIndex((entry, index) => isUser(entry, index) && stepOf(index) > stepOf(index - 1))
  return steady !== -1 && steady - from <= (entries.length - from) / 4 ? steady : entries.findIndex(isUser)
}

/** The newest entries that fit, beginning with a user's message. */
export const bounded = (entries: ReadonlyArray<Entry>, characters = MAX_CHARACTERS): ReadonlyArray<Entry> => {
  const current = entries.findLastIndex(({ _tag }) => _tag === "User")
  let left = characters
  let from = entries.length
  while (from > 0 && entries.length - from < MAX_ENTRIES) {
    const entry = entries[from - 1]
    if (entry === undefined) break
    left -= sizeOf(entry)
    if (left < 0 && from < entries.length) break
    from--
  }
  if (from === 0 && entries[0]?._tag === "User") return entries
  const start = from === 0 ? entries.findIndex(({ _tag }) => _tag === "User") : beginning(entries, from)
  if (start !== -1) return entries.slice(start)
  const message = entries[current]
  return message === undefined ? entries.slice(from) : [message, ...entries.slice(from)]
}
