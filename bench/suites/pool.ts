/**
 * One job through 8 slots, by how many wait: the pool's queue with a fiber for each job, as the pool runs them, and
 * p-queue with the same jobs. What the journal adds is in the appends' figures.
 */
import { Effect } from "effect"
import PQueue from "p-queue"
import { Schedule } from "../../services/worker/Schedule.ts"
import type { Ticket } from "../../services/worker/Ticket.ts"
import type { Figure } from "../Figure.ts"
import { perOperation } from "../measure.ts"

const SLOTS = 8

const ticketOf = (job: number): Ticket => ({
  session: `session ${job % 100}`,
  key: "agent",
  priority: job % 10,
  weight: 1
})

const ours = (jobs: number) =>
  perOperation(
    jobs,
    Effect.gen(function* () {
      const context = yield* Effect.context<never>()
      const fork = Effect.runForkWith(context)
      yield* Effect.callback<void>((resume) => {
        let left = jobs
        const schedule: Schedule<number> = new Schedule<number>({
          permits: SLOTS,
          capacity: jobs,
          onGrant: (job) => {
            fork(Effect.yieldNow).addObserver(() => {
              if (--left === 0) resume(Effect.void)
              schedule.release(ticketOf(job))
            })
          }
        })
        for (let job = 0; job < jobs; job++) schedule.enqueue(ticketOf(job), job, Number.POSITIVE_INFINITY)
      })
    }),
    3
  )

const pQueue = (jobs: number) =>
  perOperation(
    jobs,
    Effect.promise(async () => {
      const queue = new PQueue({ concurrency: SLOTS })
      for (let job = 0; job < jobs; job++) void queue.add(() => Promise.resolve())
      await queue.onIdle()
    }),
    3
  )

export const suite = Effect.forEach([1_000, 10_000, 100_000], (jobs) =>
  Effect.gen(function* () {
    const figure: Figure = {
      name: `one job through ${SLOTS} slots, ${jobs.toLocaleString("en-US")} queued`,
      unit: "µs",
      value: yield* ours(jobs),
      baseline: { name: "p-queue", value: yield* pQueue(jobs) },
      bar: "< 1, flat"
    }
    return figure
  })
)
