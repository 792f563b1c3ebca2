/**
 * What every supervisor keeps to, whatever is done to it: random commands on a small tree, each compared with a model
 * that a person can read (`otp/Model.ts`), and on top of that the properties P1 to P7, looked for in the trace itself.
 */
import { assert, describe, it } from "@effect/vitest"
import { Deferred, Effect, Exit, References, Scope } from "effect"
import { TestClock } from "effect/testing"
import * as fc from "fast-check"
import * as FiberSupervisor from "../../layers/supervision/FiberSupervisor.ts"
import type { ChildSpec } from "../../services/supervision/ChildSpec.ts"
import { Supervisor, type SupervisorRef } from "../../services/supervision/Supervisor.ts"
import { type End, Model, type Shape, type SupShape } from "./otp/Model.ts"
import { settle } from "./probe.ts"

/** The supervisor in question stands beside another one, which must never notice. */
const bystander: SupShape = {
  id: "other",
  strategy: "one_for_all",
  intensity: 0,
  period: 5_000,
  auto: "never",
  children: [
    { id: "y", restart: "permanent", significant: false },
    { id: "z", restart: "permanent", significant: false }
  ]
}

/** The running tree, and what has happened in it. */
class Real {
  readonly events: Array<string> = []
  readonly alive = new Map<string, Deferred.Deferred<unknown, unknown>>()
  /** The supervisors that are up; a new reference is a new incarnation. */
  readonly refs = new Map<string, SupervisorRef>()
  /** When each incarnation of a supervisor has started a child again. */
  readonly restarts = new Map<SupervisorRef, { readonly shape: SupShape; readonly instants: Array<number> }>()
  now = 0
  private readonly supervisor: Supervisor["Service"]

  constructor(supervisor: Supervisor["Service"]) {
    this.supervisor = supervisor
  }

  spec(shape: Shape): ChildSpec {
    const common = { id: shape.id, restart: shape.restart, significant: shape.significant }
    const { sup } = shape
    if (sup !== undefined) return { ...common, type: "supervisor", start: this.nested(sup) }
    return {
      ...common,
      start: Effect.gen({ self: this }, function* () {
        const end = yield* Deferred.make<unknown, unknown>()
        this.alive.set(shape.id, end)
        this.events.push(`+${shape.id}`)
        yield* Effect.addFinalizer(() =>
          Effect.sync(() => {
            this.alive.delete(shape.id)
            this.events.push(`-${shape.id}`)
          })
        )
        return Deferred.await(end)
      })
    }
  }

  nested(shape: SupShape): ChildSpec["start"] {
    return Effect.gen({ self: this }, function* () {
      const ref = yield* this.supervisor.start({
        id: shape.id,
        strategy: shape.strategy,
        intensity: shape.intensity,
        period: shape.period,
        autoShutdown: shape.auto,
        children: shape.children.map((child) => this.spec(child))
      })
      this.refs.set(shape.id, ref)
      this.restarts.set(ref, { shape, instants: [] })
      yield* Effect.addFinalizer(() =>
        Effect.sync(() => {
          if (this.refs.get(shape.id) === ref) this.refs.delete(shape.id)
        })
      )
      return ref.awaitExit
    })
  }

  /** Each supervisor that is up, with its children in their order. */
  look() {
    return Effect.map(
      Effect.forEach(this.refs, ([id, ref]) => Effect.map(ref.whichChildren, (children) => ({ id, ref, children }))),
      (places) => places.map(({ children, id, ref }) => ({ id, ref, children: children.map((child) => child.id) }))
    )
  }
}

type Run = <A, E>(effect: Effect.Effect<A, E>) => Promise<A>
type Kind = { readonly _tag: "exit"; readonly end: End } | { readonly _tag: "call" } | { readonly _tag: "time" }

/** What a command does to both sides; afterwards everything they show is compared. */
class Command implements fc.AsyncCommand<Model, { readonly real: Real; readonly run: Run }> {
  private readonly title: string
  private readonly kind: Kind
  private readonly target: string
  private readonly onModel: (model: Model) => string
  private readonly onReal: (real: Real) => Effect.Effect<string>

  constructor(
    title: string,
    kind: Kind,
    target: string,
    onModel: (model: Model) => string,
    onReal: (real: Real) => Effect.Effect<string>
  ) {
    this.title = title
    this.kind = kind
    this.target = target
    this.onModel = onModel
    this.onReal = onReal
  }

  check() {
    return true
  }

  toString() {
    return this.title
  }

