/** Random programs, made so that most steps find somebody to do something to. */
import * as fc from "fast-check"
import {
  type Call,
  type Child,
  type Dyn,
  type Exit,
  type ExitKind,
  isSup,
  isWorker,
  type Patience,
  periods,
  type Program,
  type Step,
  type Sup,
  type Worker
} from "./Program.ts"

const intensity = fc.oneof(
  { weight: 4, arbitrary: fc.integer({ min: 0, max: 3 }) },
  { weight: 1, arbitrary: fc.constant(10) }
)
const period = fc.constantFrom(...periods)
const restart = fc.constantFrom("permanent", "permanent", "transient", "transient", "temporary" as const)
const strategy = fc.constantFrom("one_for_one", "one_for_all", "rest_for_one" as const)
const auto = fc.constantFrom("never", "any_significant", "all_significant" as const)

/** The first start mostly succeeds: a tree that does not start has little to show. */
const starts = fc.oneof(
  { weight: 8, arbitrary: fc.constant<ReadonlyArray<"ok" | "no">>([]) },
  {
    weight: 8,
    arbitrary: fc
      .array(fc.constantFrom("no", "no", "ok" as const), { minLength: 1, maxLength: 4, size: "max" })
      .map((later): ReadonlyArray<"ok" | "no"> => ["ok", ...later])
  },
  { weight: 1, arbitrary: fc.constant<ReadonlyArray<"ok" | "no">>(["no"]) }
)
const stop = fc.oneof(
  { weight: 10, arbitrary: fc.constant("obeys" as const) },
  { weight: 1, arbitrary: fc.constant("deaf" as const) },
  { weight: 1, arbitrary: fc.constant("breaks" as const) }
)
const shutdown = fc.oneof(
  { weight: 6, arbitrary: fc.constant<Patience>("default") },
  { weight: 1, arbitrary: fc.constant<Patience>("infinity") },
  { weight: 1, arbitrary: fc.constant<Patience>("brutal_kill") }
)

/** One that hears nothing is waited for only a moment, in real time too. */
const moment = 20
const patience = (stop: Worker["stop"], wanted: Patience): Patience =>
  stop === "deaf" && wanted !== "brutal_kill" ? moment : wanted

// -- trees: drawn without names, which are given in order afterwards --------------------------------------------------

const mostly = fc.oneof({ weight: 2, arbitrary: fc.constant(true) }, { weight: 1, arbitrary: fc.constant(false) })

const worker: fc.Arbitrary<Child> = fc
  .record({ starts, stop, restart, shutdown, significant: mostly })
  .map(({ restart, shutdown, significant, starts, stop }) => ({
    body: { name: "", starts, stop },
    restart,
    shutdown: patience(stop, shutdown),
    significant
  }))

const asChild = (body: fc.Arbitrary<Sup | Dyn>): fc.Arbitrary<Child> =>
  fc.record({ body, restart, shutdown: fc.constant("default" as const), significant: fc.boolean() })

const dyn: fc.Arbitrary<Child> = asChild(
  fc.record({ name: fc.constant(""), intensity: fc.nat(3), period, restart, shutdown })
)

const sup = (child: fc.Arbitrary<Child>, minLength: number, maxLength: number): fc.Arbitrary<Sup> =>
  fc.record({
    name: fc.constant(""),
    strategy,
    intensity,
    period,
    auto,
    children: fc.array(child, { minLength, maxLength, size: "max" })
  })

const leaf = fc.oneof({ weight: 5, arbitrary: worker }, { weight: 1, arbitrary: dyn })
const inner = fc.oneof({ weight: 4, arbitrary: leaf }, { weight: 1, arbitrary: asChild(sup(leaf, 0, 3)) })
const anything = sup(
  fc.oneof({ weight: 3, arbitrary: leaf }, { weight: 1, arbitrary: asChild(sup(inner, 0, 3)) }),
  1,
  5
)

/** Where most children count for the end of the whole. */
const ending = (child: fc.Arbitrary<Child>): fc.Arbitrary<Child> =>
  fc.record({ child, restart: fc.constantFrom("transient", "temporary" as const) }).map(({ child, restart }) => ({
    ...child,
    restart,
    significant: true
  }))
