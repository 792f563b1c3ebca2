/**
 * Sees that every instance runs for as long as it is needed: started, through the breaker's pauses and a person's wishes,
 * and stopped when its session has ended or sleeps, or had nothing for it to do for too long.
 */
import { Clock, Duration, Effect, FiberSet, Latch, Stream } from "effect"
import { EventBus } from "../../services/events/EventBus.ts"
import * as Topic from "../../services/events/Topic.ts"
import type { SessionId } from "../../services/session/SessionId.ts"
import type { ChildSpec } from "../../services/supervision/ChildSpec.ts"
import type { SupervisorRef } from "../../services/supervision/Supervisor.ts"
import type { Instance } from "./Instance.ts"
import * as ServerLife from "./ServerLife.ts"

/** The breaker's first pause, and its longest. */
const openFor = { first: 30_000, longest: 600_000 } as const
/** For one of a session to have nothing to do. */
const idleFor = Duration.minutes(30)

export const make = (childOf: (instance: Instance) => ChildSpec, onGone: (instance: Instance) => void) => {
  /** All that are to run, those on their way out included, and from where in its session's events each is watched. */
  const all = new Map<Instance, number>()
  const wanted = Latch.makeUnsafe(false)

  const gaveUp = Effect.fnUntraced(function* (instance: Instance, pause: number) {
    instance.state = "broken"
    instance.retryAt = (yield* Clock.currentTimeMillis) + pause
    instance.server.settled.openUnsafe()
    const reason = instance.lastError ?? "it does not stay up"
    yield* Effect.logWarning(
      `MCP server ${instance.label} is given up on for ${Duration.format(Duration.millis(pause))}: ${reason}`
    )
    yield* ServerLife.tell({ _tag: "McpServerBroken", ...ServerLife.whose(instance), reason, retryIn: pause })
  })

  /** Among the children, until it is over. */
  const run = Effect.fnUntraced(function* (instance: Instance, children: SupervisorRef) {
    const { again, gaveUp: hopeless, over } = instance
    let pause: number = openFor.first
    while (!over.isOpen()) {
      const startedAt = yield* Clock.currentTimeMillis
      // One that a keeper before this one has started is as good.
      yield* Effect.ignore(children.startChild(childOf(instance)))
      yield* Effect.raceAllFirst([hopeless.await, again.await, over.await])
      if (hopeless.isOpen() && !over.isOpen()) {
        const lived = (yield* Clock.currentTimeMillis) - startedAt
        pause = lived > 2 * openFor.longest ? openFor.first : pause
        yield* gaveUp(instance, pause)
        yield* Effect.raceAllFirst([Effect.sleep(pause), again.await, over.await])
        pause = Math.min(openFor.longest, pause * 2)
      }
      yield* Effect.ignore(children.terminateChild(instance.id))
      hopeless.closeUnsafe()
      again.closeUnsafe()
      instance.state = "connecting"
      instance.retryAt = undefined
    }
  })

  /** Ends it with its session, or with the session's time in memory. */
  const followSession = (instance: Instance, sessionId: SessionId, from: number) =>
    Effect.flatMap(EventBus, (bus) =>
      bus.subscribe({ topic: Topic.ofSession(sessionId), from, policy: "catchup", capacity: 64 }).pipe(
        Stream.filter((delivery) => delivery._tag === "Event" || delivery._tag === "Ephemeral"),
        Stream.map(({ event }) => event._tag),
        Stream.runForEach((tag) =>
          Effect.sync(() => {
            if (tag === "SessionEnded") instance.end("ended")
            if (tag === "SessionHibernated") instance.end("hibernated")
          })
        )
      )
    ).pipe(
      // Then it ends when it has been idle for long enough.
      Effect.ignore
    )

  const endIdle = Effect.fnUntraced(function* (instance: Instance) {
    const idle = Duration.toMillis(instance.server.config.grants.idle ?? idleFor)
    while (!instance.over.isOpen()) {
      const left = instance.usedAt + idle - (yield* Clock.currentTimeMillis)
      if (instance.users === 0 && left <= 0) return instance.end("idle")
      yield* Effect.sleep(instance.users === 0 ? left : idle)
    }
  })

  const keep = Effect.fnUntraced(function* (instance: Instance, children: SupervisorRef, from: number) {
    const { server, sessionId } = instance
    if (sessionId !== undefined) {
      yield* Effect.forkScoped(followSession(instance, sessionId, from))
      yield* Effect.forkScoped(endIdle(instance))
    }
    yield* run(instance, children)
    all.delete(instance)
    onGone(instance)
    instance.gone.openUnsafe()
    const { why } = instance
    if (sessionId === undefined || why === undefined || why === "looked") return
    yield* ServerLife.tell({ _tag: "McpServerStopped", server: server.name, session: sessionId, reason: why })
  }, Effect.scoped)

  return {
    /** Has it run from now on. `from`: the first event of its session that has not been looked at. */
    start: (instance: Instance, from = 1): void => {
      all.set(instance, from)
      wanted.openUnsafe()
    },
    count: () => all.size,
    /** The body of the keeper's child. One that comes after another takes up what that one kept. */
    body: (children: Effect.Effect<SupervisorRef>) =>
      Effect.gen(function* () {
        const kept = new Set<Instance>()
        const fibers = yield* FiberSet.make()
        const forkAll = Effect.gen(function* () {
          wanted.closeUnsafe()
          const mcp = yield* children
          for (const [instance, from] of all) {
            if (kept.has(instance)) continue
            kept.add(instance)
            const keeping = Effect.ensuring(
              keep(instance, mcp, from),
              Effect.sync(() => void kept.delete(instance))
            )
            yield* FiberSet.run(fibers, keeping)
          }
          yield* wanted.await
        })
        return yield* Effect.raceFirst(FiberSet.join(fibers), Effect.forever(forkAll))
      }).pipe(Effect.scoped)
  }
}
