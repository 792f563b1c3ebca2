/**
 * How late the process runs what is due: the one measure of how busy its event loop is, for whoever watches over it and
 * whoever decides by it.
 */
import { Context, Effect, type Scope } from "effect"

/** Milliseconds by which timers ran late: for half of them, for 99 of 100, and for the worst. */
export interface Lateness {
  readonly p50: number
  readonly p99: number
  readonly max: number
}

export const punctual: Lateness = { p50: 0, p99: 0, max: 0 }

/** Where nothing measures it, nothing is late. */
export const EventLoop = Context.Reference<{
  /** Watches for as long as its scope, and tells each time of the time since it was last asked: no instant is left out. */
  readonly watch: Effect.Effect<Effect.Effect<Lateness>, never, Scope.Scope>
}>("espalier/health/EventLoop", { defaultValue: () => ({ watch: Effect.succeed(Effect.succeed(punctual)) }) })
