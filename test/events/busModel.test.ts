/**
 * The event bus against a model of it: random commands of one writer and up to three readers, which fast-check
 * shrinks, with its scheduler deciding in which order what they wait for comes to pass.
 */
import { assert, describe, it } from "@effect/vitest"
import { type Cause, Effect, Exit, Layer, ManagedRuntime, Scope, Stream } from "effect"
import fc from "fast-check"
import * as PubSubEventBus from "../../layers/events/PubSubEventBus.ts"
import * as MemoryJournal from "../../layers/journal/MemoryJournal.ts"
import { EventBus } from "../../services/events/EventBus.ts"
import type { Delivery } from "../../services/events/RuntimeEvent.ts"
import { Policy, type SubscribeError } from "../../services/events/Subscription.ts"
import { Journal } from "../../services/journal/Journal.ts"
import { foundationLayer } from "../support/foundation.ts"
import { sessionTopic } from "../support/topics.ts"

const BusLayer = PubSubEventBus.layer({ patience: "1 minute" }).pipe(
  Layer.provideMerge([MemoryJournal.layer(), foundationLayer])
)
const topic = sessionTopic("model")

interface Reader {
  readonly policy: Policy
  readonly capacity: number
  readonly pull: Effect.Effect<ReadonlyArray<Delivery>, SubscribeError | Cause.Done>
  readonly got: Array<Delivery>
  /** Where it began to read. */
  readonly from: number
  /** Last sequence that it has or was told of. */
  reached: number
  /** It waits for more. */
  isWaiting: boolean
  isCut: boolean
}

interface Model {
  published: number
  isEnded: boolean
  readers: number
}

class World {
  readonly runtime = ManagedRuntime.make(BusLayer)
  readonly readers: Array<Reader> = []
  readonly scheduler: fc.Scheduler
  /** What a reader found that may not be. */
  broken: unknown
  /** Of all subscriptions there were. */
  readonly opened: Array<{ readonly scope: Scope.Closeable }> = []
  written = 0
  publishing: Promise<unknown> = Promise.resolve()

  constructor(scheduler: fc.Scheduler) {
    this.scheduler = scheduler
  }

  run<A, E>(effect: Effect.Effect<A, E, EventBus | Journal>): Promise<A> {
    return this.runtime.runPromise(effect)
  }

  /** Appends, and publishes whenever the scheduler says so, or not at all: a writer may die between the two. */
  async write(events: readonly ["more" | "end", ...Array<"more" | "end">], isPublished = true) {
    const [first, ...rest] = events.map((kind) =>
      kind === "end"
        ? ({ _tag: "SessionEnded", reason: "" } as const)
        : ({ _tag: "SessionUpdated", title: "" } as const)
    )
    if (first === undefined) return
    const recorded = await this.run(
      Journal.use((journal) =>
        journal.append([{ stream: topic, after: this.written, events: [first, ...rest], open: true, summary: "{}" }])
      )
    )
    this.written += events.length
    if (!isPublished) return
    const before = this.publishing
    const turn = this.scheduler.schedule(Promise.resolve(), "publish")
    this.publishing = Promise.all([before, turn]).then(() => this.run(EventBus.use((bus) => bus.publish(recorded))))
  }

  async open(policy: Policy, capacity: number, from: number) {
    const scope = await this.run(Scope.make())
    const pull = await this.run(
      EventBus.use((bus) =>
        bus
          .open({ topic, policy, capacity, from, label: String(this.readers.length) })
          .pipe(Effect.flatMap(Stream.toPull), Scope.provide(scope))
      )
    )
    const reader: Reader = { policy, capacity, pull, got: [], from, reached: from - 1, isWaiting: false, isCut: false }
    this.opened.push({ scope })
    return reader
  }

  /** Takes what there is next, whenever the scheduler says so. */
  read(reader: Reader) {
    if (reader.isWaiting || reader.isCut) return
    reader.isWaiting = true
    void this.scheduler
      .schedule(Promise.resolve(), "read")
      .then(() => this.run(Effect.exit(reader.pull)))
      .then((exit) => {
        reader.isWaiting = false
        if (Exit.isFailure(exit)) reader.isCut = true
        else for (const delivery of exit.value) this.#take(reader, delivery)
        return undefined
      })
      .catch((broken: unknown) => (this.broken ??= broken))
  }