const withEnds = (children: fc.Arbitrary<Child>): fc.Arbitrary<Sup> =>
  fc
    .record({ sup: sup(children, 2, 4), auto: fc.constantFrom("any_significant", "all_significant" as const) })
    .map(({ auto, sup }) => ({ ...sup, auto, intensity: Math.max(1, sup.intensity) }))
const endings = withEnds(
  fc.oneof(
    { weight: 4, arbitrary: ending(worker) },
    { weight: 1, arbitrary: worker },
    { weight: 1, arbitrary: ending(asChild(withEnds(ending(worker)))) }
  )
)

/** Where most of what happens happens to dynamic children. */
const dynamics = sup(fc.oneof({ weight: 4, arbitrary: dyn }, { weight: 1, arbitrary: worker }), 1, 2)

const tree = fc.oneof(
  { weight: 4, arbitrary: anything },
  { weight: 2, arbitrary: endings },
  { weight: 2, arbitrary: dynamics }
)

/** Letters only, so that no name is a word of Erlang's: `a`, `b`, … `aa`, `bb`, … */
const letters = (alphabet: string, index: number): string =>
  (alphabet[index % alphabet.length] ?? "").repeat(1 + Math.floor(index / alphabet.length))

class Names {
  readonly workers: Array<string> = []
  readonly sups: Array<Sup> = []
  readonly dyns: Array<Dyn> = []

  sup(raw: Sup): Sup {
    const place = this.sups.length
    this.sups.push(raw)
    const children: Array<Child> = []
    const named = { ...raw, name: letters("rstuvw", place), children }
    this.sups[place] = named
    for (const child of raw.children) children.push(this.child(child, raw.auto))
    return named
  }

  child(raw: Child, auto: Sup["auto"]): Child {
    const significant = raw.significant && auto !== "never" && raw.restart !== "permanent"
    return { ...raw, significant, body: this.body(raw.body) }
  }

  private body(raw: Child["body"]): Child["body"] {
    if (isSup(raw)) return this.sup(raw)
    if (isWorker(raw)) {
      const name = letters("abcdefghijkl", this.workers.length)
      this.workers.push(name)
      return { ...raw, name }
    }
    const named = { ...raw, name: letters("pqmno", this.dyns.length) }
    this.dyns.push(named)
    return named
  }
}

// -- steps: drawn as numbers, which mean what the tree has to offer ---------------------------------------------------

interface Draw {
  readonly kind: number
  readonly sup: number
  readonly name: number
  readonly reason: ExitKind
  readonly child: Child
}

const reason: fc.Arbitrary<ExitKind> = fc.oneof(
  { weight: 5, arbitrary: fc.constant<ExitKind>("error") },
  { weight: 2, arbitrary: fc.constantFrom<ExitKind>("normal", "kill", "shutdown") }
)
const draw: fc.Arbitrary<Draw> = fc.record({
  kind: fc.nat(99),
  sup: fc.nat(59),
  name: fc.nat(419),
  reason,
  child: worker
})
type RawStep = Draw | "tick" | ReadonlyArray<Draw>
const rawStep = (withTicks: boolean): fc.Arbitrary<RawStep> =>
  fc.oneof(
    { weight: 6, arbitrary: draw },
    { weight: withTicks ? 2 : 0, arbitrary: fc.constant("tick" as const) },
    { weight: 3, arbitrary: fc.array(draw, { minLength: 1, maxLength: 5, size: "max" }) }
  )

const pick = <A>(items: ReadonlyArray<A>, index: number): A | undefined => items[index % items.length]

const own = (sup: Sup): ReadonlyArray<string> => sup.children.flatMap(({ body }) => (isWorker(body) ? [body.name] : []))
const added = (sup: Sup): ReadonlyArray<string> => [`x${sup.name}x`, `y${sup.name}y`]
const dynamicNames = (dyn: Dyn): ReadonlyArray<string> => [1, 2, 3].map((number) => `${dyn.name}${number}`)

const calls = ["terminate", "terminate", "restart", "restart", "delete", "spec"] as const
/** What is answered in turn: ours gives a spec at once, whatever else it is at. */
const queued = calls.slice(0, -1)

