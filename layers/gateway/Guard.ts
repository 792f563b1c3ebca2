/**
 * Stands between a transport and the RPC server: what the server never has to see, and what a client never gets to.
 *
 * A call beyond the limits is refused with `Overloaded`; an unknown operation or a payload that does not fit its
 * schema is answered with `InvalidInput` that names each place; whatever broke inside becomes `InternalError` with an
 * id under which the log has the cause. One call's bad luck ends that call and nothing else.
 */
import { Context, Effect, Exit, Option, Predicate, Schema } from "effect"
import { HttpServerRequest } from "effect/http"
import { type Rpc, RpcSchema, type RpcGroup, type RpcServer } from "effect/rpc"
import type { FromClientEncoded, FromServerEncoded, RequestEncoded, ResponseExitEncoded } from "effect/rpc/RpcMessage"
import * as Identifier from "../../services/Identifier.ts"
import { InvalidInput } from "../../services/InvalidInput.ts"
import { InternalError } from "../../services/gateway/InternalError.ts"
import { Overloaded } from "../../services/gateway/Overloaded.ts"
import { ShuttingDown } from "../../services/gateway/ShuttingDown.ts"
import { type RateLimit, RateLimits } from "../../services/limits/RateLimits.ts"
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
  const limits = yield* RateLimits
  const connections = new Map<number, Map<string | number, Call>>()
  const streams = new Map<number, number>()
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

  const begin = (clientId: number, id: string | number, call: Call) => {
    let calls = connections.get(clientId)
    if (calls === undefined) connections.set(clientId, (calls = new Map()))
    calls.set(id, call)
    if (!call.awaited) streams.set(clientId, (streams.get(clientId) ?? 0) + 1)
    gate.enter(call)
  }
  const end = (clientId: number, id: string | number) => {
    const calls = connections.get(clientId)
    const call = calls?.get(id)
    if (call === undefined || calls === undefined) return
    calls.delete(id)
    if (!call.awaited) streams.set(clientId, (streams.get(clientId) ?? 1) - 1)
    if (streams.get(clientId) === 0) streams.delete(clientId)
    if (calls.size === 0) connections.delete(clientId)
    gate.leave(call)
  }
  const principals = new Map<number, string>()
  const withPrincipal = (clientId: number, use: (principal: string) => Effect.Effect<void>): Effect.Effect<void> => {
    const known = principals.get(clientId)
    if (known !== undefined) return use(known)
    return Effect.withFiber(({ context }) => {
      const principal = principalIn(context)
      principals.set(clientId, principal)
      return use(principal)
    })
  }
  const forget = (clientId: number) => {
    principals.delete(clientId)
    const calls = connections.get(clientId)
    connections.delete(clientId)
    streams.delete(clientId)
    for (const call of calls?.values() ?? []) gate.leave(call)
  }

  /** A connection that calls too often is read more slowly: its next frame waits until this one is let through. */
  const unhurried = (clientId: number): Effect.Effect<void> =>
    Effect.catch(limits.take(callRate, { key: String(clientId) }), ({ retryAfter = 1 }) =>
      Effect.andThen(
        Effect.sleep(retryAfter),
        Effect.suspend(() => unhurried(clientId))
      )
    )

  type Accept = (clientId: number, frame: FromClientEncoded) => Effect.Effect<void>
  const request = (clientId: number, frame: RequestEncoded, accept: Accept, principal: string) => {
    const rpc = group.requests.get(frame.tag) as Rpc.AnyWithProps | undefined
    const calls = connections.get(clientId)
    if (rpc === undefined) {
      const message = `no such operation; there are ${[...group.requests.keys()].join(", ")}`
      return refuse(clientId, frame.id, new InvalidInput({ subject: "call", issues: [{ path: "tag", message }] }))
    }
    if (!gate.isOpen()) return refuse(clientId, frame.id, new ShuttingDown())
    if (calls?.has(frame.id) === true) {
      return malformed(clientId, `a call with the id ${JSON.stringify(frame.id)} is under way`)
    }
    if (calls !== undefined && calls.size >= maxCallsPerConnection) {
      return refuse(clientId, frame.id, new Overloaded({ limit: maxCallsPerConnection }))
    }
    if (gate.calls() >= maxCalls) return refuse(clientId, frame.id, new Overloaded({ limit: maxCalls }))
    const awaited = !RpcSchema.isStreamSchema(rpc.successSchema)
    if (awaited && gate.callsOf(principal) >= maxCallsPerPrincipal) {
      return refuse(clientId, frame.id, new Overloaded({ limit: maxCallsPerPrincipal }))
    }
    if (!awaited && (streams.get(clientId) ?? 0) >= maxStreamsPerConnection) {
      return refuse(clientId, frame.id, new Overloaded({ limit: maxStreamsPerConnection, of: "subscriptions" }))
    }
    const call: Call = { rpc, awaited, principal, payload: frame.payload }
    return Effect.andThen(
      unhurried(clientId),
      Effect.suspend(() => {
        begin(clientId, frame.id, call)
        return accept(clientId, frame).pipe(
          Effect.catchDefect((defect) => fail(clientId, frame.id, defect)),
          Effect.ensuring(Effect.sync(() => (call.payload = undefined)))
        )
      })
    )
  }

  /** Ends a call that broke: with what is wrong with its payload, or with an id for the log. */
  const fail = Effect.fnUntraced(function* (clientId: number, id: string | number, cause: unknown) {
    const call = connections.get(clientId)?.get(id)
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
        return withPrincipal(clientId, (principal) => request(clientId, frame, accept, principal))
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
        return Effect.ensuring(
          transport.send(clientId, message),
          Effect.sync(() => end(clientId, message.requestId))
        )
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
