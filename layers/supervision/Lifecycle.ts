/** Tells of each step in the lives of one supervisor's children: it is counted, and told to who listens. */
import { Context } from "effect"
import type { SupervisionEvent } from "../../services/supervision/SupervisionEvent.ts"
import { SupervisionEvents } from "../../services/supervision/SupervisionEvents.ts"
import type { SupervisedChild } from "./SupervisedChild.ts"
import * as SupervisionMetrics from "./SupervisionMetrics.ts"

export class Lifecycle {
  readonly path: string
  readonly metrics: SupervisionMetrics.SupervisionMetrics
  private readonly sink: ((event: SupervisionEvent) => void) | undefined

  constructor(path: string, context: Context.Context<never>) {
    this.path = path
    this.metrics = SupervisionMetrics.make(context)
    this.sink = Context.get(context, SupervisionEvents).tell
  }

  pathOf(child: SupervisedChild): string {
    return `${this.path}/${child.spec.id}`
  }

  started(child: SupervisedChild, reason: "spec" | "call"): void {
    this.metrics.started()
    this.sink?.({ _tag: "ChildStarted", path: this.pathOf(child), reason })
  }

  restarted(child: SupervisedChild): void {
    this.metrics.restarted()
    const attempt = child.restarts.length
    const { delay, reasonBefore: reason } = child
    this.sink?.({ _tag: "ChildRestarted", path: this.pathOf(child), attempt, delay, reason })
  }

  notStarted(child: SupervisedChild): void {
    this.metrics.startFailed()
    const attempt = child.state === "restarting" ? child.restarts.length : 0
    this.sink?.({ _tag: "ChildNotStarted", path: this.pathOf(child), attempt, reason: child.reasonBefore })
  }

  exited(child: SupervisedChild): void {
    const { reason } = child
    this.metrics.exited(reason)
    this.sink?.({ _tag: "ChildExited", path: this.pathOf(child), reason })
  }

  terminated(child: SupervisedChild): void {
    const { reason } = child
    this.metrics.terminated(reason)
    this.sink?.({ _tag: "ChildTerminated", path: this.pathOf(child), reason })
  }

  /** The supervisor gives up, or only the child, because of how that one ended. */
  gaveUp(who: "supervisor" | "child", child: SupervisedChild, restarts: number): void {
    this.metrics.gaveUp()
    const path = who === "child" ? this.pathOf(child) : this.path
    this.sink?.({ _tag: "SupervisorGaveUp", path, restarts, reason: child.reasonBefore })
  }
}