class Steps {
  private readonly names: Names
  /** Children that some step before this one asks for. */
  private readonly asked = new Set<string>()

  constructor(names: Names) {
    this.names = names
  }

  of(raw: RawStep): Step {
    if (raw === "tick") return { _tag: "tick" }
    if ("kind" in raw) return this.one(raw)
    const { sups } = this.names
    const parents = sups.filter((sup) => own(sup).length > 0)
    const [first] = raw
    // Where nobody has children of that kind, one step by itself says more.
    if (parents.length === 0 && first !== undefined) return this.one(first)
    const sup = pick(parents, first?.sup ?? 0)
    return { _tag: "together", sup: sup?.name ?? "nobody", steps: raw.map((drawn) => this.one(drawn, sup)) }
  }

  fill(dyn: Dyn, children: ReadonlyArray<Child>): ReadonlyArray<Step> {
    return children.flatMap(({ body }, index) =>
      isWorker(body)
        ? [this.startDynamic(dyn, `${dyn.name}${index + 1}`, { ...body, starts: ["ok", ...body.starts] })]
        : []
    )
  }

  private startDynamic(dyn: Dyn, name: string, body: Worker): Call {
    this.asked.add(name)
    const stop = body.stop === "deaf" && dyn.shutdown !== "brutal_kill" ? "obeys" : body.stop
    return { _tag: "start", sup: dyn.name, child: { ...body, name, stop } }
  }

  private one(drawn: Draw, within?: Sup): Exit | Call {
    const { child, kind } = drawn
    const { dyns, sups, workers } = this.names
    if (kind < 50) {
      const names =
        within === undefined
          ? [...workers, ...this.there([...sups.flatMap(added), ...[...dyns, ...dyns].flatMap(dynamicNames)])]
          : [...own(within), ...this.there(added(within))]
      return { _tag: "exit", name: pick(names, drawn.name) ?? "nobody", reason: drawn.reason }
    }
    const place = within ?? pick([...sups, ...dyns], drawn.sup)
    if (place === undefined || !isWorker(child.body)) return { _tag: "exit", name: "nobody", reason: "normal" }
    if (kind < 65) {
      if (!isSup(place)) return this.startDynamic(place, pick(dynamicNames(place), drawn.name) ?? "nobody", child.body)
      // Now and then one that is there already.
      const name = pick([...added(place), ...added(place), ...own(place)], drawn.name) ?? "nobody"
      this.asked.add(name)
      return { _tag: "start", sup: place.name, child: { ...child, body: { ...child.body, name } } }
    }
    const names = isSup(place)
      ? [...place.children.map(({ body }) => body.name), ...this.there(added(place))]
      : this.there(dynamicNames(place))
    const asked = within === undefined ? calls : queued
    const name = drawn.name % 10 === 0 ? undefined : pick(names, drawn.name)
    return { _tag: pick(asked, kind) ?? "terminate", sup: place.name, name: name ?? "nobody" }
  }

  private there(names: ReadonlyArray<string>): ReadonlyArray<string> {
    return names.filter((name) => this.asked.has(name))
  }
}

/** Ticks are real seconds on OTP's side: few programs have any, and none more than three. */
const steps = fc.oneof(
  { weight: 3, arbitrary: fc.array(rawStep(false), { minLength: 1, maxLength: 14, size: "max" }) },
  {
    weight: 1,
    arbitrary: fc
      .array(rawStep(true), { minLength: 1, maxLength: 18, size: "max" })
      .map((all) =>
        all.filter((step, index) => step !== "tick" || all.slice(0, index).filter((s) => s === "tick").length < 3)
      )
  }
)

/** Whom dynamic supervisors have at first. */
const fill = fc.array(worker, { maxLength: 3, size: "max" })

export const program: fc.Arbitrary<Program> = fc.record({ tree, fill, steps }).map(({ fill, steps, tree }) => {
  const names = new Names()
  const named = names.sup(tree)
  const all = new Steps(names)
  return {
    tree: named,
    steps: [...names.dyns.flatMap((dyn) => all.fill(dyn, fill)), ...steps.map((raw) => all.of(raw))]
  }
})
