/**
 * Behaviour of a supervisor whose children stand in an order: started in it, stopped against it, restarted by
 * strategy. One thing is done at a time, and the next only when it is over, as in OTP.
 */
import { Effect, Exit } from "effect"
import type { Strategy, SupervisorFlags } from "../../services/supervision/ChildSpec.ts"
import {
  type Limits,
  type Plan,
  planExit,
  planRestart,
  recentRestarts,
  type RestartHistory
} from "../../services/supervision/planRestart.ts"
import { ChildExists, ChildNotFound, ChildRunning, ChildStartFailed } from "../../services/supervision/Supervisor.ts"
import * as reports from "./reports.ts"
import type { SupervisedChild } from "./SupervisedChild.ts"
import type { Behaviour, Entry, Request, SupervisorCore } from "./SupervisorCore.ts"

/** The next change of a child's state. */
const changed = (child: SupervisedChild): Effect.Effect<void> =>
  Effect.callback((resume) => {
    if (child.fiber === undefined || child.state === "running") return resume(Effect.void)
    child.waiter = () => resume(Effect.void)
    return Effect.sync(() => {
      child.waiter = undefined
    })
  })

export interface Flags extends Limits {
  readonly strategy: Strategy
  readonly autoShutdown: NonNullable<SupervisorFlags["autoShutdown"]>
}

