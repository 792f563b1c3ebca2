/** Probes tell the truth while parts of the runtime go down and come back at random. */
import { assert, describe, it } from "@effect/vitest"
import { Context, Deferred, Effect, Fiber, Layer, Random, Schedule } from "effect"
import { HttpServer } from "effect/http"
import * as HttpGateway from "../../layers/gateway/HttpGateway.ts"
import { Chaos } from "../../services/supervision/Chaos.ts"
import { Coordinators, Foundation, Workers } from "../../services/supervision/Places.ts"
import * as Server from "../../src/server/Server.ts"

const PROBES = process.env["ESPALIER_LONG"] === "1" ? 10_000 : 500

/** A server over memory, and how it answers a probe. */
const start = Effect.gen(function* () {
  const context = yield* Layer.build(Server.layerMemory({ port: 0, chaos: true }))
  const url = yield* Effect.provideService(
    HttpGateway.url,
    HttpServer.HttpServer,
    Context.get(context, HttpServer.HttpServer)
  )
  const probe = (path: string) =>
    Effect.promise(async () => {
      const response = await fetch(`${url}${path}`, { signal: AbortSignal.timeout(10_000) })
      return { status: response.status, body: await response.text() }
    })
  return { context, probe }
})

const ready = { status: 200, body: `{"status":"ready"}` }
const notReady = { status: 503, body: `{"status":"not_ready"}` }
const alive = { status: 200, body: "ok\n" }

describe("probes", () => {
  it.live(
    `probe-truth: ${PROBES} probes while parts go down and come back at random`,
    () =>
      Effect.gen(function* () {
        const { context, probe } = yield* start
        const workers = Context.get(context, Workers)
        const coordinators = Context.get(context, Coordinators)
        const foundation = Context.get(context, Foundation)

        // In each place a part that knows of itself whether it is up.
        const up = new Set<string>()
        const partOf = (id: string) => ({
          id,
          start: Effect.acquireRelease(
            Effect.sync(() => up.add(id)),
            () => Effect.sync(() => up.delete(id))
          ).pipe(Effect.as(Effect.never))
        })
        const parts = [workers, coordinators, foundation].map((place, index) => ({ place, id: `part ${index}` }))
        yield* Effect.forEach(parts, ({ id, place }) => place.startChild(partOf(id)))

        // Odd while it changes.
        let version = 0
        const change = <A, E>(effect: Effect.Effect<A, E>) =>
          Effect.suspend(() => {
            version++
            return Effect.ensuring(
              effect,
              Effect.sync(() => version++)
            )
          })
        const aWhile = Effect.flatMap(Random.nextBetween(0, 15), (time) => Effect.sleep(time))
        const flip = Effect.gen(function* () {
          for (const { id, place } of yield* Random.shuffle(parts)) {
            yield* aWhile
            yield* change(place.terminateChild(id))
            yield* aWhile
            yield* change(place.restartChild(id))
          }
        })
        const flipping = yield* Effect.forkScoped(Effect.forever(flip))

        let right = 0
        let probes = 0
        const seen = { ready: 0, notReady: 0 }
        while (probes < PROBES) {
          const before = version
          const truth = up.size === parts.length
          const answer = yield* probe("/health/ready")
          // What changed meanwhile has no one true answer.
          if (before % 2 === 1 || version !== before) continue
          probes++
          seen[truth ? "ready" : "notReady"]++
          const expected = truth ? ready : notReady
          if (answer.status === expected.status && answer.body === expected.body) right++
          if (probes % 10 === 0) assert.deepStrictEqual(yield* probe("/health"), alive)
        }
        yield* Fiber.interrupt(flipping)
        assert.isAtLeast(right / probes, 0.999, `${right} of ${probes} probes were right`)
        assert.isAtLeast(Math.min(seen.ready, seen.notReady), PROBES / 10, JSON.stringify(seen))
      }).pipe(Effect.scoped),
    120_000
  )

  for (const victim of ["espalier/workers/part", "espalier/workers"]) {
    it.live(`a crash of ${victim} shows for as long as the part is down, and the process is alive all the while`, () =>
      Effect.gen(function* () {
        const { context, probe } = yield* start
        const workers = Context.get(context, Workers)
        const chaos = Context.get(context, Chaos)
        const first = yield* Deferred.make<void>()
        const again = yield* Deferred.make<void>()
        let gate = first
        yield* Deferred.succeed(first, undefined)
        yield* workers.startChild({
          id: "part",
          start: Effect.as(
            Effect.suspend(() => Deferred.await(gate)),
            Effect.never
          )
        })
        assert.deepStrictEqual(yield* probe("/health/ready"), ready)

        gate = again
        yield* chaos.kill(victim)
        yield* probe("/health/ready").pipe(
          Effect.repeat({ until: ({ status }) => status === 503, schedule: Schedule.spaced("5 millis") }),
          Effect.timeout("10 seconds")
        )
        for (let count = 0; count < 20; count++) {
          assert.deepStrictEqual(yield* probe("/health/ready"), notReady)
          assert.deepStrictEqual(yield* probe("/health"), alive)
        }
        yield* Deferred.succeed(again, undefined)
        const back = yield* probe("/health/ready").pipe(
          Effect.repeat({ until: ({ status }) => status === 200, schedule: Schedule.spaced("5 millis") }),
          Effect.timeout("10 seconds")
        )
        assert.deepStrictEqual(back, ready)
      }).pipe(Effect.scoped)
    )
  }
})