  #take(reader: Reader, delivery: Delivery) {
    reader.got.push(delivery)
    if (delivery._tag === "Event") {
      assert.strictEqual(delivery.sequence, reader.reached + 1, "a gap, a repeat or out of order")
      reader.reached = delivery.sequence
    } else if (delivery._tag === "Lagged") {
      assert.include(["sliding", "dropping"], reader.policy)
      assert.deepInclude(delivery, { from: reader.reached + 1, count: delivery.to - reader.reached })
      reader.reached = delivery.to
    }
  }

  /** Lets everything that runs by itself come to rest. */
  async settle() {
    await this.run(Effect.forEach(Array.from({ length: 20 }), () => Effect.yieldNow, { discard: true }))
    await new Promise((resolve) => setImmediate(resolve))
  }

  async close() {
    for (const { scope } of this.opened) await this.run(Scope.close(scope, Exit.void))
    await this.runtime.dispose()
  }

  /** What holds at any moment. */
  async check(model: Model) {
    await this.settle()
    if (this.broken !== undefined) throw this.broken
    const [stats] = await this.run(EventBus.use((bus) => bus.stats({ topic, limit: 100 })))
    for (const one of stats?.list ?? []) {
      const reader = this.readers[Number(one.label)]
      assert.strictEqual(
        one.delivered + one.lost + one.pending,
        one.published,
        "delivered + lost + pending = published"
      )
      assert.isAtLeast(one.pending, 0)
      assert.isAtMost(one.published, model.published)
      // Passing events aside, a queue is never longer than asked for, but for one batch and the end.
      if (reader !== undefined) assert.isAtMost(one.depth, reader.capacity + 5)
      if (one.policy !== "sliding" && one.policy !== "dropping") assert.strictEqual(one.lost, 0)
    }
  }

  /** Reads everybody to the end, those that were cut off from where they were; then all figures are known exactly. */
  async finish(model: Model) {
    if (!model.isEnded) {
      model.published++
      await this.write(["end"])
    }
    await this.publishing
    for (const reader of this.readers) {
      let current = reader
      for (let turn = 0; turn < 500 && current.reached < this.written; turn++) {
        if (current.isCut) {
          const { capacity, got, policy, reached } = current
          current = Object.assign(await this.open(policy, capacity, reached + 1), { got })
        }
        this.read(current)
        await this.check(model)
      }
      assert.strictEqual(current.reached, this.written, `${reader.policy} never came to the end`)
      const sum = current.got.reduce((total, one) => total + (one._tag === "Lagged" ? one.count : 1), 0)
      assert.strictEqual(sum, this.written - reader.from + 1, "delivered + lost = published, exactly")
      const ends = current.got.filter((one) => one._tag === "Event" && one.event._tag === "SessionEnded")
      const [stats] = await this.run(EventBus.use((bus) => bus.stats({ topic, limit: 100 })))
      const its = stats?.list.find(({ label }) => label === String(this.readers.indexOf(reader)))
      if (current === reader && !reader.isCut) {
        const lost = reader.got.reduce((total, one) => total + (one._tag === "Lagged" ? one.count : 0), 0)
        assert.deepInclude(
          its,
          { delivered: sum - lost, lost, pending: 0, published: sum },
          "what is told is what came"
        )
      }
      // Unless it began after it.
      if (reader.from > this.written) continue
      assert.strictEqual(ends.length, 1, "the end comes exactly once")
      assert.strictEqual(current.got.at(-1), ends[0], "the end comes last")
    }
  }
}

class Write implements fc.AsyncCommand<Model, World> {
  readonly count: number
  readonly isPublished: boolean
  constructor(count: number, isPublished: boolean) {
    this.count = count
    this.isPublished = isPublished
  }
  check = ({ isEnded }: Readonly<Model>) => !isEnded
  async run(model: Model, world: World) {
    model.published += this.count
    await world.write(["more", ...Array.from({ length: this.count - 1 }, () => "more" as const)], this.isPublished)
    await world.check(model)
  }
  toString = () => `write ${this.count}${this.isPublished ? "" : " and die"}`
}

