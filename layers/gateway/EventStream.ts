/**
 * `GET /events/{topic}`: a topic as server-sent events, for browsers and for whatever reads lines.
 *
 * Each delivery is one event with its JSON as data; an event of the sequence carries its sequence as `id`, so that a
 * reader that comes back with `Last-Event-ID` goes on after it. A browser cannot see why it was refused: with
 * `expired=snapshot` one that comes back too late begins with the session's state instead. What can be refused is refused by the status, with
 * JSON that says why; what ends a stream that had begun is its last event, named `end`. While nothing happens there is
 * a comment every fifteen seconds.
 */
import * as NodeHttpServerRequest from "@effect/platform-node/NodeHttpServerRequest"
import { Cause, Deferred, Effect, Exit, Schedule, Schema, Stream } from "effect"
import { type HttpServerRequest, HttpServerResponse } from "effect/http"
import { EventBus } from "../../services/events/EventBus.ts"
import { Delivery } from "../../services/events/RuntimeEvent.ts"
import {
  CursorAhead,
  CursorExpired,
  Expired,
  maxCapacity,
  Policy,
  SubscriptionCut
} from "../../services/events/Subscription.ts"
import { Subject } from "../../services/events/Topic.ts"
import { inPieces } from "../../services/events/weigh.ts"
import { codeOf } from "../../services/gateway/ErrorCodes.ts"
import { common } from "../../services/gateway/GatewayRpcs.ts"
import { Overloaded } from "../../services/gateway/Overloaded.ts"
import { ShuttingDown } from "../../services/gateway/ShuttingDown.ts"
import { InvalidInput } from "../../services/InvalidInput.ts"
import { StorageError } from "../../services/journal/StorageError.ts"
import { SessionNotFound } from "../../services/session/SessionManager.ts"
import { WorkerNotFound } from "../../services/worker/WorkerPool.ts"
import { Gate, maxCalls } from "./Gate.ts"
import { report } from "./Guard.ts"
import * as knownTopic from "./knownTopic.ts"
import { Vigil } from "./Vigil.ts"

/** Characters that are written at a time, where one event is not longer by itself. */
const piece = 64 * 1024

const whole = (minimum: number, maximum: number) =>
  Schema.NumberFromString.check(
    Schema.isInt(),
    Schema.isBetween({ minimum, maximum }, { message: `a whole number from ${minimum} to ${maximum}` })
  )

const Query = Schema.Struct({
  topic: Subject,
  from: Schema.optionalKey(whole(1, Number.MAX_SAFE_INTEGER)),
  lastEventId: Schema.optionalKey(whole(0, Number.MAX_SAFE_INTEGER - 1)),
  policy: Schema.optionalKey(Policy),
  expired: Schema.optionalKey(Expired),
  capacity: Schema.optionalKey(whole(1, maxCapacity)),
  label: Schema.optionalKey(Schema.String.check(Schema.isMaxLength(100)))
})

const Failure = Schema.Union([
  ...common,
  StorageError,
  CursorAhead,
  CursorExpired,
  SubscriptionCut,
  SessionNotFound,
  WorkerNotFound
])
type Failure = typeof Failure.Type
const encodeFailure = Schema.encodeSync(Schema.toCodecJson(Failure))
const bodyOf = (error: Failure): string => {
  const { _tag, ...fields } = encodeFailure(error) as Readonly<Record<string, Schema.Json>>
  return JSON.stringify({ error: { code: codeOf(error).code, message: error.message, tag: _tag, ...fields } })
}

const encodeDelivery = Schema.encodeSync(Schema.toCodecJson(Delivery))
const frameOf = (delivery: Delivery): string => {
  const data = JSON.stringify(encodeDelivery(delivery))
  const place = delivery._tag === "Ephemeral" ? undefined : delivery._tag === "Lagged" ? delivery.to : delivery.sequence
  return place === undefined ? `data: ${data}\n\n` : `id: ${place}\ndata: ${data}\n\n`
}

/** Events of a wildcard are of many sequences: none of them is a place to come back to. */
const frameOfMany = (delivery: Delivery): string => `data: ${JSON.stringify(encodeDelivery(delivery))}\n\n`

