/**
 * Stands between a transport and the RPC server: what the server never has to see, and what a client never gets to.
 *
 * A call beyond the limits is refused with `Overloaded`; an unknown operation or a payload that does not fit its
 * schema is answered with `InvalidInput` that names each place; whatever broke inside becomes `InternalError` with an
 * id under which the log has the cause. One call's bad luck ends that call and nothing else.
 */
import { Clock, Context, Duration, Effect, Exit, Option, Predicate, Schema } from "effect"
import { HttpServerRequest } from "effect/http"
import { type Rpc, RpcSchema, type RpcGroup, type RpcServer } from "effect/rpc"
import type { FromClientEncoded, FromServerEncoded, RequestEncoded, ResponseExitEncoded } from "effect/rpc/RpcMessage"
import * as Identifier from "../../services/Identifier.ts"
import { InvalidInput } from "../../services/InvalidInput.ts"
import { InternalError } from "../../services/gateway/InternalError.ts"
import { Overloaded } from "../../services/gateway/Overloaded.ts"
import { ShuttingDown } from "../../services/gateway/ShuttingDown.ts"
import { countRefusal, type RateLimit } from "../../services/limits/RateLimits.ts"
import { steadyMillis } from "../../services/limits/SteadyClock.ts"
import * as TokenBucket from "../../services/limits/TokenBucket.ts"
import type { ClientFrame } from "./Frames.ts"
import { type CountedCall, Gate, maxCalls, maxCallsPerPrincipal } from "./Gate.ts"

/** Calls that one connection may have under way. */
export const maxCallsPerConnection = 256
/** How many of them may be subscriptions: a connection full of them could ask for nothing else. */
export const maxStreamsPerConnection = 128

type Refusal = InvalidInput | Overloaded | ShuttingDown | InternalError

interface Call extends CountedCall {
  readonly rpc: Rpc.AnyWithProps
  /** Kept until the payload has been decoded, to tell what is wrong with it. */
  payload: unknown
}

/** What is known of a client from its first call until it has gone. */
interface Connection {
  readonly principal: string
  readonly calls: Map<string | number, Call>
  /** How many of them are subscriptions. */
  streams: number
  readonly pace: TokenBucket.TokenBucket
}

/** Both transports deliver a call within the request that it came with, or that opened its connection. */
const principalIn = (context: Context.Context<never>): string =>
  Option.getOrElse(
    Option.flatMap(
      Context.getOption(context, HttpServerRequest.HttpServerRequest),
      ({ remoteAddress }) => remoteAddress
    ),
    () => ""
  )

const hasDied = (exit: ResponseExitEncoded["exit"]) =>
  exit._tag === "Failure" && exit.cause.some((reason) => reason._tag === "Die")

export interface Guarded {
  readonly protocol: RpcServer.Protocol["Service"]
  /** The connection is gone, and its calls with it. */
  readonly forget: (clientId: number) => void
}

