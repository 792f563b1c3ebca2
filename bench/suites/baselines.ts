/** What Effect's bare primitives and other libraries cost on this machine. */
import { Deferred, Effect, Exit, Fiber, PubSub, Queue, Scope } from "effect"
import { perOperation, rate } from "../measure.ts"

/** Starting and interrupting one fiber with a scope of its own: what any supervised child needs at least. */
export const fiberWithScope = perOperation(
  20_000,
  Effect.gen(function* () {
    for (let index = 0; index < 20_000; index++) {
      const scope = yield* Scope.make()
      const fiber = yield* Effect.forkIn(Effect.never, scope, { startImmediately: true })
      yield* Scope.close(scope, Exit.void)
      yield* Fiber.await(fiber)
    }
  })
)

/** A question put on a queue and answered through a deferred by another fiber. */
export const mailboxRoundTrip = Effect.scoped(
  Effect.gen(function* () {
    const queue = yield* Queue.bounded<Deferred.Deferred<number>>(128)
    yield* Effect.forkScoped(Effect.forever(Effect.flatMap(Queue.take(queue), (reply) => Deferred.succeed(reply, 1))))
    return yield* perOperation(
      50_000,
      Effect.gen(function* () {
        for (let index = 0; index < 50_000; index++) {
          const reply = yield* Deferred.make<number>()
          yield* Queue.offer(queue, reply)
          yield* Deferred.await(reply)
        }
      })
    )
  })
)

/** Deliveries per second of a bounded `PubSub` to `readers`, published and taken one by one. */
export const pubSubOneByOne = (readers: number, events: number) =>
  rate(
    readers * events,
    Effect.scoped(
      Effect.gen(function* () {
        const hub = yield* PubSub.bounded<number>(1024)
        const fibers = yield* Effect.forEach(
          Array.from({ length: readers }),
          Effect.fnUntraced(function* () {
            const subscription = yield* PubSub.subscribe(hub)
            return yield* Effect.forkScoped(
              Effect.gen(function* () {
                for (let index = 0; index < events; index++) yield* PubSub.take(subscription)
              })
            )
          })
        )
        for (let index = 0; index < events; index++) yield* PubSub.publish(hub, index)
        for (const fiber of fibers) yield* Fiber.join(fiber)
      })
    ),
    3
  )
