/** A transport to a server, and how it is told that it is lost: what stdio and HTTP have in common. */
import type { Transport } from "@modelcontextprotocol/sdk/shared/transport.js"
import { Clock, Data, Deferred, Effect, Queue, type Scope } from "effect"

/** The connection cannot be used any more, for a reason that is told to people. */
export class ConnectionLost extends Data.TaggedError("ConnectionLost")<{ readonly reason: string }> {
  /** Where it was noticed tells nothing to whoever reads the log. */
  override readonly stack = `ConnectionLost: ${this.reason}`
  override get message() {
    return this.reason
  }
}

/** What a server does not take now, or does not take at all. Nothing was sent. */
export class Refused extends Data.TaggedError("Refused")<{ readonly reason: string }> {}

export interface Link {
  readonly transport: Transport
  /** What is owed to the server before the transport is closed. */
  readonly farewell: Effect.Effect<void>
  /** The version of MCP that was agreed on. */
  readonly protocol: () => string
  /** Fails once the connection is lost. */
  readonly lost: Effect.Effect<never, ConnectionLost>
  readonly lose: (reason: string) => void
  /** Calls back in the same instant in which the connection is lost, before anybody else hears of it. */
  readonly onLost: (listener: () => void) => void
  /** Whether a message of that many bytes would be taken now. */
  readonly refusal: (bytes: number) => Refused | undefined
  /** Counts what the server did against the protocol; too much of it loses the connection. */
  readonly violate: (what: string) => void
}

export type Faults = Pick<Link, "lose" | "lost" | "onLost" | "violate">

/** Violations that are borne within a minute. */
const borne = 1_000
const minute = 60_000
/** One line of the log for so many of them. */
const logEvery = 100
/** Characters of one in the log. */
const shown = 200

export const makeFaults = Effect.fnUntraced(function* (server: string): Effect.fn.Return<Faults, never, Scope.Scope> {
  const clock = yield* Clock.Clock
  const lost = yield* Deferred.make<never, ConnectionLost>()
  const told = yield* Queue.sliding<string>(8)
  yield* Queue.take(told).pipe(
    Effect.flatMap((what) => Effect.logWarning(`MCP server ${server} breaks the protocol: ${what}`)),
    Effect.forever,
    Effect.forkScoped
  )
  let since = 0
  let count = 0
  let total = 0
  const listeners: Array<() => void> = []
  const lose = (reason: string) => {
    if (Deferred.doneUnsafe(lost, Effect.fail(new ConnectionLost({ reason })))) for (const tell of listeners) tell()
  }
  return {
    lose,
    lost: Deferred.await(lost),
    onLost: (listener) => void listeners.push(listener),
    violate: (what) => {
      const now = clock.currentTimeMillisUnsafe()
      if (now - since >= minute) {
        since = now
        count = 0
      }
      count++
      if (total++ % logEvery === 0) Queue.offerUnsafe(told, `${what.slice(0, shown)} (${total} so far)`)
      if (count > borne) lose(`it broke the protocol ${borne} times within a minute; last: ${what.slice(0, shown)}`)
    }
  }
})
