/** The conversation and the tools in the words of `effect/ai`. */
import { Effect } from "effect"
import { Prompt, Tool as AiTool, type Toolkit } from "effect/ai"
import type { AnswerPart, PartOptions } from "../../services/model/ModelAnswer.ts"
import {
  type AssistantEntry,
  bounded,
  type ConversationCall,
  type Entry,
  toldOfCall
} from "../../services/session/Conversation.ts"
import type { MessageAttachment } from "../../services/session/MessageAttachment.ts"
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
    content: entry.calls.map((call) =>
      Prompt.makePart("tool-result", {
        id: call.callId,
        name: call.tool,
        providerExecuted: false,
        ...toldOfCall(call)
      })
    )
  })

const attached = (attachment: MessageAttachment) =>
  attachment._tag === "Text"
    ? Prompt.makePart("text", { text: `[${attachment.name}]\n${attachment.text}` })
    : Prompt.makePart("file", {
        mediaType: attachment.mediaType,
        data: attachment.data,
        ...(attachment.name === undefined ? undefined : { fileName: attachment.name })
      })

const messagesOf = (entry: Entry): ReadonlyArray<Prompt.Message> => {
  if (entry._tag === "User") {
    const { attachments = [], text } = entry
    return [Prompt.makeMessage("user", { content: [Prompt.makePart("text", { text }), ...attachments.map(attached)] })]
  }
  return entry.calls.length === 0 ? [said(entry)] : [said(entry), results(entry)]
}

/** `system`: what the model is told before everything else. */
export const promptOf = (entries: ReadonlyArray<Entry>, system?: string, characters?: number): Prompt.Prompt =>
  Prompt.fromMessages([
    ...(system === undefined ? [] : [Prompt.makeMessage("system", { content: system })]),
    ...bounded(entries, characters).flatMap(messagesOf)
  ])

const offer = ({ description, name, parameters }: Tool) => AiTool.dynamic(name, { description, parameters })

export type OfferedTools = Toolkit.WithHandler<Record<string, ReturnType<typeof offer>>>

/** The tools as a model is offered them. It only names them: the turn runs them itself. */
export const offered = (tools: ReadonlyArray<Tool>): OfferedTools => ({
  tools: Object.fromEntries(tools.map((tool) => [tool.name, offer(tool)])),
  handle: (name) => Effect.die(new Error(`${name} is run by the turn, not by the model`))
})

/** For a model that is to answer and to call nothing. */
export const noTools: OfferedTools = offered([])
