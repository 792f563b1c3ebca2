/** What holds for the events of every session, whatever happened to it. */
import { assert } from "@effect/vitest"
import type { RuntimeEvent } from "../../services/events/RuntimeEvent.ts"

export const assertLaws = (events: ReadonlyArray<RuntimeEvent>): void => {
  const messages = new Set<string>()
  const turns = new Map<string, "running" | "over">()
  const calls = new Map<string, "asked" | "settled">()
  const answered = new Set<string>()
  const subs = new Map<string, "alive" | "ended">()
  const permissions = new Map<string, "pending" | "allow" | "deny">()
  const questions = new Map<string, string>()
  events.forEach((event, index) => {
    assert.isTrue((event._tag === "SessionStarted") === (index === 0), "starts once, first")
    switch (event._tag) {
      case "MessageReceived":
        assert.isFalse(messages.has(event.messageId), "a message is accepted once")
        messages.add(event.messageId)
        break
      case "TurnStarted":
        assert.isFalse(Array.from(turns.values()).includes("running"), "one turn at a time")
        assert.isTrue(messages.has(event.messageId) && !answered.has(event.messageId), "a message has one turn")
        answered.add(event.messageId)
        turns.set(event.turnId, "running")
        break
      case "MessageSettled":
        assert.strictEqual(turns.get(event.turnId), "running", "a turn speaks while it runs")
        break
      case "ToolCallRequested":
        assert.isFalse(calls.has(event.callId), "a call is asked for once")
        if (event.turnId !== undefined) assert.strictEqual(turns.get(event.turnId), "running")
        calls.set(event.callId, "asked")
        break
      case "ToolCallSettled":
        assert.strictEqual(calls.get(event.callId), "asked", "a call that was asked for is settled once")
        calls.set(event.callId, "settled")
        break
      case "PermissionRequested":
        if (event.path === undefined) {
          assert.strictEqual(calls.get(event.callId), "asked", "a call that is not settled is asked about")
        }
        assert.isFalse(permissions.has(event.permissionId), "asked once")
        permissions.set(event.permissionId, "pending")
        break
      case "PermissionResolved":
        assert.strictEqual(permissions.get(event.permissionId), "pending", "answered once")
        permissions.set(event.permissionId, event.decision)
        break
      case "QuestionAsked":
        assert.isTrue(event.path !== undefined || Array.from(calls.values()).includes("asked"), "a call asks")
        assert.isFalse(questions.has(event.questionId), "asked once")
        questions.set(event.questionId, "pending")
        break
      case "QuestionSettled":
        assert.strictEqual(questions.get(event.questionId), "pending", "a question is settled once")
        questions.set(event.questionId, event.action)
        break
      case "ToolCallQueued":
        assert.strictEqual(calls.get(event.callId), "asked", "a call that is not settled goes to the pool")
        break
      case "SubSessionStarted":
        assert.isFalse(subs.has(event.sessionId), "begins once")
        subs.set(event.sessionId, "alive")
        break
      case "SubSessionEnded":
        assert.strictEqual(subs.get(event.sessionId), "alive", "ends once")
        subs.set(event.sessionId, "ended")
        break
      case "TurnRolledBack":
        assert.strictEqual(turns.get(event.turnId), "running", "a turn is rolled back before it ends")
        break
      case "TurnEnded":
        assert.strictEqual(turns.get(event.turnId), "running", "a turn ends once")
        turns.set(event.turnId, "over")
        break
      case "SessionEnded":
        assert.strictEqual(index, events.length - 1, "nothing follows the end")
        assert.isFalse(Array.from(turns.values()).includes("running"), "no turn outlives its session")
        assert.isFalse(Array.from(calls.values()).includes("asked"), "no call outlives its session")
        assert.isFalse(Array.from(subs.values()).includes("alive"), "no sub-session outlives its session")
        assert.isFalse(Array.from(permissions.values()).includes("pending"), "no permission outlives its session")
        assert.isFalse(Array.from(questions.values()).includes("pending"), "no question outlives its session")
        break
      default:
        break
    }
  })
}
