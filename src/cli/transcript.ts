/** A conversation as Markdown. */
import { DateTime } from "effect"
import type { Message, Session } from "../../services/session/Session.ts"

const time = (at: number): string => DateTime.formatIso(DateTime.makeUnsafe(at)).replace("T", " ").slice(0, 19)

/** A fence that the text does not hold. */
const fenced = (text: string, language = ""): string => {
  const longest = Math.max(2, ...Array.from(text.matchAll(/`+/g), ([ticks]) => ticks.length))
  const fence = "`".repeat(longest + 1)
  return `${fence}${language}\n${text}\n${fence}`
}

const attached = (names: ReadonlyArray<string> = []): string =>
  names.length === 0 ? "" : `\n\n_With ${names.join(", ")}_`

const section = (message: Message): string => {
  switch (message._tag) {
    case "UserMessage":
      return `## ${message.from === undefined ? "You" : "Another agent"}\n\n_${time(message.at)}_\n\n${message.text}${attached(message.attachments)}`
    case "AssistantMessage":
      return `## Assistant${message.partial ? " (cut off)" : ""}\n\n_${time(message.at)}_\n\n${message.text}`
    // ToolMessage
    default: {
      const args = fenced(JSON.stringify(message.args, null, 2), "json")
      const outcome =
        message.outcome === undefined ? "_not ended_" : fenced(JSON.stringify(message.outcome, null, 2), "json")
      return `### Tool: ${message.tool}\n\n_${time(message.at)}_\n\n${args}\n\n${outcome}`
    }
  }
}

export const toMarkdown = (session: Session, messages: ReadonlyArray<Message>): string =>
  [
    `# ${session.title === "" ? session.id : session.title}`,
    `Session \`${session.id}\``,
    ...messages.map(section),
    ""
  ].join("\n\n")
