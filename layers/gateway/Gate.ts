/**
 * What the two transports of a server share: how many calls are under way, whether new ones are taken, and the
 * connections to be told when the server stops.
 */
import { Context, Deferred, Effect, Layer } from "effect"

/** A client's connection, as far as stopping is concerned. */
export interface Connection {
  /** Says good-bye; the other side may take its time. */
  readonly close: Effect.Effect<void>
  readonly destroy: Effect.Effect<void>
}

export interface CountedCall {
  /** It has an answer that stopping waits for; a subscription has none. */
  readonly awaited: boolean
  /** Whoever calls: as long as nobody has to say who they are, their address. */
  readonly principal: string
}

/** Calls that a whole server has under way at most; each connection has a limit of its own besides. */
export const maxCalls = 16_384

/** Calls that one principal has under way at most, over all its connections; subscriptions are not among them. */
export const maxCallsPerPrincipal = 1_024

export class Gate extends Context.Service<
  Gate,
  {
    readonly isOpen: () => boolean
    readonly calls: () => number
    /** Calls of this principal that have an answer to wait for. */
    readonly callsOf: (principal: string) => number
    /** A call begins; whoever counts it in counts it out. */
    readonly enter: (call: CountedCall) => void
    readonly leave: (call: CountedCall) => void
    readonly add: (connection: Connection) => void
    readonly remove: (connection: Connection) => void
    /**
     * Refuses what is new, waits for the answers that are owed, then closes every connection: subscriptions have no
     * end of their own.
     */
    readonly drain: Effect.Effect<void>
  }
>()("espalier/gateway/Gate") {}

export const make = Effect.sync(() => {
  const connections = new Set<Connection>()
  let open = true
  let calls = 0
  let answersOwed = 0
  const owedTo = new Map<string, number>()
  const answered = Deferred.makeUnsafe<void>()
  const gone = Deferred.makeUnsafe<void>()
  const settle = () => {
    if (open) return
    if (answersOwed === 0) Deferred.doneUnsafe(answered, Effect.void)
    if (connections.size === 0) Deferred.doneUnsafe(gone, Effect.void)
  }

  return Gate.of({
    isOpen: () => open,
    calls: () => calls,
    callsOf: (principal) => owedTo.get(principal) ?? 0,
    enter: ({ awaited, principal }) => {
      calls++
      if (!awaited) return
      answersOwed++
      owedTo.set(principal, (owedTo.get(principal) ?? 0) + 1)
    },
    leave: ({ awaited, principal }) => {
      calls--
      if (awaited) {
        answersOwed--
        const left = (owedTo.get(principal) ?? 1) - 1
        if (left === 0) owedTo.delete(principal)
        else owedTo.set(principal, left)
      }
      settle()
    },
    add: (connection) => connections.add(connection),
    remove: (connection) => {
      connections.delete(connection)
      settle()
    },
    drain: Effect.gen(function* () {
      open = false
      settle()
      yield* Deferred.await(answered).pipe(Effect.timeoutOption("5 seconds"))
      yield* Effect.forEach([...connections], (connection) => connection.close, { discard: true })
      yield* Deferred.await(gone).pipe(Effect.timeoutOption("1 second"))
      yield* Effect.forEach([...connections], (connection) => connection.destroy, { discard: true })
    })
  })
})

export const layer = Layer.effect(Gate, make)
