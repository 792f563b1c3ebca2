/** Messages that come at every instant of a turn, and what becomes of them and of it. */
import { assert, describe, it } from "@effect/vitest"
import { Deferred, Effect, Fiber, Schema, Scheduler, Stream } from "effect"
import { TestClock } from "effect/testing"
import type { Prompt } from "effect/ai"
import type { RuntimeEvent } from "../../services/events/RuntimeEvent.ts"
import type { WhenBusy } from "../../services/session/SessionEvent.ts"
import type { MessageId, SessionId } from "../../services/session/SessionId.ts"
import { SessionManager } from "../../services/session/SessionManager.ts"
import { calls, layer as scripted, type Part, says } from "../support/ScriptedModel.ts"
import { assertLaws } from "../support/sessionLaws.ts"
import { eventsOf, inProcess, layerDurable, SessionWorld } from "../support/SessionWorld.ts"

const isLong = process.env["ESPALIER_LONG"] !== undefined
/** Instants at which the second message comes: every one of them, and in the short run one in seventeen. */
const STRIDE = isLong ? 1 : 17
/** Of real time, since hashes are made beside the test's clock. */
const PATIENCE = 20_000
const PROGRAMS = isLong ? 1_000 : 25

/** The rounds that each message asks for, told by its first word. */
const rounds: Record<string, ReadonlyArray<ReadonlyArray<readonly [tool: string, args: unknown]>>> = {
  work: [
    [
      ["echo", { text: "one" }],
      ["wait_heavy", {}],
      ["delegate", { task: "below" }]
    ],
    [["shell", { text: "two" }]],
    [["echo", { text: "three" }]]
  ],
  below: [[["echo", { text: "four" }]]],
  ask: [[["wait_shell", {}]]]
}

const textsIn = ({ content }: Prompt.Prompt): ReadonlyArray<string> =>
  content.flatMap((message) =>
    message.role === "user" ? message.content.flatMap((part) => (part.type === "text" ? [part.text] : [])) : []
  )

/** Answers in pieces, with a breath between them, and notes what it was shown. */
const model = (shown: Array<Prompt.Prompt>) =>
  scripted(({ prompt }) => {
    shown.push(prompt)
    const { content } = prompt
    const at = content.findLastIndex(({ role }) => role === "user")
    const word = (textsIn(prompt).at(-1) ?? "").split(" ")[0] ?? ""
    const wanted = rounds[word]?.[content.slice(at).filter(({ role }) => role === "assistant").length]
    const parts: ReadonlyArray<Part> =
      wanted === undefined ? says("so ", "it ", "is") : [...says("well ", "then").slice(0, -1), ...calls(...wanted)]
    return Stream.fromIterable(parts).pipe(
      Stream.rechunk(1),
      Stream.tap(() => Effect.yieldNow)
    )
  })

/** Every call has its result in the message after it, in the order of the calls. */
const assertPaired = ({ content }: Prompt.Prompt): void =>
  content.forEach((message, index) => {
    if (message.role !== "assistant") return
    const asked = message.content.flatMap((part) => (part.type === "tool-call" ? [part.id] : []))
    const next = content[index + 1]
    const told = next?.role === "tool" ? next.content.flatMap((part) => ("id" in part ? [part.id] : [])) : []
    assert.deepStrictEqual(told, asked)
  })

/**
 * What holds of the messages of a session that has come to rest: each that was accepted has exactly one turn, in the
 * order in which they wait, one that supersedes first; and a turn is rolled back if that was asked for while it ran,
 * and cancelled only if somebody asked for that.
 */
const assertAnswered = (events: ReadonlyArray<RuntimeEvent>, accepted: ReadonlyArray<MessageId>, cancels: number) => {
  assertLaws(events)
  const waiting: Array<MessageId> = []
  const answered: Array<MessageId> = []
  let superseded: string | undefined
  let isRolledBack = false
  let unasked = 0
  for (const event of events) {
    switch (event._tag) {
      case "MessageReceived":
        if (event.supersedes === undefined) waiting.push(event.messageId)
        else {
          waiting.unshift(event.messageId)
          superseded = superseded === "rollback" ? superseded : event.supersedes
        }
        break
      case "TurnStarted":
        assert.strictEqual(event.messageId, waiting.shift(), "in the order in which they wait")
        answered.push(event.messageId)
        superseded = undefined
        isRolledBack = false
        break
      case "TurnRolledBack":
        isRolledBack = true
        break
      case "TurnEnded":
        assert.strictEqual(isRolledBack, superseded === "rollback", "rolled back when that was asked for")
        if (event.outcome === "cancelled" && superseded === undefined) unasked++
        // One that crashes again and again is given up on, which is told.
        if (event.outcome === "failed") assert.strictEqual(event.failure?.code, "session_crashed")
        break
      default:
        break
    }
  }
  assert.isAtMost(unasked, cancels, "nothing is cancelled for which nobody asked")
  assert.sameMembers(answered, [...accepted], "each is answered once")
}

