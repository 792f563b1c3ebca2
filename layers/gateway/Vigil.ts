/**
 * Watches over every connection that stays open: asks those that are silent whether they are there, and lets go of
 * those that have vanished, do not read, have nothing to do, or have grown old. One fiber looks at all of them, once a
 * second; what is to be done is decided by `judgeConnection`.
 *
 * Whether a peer reads is told by what the system has taken over from us, never by what the peer says. One that answers
 * no ping has gone when its system acknowledges nothing any more of what it is sent meanwhile.
 */
import { Clock, Context, Effect, Layer, Random, Schedule, type Scope } from "effect"
import type { Socket } from "node:net"
import {
  type ConnectionLimits,
  type ConnectionState,
  defaultLimits,
  judgeConnection
} from "../../services/gateway/ConnectionLimits.ts"

import * as SendQueues from "./SendQueues.ts"

export interface Watched {
  readonly wire: Socket
  /** Whether the peer answers a ping. */
  readonly answers: boolean
  /** Calls and subscriptions under way. */
  readonly underWay: () => number
  readonly ping: () => void
  /** Ends it in the way of its protocol. */
  readonly close: (reason: string) => Effect.Effect<void>
}

export class Vigil extends Context.Service<
  Vigil,
  {
    readonly limits: ConnectionLimits
    /** Watches until the scope closes. */
    readonly watch: (connection: Watched) => Effect.Effect<void, never, Scope.Scope>
  }
>()("espalier/gateway/Vigil") {}

const reasons = {
  idle: "nothing was under way for a long time; connect again when there is",
  old: "the connection has reached its age; connect again"
}

interface Watch {
  readonly connection: Watched
  state: { -readonly [Key in keyof ConnectionState]: ConnectionState[Key] }
  read: number
  taken: number
  acknowledged: number
}

/** How often the system is asked what was not acknowledged, at most: the answer lists every connection of the machine. */
const asking = 5_000

export const make = Effect.fnUntraced(function* (given: Partial<ConnectionLimits> = {}) {
  const limits = { ...defaultLimits, ...given }
  const watches = new Set<Watch>()

  const look = (watch: Watch, now: number): void => {
    const { connection, state } = watch
    const { wire } = connection
    if (connection.answers && wire.bytesRead !== watch.read) state.heardAt = now
    watch.read = wire.bytesRead
    const taken = wire.bytesWritten - wire.writableLength
    if (wire.writableLength === 0) state.unreadSince = undefined
    else if (taken !== watch.taken) state.unreadSince = now
    else state.unreadSince ??= now
    watch.taken = taken
    if (connection.underWay() > 0) state.idleSince = undefined
    else state.idleSince ??= now
  }

  const settle = (watch: Watch, now: number): Effect.Effect<void> => {
    look(watch, now)
    const { connection, state } = watch
    const verdict = judgeConnection(state, limits, now)
    switch (verdict) {
      case "keep":
        return Effect.void
      case "ping":
        state.pingedAt = now
        connection.ping()
        return Effect.void
      case "gone":
      case "unread":
        watches.delete(watch)
        return Effect.andThen(
          Effect.logDebug(`closed a connection from ${connection.wire.remoteAddress}: ${verdict}`),
          Effect.sync(() => connection.wire.destroy())
        )
      case "idle":
      case "old":
        watches.delete(watch)
        return connection.close(reasons[verdict])
    }
  }

  /** Looks at those that answer no ping. */
  const lookBehind = Effect.gen(function* () {
    const silent = [...watches].filter(({ connection }) => !connection.answers)
    if (silent.length === 0) return
    const queues = yield* SendQueues.read
    const now = yield* Clock.currentTimeMillis
    for (const watch of silent) {
      const { wire } = watch.connection
      const held = SendQueues.heldFor(queues, wire)
      const acknowledged = wire.bytesWritten - wire.writableLength - held
      if (held === 0) watch.state.unacknowledgedSince = undefined
      else if (acknowledged > watch.acknowledged) watch.state.unacknowledgedSince = now
      else watch.state.unacknowledgedSince ??= now
      watch.acknowledged = Math.max(watch.acknowledged, acknowledged)
    }
  })
  yield* lookBehind.pipe(Effect.repeat(Schedule.spaced(Math.min(asking, limits.ping))), Effect.forkScoped)

  const period = Math.min(1_000, limits.ping, limits.unread / 4)
  yield* Clock.currentTimeMillis.pipe(
    Effect.flatMap((now) => Effect.forEach([...watches], (watch) => settle(watch, now), { discard: true })),
    Effect.repeat(Schedule.spaced(period)),
    Effect.forkScoped
  )

  return Vigil.of({
    limits,
    watch: Effect.fnUntraced(function* (connection) {
      const now = yield* Clock.currentTimeMillis
      const age = limits.age * (yield* Random.nextBetween(0.9, 1.1))
      const watch: Watch = {
        connection,
        state: {
          endsAt: now + age,
          heardAt: connection.answers ? now : undefined,
          pingedAt: now,
          unreadSince: undefined,
          unacknowledgedSince: undefined,
          idleSince: now
        },
        read: connection.wire.bytesRead,
        taken: 0,
        acknowledged: 0
      }
      yield* Effect.acquireRelease(
        Effect.sync(() => watches.add(watch)),
        () => Effect.sync(() => watches.delete(watch))
      )
    })
  })
})

export const layer = (limits?: Partial<ConnectionLimits>) => Layer.effect(Vigil, make(limits))
