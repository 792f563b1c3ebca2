/** Models that fall silent, dribble and break off, over a real socket: the turn ends as said, and the session goes on. */
import { assert, describe, it } from "@effect/vitest"
import { Duration, Effect, References, Stream } from "effect"
import { EventBus } from "../../services/events/EventBus.ts"
import * as Topic from "../../services/events/Topic.ts"
import type { SessionId } from "../../services/session/SessionId.ts"
import { SessionManager } from "../../services/session/SessionManager.ts"
import * as Runtime from "../../src/server/Runtime.ts"
import { inTime } from "../support/eventually.ts"
import * as ModelServer from "../support/ModelServer.ts"

const { cut, raw, says, silence, wait, words } = ModelServer

/** Far shorter than what counts outside of tests, and in the same proportion. */
const limits = { idle: Duration.millis(400), total: Duration.seconds(2) }

const bytes = (steps: ReadonlyArray<ModelServer.Step>): string =>
  steps.flatMap((step) => (step._tag === "Data" ? [`data: ${step.data}\n\n`] : [])).join("")

/** One byte at a time, so that an event takes far longer than the model may be silent. */
const dribble = (text: string) => Array.from(text, (byte) => [raw(byte), wait(10)] as const).flat()

const turn = Effect.fnUntraced(function* (id: SessionId, text: string, count: number) {
  const manager = yield* SessionManager
  const bus = yield* EventBus
  const begun = performance.now()
  yield* manager.send({ sessionId: id, text })
  const events = yield* bus.subscribe({ topic: Topic.ofSession(id), from: 1 }).pipe(
    Stream.flatMap((delivery) => (delivery._tag === "Event" ? Stream.succeed(delivery.event) : Stream.empty)),
    Stream.takeUntil(
      (
        () =>
        ({ _tag }: { readonly _tag: string }) =>
          _tag === "TurnEnded" && --count === 0
      )()
    ),
    Stream.runCollect
  )
  const end = events.at(-1)
  const said = events.findLast(({ _tag }) => _tag === "MessageSettled" || _tag === "TurnStarted")
  assert(end?._tag === "TurnEnded")
  return {
    took: performance.now() - begun,
    code: end.failure?.code ?? end.outcome,
    said: said?._tag === "MessageSettled" ? { text: said.text, partial: said.partial } : undefined
  }
})

const half = { text: "So far", partial: true }

const cases: ReadonlyArray<
  readonly [what: string, reply: ReadonlyArray<ModelServer.Step>, code: string, said: typeof half | undefined]
> = [
  // Asked again, in vain, for as long as it may take in all.
  ["opens its stream and says nothing", [silence], "model_timeout", undefined],
  ["falls silent in its answer", [...words("So", " far"), silence], "model_stalled", half],
  [
    "gives one byte at a time",
    [...words("So", " far"), ...dribble(bytes(says("x".repeat(500))))],
    "model_stalled",
    half
  ],
  [
    "never stops to say a little",
    [...words("So", " far"), ...Array.from({ length: 200 }, () => [...words("."), wait(100)]).flat()],
    "model_timeout",
    half
  ],
  [
    "is cut off in the middle of an event",
    [...words("So", " far"), raw('data: {"id":"ch'), cut],
    "model_unavailable",
    half
  ],
  [
    "ends its stream in the middle of an event",
    [...words("So", " far"), raw('data: {"id":"ch')],
    "model_malformed",
    half
  ]
]

describe("llm-stall", () => {
  it.live.each(cases)(
    "a model that %s ends its turn, and the next message is answered at once",
    ([, reply, code, said]) =>
      Effect.gen(function* () {
        const models = yield* ModelServer.make(() => reply)
        yield* Effect.gen(function* () {
          const manager = yield* SessionManager
          const { id } = yield* manager.start({})
          const stalled = yield* turn(id, "go", 1)
          assert.strictEqual(stalled.code, code)
          // Dots come for as long as they may.
          const text = stalled.said?.text.replace(/\.+$/, "")
          assert.deepStrictEqual(stalled.said && { ...stalled.said, text }, said)
          assert.isBelow(stalled.took, 10_000)
          models.follow(() => says("All of it."))
          const next = yield* turn(id, "and now?", 2)
          assert.deepStrictEqual(next.said, { text: "All of it.", partial: false })
          // A second is promised; what the machine does besides is left out of it.
          assert.isBelow(next.took, 3_000)
          yield* inTime(
            "its connection is gone",
            Effect.sync(() => models.open() === 0)
          )
        }).pipe(
          Effect.provide(
            Runtime.layerMemory({
              models: ModelServer.models(models),
              modelLimits: limits
            })
          )
        )
      }).pipe(Effect.scoped, Effect.provideService(References.MinimumLogLevel, "None"))
  )
})
