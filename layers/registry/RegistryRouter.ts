/**
 * `Router` over the registry. It holds whose turn was last on each route, and which agent each sticky key has: for the
 * routes and keys that were used last, so it is bounded, and what it forgets costs a turn out of order, no more.
 */
import { Effect, Layer, Scope } from "effect"
import { type Agent, type AgentKey, isAvailable } from "../../services/registry/Agent.ts"
import { type AgentCursor, type AgentFilter, describeFilter, fits } from "../../services/registry/AgentQuery.ts"
import { Registry } from "../../services/registry/Registry.ts"
import { rendezvous } from "../../services/registry/rendezvous.ts"
import { NoAgentAvailable, type Route, Router } from "../../services/registry/Router.ts"
import { askFor, placeBehind, type TurnOrder, turnOf } from "../../services/registry/takeTurns.ts"
import { Recent } from "./Recent.ts"

const ROUTES = 1_000
export const STICKY_KEYS = 10_000

const orderOf = { round_robin: "age", least_loaded: "load", least_connections: "connections" } as const

export const make = Effect.gen(function* () {
  const registry = yield* Registry
  const turns = new Recent<AgentCursor>(ROUTES)
  const stuck = new Recent<AgentKey>(STICKY_KEYS)

  const inTurn = Effect.fnUntraced(function* (filter: AgentFilter, order: TurnOrder) {
    const name = `${order} ${describeFilter(filter)}`
    const [first] = yield* registry.find(askFor(filter, order))
    if (first === undefined) return undefined
    const last = turns.get(name)
    const [next] =
      last === undefined ? [] : yield* registry.find(askFor(filter, order, placeBehind(order, first, last)))
    const turn = turnOf(order, first, next)
    turns.set(name, turn)
    return turn
  })

  const sticky = Effect.fnUntraced(function* (filter: AgentFilter, key: string) {
    const name = `${key} ${describeFilter(filter)}`
    const known = stuck.get(name)
    if (known !== undefined) {
      const agent = yield* Effect.catch(registry.lookup(known), () => Effect.undefined)
      if (agent !== undefined && isAvailable(agent) && fits(agent, filter)) return agent
    }
    const all = yield* registry.find({ ...filter, available: true, limit: Number.POSITIVE_INFINITY })
    const chosen = rendezvous(key, all)
    if (chosen !== undefined) stuck.set(name, chosen.key)
    return chosen
  })

  const choose = ({ strategy = "round_robin", ...filter }: Route): Effect.Effect<Agent | undefined> => {
    if (typeof strategy !== "string") return sticky(filter, strategy.sticky)
    return strategy === "random" ? registry.sample({ ...filter, available: true }) : inTurn(filter, orderOf[strategy])
  }

  const pick = Effect.fnUntraced(function* (route: Route): Effect.fn.Return<Agent, NoAgentAvailable> {
    const chosen = yield* choose(route)
    if (chosen !== undefined) return chosen
    const { strategy: _, ...filter } = route
    const unavailable = yield* registry.find({ ...filter, available: undefined, limit: 1 })
    return yield* new NoAgentAvailable({ asked: describeFilter(filter), passedOver: unavailable.length > 0 })
  })

  /** One that has ended since it was picked is passed over like any other that is not there. */
  const engaged = (route: Route) =>
    Effect.flatMap(pick(route), (agent) => Effect.as(registry.engage(agent.key), agent)).pipe(
      Effect.retry({ while: ({ _tag }) => _tag === "AgentNotFound" }),
      Effect.catchTag("AgentNotFound", Effect.die)
    )

  return Router.of({
    pick,
    withAgent: (route, use) =>
      Effect.scopedWith((scope) => Effect.flatMap(Effect.provideService(engaged(route), Scope.Scope, scope), use))
  })
})

export const layer = Layer.effect(Router, make)