export const make = (core: SupervisorCore, flags: Flags, first: ReadonlyArray<Entry>) => {
  const { children, inbox } = core
  let history: RestartHistory = []

  const members = () => Array.from(children.values(), (child) => child.member)
  const notify = (child: SupervisedChild) => {
    const waiter = child.waiter
    child.waiter = undefined
    waiter?.()
  }

  core.ready = notify
  core.ended = (child) => {
    if (child.waiter !== undefined) return notify(child)
    if (child.state !== "running") return
    const { incarnation } = child
    inbox.push({
      run: () => (child.incarnation === incarnation && child.state === "running" ? exited(child) : undefined)
    })
  }

  const untilStarted = (child: SupervisedChild): Effect.Effect<boolean> =>
    child.state === "running" || child.fiber === undefined
      ? Effect.succeed(child.state === "running")
      : Effect.flatMap(changed(child), () => untilStarted(child))

  /** Starts a child and waits until it has initialised; true when it has. */
  const launch = (child: SupervisedChild, state: "starting" | "restarting") =>
    Effect.flatMap(child.launch(state), () => untilStarted(child))

  const stop = (child: SupervisedChild) =>
    Effect.gen(function* () {
      const wasAlive = child.fiber !== undefined
      yield* child.halt()
      while (child.fiber !== undefined) yield* changed(child)
      if (wasAlive) {
        core.tell.terminated(child)
        const report = reports.stopped(core.pathOf(child), child, child.reason)
        if (report !== undefined) yield* report
      } else if (child.state === "running") {
        // It ended by itself while the supervisor was busy, and nobody has looked at it yet.
        yield* ownEnd(child)
      }
      child.state = "stopped"
    })

  const ownEnd = (child: SupervisedChild): Effect.Effect<void> => {
    const { reason } = child
    core.tell.exited(child)
    return reason._tag === "Failed" ? reports.crashed(core.pathOf(child), child) : Effect.void
  }

  const exited = (child: SupervisedChild) => {
    const { member, reason } = child
    return Effect.flatMap(ownEnd(child), () => {
      child.state = "stopped"
      return obey(child, planExit(member, reason, members(), flags, history, core.now()))
    })
  }

  const retry = (child: SupervisedChild) => {
    const { incarnation } = child
    inbox.push({
      run: () =>
        child.incarnation === incarnation && child.state === "restarting" && children.get(child.spec.id) === child
          ? obey(child, planRestart(child.spec, members(), flags.strategy, flags, history, core.now()))
          : undefined
    })
  }

  const obey = (child: SupervisedChild, plan: Plan): Effect.Effect<void> => {
    if (plan._tag === "Restart") {
      history = plan.history
      return restart(child, plan)
    }
    if (plan._tag === "Leave") {
      if (plan.forget) core.remove(child)
      return plan.shutDown ? core.end(behaviour) : Effect.void
    }
    child.state = "stopped"
    const { restarts } = plan
    core.tell.gaveUp("supervisor", child, restarts)
    return Effect.andThen(reports.gaveUp(core.path, plan.restarts, child), core.end(behaviour))
  }

  const restart = (crashed: SupervisedChild, plan: Extract<Plan, { readonly _tag: "Restart" }>) =>
    Effect.gen(function* () {
      for (const id of plan.stop) {
        const child = children.get(id)
        if (child === undefined) continue
        yield* stop(child)
        child.delay = 0
        if (child.spec.restart === "temporary") core.remove(child)
      }
      crashed.state = "restarting"
      const { incarnation } = crashed
      const again = () =>
        startAgain(
          plan.start.flatMap((id) => {
            const child = children.get(id)
            if (child === undefined || child.fiber !== undefined) return []
            // It may have been stopped while it was waiting, or started by a crash of another.
            const isDue = child !== crashed || (child.incarnation === incarnation && child.state === "restarting")
            return isDue ? [child] : []
          })
        )
      yield* crashed.pauseFirst(again, (run) => inbox.push({ run }))
    })

  const startAgain = (due: ReadonlyArray<SupervisedChild>): Effect.Effect<void> =>
    Effect.gen(function* () {
      // The pause is over: whoever is not reached because one before it does not start is not about to restart.
      for (const child of due) child.state = "stopped"
      for (const child of due) {
        const now = core.now()
        child.restarts = [...recentRestarts(child.restarts, now, flags.period), now]
        if (yield* launch(child, "restarting")) {
          core.tell.restarted(child)
          continue
        }
        core.tell.notStarted(child)
        yield* reports.startFailed(core.pathOf(child), child)
        // What was asked meanwhile comes first: perhaps to stop this very child.
        child.state = "restarting"
        retry(child)
        break
      }
    })

  const begin = (entry: Entry, reason: "spec" | "call", request?: Request<void, never>) =>
    Effect.gen(function* () {
      const child = core.add(entry)
      if (request !== undefined) request.child = child
      if (yield* launch(child, "starting")) {
        core.tell.started(child, reason)
        return Exit.void
      }
      core.remove(child)
      core.tell.notStarted(child)
      return Exit.fail(new ChildStartFailed({ id: entry.spec.id, cause: reports.startCause(child) }))
    })

  const behaviour: Behaviour = {
    initialise: Effect.gen(function* () {
      for (const entry of first) {
        const exit = yield* begin(entry, "spec")
        if (Exit.isFailure(exit)) return exit
      }
      return Exit.void
    }),
    stopAll: Effect.gen(function* () {
      for (const child of Array.from(children.values()).toReversed()) yield* stop(child)
    })
  }

  return {
    behaviour,
    startChild: (entry: Entry, request: Request<void, ChildStartFailed | ChildExists>) => {
      const present = children.get(entry.spec.id)
      if (present !== undefined) {
        // One that has ended counts as running until its end has been looked at: what was asked before comes first.
        request.answer(Effect.fail(new ChildExists({ id: entry.spec.id, isRunning: present.state === "running" })))
        return undefined
      }
      return Effect.map(begin(entry, "call", request), (exit) => request.answer(exit))
    },
    terminateChild: (id: string, request: Request<void, ChildNotFound>) => {
      const child = children.get(id)
      if (child === undefined) {
        request.answer(Effect.fail(new ChildNotFound({ id })))
        return undefined
      }
      // Those that were stopped because of its crash have waited for its restart, and come back without it.
      const others = child.cancelPause()
      return Effect.andThen(stop(child), () => {
        if (child.spec.restart === "temporary") core.remove(child)
        request.answer(Effect.void)
        return others?.() ?? Effect.void
      })
    },
    restartChild: (id: string, request: Request<void, ChildNotFound | ChildRunning | ChildStartFailed>) => {
      const child = children.get(id)
      if (child === undefined || child.state !== "stopped") {
        request.answer(Effect.fail(child === undefined ? new ChildNotFound({ id }) : new ChildRunning({ id })))
        return undefined
      }
      request.child = child
      return Effect.map(launch(child, "starting"), (isRunning) => {
        if (isRunning) {
          core.tell.started(child, "call")
          return request.answer(Effect.void)
        }
        child.state = "stopped"
        core.tell.notStarted(child)
        request.answer(Effect.fail(new ChildStartFailed({ id, cause: reports.startCause(child) })))
      })
    },
    deleteChild: (id: string, request: Request<void, ChildNotFound | ChildRunning>) => {
      const child = children.get(id)
      if (child === undefined || child.state !== "stopped") {
        request.answer(Effect.fail(child === undefined ? new ChildNotFound({ id }) : new ChildRunning({ id })))
        return undefined
      }
      core.remove(child)
      request.answer(Effect.void)
      return undefined
    }
  }
}
