/**
 * `Breakers` on Effect's circuit breaker.
 *
 * Effect's breaker decides; around its store stands what it lacks: names that are counted and listed, at most `names` of
 * them, an event and a metric for each change of state in the order in which they happen, and monotonic time, so that
 * a wall clock that is put back cannot keep a breaker open.
 */
import { Clock, Duration, Effect, Exit, Layer, Metric, Result, Schedule } from "effect"
import { CircuitBreaker } from "effect/persistence"
import { EventBus } from "../../services/events/EventBus.ts"
import * as Topic from "../../services/events/Topic.ts"
import type { BreakerEvent } from "../../services/limits/BreakerEvent.ts"
import { BreakerOpen, Breakers, type BreakerStatus, type GuardOptions } from "../../services/limits/Breakers.ts"
import { steadyMillis, withSteadyClock } from "../../services/limits/SteadyClock.ts"

export interface Options {
  /** Failures in a row that open a breaker (default 5). */
  readonly failures?: number | undefined
  /** How long it is open the first time (default 1 second); twice as long each time after. */
  readonly openFor?: Duration.Input | undefined
  /** Longest time it is open (default 1 minute). */
  readonly openAtMost?: Duration.Input | undefined
}

/** Most names with a breaker; a call by a name beyond them is made without one. */
export const names = 1_000

/** A closed breaker that nobody used for so long is forgotten, with its count of failures: milliseconds. */
const idle = 600_000

const counter = (name: string, description: string) => Metric.counter(name, { description, incremental: true })
const transitions = counter("espalier_breaker_transitions_total", "Changes of state of circuit breakers, by new state")
const refusals = counter("espalier_breaker_refused_total", "Calls that an open circuit breaker refused")

interface Account {
  failures: number
  refused: number
  usedAt: number
  /** Of the calls that count, as Effect's store numbers them. Undefined since a change of state that no call followed. */
  generation: number | undefined
}

const toEvent = (transition: CircuitBreaker.Transition): BreakerEvent => {
  const breaker = transition.key
  switch (transition.to) {
    case "Open":
      return {
        _tag: "BreakerOpened",
        breaker,
        retryAfter: Math.ceil(Duration.toMillis(transition.retryAfter)),
        openings: transition.consecutiveOpenings
      }
    case "HalfOpen":
      return { _tag: "BreakerHalfOpened", breaker }
    case "Closed":
      return { _tag: "BreakerClosed", breaker }
  }
}

/** Doubles up to the cap. It is finite because the breaker replays it at each opening. */
const openTimes = (first: number, most: number) =>
  Schedule.exponential(first).pipe(
    Schedule.modifyDelay(({ duration }) => Effect.succeed(Duration.min(duration, Duration.millis(most)))),
    Schedule.upTo({ times: Math.max(1, Math.ceil(Math.log2(most / first)) + 1) })
  )

/** Effect's store, telling what changes in it. */
const told = (
  store: CircuitBreaker.CircuitBreakerStore["Service"],
  accounts: ReadonlyMap<string, Account>,
  tell: (transition: CircuitBreaker.Transition) => Effect.Effect<void>
) =>
  CircuitBreaker.CircuitBreakerStore.of({
    admit: (key) =>
      withSteadyClock(store.admit(key)).pipe(
        Effect.tap(({ generation, transition }) => {
          const account = accounts.get(key)
          if (account !== undefined) account.generation = generation
          return transition === undefined ? Effect.void : tell(transition)
        })
      ),
    record: (call) =>
      withSteadyClock(store.record(call)).pipe(
        Effect.tap((transition) => {
          const account = accounts.get(call.key)
          // A call that began before the last change of state counts neither there nor here.
          if (account !== undefined && account.generation === call.generation) {
            if (call.outcome === "Success") account.failures = 0
            if (call.outcome === "Failure") account.failures++
            if (transition !== undefined) account.generation = undefined
          }
          return transition === undefined ? Effect.void : tell(transition)
        })
      ),
    state: (key) => withSteadyClock(store.state(key))
  })

