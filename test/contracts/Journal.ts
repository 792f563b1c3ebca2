/** What every `Journal` promises. Each test has a journal of its own. */
import { assert, it } from "@effect/vitest"
import { Effect, Exit, type Layer } from "effect"
import { TestClock } from "effect/testing"
import type { Topic } from "../../services/events/Topic.ts"
import { type Append, type HeadsOptions, Journal } from "../../services/journal/Journal.ts"
import { CallId, MessageId } from "../../services/session/SessionId.ts"
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
        earliest: 1,
        open: true,
        summary: JSON.stringify({ last: "2" })
      })
      yield* journal.append([{ ...append(a, 2, "3"), open: false, summary: "{}" }])
      assert.deepStrictEqual(yield* journal.head(a), {
        stream: a,
        sequence: 3,
        earliest: 1,
        open: false,
        summary: "{}"
      })
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

  test(
    "heads are found by owner and by label, in either order, page by page",
    Effect.gen(function* () {
      const journal = yield* Journal
      const names = Array.from({ length: 60 }, (_, index) => workerTopic(String(index).padStart(2, "0")))
      yield* journal.append(
        names.map((stream, index) => ({ ...append(stream, 0, "1"), owner: `ses_${index % 3}`, open: true }))
      )
      // Ends every other one; whom it belongs to is settled by then.
      yield* journal.append(
        names
          .filter((_, index) => index % 2 === 0)
          .map((stream, index) => ({
            ...append(stream, 1, "2"),
            owner: "somebody else",
            open: false,
            label: index % 2 === 0 ? "completed" : "failed"
          }))
      )
      const found = (options: Partial<HeadsOptions>) =>
        Effect.map(journal.heads({ prefix: "worker:", limit: 100, ...options }), (heads) =>
          heads.map(({ stream }) => names.indexOf(stream))
        )
      const all = names.map((_, index) => index)
      const [owned, completed] = [all.filter((n) => n % 3 === 1), all.filter((n) => n % 4 === 0)]
      assert.deepStrictEqual(yield* found({ owner: "ses_1" }), owned.toReversed())
      assert.deepStrictEqual(yield* found({ owner: "ses_1", order: "oldest first" }), owned)
      assert.deepStrictEqual(yield* found({ label: "completed" }), completed.toReversed())
      assert.deepStrictEqual(
        yield* found({ label: "completed", owner: "ses_1" }),
        completed.filter((n) => n % 3 === 1).toReversed()
      )
      assert.deepStrictEqual(
        yield* found({ open: true, owner: "ses_1", order: "oldest first" }),
        owned.filter((n) => n % 2 === 1)
      )
      assert.deepStrictEqual(yield* found({ owner: "somebody else" }), [])
      const paged: Array<number> = []
      let before: Topic | undefined
      while (true) {
        const page = yield* journal.heads({ prefix: "worker:", order: "oldest first", before, limit: 7 })
        paged.push(...page.map(({ stream }) => names.indexOf(stream)))
        before = page.at(-1)?.stream
        if (page.length < 7) break
      }
      assert.deepStrictEqual(paged, all)
      const [head] = yield* journal.heads({ prefix: names[0] ?? "", limit: 1 })
      assert.deepInclude(head, { owner: "ses_0", label: "completed", open: false, earliest: 1 })
    })
  )

  test(
    "a snapshot is there with the append it came with, as of the event before it, until a newer one",
    Effect.gen(function* () {
      const journal = yield* Journal
      const a = sessionTopic("a")
      const snapshot = { version: 1, state: '{"n":"ü"}', needs: 1 }
      assert.strictEqual(yield* journal.snapshot(a), undefined)
      yield* journal.append([{ ...append(a, 0, "1", "2"), snapshot }])
      // Before the first event there is no state.
      assert.strictEqual(yield* journal.snapshot(a), undefined)
      yield* journal.append([{ ...append(a, 2, "3"), snapshot }])
      assert.deepStrictEqual(yield* journal.snapshot(a), { ...snapshot, sequence: 2 })
      const newer = { version: 2, state: "{}", needs: 3 }
      const refused = yield* Effect.exit(journal.append([{ ...append(a, 9, "4"), snapshot: newer }]))
      assert.isTrue(isMismatch(refused))
      assert.deepStrictEqual(yield* journal.snapshot(a), { ...snapshot, sequence: 2 })
      yield* journal.append([append(a, 3, "4"), { ...append(a, 4, "5"), snapshot: newer }])
      assert.deepStrictEqual(yield* journal.snapshot(a), { ...newer, sequence: 4 })
    })
  )

  test(
    "events are let go of as far as a snapshot stands for them, and no further than anybody needs them",
    Effect.gen(function* () {
      const journal = yield* Journal
      const a = sessionTopic("a")
      const words = Array.from({ length: 5_000 }, (_, index) => `word ${index}`)
      yield* journal.append([append(a, 0, ...words)])
      const written = yield* journal.read({ stream: a, after: 0, limit: 6_000 })
      assert.strictEqual(yield* journal.compact({ stream: a, before: 4_000 }), 1)
      yield* journal.append([{ ...append(a, 5_000, "last"), snapshot: { version: 1, state: "{}", needs: 3_000 } }])

      yield* Effect.scoped(
        Effect.gen(function* () {
          yield* journal.hold(a, () => 700)
          yield* journal.hold(a, () => 500)
          yield* Effect.scoped(journal.hold(a, () => 300))
          const held = yield* journal.compact({ stream: a, before: 4_000 })
          assert.isAtMost(held, 500)
          assert.isAbove(held, 400)
        })
      )
      const earliest = yield* journal.compact({ stream: a, before: 4_000 })
      assert.isAtMost(earliest, 3_000)
      assert.isAbove(earliest, 2_900)
      assert.strictEqual((yield* journal.head(a))?.earliest, earliest)
      assert.strictEqual(yield* journal.compact({ stream: a, before: 10 }), earliest)
      assert.deepStrictEqual(yield* journal.read({ stream: a, after: 0, limit: 5_000 }), [
        ...written.slice(earliest - 1),
        ...(yield* journal.read({ stream: a, after: 5_000 }))
      ])
      assert.deepStrictEqual(yield* journal.read({ stream: a, after: 3_500, limit: 2 }), written.slice(3_500, 3_502))
      yield* journal.append([append(a, 5_001, "on")])
      assert.deepInclude(yield* journal.head(a), { sequence: 5_002, earliest })
      assert.strictEqual((yield* journal.read({ stream: a, after: 5_000 })).length, 2)
    })
  )

  test(
    "a stream is let go of as a whole only when it is closed, unchanged and held by nobody",
    Effect.gen(function* () {
      const journal = yield* Journal
      const [a, b] = [workerTopic("a"), workerTopic("b")]
      const words = Array.from({ length: 3_000 }, (_, index) => `word ${index}`)
      yield* journal.append([{ ...append(a, 0, ...words), owner: "ses_1" }, append(b, 0, "1", "2")])
      assert.isFalse(yield* journal.remove({ stream: a, sequence: 3_000 }))
      yield* journal.append([{ ...append(a, 3_000, "end"), open: false, label: "completed" }])
      assert.isFalse(yield* journal.remove({ stream: a, sequence: 3_000 }))
      yield* Effect.scoped(
        Effect.gen(function* () {
          yield* journal.hold(a, () => 3_001)
          assert.isFalse(yield* journal.remove({ stream: a, sequence: 3_001 }))
        })
      )
      assert.strictEqual((yield* journal.read({ stream: a, after: 0, limit: 5_000 })).length, 3_001)
      assert.isTrue(yield* journal.remove({ stream: a, sequence: 3_001 }))
      assert.isFalse(yield* journal.remove({ stream: a, sequence: 3_001 }))
      assert.strictEqual(yield* journal.head(a), undefined)
      assert.deepStrictEqual(yield* journal.read({ stream: a, after: 0 }), [])
      assert.deepStrictEqual(yield* journal.heads({ prefix: "worker:", owner: "ses_1", limit: 10 }), [])
      assert.deepStrictEqual(yield* journal.heads({ prefix: "worker:", label: "completed", limit: 10 }), [])
      assert.strictEqual((yield* journal.read({ stream: b, after: 0 })).length, 2)
    })
  )

  test(
    "values of any size come back as they were",
    Effect.gen(function* () {
      const journal = yield* Journal
      const [a, w] = [sessionTopic("a"), workerTopic("w")]
      const result = { text: "ü\u0000".repeat(100_000), _tag: "mine", ["__proto__"]: 1 }
      const callId = CallId.make("call_1")
      const told: Append["events"] = [
        { _tag: "ToolCallSettled", callId, outcome: { _tag: "ToolCompleted", result } },
        { _tag: "MessageReceived", messageId: MessageId.make("msg_1"), text: "x".repeat(1_000_000) },
        { _tag: "SessionEnded", reason: "small" }
      ]
      const done: Append["events"] = [{ _tag: "WorkerCompleted", result }]
      yield* journal.append([
        { ...append(a, 0, ""), events: told },
        { ...append(w, 0, ""), events: done, open: false }
      ])
      const check = Effect.gen(function* () {
        const events = yield* journal.read({ stream: a, after: 0 })
        assert.deepStrictEqual(
          events.map(({ event }) => event),
          [...told]
        )
      })
      yield* check
      assert.deepStrictEqual((yield* journal.read({ stream: w, after: 0 }))[0]?.event, done[0])
      // What another stream still has stays.
      assert.isTrue(yield* journal.remove({ stream: w, sequence: 1 }))
      yield* check
    })
  )
}
