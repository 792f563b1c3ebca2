import { assert, describe, it } from "@effect/vitest"
import { Result, Schema } from "effect"
import * as Topic from "../../services/events/Topic.ts"
import type { Recorded } from "../../services/events/RuntimeEvent.ts"
import { Command, decide, MAILBOX_CAPACITY } from "../../services/session/decide.ts"
import { recall, REMEMBERED } from "../../services/session/RecentMessages.ts"
import type { SessionEvent } from "../../services/session/SessionEvent.ts"
import { CallId, MessageId, SessionId, TurnId } from "../../services/session/SessionId.ts"
import { fold, isOpen, type SessionState } from "../../services/session/SessionState.ts"
import { assertLaws } from "../support/sessionLaws.ts"

const id = SessionId.make("ses_one")
const topic = Topic.ofSession(id)
const message = (n: number) => MessageId.make(`msg_${n}`)

class Log {
  readonly events: Array<Recorded> = []
  state: SessionState

  constructor() {
    const state = this.#add(undefined, { _tag: "SessionStarted", title: "", agentType: "default", metadata: {} })
    if (state === undefined) throw new Error("no session")
    this.state = state
  }

  /** The tags that came of it, or the refusal's. */
  give(command: Command): ReadonlyArray<string> | string {
    const decision = decide(this.state, command)
    if (Result.isFailure(decision)) return decision.failure._tag
    for (const event of decision.success) this.state = this.#add(this.state, event) ?? this.state
    return decision.success.map(({ _tag }) => _tag)
  }

  #add(state: SessionState | undefined, event: SessionEvent): SessionState | undefined {
    const recorded: Recorded = { topic, sequence: this.events.length + 1, at: this.events.length, event }
    this.events.push(recorded)
    return fold(state, recorded)
  }
}

const send = (n: number) => Command.Send({ messageId: message(n), text: `${n}` })
const startTurn = (n: number) => Command.StartTurn({ turnId: TurnId.make(`turn_${n}`) })
const request = (turn: number, ...calls: ReadonlyArray<number>) =>
  Command.RequestCalls({
    turnId: TurnId.make(`turn_${turn}`),
    text: undefined,
    calls: calls.map((call) => ({ callId: CallId.make(`call_${call}`), tool: "echo", args: {} }))
  })
const settle = (call: number) =>
  Command.SettleCall({ callId: CallId.make(`call_${call}`), outcome: { _tag: "ToolCompleted", result: call } })
const endTurn = (turn: number, outcome: "completed" | "cancelled" | "failed") =>
  Command.EndTurn({ turnId: TurnId.make(`turn_${turn}`), outcome, text: undefined, failure: undefined })
const end = Command.End({ reason: "enough", text: undefined })

describe("decide", () => {
  it("gives the first waiting message its turn, and only one at a time", () => {
    const log = new Log()
    assert.deepStrictEqual(log.give(send(1)), ["MessageReceived"])
    assert.deepStrictEqual(log.give(send(2)), ["MessageReceived"])
    assert.deepStrictEqual(log.give(startTurn(1)), ["TurnStarted"])
    assert.deepStrictEqual(log.give(startTurn(2)), [])
    assert.strictEqual(log.state.turn?.messageId, message(1))
    assert.strictEqual(log.state.turn?.message, 2)
    assert.strictEqual(log.state.waiting.length, 1)
  })

  it("refuses what the mailbox does not take and remembers what it took", () => {
    const log = new Log()
    for (let i = 0; i < MAILBOX_CAPACITY; i++) log.give(send(i))
    assert.strictEqual(log.give(send(1_000)), "MailboxFull")
    assert.deepStrictEqual(log.give(send(0)), [])
    assert.strictEqual(recall(log.state.recent, message(0)), 2)
  })

  it("remembers the last 1,000 messages and no more", () => {
    const log = new Log()
    for (let i = 0; i <= REMEMBERED; i++) {
      log.give(send(i))
      log.give(startTurn(i))
      log.give(endTurn(i, "completed"))
    }
    assert.isUndefined(recall(log.state.recent, message(0)))
    assert.isDefined(recall(log.state.recent, message(1)))
    assert.strictEqual(log.state.recent.sequences.length, REMEMBERED)
  })

  it("counts calls that were asked for together as one step", () => {
    const log = new Log()
    log.give(send(1))
    log.give(startTurn(1))
    log.give(request(1, 1, 2, 3))
    assert.strictEqual(log.state.turn?.steps, 1)
    for (const call of [2, 1, 3]) log.give(settle(call))
    log.give(request(1, 4))
    assert.strictEqual(log.state.turn?.steps, 2)
  })

  it("ends a turn once, with an outcome for every call it left", () => {
    const log = new Log()
    log.give(send(1))
    log.give(startTurn(1))
    log.give(request(1, 1, 2))
    log.give(settle(1))
    assert.deepStrictEqual(log.give(endTurn(1, "cancelled")), ["ToolCallSettled", "TurnEnded"])
    assert.deepStrictEqual(log.give(endTurn(1, "completed")), [])
    assert.deepStrictEqual(log.give(settle(2)), [])
    assert.strictEqual(log.give(request(1, 3)), "TurnOver")
    assert.isFalse(isOpen(log.state))
  })

  it("leaves a turn alone that a late end of the one before was not meant for", () => {
    const log = new Log()
    log.give(send(1))
    log.give(send(2))
    log.give(startTurn(1))
    log.give(endTurn(1, "completed"))
    log.give(startTurn(2))
    assert.deepStrictEqual(log.give(endTurn(1, "cancelled")), [])
    assert.strictEqual(log.state.turn?.messageId, message(2))
  })

  it("takes nothing after the end", () => {
    const log = new Log()
    log.give(send(1))
    log.give(startTurn(1))
    log.give(request(1, 1))
    assert.deepStrictEqual(log.give(end), ["ToolCallSettled", "TurnEnded", "SessionEnded"])
    assert.strictEqual(log.give(send(2)), "SessionHasEnded")
    assert.deepStrictEqual(log.give(end), [])
    assert.deepStrictEqual(log.give(startTurn(2)), [])
  })

  const Choice = Schema.Struct({
    what: Schema.Literals(["send", "start", "request", "settle", "complete", "cancel", "fail", "update"]),
    which: Schema.Int.check(Schema.isBetween({ minimum: 0, maximum: 5 }))
  })

  it.prop(
    "keeps its laws under any commands in any order",
    [Schema.Array(Choice).check(Schema.isMinLength(30), Schema.isMaxLength(100)), Schema.Boolean],
    ([choices, isEnded]) => {
      const log = new Log()
      let turns = 0
      let asked = 0
      for (const { what, which } of choices) {
        switch (what) {
          case "send":
            log.give(send(which))
            break
          case "start":
            log.give(startTurn(turns++))
            break
          case "request":
            log.give(request(Math.max(0, turns - 1 - which), asked++))
            break
          case "settle":
            log.give(settle(which))
            break
          case "complete":
          case "cancel":
          case "fail":
            log.give(
              endTurn(
                Math.max(0, turns - 1 - which),
                what === "complete" ? "completed" : what === "cancel" ? "cancelled" : "failed"
              )
            )
            break
          case "update":
            log.give(Command.Update({ title: `${which}`, metadata: undefined }))
            break
        }
      }
      if (isEnded) log.give(end)
      log.give(send(99))
      assertLaws(log.events.map(({ event }) => event))
      // The state is the fold of the log and of nothing else.
      assert.deepStrictEqual(log.events.reduce<SessionState | undefined>(fold, undefined), log.state)
    },
    { arbitrary: { runs: 300 } }
  )
})