export const make = Effect.fnUntraced(function* ({ failures = 5, openAtMost, openFor }: Options) {
  const bus = yield* EventBus
  const clock = yield* Clock.Clock
  const first = Duration.toMillis(openFor ?? "1 second")
  const most = Math.max(first, Duration.toMillis(openAtMost ?? "1 minute"))
  const accounts = new Map<string, Account>()

  const tell = (transition: CircuitBreaker.Transition) =>
    Effect.andThen(
      Metric.update(Metric.withAttributes(transitions, { breaker: transition.key, to: transition.to }), 1),
      bus.publishSystem(Topic.health, [toEvent(transition)])
    )
  const breaker = yield* CircuitBreaker.make({
    tripPolicy: CircuitBreaker.consecutive(failures),
    openDuration: openTimes(first, most),
    maxOpenDuration: most
  }).pipe(Effect.updateService(CircuitBreaker.CircuitBreakerStore, (store) => told(store, accounts, tell)))

  /** The account of a name that is used now; undefined when there are too many. */
  const used = (name: string): Account | undefined => {
    const now = steadyMillis(clock)
    const found = accounts.get(name)
    if (found === undefined && accounts.size >= names) {
      const [oldest] = accounts
      if (oldest === undefined || now - oldest[1].usedAt < idle + most) return undefined
      accounts.delete(oldest[0])
    }
    const account = found ?? { failures: 0, refused: 0, usedAt: now, generation: undefined }
    account.usedAt = now
    // The last in the map is the one used last.
    accounts.delete(name)
    accounts.set(name, account)
    return account
  }

  const guard = <A, E, R, A2 = never, E2 = BreakerOpen, R2 = never>(
    name: string,
    call: Effect.Effect<A, E, R>,
    options: GuardOptions<E, A2, E2, R2> = {}
  ): Effect.Effect<A | A2, E | E2, R | R2> =>
    Effect.suspend(() => {
      const account = used(name)
      if (account === undefined) return call
      const classify = (exit: Exit.Exit<Result.Result<A, E>>): CircuitBreaker.Outcome => {
        if (Exit.isFailure(exit)) return CircuitBreaker.failure()
        if (Result.isSuccess(exit.value)) return CircuitBreaker.success
        const error = exit.value.failure
        return options.isFailure?.(error) === false
          ? CircuitBreaker.ignored
          : CircuitBreaker.failure({ retryAfter: options.retryAfter?.(error) })
      }
      // The call's own error travels as a value: what fails out here is a refusal.
      return breaker.execute(Effect.result(call), { key: name, classify }).pipe(
        Effect.matchEffect({
          onSuccess: (result): Effect.Effect<A | A2, E | E2, R | R2> => Effect.fromResult(result),
          onFailure: ({ reason }) => {
            account.refused++
            const wait = reason._tag === "CircuitOpen" ? Duration.toMillis(reason.retryAfter) : first
            const refusal = new BreakerOpen({ breaker: name, retryAfter: Math.ceil(wait) })
            return Effect.andThen(
              Metric.update(Metric.withAttributes(refusals, { breaker: name }), 1),
              // Without a fallback E2 is BreakerOpen.
              options.fallback?.(refusal) ?? Effect.fail(refusal as E2)
            )
          }
        })
      )
    })

  const state = (name: string) =>
    Effect.map(Effect.orDie(breaker.state(name)), (state): BreakerStatus => {
      const account = accounts.get(name)
      const common = { name, failures: account?.failures ?? 0, refused: account?.refused ?? 0 }
      switch (state._tag) {
        case "Closed":
          return { ...common, state: "closed", openings: 0, retryAfter: 0 }
        case "Open":
          return {
            ...common,
            state: "open",
            openings: state.consecutiveOpenings,
            retryAfter: Math.ceil(Duration.toMillis(state.retryAfter))
          }
        case "HalfOpen":
          return { ...common, state: "half_open", openings: state.consecutiveOpenings, retryAfter: 0 }
      }
    })

  return Breakers.of({
    guard,
    state,
    list: Effect.suspend(() => Effect.forEach([...accounts.keys()].sort(), state))
  })
})

export const layer = (options: Options = {}) =>
  Layer.effect(Breakers, make(options)).pipe(Layer.provide(CircuitBreaker.layerStoreMemory({ idleTimeToLive: idle })))
