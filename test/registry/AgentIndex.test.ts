/** The indexes against a plain list: whatever happened, each query finds what a look at every agent would. */
import { assert, describe, it } from "@effect/vitest"
import fc from "fast-check"
import { AgentIndex } from "../../layers/registry/AgentIndex.ts"
import { Entry, type Keeper } from "../../layers/registry/Entry.ts"
import type { Agent, AgentStatus } from "../../services/registry/Agent.ts"
import { type AgentQuery, fits, agentOrders } from "../../services/registry/AgentQuery.ts"
import { SessionId } from "../../services/session/SessionId.ts"

/** Nobody speaks to these through their handles. */
const keeper: Keeper = { drop: () => undefined, update: () => undefined }

const isLong = process.env["ESPALIER_LONG"] === "1"

const session = fc.integer({ min: 0, max: 30 }).map((n) => SessionId.make(`ses_${n}`))
const key = fc.record({ session, role: fc.constantFrom("main", "helper"), index: fc.integer({ min: 0, max: 1 }) })
const names = fc.subarray(["red", "green", "blue"])
const status = fc.constantFrom<AgentStatus>("idle", "busy", "draining", "unhealthy")
const load = fc.integer({ min: 0, max: 3 })
const metadata = fc.constantFrom({}, { model: "a" }, { model: "b", cwd: "/" })

const shape = fc.record({
  tags: names,
  capabilities: names,
  status,
  load,
  connections: fc.integer({ min: 0, max: 2 }),
  metadata
})

const query = fc.record(
  {
    session,
    role: fc.constantFrom("main", "helper", "nobody"),
    tag: fc.oneof(fc.constantFrom("red", "green", "grey"), names),
    capability: fc.oneof(fc.constantFrom("red", "blue", "grey"), names),
    status,
    available: fc.boolean(),
    metadata,
    order: fc.constantFrom("age" as const, "key" as const, "load" as const, "connections" as const),
    limit: fc.integer({ min: 0, max: 40 })
  },
  { requiredKeys: [] }
)

const step = fc.oneof(
  { weight: 5, arbitrary: fc.record({ do: fc.constant("add" as const), key, shape }) },
  { weight: 4, arbitrary: fc.record({ do: fc.constant("change" as const), at: fc.nat(), shape }) },
  { weight: 2, arbitrary: fc.record({ do: fc.constant("remove" as const), at: fc.nat() }) },
  { weight: 4, arbitrary: fc.record({ do: fc.constant("find" as const), query, behind: fc.option(fc.nat()) }) }
)

/** What a look at every agent finds. */
const scan = (agents: ReadonlyArray<Agent>, { after, limit = 100, order = "age", ...filter }: AgentQuery) =>
  agents
    .filter((agent) => fits(agent, filter))
    .filter((agent) => after === undefined || agentOrders[order](agent, after) > 0)
    .sort(agentOrders[order])
    .slice(0, limit)

