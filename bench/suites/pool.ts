/**
 * One job through 8 slots, by how many wait: the pool's queue with a fiber for each job, as the pool runs them, and
 * p-queue with the same jobs; then the queue alone. What the journal adds is in the appends' figures. And one job that
 * keeps a processor busy: in a thread of its own, as our tools run it, and on piscina's warm threads.
 */
import { Effect } from "effect"
import PQueue from "p-queue"
import { Piscina } from "piscina"
import * as Thread from "../../layers/tools/Thread.ts"
import { ToolCall } from "../../services/tools/Tool.ts"
import { SessionId } from "../../services/session/SessionId.ts"
import { Schedule } from "../../services/worker/Schedule.ts"
import type { Ticket } from "../../services/worker/Ticket.ts"
import type { Figure } from "../Figure.ts"
import { perOperation } from "../measure.ts"

const SLOTS = 8

/** A hundred sessions of one kind of agent, with tasks of every priority. */
const ticketOf = (job: number): Ticket => ({
  session: `session ${job % 100}`,
  key: "agent",
  priority: job % 10,
  weight: 1
})

/** As many rounds as make the small ones tell something too. */
const roundsFor = (jobs: number) => Math.max(3, Math.min(200, Math.ceil(50_000 / jobs)))

const ours = (jobs: number) =>
  perOperation(
    jobs,
    Effect.gen(function* () {
      const context = yield* Effect.context<never>()
      const fork = Effect.runForkWith(context)
      yield* Effect.callback<void>((resume) => {
        let left = jobs
        const schedule: Schedule<Ticket> = new Schedule<Ticket>({
          permits: SLOTS,
          capacity: jobs,
          onGrant: (ticket) => {
            fork(Effect.yieldNow).addObserver(() => {
              if (--left === 0) resume(Effect.void)
              schedule.release(ticket)
            })
          }
        })
        for (let job = 0; job < jobs; job++) {
          const ticket = ticketOf(job)
          schedule.enqueue(ticket, ticket, Number.POSITIVE_INFINITY)
        }
      })
    }),
    roundsFor(jobs)
  )

const bookkeeping = (jobs: number) =>
  perOperation(
    jobs,
    Effect.sync(() => {
      const granted: Array<Ticket> = []
      const schedule = new Schedule<Ticket>({
        permits: SLOTS,
        capacity: jobs,
        onGrant: (ticket) => granted.push(ticket)
      })
      for (let job = 0; job < jobs; job++) {
        const ticket = ticketOf(job)
        if (schedule.reserve(ticket) !== undefined) throw new Error("there is room for all")
        schedule.unreserve(ticket)
        schedule.enqueue(ticket, ticket, job)
      }
      for (const ticket of granted) schedule.release(ticket)
    }),
    roundsFor(jobs)
  )

const pQueue = (jobs: number) =>
  perOperation(
    jobs,
    Effect.promise(async () => {
      const queue = new PQueue({ concurrency: SLOTS })
      for (let job = 0; job < jobs; job++) void queue.add(() => Promise.resolve())
      await queue.onIdle()
    }),
    roundsFor(jobs)
  )

const bySize = Effect.forEach([10, 1_000, 10_000, 100_000], (jobs) =>
  Effect.gen(function* () {
    const queued = `${jobs.toLocaleString("en-US")} queued`
    const figures: ReadonlyArray<Figure> = [
      {
        name: `one job through ${SLOTS} slots, ${queued}`,
        unit: "µs",
        value: yield* ours(jobs),
        baseline: { name: "p-queue", value: yield* pQueue(jobs) },
        bar: "< 1, flat"
      },
      { name: `  of that the queue, ${queued}`, unit: "µs", value: yield* bookkeeping(jobs), bar: "flat" }
    ]
    return figures
  })
)

/** Jobs at a time, one for each of two processors. */
const THREADS = 2

const call = ToolCall.of({ sessionId: SessionId.make("ses_bench"), progress: () => Effect.void })

const entry = Thread.entry("../jobs/spinThread", import.meta.url)

const cpu = Effect.scoped(
  Effect.gen(function* () {
    const pool = yield* Effect.acquireRelease(
      Effect.sync(
        () =>
          new Piscina({
            filename: Thread.entry("../jobs/spin", import.meta.url).href,
            minThreads: THREADS,
            maxThreads: THREADS
          })
      ),
      (pool) => Effect.promise(() => pool.destroy())
    )
    return yield* Effect.forEach([1, 50, 500], (milliseconds) =>
      Effect.gen(function* () {
        const jobs = milliseconds > 100 ? 6 : 20
        const inTurn = <E, R>(job: Effect.Effect<unknown, E, R>) =>
          perOperation(
            jobs,
            Effect.forEach(Array.from({ length: jobs }), () => job, { concurrency: THREADS }),
            3
          )
        const own = Effect.provideService(Thread.run<number>({ entry, input: milliseconds, heap: 64 }), ToolCall, call)
        const figure: Figure = {
          name: `a job of ${milliseconds} ms of processor, ${THREADS} at a time`,
          unit: "ms",
          value: (yield* inTurn(own)) / 1_000,
          baseline: { name: "piscina", value: (yield* inTurn(Effect.promise(() => pool.run(milliseconds)))) / 1_000 },
          bar: "none: a thread each is what stops it"
        }
        return figure
      })
    )
  })
)

export const suite = Effect.gen(function* () {
  return [...(yield* bySize).flat(), ...(yield* cpu)]
})