/** A rolled back turn is shown to no model after its end; a cancelled one is, with what was settled of it. */
const assertShown = (events: ReadonlyArray<RuntimeEvent>, shown: ReadonlyArray<Prompt.Prompt>) => {
  for (const prompt of shown) assertPaired(prompt)
  const texts = new Map<string | undefined, string>(
    events.flatMap((event) => (event._tag === "MessageReceived" ? [[event.messageId, event.text]] : []))
  )
  const messageOf = new Map(events.flatMap((e) => (e._tag === "TurnStarted" ? [[e.turnId, e.messageId] as const] : [])))
  const lastTurn = events.findLast((event) => event._tag === "TurnStarted")
  // It may have ended before its model was asked; and sub-sessions ask as well.
  const last = shown.findLast((prompt) => textsIn(prompt).at(-1) === texts.get(lastTurn?.messageId))
  if (last === undefined || lastTurn === undefined) return
  for (const event of events) {
    if (event._tag !== "TurnEnded" || event.turnId === lastTurn.turnId) continue
    const isUndone = events.some((other) => other._tag === "TurnRolledBack" && other.turnId === event.turnId)
    const text = texts.get(messageOf.get(event.turnId)) ?? ""
    assert.strictEqual(textsIn(last).includes(text), !isUndone, `${text} after its turn was over`)
  }
}

/** Allows whatever is asked, a little later, for ever. */
const allowAll = (id: SessionId) =>
  Effect.gen(function* () {
    const manager = yield* SessionManager
    while (true) {
      for (let n = 0; n < 15; n++) yield* Effect.yieldNow
      for (const { hash, permissionId } of yield* manager.permissions(id)) {
        yield* Effect.ignore(manager.resolvePermission({ sessionId: id, permissionId, hash, decision: "allow" }))
      }
    }
  })

/** Until it has nothing to do; meanwhile it never says that it has nothing to do while something waits or runs. */
const atRest = Effect.fnUntraced(function* (id: SessionId, accepted: ReadonlyArray<MessageId>) {
  const manager = yield* SessionManager
  const until = performance.now() + PATIENCE
  for (let n = 0; performance.now() < until; n++) {
    const { queued, status, turn } = yield* manager.get(id)
    if (turn !== undefined) assert.include(["thinking", "awaiting_permission"], status)
    if (status === "idle") {
      assert.strictEqual(queued, 0, "it is not idle while a message waits")
      const ends = (yield* eventsOf(id)).filter(({ event }) => event._tag === "TurnEnded").length
      if (ends === accepted.length) return n
      assert.fail(`idle with ${accepted.length - ends} messages that were accepted and not answered`)
    }
    yield* Effect.yieldNow
  }
  const events = (yield* eventsOf(id)).map(({ event }) => JSON.stringify(event))
  return assert.fail(`it never came to rest:\n${events.join("\n")}`)
})

/** Fibers give way after every few steps, so that there are many instants in a turn. */
const fine = Effect.provideService(Scheduler.MaxOpsBeforeYield, 10)

/** How long a turn is that nobody disturbs, in instants; and what is true of one that is. */
const disturbed = (at: number, disturb: WhenBusy | "cancel") => {
  const shown: Array<Prompt.Prompt> = []
  return Effect.gen(function* () {
    const manager = yield* SessionManager
    const world = yield* SessionWorld
    yield* Deferred.succeed(world.gate("wait_heavy"), "done")
    const { id } = yield* manager.start({})
    const accepted: Array<MessageId> = []
    const send = (text: string, whenBusy?: WhenBusy) =>
      Effect.map(manager.send({ sessionId: id, text, whenBusy }), ({ messageId }) => void accepted.push(messageId))
    const allowing = yield* Effect.forkChild(allowAll(id))
    yield* send("work first")
    yield* send("hello second")
    for (let n = 0; n < at; n++) yield* Effect.yieldNow
    if (disturb === "cancel") yield* Effect.ignore(manager.cancelTurn(id))
    else yield* Effect.ignore(send("hello third", disturb))
    const rest = yield* atRest(id, accepted)
    yield* Fiber.interrupt(allowing)
    const events = (yield* eventsOf(id)).map(({ event }) => event)
    assertAnswered(events, accepted, disturb === "cancel" ? 1 : 0)
    assertShown(events, shown)
    for (const sub of yield* manager.list({ parent: id, limit: 10 })) assert.strictEqual(sub.status, "ended")
    return rest
  }).pipe(inProcess({ model: model(shown) }), fine, Effect.provide(layerDurable, { local: true }))
}

