/** The conversation and the tools in the words of `effect/ai`. */
import { Effect } from "effect"
import { Prompt, Tool as AiTool, type Toolkit } from "effect/ai"
import { type AssistantEntry, bounded, type Entry, toldOf } from "../../services/session/Conversation.ts"
import type { Tool } from "../../services/tools/Tool.ts"

const said = (entry: AssistantEntry): Prompt.Message =>
  Prompt.makeMessage("assistant", {
    content: [
      ...(entry.text === "" ? [] : [Prompt.makePart("text", { text: entry.text })]),
      ...entry.calls.map(({ args, callId, tool }) =>
        Prompt.makePart("tool-call", { id: callId, name: tool, params: args, providerExecuted: false })
      )
    ]
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
