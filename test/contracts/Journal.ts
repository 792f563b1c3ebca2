/** What every `Journal` promises. Each test has a journal of its own. */
import { assert, it } from "@effect/vitest"
import { Effect, Exit, type Layer } from "effect"
import { TestClock } from "effect/testing"
import type { Topic } from "../../services/events/Topic.ts"
import { type Append, Journal } from "../../services/journal/Journal.ts"
import { SequenceMismatch } from "../../services/journal/SequenceMismatch.ts"
import { sessionTopic, workerTopic } from "../support/topics.ts"

const texts = (...texts: ReadonlyArray<string>): Append["events"] => {
  const [first = "", ...rest] = texts
  const event = (reason: string) => ({ _tag: "SessionEnded" as const, reason })
  return [event(first), ...rest.map(event)]
}

const append = (stream: Topic, after: number, ...words: ReadonlyArray<string>): Append => ({
  stream,
  after,
  events: texts(...words),
  open: true,
  summary: JSON.stringify({ last: words.at(-1) })
})

const isMismatch = (exit: Exit.Exit<unknown, unknown>) =>
  Exit.isFailure(exit) &&
  exit.cause.reasons.some((reason) => reason._tag === "Die" && reason.defect instanceof SequenceMismatch)

export const journalContract = <E>(journal: Layer.Layer<Journal, E>) => {
  const test = <A, F>(name: string, body: Effect.Effect<A, F, Journal>) =>
    it.effect(name, () => Effect.provide(body, journal))

  test(
    "numbers a stream's events from 1 and gives them back as they were",
    Effect.gen(function* () {
      const { append: write, read } = yield* Journal
      yield* TestClock.setTime(1_234)
      const a = sessionTopic("a")
      const events: Append["events"] = [
        { _tag: "SessionStarted", title: "Zoë \u0000 \u{1f333} '\"", agentType: "main", metadata: { "": "ü", k: "v" } },
        { _tag: "SessionUpdated", title: "next" }
      ]
      const first = yield* write([{ stream: a, after: 0, events, open: true, summary: "{}" }])
      const second = yield* write([append(a, 2, "bye")])
      assert.deepStrictEqual(first, [
        { topic: a, sequence: 1, at: 1_234, event: events[0] },
        { topic: a, sequence: 2, at: 1_234, event: { _tag: "SessionUpdated", title: "next" } }
      ])
      assert.deepStrictEqual(yield* read({ stream: a, after: 0 }), [...first, ...second])
    })
  )

  test(
    "reads from after a sequence, as many as asked for",
    Effect.gen(function* () {
      const { append: write, read } = yield* Journal
      const a = sessionTopic("a")
      const words = Array.from({ length: 1_200 }, (_, index) => `word ${index}`)
      yield* write([append(a, 0, ...words)])
      const sequences = (options: { after: number; limit?: number }) =>
        Effect.map(read({ stream: a, ...options }), (page) => page.map(({ sequence }) => sequence))
      assert.deepStrictEqual(yield* sequences({ after: 3, limit: 2 }), [4, 5])
      assert.deepStrictEqual(yield* sequences({ after: 1_199, limit: 2 }), [1_200])
      assert.deepStrictEqual(yield* sequences({ after: 1_200 }), [])
      assert.strictEqual((yield* sequences({ after: 0 })).length, 1_000)
      assert.deepStrictEqual(yield* read({ stream: sessionTopic("none"), after: 0 }), [])
    })
  )

  test(
    "an append over several streams is there as a whole or not at all",
    Effect.gen(function* () {
      const journal = yield* Journal
      const [a, w] = [sessionTopic("a"), workerTopic("w")]
      const both = yield* journal.append([append(a, 0, "1", "2"), append(w, 0, "1"), append(a, 2, "3")])
      assert.deepStrictEqual(
        both.map(({ sequence, topic }) => [topic, sequence]),
        [
          [a, 1],
          [a, 2],
          [w, 1],
          [a, 3]
        ]
      )
      assert.isTrue(isMismatch(yield* Effect.exit(journal.append([append(a, 3, "4"), append(w, 0, "again")]))))
      assert.strictEqual((yield* journal.head(a))?.sequence, 3)
      assert.strictEqual((yield* journal.read({ stream: a, after: 3 })).length, 0)
      assert.strictEqual((yield* journal.head(w))?.sequence, 1)
    })
  )

  test(
    "a second writer's append is a defect and harms nobody else",
    Effect.gen(function* () {
      const journal = yield* Journal
      const a = sessionTopic("a")
      yield* journal.append([append(a, 0, "1")])
      const others = Array.from({ length: 20 }, (_, index) => sessionTopic(`other${index}`))
      const exits = yield* Effect.forEach(
        [append(a, 0, "repeat"), append(a, 5, "gap"), ...others.map((other) => append(other, 0, "fine"))],
        (one) => Effect.exit(journal.append([one])),
        { concurrency: "unbounded" }
      )
      assert.deepStrictEqual(
        exits.map((exit) => (Exit.isSuccess(exit) ? "ok" : isMismatch(exit) ? "mismatch" : "other")),
        ["mismatch", "mismatch", ...others.map(() => "ok")]
      )
      assert.strictEqual((yield* journal.head(a))?.sequence, 1)
    })
  )

  test(
    "concurrent writers of their own streams all find their events, in order",
    Effect.gen(function* () {
      const journal = yield* Journal
      const streams = Array.from({ length: 50 }, (_, index) => sessionTopic(`s${index}`))
      yield* Effect.forEach(
        streams,
        (stream) =>
          Effect.forEach(Array.from({ length: 20 }).keys(), (n) =>
            journal.append([append(stream, n, `${stream} ${n}`)])
          ),
        { concurrency: "unbounded" }
      )
      for (const stream of streams) {
        const read = yield* journal.read({ stream, after: 0 })
        assert.deepStrictEqual(
          read.map(({ event, sequence }) => [sequence, event._tag === "SessionEnded" ? event.reason : ""]),
          Array.from({ length: 20 }, (_, n) => [n + 1, `${stream} ${n}`])
        )
      }
    })
  )

  test(
    "a head holds the last sequence, the summary and whether there is business left",
    Effect.gen(function* () {
      const journal = yield* Journal
      const a = sessionTopic("a")
      assert.strictEqual(yield* journal.head(a), undefined)
      yield* journal.append([append(a, 0, "1", "2")])
      assert.deepStrictEqual(yield* journal.head(a), {
        stream: a,
        sequence: 2,
        open: true,
        summary: JSON.stringify({ last: "2" })
      })
      yield* journal.append([{ ...append(a, 2, "3"), open: false, summary: "{}" }])
      assert.deepStrictEqual(yield* journal.head(a), { stream: a, sequence: 3, open: false, summary: "{}" })
    })
  )

  test(
    "heads come newest first, page by page, by prefix, and only the open ones when asked",
    Effect.gen(function* () {
      const journal = yield* Journal
      const numbers = Array.from({ length: 1_300 }, (_, index) => String((index * 7) % 1_300).padStart(4, "0"))
      yield* journal.append(numbers.map((n) => ({ ...append(sessionTopic(n), 0, n), open: Number(n) % 100 === 0 })))
      yield* journal.append([append(workerTopic("w"), 0, "1"), { ...append(workerTopic("x"), 0, "1"), open: false }])

      const ordered = numbers.toSorted().toReversed().map(sessionTopic)
      const found: Array<string> = []
      let before: Topic | undefined
      while (true) {
        const page = yield* journal.heads({ prefix: "session:", before, limit: 333 })
        if (page.length === 0) break
        found.push(...page.map(({ stream }) => stream))
        before = page.at(-1)?.stream
      }
      assert.deepStrictEqual(found, ordered)

      const open = yield* journal.heads({ prefix: "session:", open: true, limit: 100 })
      assert.deepStrictEqual(
        open.map(({ stream }) => stream),
        ordered.filter((stream) => stream.endsWith("00"))
      )
      yield* journal.append([{ ...append(sessionTopic("1200"), 1, "closed"), open: false }])
      const next = yield* journal.heads({ prefix: "session:", open: true, limit: 1 })
      assert.deepStrictEqual(
        next.map(({ stream }) => stream),
        [sessionTopic("1100")]
      )

      const workers = yield* journal.heads({ prefix: "worker:", limit: 10 })
      assert.deepStrictEqual(
        workers.map(({ open, stream }) => [stream, open]),
        [
          [workerTopic("x"), false],
          [workerTopic("w"), true]
        ]
      )
      assert.deepStrictEqual(yield* journal.heads({ prefix: "system:", limit: 10 }), [])
      assert.deepStrictEqual(yield* journal.heads({ prefix: "session:", before: sessionTopic("0000"), limit: 10 }), [])
    })
  )

  test(
    "an append of nothing writes nothing",
    Effect.gen(function* () {
      const journal = yield* Journal
      assert.deepStrictEqual(yield* journal.append([]), [])
    })
  )
}