const Step = Schema.Struct({
  kind: Schema.Literals([
    "work",
    "ask",
    "hello",
    "hello",
    "cancel",
    "breathe",
    "breathe",
    "breathe",
    "crash",
    "restart",
    "answer"
  ]),
  whenBusy: Schema.Literals(["enqueue", "reject", "interrupt", "rollback"]),
  n: Schema.Int.check(Schema.isBetween({ minimum: 0, maximum: 60 }))
})

describe("a message that comes while a turn runs", () => {
  for (const disturb of ["enqueue", "reject", "interrupt", "rollback", "cancel"] as const) {
    it.effect(
      `${disturb}: at whichever instant it comes, every message is answered once and in order`,
      () =>
        Effect.gen(function* () {
          const length = yield* disturbed(0, "enqueue")
          assert.isAbove(length, 100)
          for (let at = 0; at < length; at += STRIDE) {
            yield* disturbed(at, disturb).pipe(
              Effect.catchDefect((defect) => Effect.die(new Error(`at instant ${at}`, { cause: defect })))
            )
          }
        }),
      600_000
    )
  }
})

describe("messages of all policies", () => {
  it.effect.prop(
    "are each answered once, in order, or refused, whatever is cancelled, crashes and restarts in between",
    [Schema.Array(Step).check(Schema.isMinLength(20), Schema.isMaxLength(60))],
    ([steps]) => {
      const shown: Array<Prompt.Prompt> = []
      const accepted: Array<MessageId> = []
      let id: SessionId | undefined
      let said = 0
      let cancels = 0
      const lives: Array<Array<typeof Step.Type>> = [[]]
      for (const step of steps) {
        lives.at(-1)?.push(step)
        if (step.kind === "restart") lives.push([])
      }
      const live = Effect.fnUntraced(function* (steps: ReadonlyArray<typeof Step.Type>, isLast: boolean) {
        const manager = yield* SessionManager
        const world = yield* SessionWorld
        world.forgetGates()
        for (const gate of ["wait_heavy", "wait_shell"]) yield* Deferred.succeed(world.gate(gate), "done")
        const sessionId = id ?? (yield* manager.start({})).id
        id = sessionId
        for (const { kind, n, whenBusy } of steps) {
          switch (kind) {
            case "cancel":
              cancels++
              yield* Effect.forkChild(Effect.ignore(manager.cancelTurn(sessionId)))
              break
            case "crash":
              world.beforeAppend = Effect.suspend(() => {
                world.beforeAppend = Effect.yieldNow
                return Effect.die(new Error("poisoned"))
              })
              break
            case "answer":
              for (const { hash, permissionId } of yield* Effect.orElseSucceed(
                manager.permissions(sessionId),
                () => []
              )) {
                yield* Effect.ignore(
                  manager.resolvePermission({ sessionId, permissionId, hash, decision: n % 2 === 0 ? "allow" : "deny" })
                )
              }
              break
            case "restart":
              return
            case "breathe":
              for (let i = 0; i < n; i++) yield* Effect.yieldNow
              break
            default:
              yield* manager.send({ sessionId, text: `${kind} ${said++}`, whenBusy }).pipe(
                Effect.map(({ messageId }) => void accepted.push(messageId)),
                Effect.ignore
              )
          }
        }
        if (!isLast) return
        world.beforeAppend = Effect.yieldNow
        const allowing = yield* Effect.forkChild(Effect.forever(Effect.ignore(allowAll(sessionId))))
        // Whoever crashed is started again after a moment.
        yield* TestClock.adjust("1 second")
        yield* atRest(sessionId, accepted)
        yield* Fiber.interrupt(allowing)
      })
      return Effect.gen(function* () {
        for (const [index, steps] of lives.entries()) {
          yield* live(steps, index === lives.length - 1).pipe(inProcess({ model: model(shown) }), fine)
        }
        if (id === undefined) return
        const events = (yield* eventsOf(id)).map(({ event }) => event)
        assertAnswered(events, accepted, cancels)
        assertShown(events, shown)
      }).pipe(Effect.provide(layerDurable, { local: true }))
    },
    { arbitrary: { runs: PROGRAMS }, timeout: 1_200_000 }
  )
})
