/** The breaker against a plain automaton that says in a few lines what it should do. */
import { assert, describe, it } from "@effect/vitest"
import { Clock, Deferred, Effect, Exit, Fiber, Layer } from "effect"
import { TestClock } from "effect/testing"
import fc from "fast-check"
import * as PersistenceBreakers from "../../layers/limits/PersistenceBreakers.ts"
import type { RuntimeEvent } from "../../services/events/RuntimeEvent.ts"
import { type BreakerEvent, BreakerEvent as Event } from "../../services/limits/BreakerEvent.ts"
import { Breakers } from "../../services/limits/Breakers.ts"
import { recordingBus } from "../support/RecordingBus.ts"

const options = { failures: 2, openFor: 1_000, openAtMost: 5_000 }

type Ending = "success" | "failure" | "ignored" | "interrupt"
type Step =
  | { readonly do: "begin" }
  /** Ends the call that began `nth` among those under way. */
  | { readonly do: "end"; readonly nth: number; readonly as: Ending }
  | { readonly do: "wait"; readonly millis: number }
  /** Puts the wall clock back: no time passes. */
  | { readonly do: "setBack"; readonly millis: number }

const step: fc.Arbitrary<Step> = fc.oneof(
  { weight: 4, arbitrary: fc.constant<Step>({ do: "begin" }) },
  {
    weight: 4,
    arbitrary: fc.record({
      do: fc.constant("end" as const),
      nth: fc.nat(3),
      as: fc.constantFrom<Ending>("success", "failure", "failure", "failure", "ignored", "interrupt")
    })
  },
  {
    weight: 3,
    arbitrary: fc.record({
      do: fc.constant("wait" as const),
      millis: fc.constantFrom(1, 499, 500, 1_000, 2_000, 3_000, 4_000, 5_000)
    })
  },
  { weight: 1, arbitrary: fc.record({ do: fc.constant("setBack" as const), millis: fc.nat(10_000_000) }) }
)

interface Call {
  readonly era: number
  readonly isProbe: boolean
  readonly openings: number
}

/** What a breaker is, told as simply as it can be. An era ends with each change of state. */
class Reference {
  now = 0
  era = 0
  state: "closed" | "open" | "half_open" = "closed"
  failures = 0
  openings = 0
  openUntil = 0
  lastOpenFor = 0
  forgivenAt = 0
  isProbing = false
  readonly events: Array<BreakerEvent> = []

  begin(): Call | { readonly retryAfter: number } {
    if (this.state === "closed" && this.now >= this.forgivenAt) this.openings = 0
    if (this.state === "open") {
      if (this.now < this.openUntil) return { retryAfter: this.openUntil - this.now }
      this.state = "half_open"
      this.events.push({ _tag: "BreakerHalfOpened", breaker: "a" })
    } else if (this.state === "half_open" && this.isProbing) return { retryAfter: options.openFor }
    if (this.state === "half_open") {
      this.isProbing = true
      this.era++
    }
    return { era: this.era, isProbe: this.state === "half_open", openings: this.openings }
  }

  end(call: Call, as: Ending) {
    if (call.era !== this.era) return
    if (as === "ignored" || as === "interrupt") {
      if (call.isProbe) this.isProbing = false
      return
    }
    if (as === "success") {
      this.failures = 0
      if (!call.isProbe) return
      this.state = "closed"
      this.isProbing = false
      this.forgivenAt = this.now + this.lastOpenFor
      this.era++
      this.events.push({ _tag: "BreakerClosed", breaker: "a" })
      return
    }
    this.failures++
    if (!call.isProbe && this.failures < options.failures) return
    this.lastOpenFor = Math.min(options.openAtMost, options.openFor * 2 ** call.openings)
    this.openings++
    this.openUntil = this.now + this.lastOpenFor
    this.state = "open"
    this.isProbing = false
    this.era++
    this.events.push({
      _tag: "BreakerOpened",
      breaker: "a",
      retryAfter: this.lastOpenFor,
      openings: this.openings
    })
  }
}

