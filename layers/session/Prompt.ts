/** The conversation and the tools in the words of `effect/ai`. */
import { Effect } from "effect"
import { Prompt, Tool as AiTool, type Toolkit } from "effect/ai"
import type { AnswerPart, PartOptions } from "../../services/model/ModelAnswer.ts"
import {
  type AssistantEntry,
  bounded,
  type ConversationCall,
  type Entry,
  toldOf
} from "../../services/session/Conversation.ts"
import type { Tool } from "../../services/tools/Tool.ts"

const called = ({ args, callId, tool }: ConversationCall, options?: PartOptions) =>
  Prompt.makePart("tool-call", { id: callId, name: tool, params: args, providerExecuted: false, options })

/** In the order in which it came, each part with what its provider attached to it. */
const saidInParts = ({ calls, text }: AssistantEntry, parts: ReadonlyArray<AnswerPart>) => {
  const content: Array<Prompt.AssistantMessagePart> = []
  let at = 0
  let call = 0
  for (const part of parts) {
    const { options } = part
    if (part._tag === "Reasoning") content.push(Prompt.makePart("reasoning", { text: part.text, options }))
    else if (part._tag === "Text") {
      const piece = text.slice(at, at + part.length)
      at += part.length
      if (piece !== "") content.push(Prompt.makePart("text", { text: piece, options }))
    } else {
      const next = calls[call++]
      if (next !== undefined) content.push(called(next, options))
    }
  }
  if (at < text.length) content.push(Prompt.makePart("text", { text: text.slice(at) }))
  for (const left of calls.slice(call)) content.push(called(left))
  return content
}

const said = (entry: AssistantEntry): Prompt.Message =>
  Prompt.makeMessage("assistant", {
    content:
      entry.parts === undefined
        ? [
            ...(entry.text === "" ? [] : [Prompt.makePart("text", { text: entry.text })]),
            ...entry.calls.map((call) => called(call))
          ]
        : saidInParts(entry, entry.parts)
  })

/** The results in the order of the calls, whichever ended first. */
const results = (entry: AssistantEntry): Prompt.Message =>
  Prompt.makeMessage("tool", {
    content: entry.calls.map(({ callId, outcome, tool }) =>
      Prompt.makePart("tool-result", {
        id: callId,
        name: tool,
        providerExecuted: false,
        ...toldOf(outcome ?? { _tag: "ToolInterrupted" })
      })
    )
  })

const messagesOf = (entry: Entry): ReadonlyArray<Prompt.Message> => {
  if (entry._tag === "User") {
    return [Prompt.makeMessage("user", { content: [Prompt.makePart("text", { text: entry.text })] })]
  }
  return entry.calls.length === 0 ? [said(entry)] : [said(entry), results(entry)]
}

export const promptOf = (entries: ReadonlyArray<Entry>): Prompt.Prompt =>
  Prompt.fromMessages(bounded(entries).flatMap(messagesOf))

const offer = ({ description, name, parameters }: Tool) => AiTool.dynamic(name, { description, parameters })

export type OfferedTools = Toolkit.WithHandler<Record<string, ReturnType<typeof offer>>>

/** The tools as a model is offered them. It only names them: the turn runs them itself. */
export const offered = (tools: ReadonlyArray<Tool>): OfferedTools => ({
  tools: Object.fromEntries(tools.map((tool) => [tool.name, offer(tool)])),
  handle: (name) => Effect.die(new Error(`${name} is run by the turn, not by the model`))
})
