import { assert, describe, it } from "@effect/vitest"
import * as fc from "fast-check"
import { FairQueue } from "../../services/worker/FairQueue.ts"
import { ageing } from "../../services/worker/Lane.ts"
import type { Ticket } from "../../services/worker/Ticket.ts"

const ticket = (session: string, more: Partial<Ticket> = {}): Ticket => ({
  session,
  key: undefined,
  priority: 5,
  weight: 1,
  ...more
})

const drain = <A>(queue: FairQueue<A>): ReadonlyArray<A> => {
  const taken: Array<A> = []
  for (let next = queue.take(); next !== undefined; next = queue.take()) taken.push(next.value)
  return taken
}

/** One task for each word: `a7` is of session `a` with priority 7, `a` of priority 5. */
const queueOf = (...names: ReadonlyArray<string>) => {
  const queue = new FairQueue<string>()
  for (const name of names) {
    queue.push(ticket(name.slice(0, 1), { priority: Number(name.slice(1, 2) || 5) }), name, Infinity)
  }
  return queue
}

describe("FairQueue", () => {
  it("lets sessions take turns and keeps the order within each", () => {
    assert.deepStrictEqual(drain(queueOf("a5.1", "a5.2", "a5.3", "b5.1", "c5.1", "c5.2")), [
      "a5.1",
      "b5.1",
      "c5.1",
      "a5.2",
      "c5.2",
      "a5.3"
    ])
  })

  it("puts a session that comes back behind the others", () => {
    const queue = queueOf("a", "b")
    assert.strictEqual(queue.take()?.value, "a")
    queue.push(ticket("a"), "a again", Infinity)
    assert.deepStrictEqual(drain(queue), ["b", "a again"])
  })

  it("serves a session's most urgent tasks first, and no other session later for it", () => {
    assert.deepStrictEqual(drain(queueOf("a1", "a5", "b1", "a9", "b5")), ["a9", "b5", "a5", "b1", "a1"])
  })

  it("lets a task that has waited its time go before a more urgent one that comes then", () => {
    const queue = new FairQueue<string>()
    for (let index = 0; index < 40; index++) queue.push(ticket("a", { priority: 9 }), "urgent", Infinity)
    queue.push(ticket("a", { priority: 5 }), "usual", Infinity)
    for (let index = 0; index < 4 * ageing; index++) assert.strictEqual(queue.take()?.value, "urgent")
    queue.push(ticket("a", { priority: 9 }), "late", Infinity)
    assert.deepStrictEqual(drain(queue), ["usual", "late"])
  })

  it("gives a session as many turns in a row as its weight", () => {
    const queue = new FairQueue<string>()
    for (let index = 0; index < 6; index++) {
      queue.push(ticket("a", { weight: 3 }), `a${index}`, Infinity)
      queue.push(ticket("b"), `b${index}`, Infinity)
    }
    assert.deepStrictEqual(drain(queue).slice(0, 8), ["a0", "a1", "a2", "b0", "a3", "a4", "a5", "b1"])
  })

  it("takes a task out of the middle, once", () => {
    const queue = new FairQueue<string>()
    queue.push(ticket("a"), "a1", 10)
    const second = queue.push(ticket("a"), "a2", 20)
    queue.push(ticket("a"), "a3", 30)
    assert.isTrue(queue.remove(second))
    assert.isFalse(queue.remove(second))
    assert.strictEqual(queue.size, 2)
    assert.deepStrictEqual(drain(queue), ["a1", "a3"])
    assert.isFalse(queue.remove(second))
  })

  it("knows whose patience ends first, and lets some wait as long as it takes", () => {
    const queue = new FairQueue<string>()
    queue.push(ticket("a"), "patient", Infinity)
    const first = queue.push(ticket("a"), "first", 10)
    queue.push(ticket("b"), "second", 20)
    assert.strictEqual(queue.nextToExpire?.value, "first")
    queue.remove(first)
    assert.strictEqual(queue.nextToExpire?.value, "second")
    assert.strictEqual(queue.take()?.value, "patient")
    assert.strictEqual(queue.take()?.value, "second")
    assert.isUndefined(queue.nextToExpire)
  })

  it("puts what had its turn before all others, however urgent those are", () => {
    const queue = queueOf("c", "d", "a", "b")
    assert.deepStrictEqual([queue.take()?.value, queue.take()?.value], ["c", "d"])
    queue.push(ticket("c", { priority: 1 }), "c1", Infinity)
    queue.push(ticket("c", { priority: 9 }), "c9", Infinity)
    queue.giveBack(ticket("c"), "c again")
    queue.giveBack(ticket("d"), "d again")
    assert.deepStrictEqual(drain(queue), ["d again", "c again", "a", "b", "c9", "c1"])
  })

  it("holds a session back that runs as many as it may, and lets it go on when one ends", () => {
    const queue = new FairQueue<string>({ perSession: 2, perKey: Infinity })
    for (const name of ["a1", "a2", "a3", "b1"]) queue.push(ticket(name.slice(0, 1)), name, Infinity)
    assert.deepStrictEqual(drain(queue), ["a1", "b1", "a2"])
    assert.deepInclude(queue.ofSession("a"), { running: 2, queued: 1 })
    queue.end(ticket("b"))
    assert.isUndefined(queue.take())
    queue.end(ticket("a"))
    assert.strictEqual(queue.take()?.value, "a3")
  })

  it("lets those come on that a key held back, in the order in which they were", () => {
    const queue = new FairQueue<string>({ perSession: Infinity, perKey: 1 })
    const slow = (session: string) => ticket(session, { key: "slow" })
    for (const session of ["a", "b", "c"]) {
      queue.push(slow(session), `${session}1`, Infinity)
      queue.push(slow(session), `${session}2`, Infinity)
    }
    queue.push(ticket("d"), "d1", Infinity)
    const order: Array<string> = []
    for (let rounds = 0; rounds < 7; rounds++) {
      order.push(...drain(queue))
      queue.end(slow(order.findLast((name) => name !== "d1")?.slice(0, 1) ?? ""))
    }
    assert.deepStrictEqual(order, ["a1", "d1", "b1", "c1", "a2", "b2", "c2"])
    assert.strictEqual(queue.size, 0)
  })

  it("does not keep a key's place for a task that has left", () => {
    const queue = new FairQueue<string>({ perSession: Infinity, perKey: 1 })
    const first = queue.push(ticket("a", { key: "k" }), "a", Infinity)
    queue.push(ticket("b", { key: "k" }), "b", Infinity)
    queue.remove(first)
    assert.strictEqual(queue.take()?.value, "b")
  })

  it("lets a session go on with a task of another key when the one before it leaves", () => {
    const queue = new FairQueue<string>({ perSession: Infinity, perKey: 1 })
    queue.push(ticket("a", { key: "k" }), "a1", Infinity)
    assert.strictEqual(queue.take()?.value, "a1")
    const held = queue.push(ticket("b", { key: "k" }), "b1", Infinity)
    queue.push(ticket("b", { key: "other" }), "b2", Infinity)
    assert.isUndefined(queue.take())
    queue.remove(held)
    assert.strictEqual(queue.take()?.value, "b2")
  })

  const tasks = fc.array(
    fc.record({ session: fc.constantFrom("a", "b", "c"), priority: fc.integer({ min: 0, max: 9 }) }),
    {
      maxLength: 60
    }
  )

  it("is first in, first out within a session and a priority", () => {
    fc.assert(
      fc.property(fc.array(fc.tuple(tasks, fc.nat(30)), { maxLength: 8 }), (rounds) => {
        const queue = new FairQueue<{ readonly ticket: Ticket; readonly number: number }>()
        const taken: Array<{ readonly ticket: Ticket; readonly number: number }> = []
        let number = 0
        const take = (count: number) => {
          for (let index = 0; index < count; index++) {
            const next = queue.take()
            if (next !== undefined) taken.push(next.value)
          }
        }
        for (const [arriving, count] of rounds) {
          for (const { priority, session } of arriving) {
            const place = ticket(session, { priority })
            queue.push(place, { ticket: place, number: number++ }, Infinity)
          }
          take(count)
        }
        take(number)
        assert.strictEqual(taken.length, number)
        const last = new Map<string, number>()
        for (const { number, ticket } of taken) {
          const line = `${ticket.session}${ticket.priority}`
          assert.isAbove(number, last.get(line) ?? -1)
          last.set(line, number)
        }
      })
    )
  })

  it("starves nobody: a task is taken within (9 - priority) * 10 turns, and those that waited before it by then", () => {
    fc.assert(
      fc.property(fc.integer({ min: 0, max: 9 }), tasks, fc.integer({ min: 1, max: 3 }), (priority, before, flood) => {
        const queue = new FairQueue<string>()
        for (const { priority } of before) queue.push(ticket("a", { priority }), "before", Infinity)
        queue.push(ticket("a", { priority }), "it", Infinity)
        const bound = (9 - priority) * ageing
        let turns = 0
        let waiting = 0
        // As many of the most urgent come with each turn as may, for ever.
        while (turns < 10_000) {
          for (let index = 0; index < flood; index++) queue.push(ticket("a", { priority: 9 }), "flood", Infinity)
          if (turns === bound) waiting = queue.size
          turns++
          if (queue.take()?.value === "it") break
        }
        assert.isAtMost(turns, bound + Math.max(waiting, before.length + 1))
      })
    )
  })

  it("shares turns by weight, whoever sends how much, while each has something waiting", () => {
    fc.assert(
      fc.property(fc.array(fc.integer({ min: 1, max: 10 }), { minLength: 2, maxLength: 6 }), (weights) => {
        const queue = new FairQueue<number>()
        const rounds = 5
        const all = weights.reduce((sum, weight) => sum + weight, 0)
        weights.forEach((weight, session) => {
          for (let index = 0; index < all * rounds; index++) {
            queue.push(ticket(`s${session}`, { weight }), session, Infinity)
          }
        })
        const counts = weights.map(() => 0)
        for (let turn = 0; turn < all * rounds; turn++) {
          const session = queue.take()?.value ?? -1
          counts[session] = (counts[session] ?? 0) + 1
          // At no moment is anybody more than one round of its own ahead of its share.
          counts.forEach((count, index) => {
            const weight = weights[index] ?? 0
            assert.isAtMost(Math.abs(count - ((turn + 1) * weight) / all), weight)
          })
        }
        assert.deepStrictEqual(
          counts,
          weights.map((weight) => weight * rounds)
        )
      }),
      { numRuns: 50 }
    )
  })
})