const parse = (request: HttpServerRequest.HttpServerRequest) =>
  Effect.suspend(() => {
    const url = new URL(request.url, "http://localhost")
    const lastEventId = request.headers["last-event-id"]
    const topic = decodeURIComponent(url.pathname.slice(url.pathname.lastIndexOf("/") + 1))
    return Schema.decodeUnknownEffect(Query, { errors: "all", onExcessProperty: "error" })({
      ...Object.fromEntries(url.searchParams),
      ...(lastEventId === undefined || lastEventId === "" ? {} : { lastEventId }),
      topic
    })
  }).pipe(
    Effect.catchDefect(() =>
      Effect.fail(new InvalidInput({ subject: "Subscribe", issues: [{ path: "topic", message: "cannot be read" }] }))
    ),
    Effect.catchTag("SchemaError", (error) => Effect.fail(InvalidInput.fromSchema(error, "Subscribe")))
  )

export const make = Effect.gen(function* () {
  const bus = yield* EventBus
  const gate = yield* Gate
  const vigil = yield* Vigil
  const known = yield* knownTopic.make
  let last = 0

  const respond = Effect.fnUntraced(function* (request: HttpServerRequest.HttpServerRequest) {
    if (!gate.isOpen()) return yield* new ShuttingDown()
    if (gate.calls() >= maxCalls) return yield* new Overloaded({ limit: maxCalls })
    const { lastEventId, topic, ...subscription } = yield* parse(request)
    yield* known(topic)
    const from = lastEventId === undefined ? subscription.from : lastEventId + 1
    const deliveries = yield* bus.open({ ...subscription, topic, from, connection: `sse ${++last}` })

    const { socket: wire } = NodeHttpServerRequest.toIncomingMessage(request)
    const stopped = yield* Deferred.make<void>()
    const stop = Effect.asVoid(Deferred.succeed(stopped, undefined))
    const counted = { awaited: false, principal: wire.remoteAddress ?? "" }
    const connection = { close: stop, destroy: Effect.sync(() => wire.destroy()) }
    yield* Effect.acquireRelease(
      Effect.sync(() => {
        gate.add(connection)
        gate.enter(counted)
      }),
      () =>
        Effect.sync(() => {
          gate.leave(counted)
          gate.remove(connection)
        })
    )
    yield* vigil.watch({
      wire,
      answers: false,
      underWay: () => 1,
      ping: () => {},
      close: () => stop
    })

    const frame = Subject.members[1].literals.some((wildcard) => wildcard === topic) ? frameOfMany : frameOf
    const frames = deliveries.pipe(
      Stream.chunks,
      // One piece at a time: the next one is made when this one has gone.
      Stream.flatMap((chunk) => Stream.rechunk(Stream.fromIterable(inPieces(chunk, piece)), 1)),
      Stream.map((some) => some.map(frame).join("")),
      Stream.catchCause((cause) =>
        Stream.fromEffect(Effect.map(failureOf(cause), (error) => `event: end\ndata: ${bodyOf(error)}\n\n`))
      ),
      Stream.interruptWhen(Deferred.await(stopped))
    )
    const heartbeats = Stream.map(Stream.fromSchedule(Schedule.spaced(vigil.limits.ping)), () => ": nothing new\n\n")
    return Stream.succeed("retry: 1000\n\n").pipe(
      Stream.concat(Stream.merge(frames, heartbeats, { haltStrategy: "left" })),
      Stream.rechunk(1),
      Stream.encodeText
    )
  })

  const failureOf = (cause: Cause.Cause<Failure>): Effect.Effect<Failure> => {
    const error = Cause.findErrorOption(cause)
    return error._tag === "Some" ? Effect.succeed(error.value) : report("Subscribe", cause)
  }

  return (request: HttpServerRequest.HttpServerRequest) =>
    Effect.flatMap(Effect.exit(respond(request)), (exit) => {
      if (Exit.isSuccess(exit)) {
        return Effect.succeed(
          HttpServerResponse.stream(exit.value, {
            contentType: "text/event-stream",
            headers: { "cache-control": "no-store", "x-accel-buffering": "no" }
          })
        )
      }
      if (Cause.hasInterruptsOnly(exit.cause)) return Effect.interrupt
      return Effect.map(failureOf(exit.cause), (error) =>
        HttpServerResponse.text(`${bodyOf(error)}\n`, {
          status: codeOf(error).http,
          contentType: "application/json",
          headers: { "cache-control": "no-store" }
        })
      )
    })
})