  async run(model: Model, { real, run }: { readonly real: Real; readonly run: Run }) {
    const { kind, target } = this
    const before = await run(real.look())
    const wasAlive = new Set(real.alive.keys())
    const shape = model.shape(target)
    const expected = { answer: this.onModel(model), events: model.events.splice(0) }
    const answer = await run(Effect.tap(this.onReal(real), () => Effect.andThen(settle, settle)))
    const events = real.events.splice(0)
    const isAsBefore = (place: { readonly id: string; readonly ref: SupervisorRef }) =>
      real.refs.get(place.id) === place.ref

    // P1: the same answers, the same order, the same children alive below the same supervisors.
    assert.deepStrictEqual({ answer, events }, expected, `P1: ${this.title}`)
    assert.deepStrictEqual([...real.alive.keys()].toSorted(), model.alive(), `P1, alive: ${this.title}`)
    assert.deepStrictEqual([...real.refs.keys()].toSorted(), model.supervisors(), `P1, supervisors: ${this.title}`)

    // P2: no window has more restarts than its supervisor allows.
    const home = before.find(({ children }) => children.includes(target))
    if (kind._tag === "exit" && home !== undefined && isAsBefore(home) && events.includes(`+${target}`)) {
      real.restarts.get(home.ref)?.instants.push(real.now)
    }
    for (const { instants, shape } of real.restarts.values()) {
      for (const first of instants) {
        const within = instants.filter((instant) => instant >= first && instant <= first + shape.period)
        assert.isAtMost(within.length, shape.intensity, `P2: restarts of ${shape.id} from ${first} ms on`)
      }
    }

    // P3: what is stopped is stopped last first. The one that ended by itself was the first to go.
    const ends = events.filter((event) => event.startsWith("-")).map((event) => event.slice(1))
    const stops = kind._tag === "exit" ? ends.slice(1) : ends
    for (const { children, id } of before) {
      const order = stops.map((name) => children.indexOf(name)).filter((index) => index !== -1)
      assert.deepStrictEqual(
        order,
        order.toSorted((a, b) => b - a),
        `P3: ${this.title}: ${id}: ${events.join(" ")}`
      )
    }

    // P4: below a supervisor that goes on, no temporary child comes back, and no transient one that ended well.
    if (kind._tag !== "call") {
      for (const { children } of before.filter(isAsBefore)) {
        for (const name of children.filter((child) => events.includes(`+${child}`))) {
          assert.notStrictEqual(model.shape(name)?.restart, "temporary", `P4: ${name}`)
          const endedWell = kind._tag === "exit" && (kind.end === "normal" || kind.end === "shutdown")
          if (name === target && endedWell) assert.strictEqual(shape?.restart, "permanent", `P4: ${name}`)
        }
      }
    }

    // P5: a significant child that ended for good takes its supervisor along, alone or as the last one; no call does.
    if (kind._tag === "call") for (const place of before) assert.isTrue(isAsBefore(place), `P5: ${this.title}`)
    if (kind._tag === "exit" && home !== undefined && wasAlive.has(target) && shape?.significant === true) {
      const { auto } = real.restarts.get(home.ref)?.shape ?? { auto: "never" }
      const isForGood = shape.restart === "temporary" || kind.end === "normal" || kind.end === "shutdown"
      const others = home.children.filter(
        (name) => name !== target && model.shape(name)?.significant === true && (wasAlive.has(name) || name === "inner")
      )
      if (isForGood && (auto === "any_significant" || others.length === 0)) {
        assert.isFalse(isAsBefore(home), `P5: ${this.title}`)
      }
    }

    // P6: nobody outlives the supervisor.
    const homes = await run(real.look())
    for (const name of real.alive.keys()) {
      assert.isTrue(
        homes.some(({ children }) => children.includes(name)),
        `P6: ${name}`
      )
    }

    // P7: what happens in one subtree is not felt in another, unless their common supervisor gives up.
    if (homes.some(({ id }) => id === "root")) {
      assert.deepStrictEqual(
        events.filter((event) => /[yz]$/.test(event)),
        [],
        `P7: ${this.title}`
      )
    }
  }
}

const tell = (effect: Effect.Effect<void, { readonly _tag: string }>): Effect.Effect<string> =>
  Effect.match(effect, { onSuccess: () => "ok", onFailure: ({ _tag }) => _tag })

const ends = {
  normal: (end: Deferred.Deferred<unknown, unknown>) => Deferred.succeed(end, undefined),
  shutdown: (end: Deferred.Deferred<unknown, unknown>) => Deferred.succeed(end, { _tag: "Shutdown" }),
  error: (end: Deferred.Deferred<unknown, unknown>) => Deferred.die(end, new Error("crash")),
  kill: (end: Deferred.Deferred<unknown, unknown>) => Deferred.interrupt(end)
}

const exit = (id: string, reason: End) =>
  new Command(
    `${id} exits: ${reason}`,
    { _tag: "exit", end: reason },
    id,
    (model) => model.exit(id, reason),
    (real) =>
      Effect.suspend(() => {
        const end = real.alive.get(id)
        return end === undefined ? Effect.succeed("nobody") : Effect.as(ends[reason](end), "ok")
      })
  )

const call = (name: "terminate" | "restart" | "delete", sup: string, id: string) =>
  new Command(
    `${sup}.${name} ${id}`,
    { _tag: "call" },
    id,
    (model) => model.call(name, sup, id),
    (real) =>
      Effect.suspend(() => {
        const ref = real.refs.get(sup)
        if (ref === undefined) return Effect.succeed("nobody")
        switch (name) {
          case "terminate":
            return tell(ref.terminateChild(id))
          case "restart":
            return tell(ref.restartChild(id))
          case "delete":
            return tell(ref.deleteChild(id))
        }
      })
  )