const check = (steps: ReadonlyArray<Step>) =>
  Effect.gen(function* () {
    const told: Array<RuntimeEvent> = []
    yield* Effect.gen(function* () {
      const breakers = yield* Breakers
      const reference = new Reference()
      const underWay: Array<{
        readonly call: Call
        readonly end: Deferred.Deferred<void, "failure" | "ignored">
        readonly fiber: Fiber.Fiber<void, unknown>
      }> = []

      for (const step of steps) {
        switch (step.do) {
          case "begin": {
            const end = yield* Deferred.make<void, "failure" | "ignored">()
            const call = breakers.guard("a", Deferred.await(end), { isFailure: (error) => error === "failure" })
            const fiber = yield* Effect.forkChild(call, { startImmediately: true })
            const expected = reference.begin()
            const exit = fiber.pollUnsafe()
            if ("retryAfter" in expected) {
              assert(exit !== undefined && Exit.isFailure(exit), "it let a call through that should be refused")
              const error = yield* Effect.flip(Fiber.join(fiber))
              assert.propertyVal(error, "retryAfter", expected.retryAfter)
            } else {
              assert.isUndefined(exit, "it refused a call that should be let through")
              underWay.push({ call: expected, end, fiber })
            }
            break
          }
          case "end": {
            const [ended] = underWay.splice(step.nth % Math.max(1, underWay.length), 1)
            if (ended === undefined) break
            if (step.as === "interrupt") yield* Fiber.interrupt(ended.fiber)
            else {
              yield* Deferred.done(ended.end, step.as === "success" ? Exit.void : Exit.fail(step.as))
              yield* Fiber.await(ended.fiber)
            }
            reference.end(ended.call, step.as)
            break
          }
          case "wait":
            yield* TestClock.adjust(step.millis)
            reference.now += step.millis
            break
          case "setBack":
            yield* TestClock.setTime((yield* Clock.currentTimeMillis) - step.millis)
        }
        const { failures, openings, state } = yield* breakers.state("a")
        assert.deepStrictEqual(told, reference.events)
        assert.strictEqual(state, reference.state)
        assert.strictEqual(failures, reference.failures)
        if (state !== "closed") assert.strictEqual(openings, reference.openings)
        assert.isAtMost(
          underWay.filter(({ call }) => call.isProbe && call.era === reference.era).length,
          1,
          "one call at most tries a dependency"
        )
      }
      yield* Effect.forEach(underWay, ({ fiber }) => Fiber.interrupt(fiber))
    }).pipe(Effect.provide(PersistenceBreakers.layer(options).pipe(Layer.provide(recordingBus(told)))))
  }).pipe(Effect.provide(TestClock.layer()), Effect.scoped)

describe("the circuit breaker's model", () => {
  it("its trace is that of the reference automaton, whatever ends how and whenever", async () => {
    await fc.assert(
      fc.asyncProperty(fc.array(step, { maxLength: 80, size: "max" }), (steps) => Effect.runPromise(check(steps))),
      { numRuns: process.env["ESPALIER_LONG"] === undefined ? 500 : 10_000 }
    )
  }, 300_000)

  it.effect("breaker-flap: one that fails half of the time and then heals is tried once per open time", () =>
    Effect.gen(function* () {
      const told: Array<{ readonly at: number; readonly event: BreakerEvent }> = []
      let now = 0
      let seed = 42
      const isUnlucky = () => {
        seed = (seed * 1_103_515_245 + 12_345) % 2_147_483_648
        return seed % 1_000 < 500
      }
      const recorded: Array<RuntimeEvent> = []
      yield* Effect.gen(function* () {
        const breakers = yield* Breakers
        let made = 0
        const outcomeOf = (isHealed: boolean) =>
          breakers.guard(
            "a",
            Effect.suspend(() => {
              made++
              return !isHealed && isUnlucky() ? Effect.fail("down") : Effect.void
            })
          )
        for (const isHealed of [false, true]) {
          for (let call = 0; call < 6_000; call++) {
            yield* Effect.exit(outcomeOf(isHealed))
            for (const event of recorded.splice(0)) {
              assert(
                Event.guards.BreakerOpened(event) ||
                  Event.guards.BreakerHalfOpened(event) ||
                  Event.guards.BreakerClosed(event)
              )
              told.push({ at: now, event })
            }
            yield* TestClock.adjust("20 millis")
            now += 20
          }
        }
        assert.isBelow(made, 12_000)
        const opened = told.filter(({ event }) => event._tag === "BreakerOpened")
        assert.isAbove(opened.length, 5)
        told.forEach(({ at, event }, index) => {
          const before = told[index - 1]
          if (event._tag === "BreakerOpened")
            assert.include([undefined, "BreakerHalfOpened", "BreakerClosed"], before?.event._tag)
          if (event._tag === "BreakerClosed") assert.strictEqual(before?.event._tag, "BreakerHalfOpened")
          if (event._tag !== "BreakerHalfOpened") return
          // At most one change of state in an open time: the next comes when it is over.
          assert(before?.event._tag === "BreakerOpened")
          assert.isAtLeast(at - before.at, before.event.retryAfter)
          assert.isAtMost(before.event.retryAfter, options.openAtMost)
        })
        // Healed: closed for good after the open time that it had at the end.
        assert.strictEqual(told.at(-1)?.event._tag, "BreakerClosed")
        assert.isAtMost(told.at(-1)?.at ?? Infinity, 120_000 + options.openAtMost + 20)
        assert.strictEqual((yield* breakers.state("a")).state, "closed")
      }).pipe(Effect.provide(PersistenceBreakers.layer(options).pipe(Layer.provide(recordingBus(recorded)))))
    })
  )
})
