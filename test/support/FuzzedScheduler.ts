/** Effect's scheduler with fast-check in its place: fibers give way after every few steps, and chance says who is next. */
import type { Fiber, Scheduler } from "effect"
import type * as fc from "fast-check"

export class FuzzedScheduler implements Scheduler.Scheduler {
  readonly executionMode = "async"
  readonly #chance: fc.Scheduler
  readonly #steps: number

  constructor(chance: fc.Scheduler, steps = 4) {
    this.#chance = chance
    this.#steps = steps
  }

  shouldYield(fiber: Fiber.Fiber<unknown, unknown>): boolean {
    return fiber.currentOpCount >= this.#steps
  }

  makeDispatcher(): Scheduler.SchedulerDispatcher {
    return {
      scheduleTask: (task) => void this.#chance.schedule(Promise.resolve()).then(task),
      flush: () => undefined
    }
  }
}
