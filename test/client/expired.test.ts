/** resume-gap: a reader that comes back for events that are no longer kept. */
import { assert, layer } from "@effect/vitest"
import { Context, Effect, Layer, Stream } from "effect"
import * as HttpGateway from "../../layers/gateway/HttpGateway.ts"
import * as MemoryJournal from "../../layers/journal/MemoryJournal.ts"
import { appendOf } from "../../layers/session/SessionStore.ts"
import type { Delivery } from "../../services/events/RuntimeEvent.ts"
import * as Topic from "../../services/events/Topic.ts"
import { Journal } from "../../services/journal/Journal.ts"
import { MessageId, SessionId } from "../../services/session/SessionId.ts"
import type { SessionEvent } from "../../services/session/SessionEvent.ts"
import { fold, type SessionState } from "../../services/session/SessionState.ts"
import * as Client from "../../src/client.ts"
import * as Server from "../../src/server/Server.ts"

const sessionId = SessionId.make("ses_long")
const topic = Topic.ofSession(sessionId)
const total = 2_600

/** A session that has updated its title so often, all but its newest events let go of. */
const journal = Layer.effect(
  Journal,
  Effect.gen(function* () {
    const journal = yield* MemoryJournal.make()
    const started: SessionEvent = { _tag: "SessionStarted", title: "1", agentType: "default", metadata: {} }
    let state: SessionState | undefined
    for (let n = 1; n <= total; n++) {
      const event: SessionEvent = n === 1 ? started : { _tag: "SessionUpdated", title: `${n}` }
      const next = fold(state, { topic, sequence: n, at: 0, event })
      if (next === undefined) break
      const recorded = yield* journal.append([appendOf(next, state, [event])])
      state = recorded.reduce<SessionState | undefined>(fold, state)
    }
    assert.strictEqual(yield* journal.compact({ stream: topic, before: total }), earliest)
    return journal
  }).pipe(Effect.orDie)
)
/** The newest snapshot is that after event 2,499, and the last 1,000 events before it stay. */
const snapshot = 2_499
const earliest = snapshot - 999

class Running extends Context.Service<Running, { readonly url: string; readonly espalier: Client.Operation }>()(
  "test/Running"
) {}

const running = Layer.effect(
  Running,
  Effect.gen(function* () {
    const url = yield* HttpGateway.url
    return { url, espalier: yield* Client.make({ url }) }
  })
).pipe(Layer.provide(Server.layerMemory({ port: 0, journal })), Layer.orDie)

const places = (deliveries: ReadonlyArray<Delivery>) =>
  deliveries.map((delivery) => ("sequence" in delivery ? `${delivery._tag} ${delivery.sequence}` : delivery._tag))
const after = (sequence: number, count: number) =>
  Array.from({ length: count }, (_, index) => `Event ${sequence + 1 + index}`)

layer(running, { excludeTestServices: true })("resume-gap: a cursor that is too old", (it) => {
  it.effect("is refused with the earliest event that is kept and a snapshot from which the present can be made", () =>
    Effect.gen(function* () {
      const { espalier } = yield* Running
      const refusal = yield* Effect.flip(Stream.runDrain(espalier.Subscribe({ topic, from: 7 })))
      assert.strictEqual(refusal._tag, "CursorExpired")
      if (refusal._tag !== "CursorExpired") return
      assert.deepInclude(refusal, { topic, from: 7, earliest })
      assert.deepInclude(refusal.snapshot, { id: sessionId, title: `${snapshot}`, status: "idle", sequence: snapshot })
      assert.include(refusal.message, `subscribe from ${snapshot + 1}`)
      const rest = yield* espalier
        .Subscribe({ topic, from: snapshot + 1 })
        .pipe(Stream.take(total - snapshot), Stream.runCollect)
      assert.deepStrictEqual(places(rest), after(snapshot, total - snapshot))
      const kept = yield* espalier.Subscribe({ topic, from: earliest }).pipe(Stream.take(3), Stream.runCollect)
      assert.deepStrictEqual(places(kept), after(earliest - 1, 3))
    })
  )

  it.effect("begins with that snapshot where it was asked for, and goes on live without a gap", () =>
    Effect.gen(function* () {
      const { espalier, url } = yield* Running
      const { length } = yield* Client.follow(topic, { from: 7, expired: "snapshot", capacity: 4 }).pipe(
        Stream.tap((delivery) =>
          delivery._tag === "Event" && delivery.sequence === total
            ? espalier.SendMessage({ sessionId, text: "go on", messageId: MessageId.make("msg_one") })
            : Effect.void
        ),
        Stream.filter((delivery) => delivery._tag !== "Ephemeral"),
        Stream.take(total - snapshot + 4),
        Stream.runCollect,
        Effect.tap((got) =>
          Effect.sync(() => {
            assert.deepStrictEqual(places(got), [`Snapshot ${snapshot}`, ...after(snapshot, total - snapshot + 3)])
            assert.deepInclude(got[0], { earliest, topic })
          })
        ),
        Effect.provide(Client.layer({ url }))
      )
      assert.isAbove(length, 0)
    })
  )

  it.effect("over server-sent events is a 410 with the same snapshot, or a stream that begins with it", () =>
    Effect.gen(function* () {
      const { url } = yield* Running
      const refused = yield* Effect.promise(() =>
        fetch(`${url}/events/${topic}`, { headers: { "last-event-id": "6" } })
      )
      assert.strictEqual(refused.status, 410)
      const { error } = yield* Effect.promise(
        () =>
          refused.json() as Promise<{ readonly error: { readonly [key: string]: unknown; readonly snapshot: object } }>
      )
      assert.deepInclude(error, { code: "cursor_expired", earliest, from: 7 })
      assert.deepInclude(error.snapshot, { title: `${snapshot}`, sequence: snapshot })

      const abort = new AbortController()
      const response = yield* Effect.promise(() =>
        fetch(`${url}/events/${topic}?expired=snapshot`, { headers: { "last-event-id": "6" }, signal: abort.signal })
      )
      let text = ""
      const decoder = new TextDecoder()
      const reader = (response.body as ReadableStream<Uint8Array>).getReader()
      while (!text.includes(`id: ${total}\n`)) {
        const { done, value } = yield* Effect.promise(() => reader.read())
        if (done) break
        text += decoder.decode(value, { stream: true })
      }
      abort.abort()
      const ids = [...text.matchAll(/^id: (\d+)\ndata: \{"_tag":"(\w+)"/gm)].map(([, id, tag]) => `${tag} ${id}`)
      assert.deepStrictEqual(ids.slice(0, total - snapshot + 1), [
        `Snapshot ${snapshot}`,
        ...after(snapshot, total - snapshot)
      ])
    })
  )

  it.effect("of a report tells what is left, and how much is not", () =>
    Effect.gen(function* () {
      const { espalier } = yield* Running
      const answer = yield* espalier.RunTool({ sessionId, tool: "generate_report", args: { sessionId } })
      assert.isTrue("result" in answer)
      const { result } = answer as { readonly result: Readonly<Record<string, unknown>> }
      assert.strictEqual(result["notKept"], earliest - 1)
      assert.isAtLeast(Number(result["events"]), total - earliest + 1)
      assert.include(result["report"], `No longer kept: its first ${(earliest - 1).toLocaleString("en")} events`)
    })
  )
})
