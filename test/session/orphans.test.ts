import { assert, describe, it } from "@effect/vitest"
import { Result, Schema } from "effect"
import type { Prompt } from "effect/ai"
import { promptOf } from "../../layers/session/Prompt.ts"
import { LOCAL } from "../../services/access/Person.ts"
import type { Recorded } from "../../services/events/RuntimeEvent.ts"
import * as Topic from "../../services/events/Topic.ts"
import { PermissionId } from "../../services/permission/Permission.ts"
import { fromEvents } from "../../services/session/Conversation.ts"
import { Command, decide } from "../../services/session/decide.ts"
import type { SessionEvent, ToolOutcome } from "../../services/session/SessionEvent.ts"
import { CallId, MessageId, SessionId, TurnId } from "../../services/session/SessionId.ts"
import { fold, type SessionState } from "../../services/session/SessionState.ts"
import { assertLaws } from "../support/sessionLaws.ts"

const id = SessionId.make("ses_random")
const topic = Topic.ofSession(id)

const Step = Schema.Struct({
  kind: Schema.Literals([
    "send",
    "interrupt",
    "roll back",
    "round",
    "round",
    "settle",
    "settle",
    "answer",
    "end",
    "compact"
  ]),
  n: Schema.Int.check(Schema.isBetween({ minimum: 0, maximum: 7 })),
  flag: Schema.Boolean
})

/** A journal as a session makes it: whatever is decided follows from what was before. */
const journalOf = (steps: ReadonlyArray<typeof Step.Type>): ReadonlyArray<Recorded> => {
  const events: Array<Recorded> = []
  let state: SessionState | undefined
  let count = 0
  const add = (event: SessionEvent) => {
    const recorded = { topic, sequence: events.length + 1, at: 0, event }
    events.push(recorded)
    state = fold(state, recorded)
  }
  add({ _tag: "SessionStarted", title: "", agentType: "default", metadata: {} })
  const give = (command: Command) => {
    if (state === undefined) return
    const decision = decide(state, command)
    if (Result.isSuccess(decision)) decision.success.forEach(add)
  }
  const begin = () => give(Command.StartTurn({ turnId: TurnId.make(`turn_${count++}`) }))
  for (const { flag, kind, n } of steps) {
    const turnId: TurnId = state?.turn?.id ?? TurnId.make("turn_none")
    const messageId = MessageId.make(`msg_${count++}`)
    const text = flag ? { messageId: MessageId.make(`msg_a${count}`), text: `said ${count}` } : undefined
    const outcome: ToolOutcome = flag ? { _tag: "ToolCompleted", result: n } : { _tag: "ToolCancelled" }
    const call = state?.calls[n % Math.max(1, state.calls.length)]
    switch (kind) {
      case "send":
        give(Command.Send({ messageId, text: kind }))
        break
      case "interrupt":
        give(Command.Send({ messageId, text: kind, whenBusy: "interrupt" }))
        break
      case "roll back":
        give(Command.Send({ messageId, text: kind, whenBusy: "rollback" }))
        break
      case "round": {
        // The turn asks for calls only once those before are settled.
        if ((state?.calls.length ?? 0) > 0) break
        const calls = Array.from({ length: 1 + (n % 4) }, (_, index) => ({
          callId: CallId.make(`call_${count++}`),
          tool: "echo",
          args: { n },
          ...(n === 7 && { outcome }),
          ...(n > 4 &&
            n < 7 && {
              asks: { permissionId: PermissionId.make(`perm_${count}${index}`), classes: [], hash: "h", expiresAt: 9 }
            })
        }))
        give(Command.RequestCalls({ turnId, text, calls }))
        break
      }
      case "settle":
        if (call !== undefined) give(Command.SettleCall({ callId: call.callId, outcome }))
        break
      case "answer": {
        const [asked] = state?.permission.pending ?? []
        if (asked === undefined) break
        const { permissionId } = asked
        const decision = flag ? ("allow" as const) : ("deny" as const)
        give(Command.AnswerPermission({ permissionId, decision, hash: "h", person: LOCAL, allowed: undefined, now: 1 }))
        break
      }
      case "compact":
        give(
          Command.Compact({
            turnId,
            upTo: Math.max(0, (state?.sequence ?? 0) - n),
            dropped: 1,
            summary: flag ? "the summary" : undefined
          })
        )
        break
      case "end":
        give(Command.EndTurn({ turnId, text, outcome: flag ? "completed" : "cancelled", failure: undefined }))
        break
    }
    if (state?.turn === undefined) begin()
  }
  return events
}

/** Every call has its result in the message after it, in the order of the calls, and no result is without its call. */
const assertPaired = ({ content }: Prompt.Prompt): void => {
  const seen = new Set<string>()
  content.forEach((message, index) => {
    if (message.role === "assistant") {
      const asked = message.content.flatMap((part) => (part.type === "tool-call" ? [part.id] : []))
      const next = content[index + 1]
      const told =
        next?.role === "tool" ? next.content.flatMap((part) => (part.type === "tool-result" ? [part.id] : [])) : []
      assert.deepStrictEqual(told, asked)
      for (const callId of asked) {
        assert.isFalse(seen.has(callId), "a call is shown once")
        seen.add(callId)
      }
    }
    if (message.role === "tool") assert.strictEqual(content[index - 1]?.role, "assistant")
  })
}

describe("what reaches a provider", () => {
  it.prop(
    "has no call without its result and no result without its call, wherever the process died",
    [Schema.Array(Step).check(Schema.isMinLength(5), Schema.isMaxLength(60)), Schema.Finite, Schema.Finite],
    ([steps, one, other]) => {
      const events = journalOf(steps)
      assertLaws(events.map(({ event }) => event))
      const at = (share: number) => Math.floor((Math.abs(share) % 1) * events.length)
      // Any prefix, and any window of it: the oldest events are not read.
      for (const end of [events.length, at(one)]) {
        for (const from of [0, Math.min(end, at(other))]) {
          assertPaired(promptOf(fromEvents(events.slice(from, end)), "be brief"))
        }
      }
    },
    { arbitrary: { runs: 500 } }
  )
})
