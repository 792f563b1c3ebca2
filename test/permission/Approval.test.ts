import { assert, describe, it } from "@effect/vitest"
import { Result, Schema } from "effect"
import { LOCAL } from "../../services/access/Person.ts"
import * as Topic from "../../services/events/Topic.ts"
import { PermissionId } from "../../services/permission/Permission.ts"
import { Command, decide } from "../../services/session/decide.ts"
import type { SessionEvent } from "../../services/session/SessionEvent.ts"
import { CallId, MessageId, SessionId, TurnId } from "../../services/session/SessionId.ts"
import { fold, type SessionState } from "../../services/session/SessionState.ts"
import { WorkerId } from "../../services/worker/WorkerId.ts"

const id = SessionId.make("ses_asking")
const topic = Topic.ofSession(id)
const turnId = TurnId.make("turn_1")
const permission = (n: number) => PermissionId.make(`perm_${n}`)
const call = (n: number) => CallId.make(`call_${n}`)
const EXPIRES = 100

const Calls = Schema.Int.check(Schema.isBetween({ minimum: 0, maximum: 2 }))
const Step = Schema.Union([
  Schema.Struct({
    kind: Schema.Literals(["answer"]),
    n: Calls,
    decision: Schema.Literals(["allow", "deny"]),
    hash: Schema.Literals(["right", "right", "right", "wrong"]),
    person: Schema.Literals([LOCAL, LOCAL, LOCAL, "mallory"])
  }),
  Schema.Struct({ kind: Schema.Literals(["queue", "expire", "settle"]), n: Calls }),
  Schema.Struct({ kind: Schema.Literals(["wait", "end turn"]), n: Calls })
])

/** Three calls that wait to be allowed. */
const asking = (): { state: SessionState; readonly events: Array<SessionEvent> } => {
  const start: SessionEvent = { _tag: "SessionStarted", title: "", agentType: "default", metadata: {} }
  const state = fold(undefined, { topic, sequence: 1, at: 0, event: start })
  if (state === undefined) throw new Error("no session")
  const world = { state, events: [start] }
  give(world, Command.Send({ messageId: MessageId.make("msg_1"), text: "go" }))
  give(world, Command.StartTurn({ turnId }))
  const calls = [0, 1, 2].map((n) => ({
    callId: call(n),
    tool: "shell",
    args: { n },
    asks: { permissionId: permission(n), classes: ["exec"] as const, expiresAt: EXPIRES, hash: `hash ${n}` }
  }))
  give(world, Command.RequestCalls({ turnId, text: undefined, calls }))
  return world
}

const give = (world: ReturnType<typeof asking>, command: Command): string => {
  const decision = decide(world.state, command)
  if (Result.isFailure(decision)) return decision.failure._tag
  for (const event of decision.success) {
    const recorded = { topic, sequence: world.state.sequence + 1, at: 0, event }
    world.state = fold(world.state, recorded) ?? world.state
    world.events.push(event)
  }
  return "ok"
}

describe("approval", () => {
  it.prop(
    "there is no way from a question to a tool that runs but a fresh answer, of the right person, in time, once",
    [Schema.Array(Step).check(Schema.isMaxLength(25))],
    ([steps]) => {
      const world = asking()
      let now = 0
      const allowed = new Set<number>()
      const resolved = new Set<number>()
      for (const step of steps) {
        const { n } = step
        switch (step.kind) {
          case "answer": {
            const { decision, person } = step
            const hash = step.hash === "right" ? `hash ${n}` : `hash ${(n + 1) % 3}`
            const isGood = person === LOCAL && step.hash === "right" && now < EXPIRES && !resolved.has(n)
            const answer = { permissionId: permission(n), decision, hash, person, now, allowed: undefined }
            assert.strictEqual(give(world, Command.AnswerPermission(answer)) === "ok", isGood)
            if (!isGood) break
            resolved.add(n)
            if (decision === "allow") allowed.add(n)
            break
          }
          case "queue": {
            const isQueued = give(world, Command.QueueCall({ callId: call(n), workerId: WorkerId.make(`wrk_${n}`) }))
            assert.strictEqual(isQueued === "ok", allowed.has(n))
            allowed.delete(n)
            break
          }
          case "expire":
            give(world, Command.ExpirePermission({ permissionId: permission(n), now }))
            if (now >= EXPIRES) resolved.add(n)
            break
          case "settle":
            give(world, Command.SettleCall({ callId: call(n), outcome: { _tag: "ToolCancelled" } }))
            resolved.add(n)
            allowed.delete(n)
            break
          case "end turn":
            give(world, Command.EndTurn({ turnId, outcome: "cancelled", text: undefined, failure: undefined }))
            for (const each of [0, 1, 2]) resolved.add(each)
            allowed.clear()
            break
          case "wait":
            now += 40
            break
        }
        const { pending } = world.state.permission
        assert.deepStrictEqual(
          pending.map(({ permissionId }) => permissionId),
          [0, 1, 2].filter((each) => !resolved.has(each)).map(permission)
        )
      }
      for (const each of [0, 1, 2]) {
        const told = world.events.filter(
          (event) => event._tag === "PermissionResolved" && event.permissionId === permission(each)
        )
        assert.strictEqual(told.length, resolved.has(each) ? 1 : 0, "resolved once")
        const settled = world.events.filter((event) => event._tag === "ToolCallSettled" && event.callId === call(each))
        assert.isAtMost(settled.length, 1, "settled once")
      }
    },
    { arbitrary: { runs: 500 } }
  )

  it("a call that was not allowed is settled with the answer itself", () => {
    const world = asking()
    const answer = { permissionId: permission(1), hash: "hash 1", person: LOCAL, now: 1, allowed: undefined }
    give(world, Command.AnswerPermission({ ...answer, decision: "deny" }))
    assert.deepStrictEqual(
      world.events.slice(-2).map(({ _tag }) => _tag),
      ["PermissionResolved", "ToolCallSettled"]
    )
    assert.strictEqual(
      give(world, Command.AnswerPermission({ ...answer, decision: "allow" })),
      "PermissionAlreadyResolved"
    )
    give(world, Command.ExpirePermission({ permissionId: permission(2), now: EXPIRES }))
    assert.strictEqual(
      give(
        world,
        Command.AnswerPermission({ ...answer, permissionId: permission(2), hash: "hash 2", decision: "allow" })
      ),
      "PermissionExpired"
    )
  })
})
