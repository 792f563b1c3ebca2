/**
 * Behaviour of a supervisor of many children that know nothing of each other. Nothing here waits for one child while
 * another could be served: starts, stops and restarts of different children go on at the same time, and none of them
 * looks at the others.
 */
import { Effect, Exit } from "effect"
import {
  type Limits,
  planRestart,
  recentRestarts,
  type RestartHistory,
  wantsRestart
} from "../../services/supervision/planRestart.ts"
import {
  ChildExists,
  ChildNotFound,
  ChildRunning,
  ChildStartFailed,
  MaxChildren
} from "../../services/supervision/Supervisor.ts"
import * as reports from "./reports.ts"
import type { SupervisedChild } from "./SupervisedChild.ts"
import type { Behaviour, Entry, Request, SupervisorCore } from "./SupervisorCore.ts"

export interface Flags extends Limits {
  readonly intensityPer: "supervisor" | "child"
  readonly maxChildren: number
}

const whenStopped = (child: SupervisedChild, then: () => void) => {
  const others = child.waiter
  child.waiter = () => {
    others?.()
    then()
  }
}

export const make = (core: SupervisorCore, flags: Flags) => {
  const { children, inbox } = core
  let shared: RestartHistory = []

  const later = (child: SupervisedChild, run: () => Effect.Effect<unknown> | undefined) => {
    const { incarnation, state } = child
    inbox.push({
      run: () =>
        child.incarnation === incarnation && child.state === state && child.fiber === undefined ? run() : undefined
    })
  }

  core.ready = (child) => {
    const { request } = child
    if (request === undefined) {
      core.tell.restarted(child)
    } else {
      child.request = undefined
      core.tell.started(child, "call")
      request.answer(Effect.void)
    }
  }

  core.ended = (child) => {
    switch (child.state) {
      case "stopping":
        return stopped(child)
      case "starting":
        return notStarted(child)
      case "restarting":
        core.tell.notStarted(child)
        return later(child, () => Effect.andThen(reports.startFailed(core.pathOf(child), child), restart(child)))
      default:
        later(child, () => exited(child))
    }
  }

  const notStarted = (child: SupervisedChild) => {
    core.tell.notStarted(child)
    core.remove(child)
    child.state = "stopped"
    child.request?.answer(Effect.fail(new ChildStartFailed({ id: child.spec.id, cause: reports.startCause(child) })))
    child.request = undefined
  }

  /** It is gone, or given up: the last of a stop. */
  const stopped = (child: SupervisedChild) => {
    if (child.request !== undefined) {
      notStarted(child)
    } else {
      const { reason } = child
      core.remove(child)
      core.tell.terminated(child)
      const report = reports.stopped(core.pathOf(child), child, reason)
      if (report !== undefined) inbox.push({ run: () => report })
      child.state = "stopped"
    }
    const waiter = child.waiter
    child.waiter = undefined
    waiter?.()
  }

  const exited = (child: SupervisedChild): Effect.Effect<void> => {
    const { reason } = child
    core.tell.exited(child)
    const rest = wantsRestart(child.spec.restart ?? "permanent", reason)
      ? restart(child)
      : Effect.sync(() => {
          core.remove(child)
          child.state = "stopped"
        })
    return reason._tag === "Failed" ? Effect.andThen(reports.crashed(core.pathOf(child), child), rest) : rest
  }

  const restart = (child: SupervisedChild): Effect.Effect<void> =>
    Effect.suspend(() => {
      const now = core.now()
      const isPerChild = flags.intensityPer === "child"
      const history = isPerChild ? child.restarts : shared
      const plan = planRestart(child.spec, [child.member], "one_for_one", flags, history, now)
      if (plan._tag === "Restart") {
        if (!isPerChild) shared = plan.history
        child.restarts = isPerChild ? plan.history : [...recentRestarts(child.restarts, now, flags.period), now]
        child.state = "restarting"
        const launch = () => child.launch("restarting")
        return child.pauseFirst(launch, (resume) => later(child, resume))
      }
      const restarts = plan._tag === "GiveUp" ? plan.restarts : 0
      return isPerChild ? giveUpChild(child, restarts) : giveUp(child, restarts)
    })

  const giveUp = (child: SupervisedChild, restarts: number): Effect.Effect<void> => {
    core.remove(child)
    child.state = "stopped"
    core.tell.gaveUp("supervisor", child, restarts)
    return Effect.andThen(reports.gaveUp(core.path, restarts, child), core.end(behaviour))
  }

  const giveUpChild = (child: SupervisedChild, restarts: number): Effect.Effect<void> => {
    const path = core.pathOf(child)
    const { onGiveUp } = child.spec
    const reason = child.reasonBefore
    core.tell.gaveUp("child", child, restarts)
    if (onGiveUp === undefined) {
      core.remove(child)
      child.state = "stopped"
      return reports.gaveUp(path, restarts, child)
    }
    return Effect.andThen(reports.gaveUp(path, restarts, child), child.conclude(Effect.suspend(() => onGiveUp(reason))))
  }

  const halt = (child: SupervisedChild): Effect.Effect<void> => {
    if (child.fiber !== undefined) return child.halt()
    stopped(child)
    return Effect.void
  }

  const behaviour: Behaviour = {
    initialise: Effect.succeed(Exit.void),
    // All at once, each with its own time, since none stands on another.
    stopAll: Effect.gen(function* () {
      const all = Array.from(children.values()).toReversed()
      for (const [index, child] of all.entries()) {
        yield* halt(child)
        if (index % 256 === 255) yield* Effect.yieldNow
      }
      for (const child of all) {
        if (child.fiber === undefined) continue
        yield* Effect.callback<void>((resume) => {
          if (child.fiber === undefined) return resume(Effect.void)
          whenStopped(child, () => resume(Effect.void))
        })
      }
      // What was still to be said about children that did not stop as they should.
      for (let job = inbox.take(); job !== undefined; job = inbox.take()) yield* job.run() ?? Effect.void
    })
  }

  return {
    behaviour,
    startChild: (entry: Entry, request: Request<void, ChildStartFailed | ChildExists | MaxChildren>) => {
      const present = children.get(entry.spec.id)
      if (present !== undefined) {
        request.answer(Effect.fail(new ChildExists({ id: entry.spec.id, isRunning: present.fiber !== undefined })))
        return undefined
      }
      if (children.size >= flags.maxChildren) {
        request.answer(Effect.fail(new MaxChildren({ limit: flags.maxChildren })))
        return undefined
      }
      const child = core.add(entry)
      child.request = request
      request.child = child
      return child.launch("starting")
    },
    terminateChild: (id: string, request: Request<void, ChildNotFound>) => {
      const child = children.get(id)
      if (child === undefined) {
        request.answer(Effect.fail(new ChildNotFound({ id })))
        return undefined
      }
      whenStopped(child, () => request.answer(Effect.void))
      return halt(child)
    },
    restartChild: (id: string, request: Request<void, ChildNotFound | ChildRunning | ChildStartFailed>) => {
      request.answer(Effect.fail(children.has(id) ? new ChildRunning({ id }) : new ChildNotFound({ id })))
      return undefined
    },
    deleteChild: (id: string, request: Request<void, ChildNotFound | ChildRunning>) => {
      request.answer(Effect.fail(children.has(id) ? new ChildRunning({ id }) : new ChildNotFound({ id })))
      return undefined
    }
  }
}