describe("the index of agents", () => {
  it("finds what a scan of all agents finds, for every mix of query, order, page and limit", () => {
    fc.assert(
      fc.property(fc.array(step, { maxLength: 400, size: "max" }), (steps) => {
        const index = new AgentIndex()
        const entries: Array<Entry> = []
        let incarnation = 0
        for (const next of steps) {
          if (next.do === "add") {
            if (index.get(next.key) !== undefined) continue
            const agent = { key: next.key, incarnation: ++incarnation, registeredAt: 0, ...next.shape }
            const entry = new Entry(agent, keeper)
            entries.push(entry)
            index.add(entry)
          } else if (next.do === "find") {
            const agents = entries.map(({ agent }) => agent)
            const after = next.behind === null ? undefined : agents[next.behind % Math.max(1, agents.length)]
            const asked = { ...next.query, after }
            assert.deepStrictEqual(index.find(asked), scan(agents, asked))
          } else {
            const at = next.at % Math.max(1, entries.length)
            const entry = entries[at]
            if (entry === undefined) continue
            if (next.do === "remove") {
              index.remove(entry)
              entries.splice(at, 1)
            } else index.change(entry, { ...entry.agent, ...next.shape })
          }
          assert.strictEqual(index.size, entries.length)
        }
        for (const entry of entries) assert.strictEqual(index.get(entry.agent.key), entry)
      }),
      { numRuns: isLong ? 3_000 : 150 }
    )
  })

  it("keeps its orders through thousands of agents that come, change and go", () => {
    const index = new AgentIndex()
    const entries: Array<Entry> = []
    let seed = 1
    const random = (below: number) => (seed = (seed * 48_271) % 2_147_483_647) % below
    const ask = () => {
      const agents = entries.map(({ agent }) => agent)
      for (const order of ["age", "key", "load", "connections"] as const) {
        const after = agents[random(agents.length)]
        for (const asked of [
          { order, after, limit: 50 },
          { order, tag: "even", after, limit: 50 },
          { order, tag: "even", capability: "third", available: true, limit: 10 }
        ]) {
          assert.deepStrictEqual(index.find(asked), scan(agents, asked))
        }
      }
    }
    for (let count = 0; count < 20_000; count++) {
      const what = entries.length < 3_000 ? 0 : random(3)
      const at = random(Math.max(1, entries.length))
      const entry = entries[at]
      if (what === 0 || entry === undefined) {
        const added = new Entry(
          {
            key: { session: SessionId.make(`ses_${random(1_000_000)}x${count}`), role: "main", index: 0 },
            incarnation: count + 1,
            tags: count % 2 === 0 ? ["even"] : [],
            capabilities: count % 3 === 0 ? ["third"] : [],
            status: "idle",
            load: random(5),
            connections: 0,
            metadata: {},
            registeredAt: 0
          },
          keeper
        )
        entries.push(added)
        index.add(added)
      } else if (what === 1) {
        const status = random(4) === 0 ? "draining" : "idle"
        index.change(entry, { ...entry.agent, load: random(9), connections: random(3), status })
      } else {
        index.remove(entry)
        entries[at] = entries[entries.length - 1] ?? entry
        entries.pop()
      }
      if (count % 2_000 === 1_999) ask()
    }
  })

  it("looks at what it answers, and not at everybody, where an index fits", () => {
    const index = new AgentIndex()
    let looks = 0
    const make = (at: number): Entry => {
      const agent: Agent = {
        key: { session: SessionId.make(`ses_${at}`), role: at % 100 === 0 ? "helper" : "main", index: 0 },
        incarnation: at + 1,
        tags: at % 2 === 0 ? ["even"] : ["odd"],
        capabilities: at % 1_000 === 0 ? ["all", "rare"] : ["all"],
        status: at % 500 === 0 ? "busy" : "idle",
        load: at % 3,
        connections: 0,
        metadata: {},
        registeredAt: 0
      }
      // Whoever looks whether an agent fits reads this one.
      Object.defineProperty(agent, "metadata", {
        get: () => {
          looks++
          return {}
        }
      })
      return new Entry(agent, keeper)
    }
    const entries = Array.from({ length: 10_000 }, (_, at) => make(at))
    for (const entry of entries) index.add(entry)
    const cost = (query: AgentQuery) => {
      index.find({ ...query, metadata: {} })
      looks = 0
      const { length } = index.find({ ...query, metadata: {} })
      return [length, looks]
    }
    const middle = entries[5_000]?.agent
    assert.deepStrictEqual(cost({ tag: "even", capability: ["all", "rare"] }), [10, 10])
    assert.deepStrictEqual(cost({ role: "helper", tag: "even", limit: 7 }), [7, 7])
    assert.deepStrictEqual(cost({ status: "busy", capability: "all" }), [20, 20])
    assert.deepStrictEqual(cost({ capability: "all", tag: "unheard of" }), [0, 0])
    assert.deepStrictEqual(cost({ session: SessionId.make("ses_7"), capability: "all" }), [1, 1])
    for (const order of ["age", "key", "load", "connections"] as const) {
      assert.deepStrictEqual(cost({ capability: "all", order, after: middle, limit: 10 }), [10, 10])
      assert.deepStrictEqual(cost({ capability: "all", available: true, order, limit: 1 }), [1, 1])
    }
  })
})
