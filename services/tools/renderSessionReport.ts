/** The Markdown report of what a session did. */
import { DateTime } from "effect"
import { count, escape, table, truncate } from "./markdown.ts"
import type { Said } from "./sessionActivity.ts"
import { limits, type SessionReport } from "./SessionReport.ts"

export interface Findings extends Omit<SessionReport, "report"> {
  readonly endReason: string
  readonly said: ReadonlyArray<Said>
}

const time = (at: number) => `${DateTime.formatIso(DateTime.makeUnsafe(at)).slice(0, 19).replace("T", " ")} UTC`

export const duration = (milliseconds: number): string => {
  if (milliseconds < 1_000) return `${milliseconds} ms`
  const seconds = milliseconds / 1_000
  if (seconds < 60) return `${seconds.toFixed(1)} s`
  const minutes = Math.floor(seconds / 60)
  return minutes < 60
    ? `${minutes} min ${Math.floor(seconds % 60)} s`
    : `${Math.floor(minutes / 60)} h ${minutes % 60} min`
}

const plural = (value: number, noun: string) => `${count(value)} ${noun}${value === 1 ? "" : "s"}`

const newest = (shown: number, total: number) =>
  total > shown ? `\n\nThe newest ${count(shown)} of ${count(total)}.` : ""

const excerpt = (text: string) =>
  escape(text.length > limits.messageCharacters ? `${text.slice(0, limits.messageCharacters)}…` : text)

export const render = (findings: Findings): string => {
  const { messages, turns } = findings
  const end = findings.endedAt ?? findings.lastEventAt
  const turnsEnded = turns.completed + turns.cancelled + turns.failed
  const sections = [
    `# Session report\n\n**${escape(findings.title === "" ? findings.sessionId : findings.title)}** (${findings.sessionId}, agent type ${escape(findings.agentType)})`,
    [
      `Started ${time(findings.startedAt)}; ${
        findings.endedAt === undefined
          ? `last event ${time(findings.lastEventAt)}`
          : `ended ${time(findings.endedAt)} (${escape(findings.endReason)})`
      }; ${duration(Math.max(0, end - findings.startedAt))} in all.`,
      ...(findings.notKept === undefined
        ? []
        : [`No longer kept: its first ${plural(findings.notKept, "event")}; what follows tells of those after.`]),
      `${plural(messages.user, "message")} from the user, ${count(messages.assistant)} from the assistant.`,
      `${plural(turnsEnded, "turn")} ended: ${count(turns.completed)} completed, ${count(turns.cancelled)} cancelled, ${count(turns.failed)} failed${turns.running > 0 ? `; ${count(turns.running)} running` : ""}.`
    ].join("\n"),
    findings.tools.length === 0
      ? "## Tools\n\nNo tool was called."
      : `## Tools\n\n${table(
          ["Tool", "Calls", "Completed", "Failed", "Cancelled", "Interrupted", "Running", "Duration"],
          findings.tools.map((use) => [
            use.tool,
            use.calls,
            use.completed,
            use.failed,
            use.cancelled,
            use.interrupted,
            use.unsettled,
            duration(use.duration)
          ])
        )}`
  ]
  if (findings.workers.length > 0) {
    sections.push(
      `## Workers\n\n${table(
        ["Worker", "Tool", "Status", "Attempts", "Waited", "Worked"],
        findings.workers.map(({ attempts, status, tool, waited, workerId, worked }) => [
          workerId,
          tool,
          status,
          attempts,
          waited === undefined ? "" : duration(waited),
          worked === undefined ? "" : duration(worked)
        ])
      )}${newest(findings.workers.length, findings.workerCount)}`
    )
  }
  if (findings.failures.length > 0) {
    sections.push(
      `## Failures\n\n${table(
        ["When", "What", "Code", "Reason"],
        findings.failures.map(({ at, failure, subject }) => [time(at), subject, failure.code, failure.message])
      )}${newest(findings.failures.length, findings.failureCount)}`
    )
  }
  if (findings.said.length > 0) {
    sections.push(
      `## Messages\n\n${findings.said
        .map(({ at, text, who }) => `- **${who}**, ${time(at)}: ${excerpt(text)}`)
        .join("\n")}${newest(findings.said.length, messages.user + messages.assistant)}`
    )
  }
  return truncate(`${sections.join("\n\n")}\n`, limits.reportCharacters)
}
