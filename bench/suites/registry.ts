/** The registry alone: who holds a key, who has a tag or a capability, and whom to route to, among many. */
import { Effect, Exit, Layer, Scope } from "effect"
import * as MemoryRegistry from "../../layers/registry/MemoryRegistry.ts"
import * as RegistryRouter from "../../layers/registry/RegistryRouter.ts"
import * as FiberSupervisor from "../../layers/supervision/FiberSupervisor.ts"
import * as RuntimeTree from "../../layers/supervision/RuntimeTree.ts"
import { type AgentQuery } from "../../services/registry/AgentQuery.ts"
import { Registry } from "../../services/registry/Registry.ts"
import { Router, type RoutingStrategy } from "../../services/registry/Router.ts"
import { SessionId } from "../../services/session/SessionId.ts"
import { against, type Beam } from "../beam.ts"
import type { Figure } from "../Figure.ts"
import { heap, perOperation } from "../measure.ts"

const LOOKUPS = 100_000
const QUERIES = 2_000

const key = (at: number) => ({ session: SessionId.make(`ses_${at}`), role: "main", index: 0 })

/** Every tenth agent has the common tag and capability, every thousandth the rare ones. */
const names = (at: number) => ["all", ...(at % 10 === 0 ? ["common"] : []), ...(at % 1_000 === 0 ? ["rare"] : [])]

const among = (count: number, beam: Beam) =>
  Effect.gen(function* () {
    const registry = yield* Registry
    const router = yield* Router
    const of = count.toLocaleString("en-US")
    const scope = yield* Effect.acquireRelease(Scope.make(), (scope) => Scope.close(scope, Exit.void))
    const before = yield* heap
    const handles = []
    for (let at = 0; at < count; at++) {
      const registration = { key: key(at), tags: names(at), capabilities: names(at), load: at % 5 }
      handles.push(yield* Scope.provide(registry.register(registration), scope))
    }
    const bytes = ((yield* heap) - before) / count
    const times = <E, R>(count: number, work: Effect.Effect<unknown, E, R>) =>
      perOperation(
        count,
        Effect.gen(function* () {
          for (let at = 0; at < count; at++) yield* work
        })
      )
    const middle = key(Math.floor(count / 2))
    const lookup = yield* times(LOOKUPS, registry.lookup(middle))
    let next = count
    const comeAndGo = yield* times(
      20_000,
      Effect.suspend(() =>
        Effect.scoped(registry.register({ key: key(++next), tags: ["all", "rare"], capabilities: ["all", "rare"] }))
      )
    )
    const handle = handles[Math.floor(count / 2)]
    let load = 0
    const update = yield* times(
      20_000,
      Effect.suspend(
        () => handle?.update({ load: ++load % 7, status: load % 2 === 0 ? "idle" : "busy" }) ?? Effect.void
      )
    )
    const figures: Array<Figure> = [
      { name: `look up by key, of ${of}`, unit: "µs", value: lookup, ...against(beam, "lookup"), bar: "<= 1" },
      { name: `register and leave, of ${of}`, unit: "µs", value: comeAndGo, ...against(beam, "register") },
      { name: `update load and status, of ${of}`, unit: "µs", value: update },
      { name: `an entry, of ${of}`, unit: "KB", value: bytes / 1024 }
    ]
    const queries: ReadonlyArray<readonly [string, AgentQuery]> = [
      ["by tag, few", { tag: "rare" }],
      ["by tag, 100 of many", { tag: "common" }],
      ["by capability, few", { capability: "rare" }],
      ["by capability, 100 of many", { capability: "common" }],
      ["by tag and capability and status, few", { tag: "rare", capability: "common", available: true }],
      ["by tag, the 100 with the least to do", { tag: "common", order: "load" }],
      ["by tag, 100 by key", { tag: "common", order: "key" }]
    ]
    for (const [name, query] of queries) {
      const value = yield* times(QUERIES, registry.find(query))
      figures.push({ name: `${name}, of ${of}`, unit: "µs", value, bar: "<= 50 µs" })
    }
    const strategies: ReadonlyArray<readonly [string, RoutingStrategy]> = [
      ["round_robin", "round_robin"],
      ["least_loaded", "least_loaded"],
      ["least_connections", "least_connections"],
      ["random", "random"],
      ["sticky", { sticky: "a customer" }]
    ]
    for (const [name, strategy] of strategies) {
      const value = yield* times(
        QUERIES,
        router.withAgent({ capability: "all", strategy }, () => Effect.void)
      )
      figures.push({ name: `route by capability, ${name}, all of ${of}`, unit: "µs", value })
    }
    return figures
  }).pipe(
    Effect.scoped,
    Effect.provide(
      RegistryRouter.layer.pipe(
        Layer.provideMerge(MemoryRegistry.layer),
        Layer.provide(RuntimeTree.layer),
        Layer.provide(FiberSupervisor.layer)
      ),
      { local: true }
    )
  )

export const suite = (beam: Beam) =>
  Effect.map(
    Effect.forEach([10_000, 100_000], (count) => among(count, beam)),
    (figures) => figures.flat()
  )
