import { assert, layer } from "@effect/vitest"
import { Effect, type Scope, Stream } from "effect"
import { SessionId } from "../../services/session/SessionId.ts"
import * as Client from "../../src/client.ts"
import { range } from "../contracts/EventBus.ts"
import * as GatewayServer from "../support/GatewayServer.ts"

const { ServerUrl } = GatewayServer

interface Frame {
  readonly id?: string
  readonly event?: string
  readonly data?: {
    readonly _tag?: string
    readonly error?: object
    readonly [key: string]: unknown
  }
  readonly comment?: string
}

const parse = (text: string): Frame => {
  const fields = text.split("\n").map((line) => [line.slice(0, line.indexOf(":")), line.slice(line.indexOf(":") + 2)])
  const field = (name: string) => fields.find(([key]) => key === name)?.[1]
  const data = field("data")
  return {
    ...(field("id") === undefined ? {} : { id: field("id") as string }),
    ...(field("event") === undefined ? {} : { event: field("event") as string }),
    ...(data === undefined ? {} : { data: JSON.parse(data) }),
    ...(text.startsWith(":") ? { comment: text.slice(2) } : {})
  }
}

/** A request for events, and what comes until the scope closes. */
const get = Effect.fnUntraced(function* (path: string, headers: Record<string, string> = {}) {
  const url = yield* ServerUrl
  const controller = yield* Effect.acquireRelease(
    Effect.sync(() => new AbortController()),
    (controller) => Effect.sync(() => controller.abort())
  )
  const response = yield* Effect.promise(() => fetch(`${url}${path}`, { headers, signal: controller.signal }))
  return {
    response,
    frames: Stream.fromReadableStream({
      evaluate: () => response.body as ReadableStream<Uint8Array>,
      onError: () => "gone" as const
    }).pipe(
      Stream.decodeText(),
      Stream.splitLines,
      Stream.split((line) => line === ""),
      Stream.map((lines) => parse(lines.join("\n"))),
      Stream.filter((frame) => frame.data !== undefined || frame.comment !== undefined),
      Stream.catch(() => Stream.empty)
    )
  }
})

const refusal = (path: string, headers?: Record<string, string>) =>
  Effect.scoped(
    Effect.gen(function* () {
      const { response } = yield* get(path, headers)
      const body = yield* Effect.promise(() => response.json())
      return [response.status, body.error.code, body.error.message] as const
    })
  )

const server = GatewayServer.layerWith({ ping: 100 })

layer(server, { excludeTestServices: true })("GET /events/{topic}", (it) => {
  const session = Effect.gen(function* () {
    const espalier = yield* Client.make({ url: yield* ServerUrl })
    const { id } = yield* espalier.StartSession({ title: "" })
    const send = (count: number) =>
      Effect.forEach(
        Array.from({ length: count }, (_, n) => `${n}`),
        (text) => espalier.SendMessage({ sessionId: id, text })
      )
    return { id, send, espalier }
  })
  const test = <E>(name: string, body: Effect.Effect<void, E, GatewayServer.ServerUrl | Scope.Scope>) =>
    it.effect(name, () => Effect.scoped(body))

  test(
    "replays, goes on live, and resumes after Last-Event-ID",
    Effect.gen(function* () {
      const { espalier, id, send } = yield* session
      yield* send(3)
      const { frames, response } = yield* get(`/events/session:${id}?from=2&label=console`)
      assert.strictEqual(response.status, 200)
      assert.include(response.headers.get("content-type"), "text/event-stream")
      assert.strictEqual(response.headers.get("x-content-type-options"), "nosniff")
      const [stats] = yield* espalier.TopicStats({ topic: `session:${id}` as never })
      assert.isTrue(stats?.list.some(({ connection, label }) => label === "console" && connection?.startsWith("sse")))
      yield* Effect.forkScoped(Effect.andThen(Effect.sleep("100 millis"), send(2)))
      const seen = yield* frames.pipe(
        Stream.filter(({ id }) => id !== undefined),
        Stream.take(5),
        Stream.runCollect
      )
      assert.deepStrictEqual(
        seen.map(({ data, id }) => [id, data?._tag, data?.["sequence"]]),
        [2, 3, 4, 5, 6].map((sequence) => [`${sequence}`, "Event", sequence])
      )
      const again = yield* get(`/events/session:${id}?from=1`, { "last-event-id": "5" })
      const [first] = yield* Stream.runCollect(Stream.take(again.frames, 1))
      assert.strictEqual(first?.id, "6")
    })
  )

  test(
    "says something while nothing happens",
    Effect.gen(function* () {
      const { frames } = yield* get("/events/session:*")
      const [comment] = yield* Stream.runCollect(Stream.take(frames, 1))
      assert.strictEqual(comment?.comment, "nothing new")
    })
  )

  test(
    "refuses by its status, with JSON that says what to do",
    Effect.gen(function* () {
      const { id } = yield* session
      const expect = Effect.fnUntraced(function* (path: string, status: number, code: string, sentence: RegExp) {
        const [found, foundCode, message] = yield* refusal(path)
        assert.deepStrictEqual([found, foundCode], [status, code])
        assert.match(message, sentence)
      })
      yield* expect("/events/nonsense", 400, "invalid_input", /a topic: session/)
      yield* expect(`/events/session:${id}?policy=hope`, 400, "invalid_input", /policy/)
      yield* expect(`/events/session:${id}?capacity=0`, 400, "invalid_input", /capacity: a whole number from 1/)
      yield* expect(`/events/session:${id}?form=1`, 400, "invalid_input", /form/)
      yield* expect("/events/session:ses_nobody", 404, "session_not_found", /ses_nobody/)
      yield* expect(`/events/session:${id}?from=9`, 416, "cursor_ahead", /from 2 or earlier/)
      yield* expect("/events/session:*?from=1", 400, "invalid_input", /no past/)
      const [status] = yield* refusal(`/events/session:${id}`, { "last-event-id": "x" })
      assert.strictEqual(status, 400)
      const foreign = yield* get(`/events/session:${id}`, { origin: "http://evil.example" })
      assert.strictEqual(foreign.response.status, 403)
      assert.strictEqual(SessionId.make(id), id)
    })
  )

  test(
    "a reader that its policy cuts off is told so by the last event",
    Effect.gen(function* () {
      const { espalier, id, send } = yield* session
      const { frames } = yield* get(`/events/session:${id}?policy=disconnect&capacity=1`)
      // More than the system buffers for both sides, so that the server has to wait for the reader.
      yield* Effect.forEach(range(1, 250), () => espalier.SendMessage({ sessionId: id, text: "x".repeat(100_000) }))
      yield* send(2)
      const all = yield* frames.pipe(
        Stream.filter(({ data }) => data !== undefined),
        Stream.runCollect
      )
      const end = all.at(-1)
      const last = Number(all.at(-2)?.id)
      assert.strictEqual(end?.event, "end")
      assert.deepInclude(end?.data?.error, { code: "subscription_cut", after: last })
      assert.isBelow(last, 253)
      const { frames: rest } = yield* get(`/events/session:${id}?policy=disconnect`, { "last-event-id": `${last}` })
      const [next] = yield* rest.pipe(
        Stream.filter(({ id }) => id !== undefined),
        Stream.take(1),
        Stream.runCollect
      )
      assert.strictEqual(next?.id, `${last + 1}`)
    })
  )
})