const startChild = (sup: string, shape: Shape) =>
  new Command(
    `${sup}.start ${shape.id} ${shape.restart}`,
    { _tag: "call" },
    shape.id,
    (model) => model.start(sup, shape),
    (real) =>
      Effect.suspend(() => {
        const ref = real.refs.get(sup)
        return ref === undefined ? Effect.succeed("nobody") : tell(ref.startChild(real.spec(shape)))
      })
  )

const advance = (millis: number) =>
  new Command(
    `${millis} ms pass`,
    { _tag: "time" },
    "",
    (model) => model.advance(millis),
    (real) =>
      Effect.suspend(() => {
        real.now += millis
        return Effect.as(TestClock.adjust(millis), "ok")
      })
  )

const restart = fc.constantFrom("permanent", "transient", "temporary" as const)
const child = (id: string, sup?: fc.Arbitrary<SupShape>): fc.Arbitrary<Shape> =>
  fc.record({
    id: fc.constant(id),
    restart,
    significant: fc.boolean(),
    ...(sup === undefined ? {} : { sup })
  })
const flags = {
  strategy: fc.constantFrom("one_for_one", "one_for_all", "rest_for_one" as const),
  intensity: fc.nat(3),
  period: fc.constantFrom(1_000, 5_000),
  auto: fc.constantFrom("never", "any_significant", "all_significant" as const)
}
const inner = fc.record({
  id: fc.constant("inner"),
  ...flags,
  children: fc.tuple(child("d"), child("e"))
})
const middle = fc.record({
  id: fc.constant("middle"),
  ...flags,
  children: fc.tuple(child("a"), child("inner", inner), child("b"), child("c"))
})

/** Shown when a property fails. */
const text = (shape: SupShape, indent = "\n  "): string =>
  [
    `${indent}${shape.id}: ${shape.strategy} ${shape.intensity} in ${shape.period} ms, ${shape.auto}`,
    ...shape.children.flatMap(({ id, restart, significant, sup }) => [
      `${indent}  ${id} ${restart}${significant ? " significant" : ""}`,
      ...(sup === undefined ? [] : [text(sup, `${indent}  `)])
    ])
  ].join("")
const readable = middle.map(Model.valid).map((shape) => ({ ...shape, [fc.toStringMethod]: () => `${text(shape)}\n` }))

const names = fc.constantFrom("a", "b", "c", "d", "e", "x", "v")
const places = fc.constantFrom("middle", "inner")
const commands = fc.commands(
  [
    fc
      .tuple(names, fc.constantFrom("error", "error", "normal", "shutdown", "kill" as const))
      .map((args) => exit(...args)),
    fc.tuple(fc.constantFrom("terminate", "restart", "delete" as const), places, names).map((args) => call(...args)),
    child("x").map((shape) => startChild("middle", { ...shape, significant: false })),
    child("v").map((shape) => startChild("inner", { ...shape, significant: false })),
    fc.constantFrom(100, 1_000, 1_001, 4_000, 5_001).map(advance)
  ],
  { maxCommands: 30, size: "max" }
)

describe("supervisor properties", () => {
  it("P1 to P7 hold for any tree and any commands", { timeout: 600_000 }, () =>
    fc.assert(
      fc.asyncProperty(readable, restart, commands, async (shape, outer, commands) => {
        const root: SupShape = {
          id: "root",
          strategy: "one_for_one",
          intensity: 2,
          period: 5_000,
          auto: "never",
          children: [
            { id: "middle", restart: outer, significant: false, sup: shape },
            { id: "other", restart: "permanent", significant: false, sup: bystander }
          ]
        }
        await Effect.runPromise(
          Effect.gen(function* () {
            yield* TestClock.adjust("1 minute")
            const services = yield* Effect.context<Supervisor>()
            const run: Run = Effect.runPromiseWith(services)
            const scope = yield* Scope.make()
            const real = new Real(yield* Supervisor)
            const model = new Model(Model.valid(root))
            const body = yield* Scope.provide(real.nested(Model.valid(root)), scope)
            yield* Effect.forkChild(
              Effect.andThen(
                body,
                Effect.sync(() => real.refs.delete("root"))
              )
            )
            assert.deepStrictEqual(real.events.splice(0), model.events.splice(0), "P1: start order")
            yield* Effect.promise(() => fc.asyncModelRun(() => ({ model, real: { real, run } }), commands))
            yield* Scope.close(scope, Exit.void)
            assert.deepStrictEqual([...real.alive.keys()], [], "P6: the end of everything")
          }).pipe(
            Effect.provide(FiberSupervisor.layer),
            Effect.provide(TestClock.layer()),
            Effect.provideService(References.MinimumLogLevel, "None")
          )
        )
      }),
      { numRuns: process.env["ESPALIER_LONG"] === undefined ? 500 : 10_000 }
    )
  )
})
