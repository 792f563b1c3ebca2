/** Journals of sessions to which anything happens, in any order. */
import { Result, Schema } from "effect"
import { LOCAL } from "../../services/access/Person.ts"
import type { Recorded } from "../../services/events/RuntimeEvent.ts"
import * as Topic from "../../services/events/Topic.ts"
import type { AnswerPart, ModelAnswer } from "../../services/model/ModelAnswer.ts"
import { none } from "../../services/model/Usage.ts"
import { PermissionId } from "../../services/permission/Permission.ts"
import { Command, decide } from "../../services/session/decide.ts"
import type { SessionEvent, ToolOutcome } from "../../services/session/SessionEvent.ts"
import { CallId, MessageId, SessionId, TurnId } from "../../services/session/SessionId.ts"
import { fold, type SessionState } from "../../services/session/SessionState.ts"
import { sealOf } from "./wire/Wire.ts"

const id = SessionId.make("ses_random")
const topic = Topic.ofSession(id)

export const Step = Schema.Struct({
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

/** What a provider signs, for each of those that do. */
const signed = (text: string): AnswerPart => ({
  _tag: "Reasoning",
  text,
  options: {
    anthropic: { signature: sealOf(text) },
    openai: { itemId: `rs_${text}`, reasoningEncryptedContent: sealOf(text) }
  }
})

/** An answer as models give it: thoughts before, between and after, and blank lines. */
const answerOf = (n: number, text: string | undefined, calls: number): ModelAnswer => {
  const parts: ReadonlyArray<AnswerPart> = [
    ...(n % 2 === 0 ? [signed("first")] : []),
    ...(text === undefined ? [] : [{ _tag: "Text", length: text.length } as const]),
    ...(n % 3 === 0 ? [signed("then")] : []),
    ...Array.from({ length: calls }, () => ({ _tag: "Call" }) as const),
    ...(n % 5 === 0 ? [signed("at last")] : [])
  ]
  return { usage: none, ...(n === 7 ? undefined : { parts }) }
}

/** A journal as a session makes it: whatever is decided follows from what was before. What was appended at once has the same time. */
export const journalOf = (steps: ReadonlyArray<typeof Step.Type>): ReadonlyArray<Recorded> => {
  const events: Array<Recorded> = []
  let state: SessionState | undefined
  let count = 0
  let appends = 0
  const add = (event: SessionEvent) => {
    const recorded = { topic, sequence: events.length + 1, at: appends, event }
    events.push(recorded)
    state = fold(state, recorded)
  }
  add({ _tag: "SessionStarted", title: "", agentType: "default", metadata: {} })
  const give = (command: Command) => {
    if (state === undefined) return
    const decision = decide(state, command)
    appends++
    if (Result.isSuccess(decision)) decision.success.forEach(add)
  }
  const begin = () => give(Command.StartTurn({ turnId: TurnId.make(`turn_${count++}`) }))
  for (const { flag, kind, n } of steps) {
    const turnId: TurnId = state?.turn?.id ?? TurnId.make("turn_none")
    const messageId = MessageId.make(`msg_${count++}`)
    const text = flag
      ? { messageId: MessageId.make(`msg_a${count}`), text: n === 1 ? "\n\n" : `said ${count}` }
      : undefined
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
          tool: n === 2 ? "no such tool!" : "echo",
          args: { n },
          ...(n === 7 && { outcome }),
          ...(n > 4 &&
            n < 7 && {
              asks: { permissionId: PermissionId.make(`perm_${count}${index}`), classes: [], hash: "h", expiresAt: 9 }
            })
        }))
        give(Command.RequestCalls({ turnId, text, calls, answer: answerOf(n, text?.text, calls.length) }))
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
        give(
          Command.EndTurn({
            turnId,
            text,
            outcome: flag ? "completed" : "cancelled",
            failure: undefined,
            answer: flag ? answerOf(n, text?.text, n % 2) : undefined
          })
        )
        break
    }
    if (state?.turn === undefined) begin()
  }
  return events
}
