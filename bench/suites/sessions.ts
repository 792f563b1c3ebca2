/** Sessions over memory: what reading, sending and being there cost without a disk. */
import { Effect } from "effect"
import { Embedded, Registry, SessionManager } from "espalier"
import { SessionId } from "espalier/services/session/SessionId"
import { against, type Beam } from "../beam.ts"
import type { Figure } from "../Figure.ts"
import { heap, perOperation } from "../measure.ts"
import { mailboxRoundTrip } from "./baselines.ts"

const CROWD = 100_000

export const suite = (beam: Beam) =>
  Effect.gen(function* () {
    const sessions = yield* SessionManager
    const registry = yield* Registry

    const before = yield* heap
    for (let index = 0; index < CROWD; index++) {
      yield* sessions.start({ sessionId: SessionId.make(`ses_${index}`) })
    }
    const perSession = ((yield* heap) - before) / CROWD

    const one = SessionId.make("ses_5000")
    const read = yield* perOperation(
      100_000,
      Effect.gen(function* () {
        for (let index = 0; index < 100_000; index++) yield* sessions.get(one)
      })
    )
    // An update that changes nothing is decided by the session's fiber and appends no event.
    const call = yield* perOperation(
      50_000,
      Effect.gen(function* () {
        for (let index = 0; index < 50_000; index++) yield* sessions.update(one, {})
      })
    )
    const key = { session: one, role: "main", index: 0 }
    const lookup = yield* perOperation(
      100_000,
      Effect.gen(function* () {
        for (let index = 0; index < 100_000; index++) yield* registry.lookup(key)
      })
    )
    yield* sessions.update(one, { metadata: { tags: "rare" } })
    const byTag = yield* perOperation(
      10_000,
      Effect.gen(function* () {
        for (let index = 0; index < 10_000; index++) yield* registry.find({ tag: "rare" })
      })
    )
    const bare = yield* mailboxRoundTrip
    const figures: ReadonlyArray<Figure> = [
      {
        name: `a live idle session, of ${CROWD.toLocaleString("en-US")}, with its journal in memory`,
        unit: "KB",
        value: perSession / 1024,
        ...against(beam, "child_bytes", 1 / 1024),
        bar: "<= 6 KB"
      },
      { name: "read a session's state", unit: "µs", value: read, ...against(beam, "call"), bar: "<= 1" },
      {
        name: "round trip through a session's mailbox",
        unit: "µs",
        value: call,
        ...against(beam, "call"),
        bar: "<= 3"
      },
      {
        name: "the same, beside a bare queue and deferred",
        unit: "µs",
        value: call,
        baseline: { name: "Effect queue", value: bare }
      },
      { name: "registry, by key", unit: "µs", value: lookup, ...against(beam, "lookup"), bar: "<= 1" },
      { name: `registry, by tag, of ${CROWD.toLocaleString("en-US")}`, unit: "µs", value: byTag, bar: "<= 50 µs" }
    ]
    return figures
  }).pipe(Effect.provide(Embedded.layerMemory()))