export const make = Effect.fnUntraced(function* (
  group: RpcGroup.Any & { readonly requests: ReadonlyMap<string, Rpc.Any> },
  transport: RpcServer.Protocol["Service"],
  callRate: RateLimit
) {
  const gate = yield* Gate
  const clock = yield* Clock.Clock
  const burst = callRate.burst ?? callRate.limit
  const gap = Duration.toMillis(callRate.per) / callRate.limit
  const connections = new Map<number, Connection>()
  const encodeRefusal = Schema.encodeUnknownSync(
    transport.codecFor(
      Schema.Exit(Schema.Void, Schema.Union([InvalidInput, Overloaded, ShuttingDown, InternalError]), Schema.Defect())
    )
  )
  const refuse = (clientId: number, requestId: string | number, error: Refusal) => {
    const exit = encodeRefusal(Exit.fail(error)) as ResponseExitEncoded["exit"]
    return transport.send(clientId, { _tag: "Exit", requestId, exit })
  }

  const decoders = new WeakMap<Rpc.AnyWithProps, (u: unknown) => Effect.Effect<unknown, Schema.SchemaError>>()
  const decoderOf = (rpc: Rpc.AnyWithProps) => {
    let decode = decoders.get(rpc)
    if (decode === undefined) {
      decode = Schema.decodeUnknownEffect(Schema.toCodecJson(rpc.payloadSchema), { errors: "all" }) as (
        u: unknown
      ) => Effect.Effect<unknown, Schema.SchemaError>
      decoders.set(rpc, decode)
    }
    return decode
  }
  /** Decodes again, on the path of failure only, to name every place that is wrong. */
  const invalid = ({ payload, rpc }: Call): Effect.Effect<Option.Option<InvalidInput>> =>
    payload === undefined
      ? Effect.succeedNone
      : Effect.suspend(() => decoderOf(rpc)(payload)).pipe(
          Effect.as(Option.none()),
          Effect.catch((error) => Effect.succeed(Option.some(InvalidInput.fromSchema(error, rpc._tag)))),
          Effect.catchDefect(() =>
            Effect.succeed(
              Option.some(new InvalidInput({ subject: rpc._tag, issues: [{ path: "", message: "cannot be read" }] }))
            )
          )
        )

  /** The record of a connection, which its first call opens. */
  const connectionOf = (clientId: number, context: Context.Context<never>): Connection => {
    let connection = connections.get(clientId)
    if (connection === undefined) {
      const pace = TokenBucket.full(burst, gap, steadyMillis(clock))
      connection = { principal: principalIn(context), calls: new Map(), streams: 0, pace }
      connections.set(clientId, connection)
    }
    return connection
  }
  const begin = (connection: Connection, id: string | number, call: Call) => {
    connection.calls.set(id, call)
    if (!call.awaited) connection.streams++
    gate.enter(call)
  }
  const end = (clientId: number, id: string | number) => {
    const connection = connections.get(clientId)
    const call = connection?.calls.get(id)
    if (call === undefined || connection === undefined) return
    connection.calls.delete(id)
    if (!call.awaited) connection.streams--
    gate.leave(call)
  }
  const forget = (clientId: number) => {
    const connection = connections.get(clientId)
    connections.delete(clientId)
    for (const call of connection?.calls.values() ?? []) gate.leave(call)
  }

  /** A connection that calls too often is read more slowly: its next frame waits until this one is let through. */
  const unhurried = (pace: TokenBucket.TokenBucket, go: Effect.Effect<void>): Effect.Effect<void> => {
    const wait = TokenBucket.take(pace, steadyMillis(clock))
    if (wait === 0) return go
    return Effect.andThen(
      Effect.andThen(countRefusal(callRate.name), Effect.sleep(wait)),
      Effect.suspend(() => unhurried(pace, go))
    )
  }

  type Accept = (clientId: number, frame: FromClientEncoded) => Effect.Effect<void>
  const request = (clientId: number, frame: RequestEncoded, accept: Accept, connection: Connection) => {
    const { calls, pace, principal } = connection
    const rpc = group.requests.get(frame.tag) as Rpc.AnyWithProps | undefined
    if (rpc === undefined) {
      const message = `no such operation; there are ${[...group.requests.keys()].join(", ")}`
      return refuse(clientId, frame.id, new InvalidInput({ subject: "call", issues: [{ path: "tag", message }] }))
    }
    if (!gate.isOpen()) return refuse(clientId, frame.id, new ShuttingDown())
    if (calls.has(frame.id)) {
      return malformed(clientId, `a call with the id ${JSON.stringify(frame.id)} is under way`)
    }
    if (calls.size >= maxCallsPerConnection) {
      return refuse(clientId, frame.id, new Overloaded({ limit: maxCallsPerConnection }))
    }
    if (gate.calls() >= maxCalls) return refuse(clientId, frame.id, new Overloaded({ limit: maxCalls }))
    const awaited = !RpcSchema.isStreamSchema(rpc.successSchema)
    if (awaited && gate.callsOf(principal) >= maxCallsPerPrincipal) {
      return refuse(clientId, frame.id, new Overloaded({ limit: maxCallsPerPrincipal }))
    }
    if (!awaited && connection.streams >= maxStreamsPerConnection) {
      return refuse(clientId, frame.id, new Overloaded({ limit: maxStreamsPerConnection, of: "subscriptions" }))
    }
    const call: Call = { rpc, awaited, principal, payload: frame.payload }
    const go = Effect.suspend(() => {
      // It may have gone while the call was held back, and then nobody would count the call out again.
      if (connections.get(clientId) !== connection) return Effect.void
      begin(connection, frame.id, call)
      return accept(clientId, frame).pipe(
        Effect.catchDefect((defect) => fail(clientId, frame.id, defect)),
        Effect.map(() => void (call.payload = undefined))
      )
    })
    return unhurried(pace, go)
  }

  /** Ends a call that broke: with what is wrong with its payload, or with an id for the log. */
  const fail = Effect.fnUntraced(function* (clientId: number, id: string | number, cause: unknown) {
    const call = connections.get(clientId)?.calls.get(id)
    if (call === undefined) return
    const input = yield* invalid(call)
    yield* refuse(clientId, id, Option.isSome(input) ? input.value : yield* report(call.rpc._tag, cause))
    end(clientId, id)
  })

  const malformed = (clientId: number, reason: string) =>
    transport.send(clientId, { _tag: "Defect", defect: `malformed frame: ${reason}` })

  const receive = (accept: Accept) => (clientId: number, frame: ClientFrame) => {
    switch (frame._tag) {
      case "Request":
        return Effect.withFiber(({ context }) => request(clientId, frame, accept, connectionOf(clientId, context)))
      case "Malformed":
        return frame.id === undefined
          ? malformed(clientId, frame.reason)
          : refuse(
              clientId,
              frame.id,
              new InvalidInput({ subject: "frame", issues: [{ path: "", message: frame.reason }] })
            )
      default:
        return accept(clientId, frame)
    }
  }

  const send = (clientId: number, message: FromServerEncoded) => {
    switch (message._tag) {
      case "Exit": {
        if (hasDied(message.exit)) return fail(clientId, message.requestId, message.exit)
        // Under way until the answer is handed over: a client that does not read runs into its limit.
        return Effect.map(transport.send(clientId, message), () => end(clientId, message.requestId))
      }
      case "Defect":
        return Effect.flatMap(report("connection", message.defect), ({ message }) =>
          transport.send(clientId, { _tag: "Defect", defect: message })
        )
      default:
        return transport.send(clientId, message)
    }
  }

  return {
    forget,
    protocol: {
      ...transport,
      run: (accept) => transport.run(receive(accept)),
      send,
      end: (clientId) => {
        forget(clientId)
        return transport.end(clientId)
      }
    }
  } satisfies Guarded
})

/** Logs what broke under a fresh id. */
export const report = (subject: string, cause: unknown): Effect.Effect<InternalError> =>
  Effect.gen(function* () {
    const errorId = yield* Identifier.generate("err")
    yield* Effect.logError(
      `${subject} broke (${errorId})`,
      Predicate.isTagged(cause, "Failure") ? JSON.stringify(cause) : cause
    )
    return new InternalError({ errorId })
  })