class Subscribe implements fc.AsyncCommand<Model, World> {
  readonly policy: Policy
  readonly capacity: number
  readonly back: number
  constructor(policy: Policy, capacity: number, back: number) {
    this.policy = policy
    this.capacity = capacity
    this.back = back
  }
  check = ({ readers }: Readonly<Model>) => readers < 3
  async run(model: Model, world: World) {
    model.readers++
    const from = Math.max(1, world.written + 1 - this.back)
    world.readers.push(await world.open(this.policy, this.capacity, from))
    await world.check(model)
  }
  toString = () => `subscribe ${this.policy} ${this.capacity} ${this.back} back`
}

class Read implements fc.AsyncCommand<Model, World> {
  readonly reader: number
  constructor(reader: number) {
    this.reader = reader
  }
  check = ({ readers }: Readonly<Model>) => readers > this.reader
  async run(model: Model, world: World) {
    const reader = world.readers[this.reader]
    if (reader !== undefined) world.read(reader)
    await world.check(model)
  }
  toString = () => `read ${this.reader}`
}

/** One of those that wait for the scheduler goes on: which one, it decides. */
class Step implements fc.AsyncCommand<Model, World> {
  check = () => true
  async run(model: Model, world: World) {
    if (world.scheduler.count() > 0) await world.scheduler.waitOne()
    await world.check(model)
  }
  toString = () => "step"
}

class End implements fc.AsyncCommand<Model, World> {
  check = ({ isEnded }: Readonly<Model>) => !isEnded
  async run(model: Model, world: World) {
    model.isEnded = true
    model.published++
    await world.write(["end"])
    await world.check(model)
  }
  toString = () => "end"
}

/** A publisher waits for a reader that asked for backpressure: that is told elsewhere, and would stand still here. */
const policies = Policy.literals.filter((policy) => policy !== "backpressure")

const commands = (policy: fc.Arbitrary<Policy>) =>
  fc.commands(
    [
      fc
        .tuple(
          fc.integer({ min: 1, max: 5 }),
          fc.oneof({ weight: 4, arbitrary: fc.constant(true) }, fc.constant(false))
        )
        .map(([count, isPublished]) => new Write(count, isPublished)),
      fc
        .tuple(policy, fc.integer({ min: 1, max: 4 }), fc.integer({ min: 0, max: 6 }))
        .map(([policy, capacity, back]) => new Subscribe(policy, capacity, back)),
      fc.integer({ min: 0, max: 2 }).map((reader) => new Read(reader)),
      fc.integer({ min: 0, max: 2 }).map((reader) => new Read(reader)),
      fc.constant(new Step()),
      fc.constant(new Step()),
      fc.constant(new Step()),
      fc.constant(new End())
    ],
    { maxCommands: 40 }
  )

const runs = process.env["ESPALIER_LONG"] === undefined ? 200 : 5_000
const seed = process.env["ESPALIER_SEED"]

describe("the event bus and its model", () => {
  for (const policy of policies) {
    it(`${policy}: whatever happens in whatever order, figures are exact and the end comes once and last`, async () => {
      await fc.assert(
        fc.asyncProperty(
          fc.scheduler(),
          commands(fc.oneof({ weight: 3, arbitrary: fc.constant(policy) }, fc.constantFrom(...policies))),
          async (scheduler, commands) => {
            const world = new World(scheduler)
            const model: Model = { published: 0, isEnded: false, readers: 0 }
            try {
              await world.run(Effect.void)
              await fc.asyncModelRun(() => ({ model, real: world }), commands)
              await scheduler.waitFor(world.finish(model))
            } finally {
              await world.close()
            }
          }
        ),
        { numRuns: runs, ...(seed === undefined ? {} : { seed: Number(seed) }), interruptAfterTimeLimit: 1_500_000 }
      )
    }, 1_800_000)
  }
})
