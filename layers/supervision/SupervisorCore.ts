/**
 * What static and dynamic supervisors have in common: the loop that does one thing after another, the calls that wait
 * for it, and the end.
 *
 * Children run in the supervisor's context, not in that of the caller who asked for them, so that a child restarted
 * at night is the same as the one started in the morning.
 */
import { Cause, Clock, Context, Deferred, Effect, Exit, Fiber, type Scope, Tracer } from "effect"
import type { ChildSpec } from "../../services/supervision/ChildSpec.ts"
import type { ExitReason } from "../../services/supervision/SupervisionEvent.ts"
import type { SupervisorRef } from "../../services/supervision/Supervisor.ts"
import { Inbox } from "./Inbox.ts"
import { Lifecycle } from "./Lifecycle.ts"
import { messageOf, type Owner, SupervisedChild, shutdown } from "./SupervisedChild.ts"

/** A child as it is asked for: its spec, and what it is when it is a supervisor of ours. */
export interface Entry {
  readonly spec: ChildSpec
  readonly supervisor?: SupervisorRef | undefined
}

/** One thing for the loop to do. */
export interface Job {
  /** Returns what is left to do after what could be done at once. */
  readonly run: () => Effect.Effect<unknown> | undefined
  /** The supervisor stops before it came to this. */
  readonly refuse?: () => void
}

/** A call that waits for its answer. */
export class Request<A, E> {
  isCancelled = false
  /** The child this call is starting. */
  child: SupervisedChild | undefined
  private isAnswered = false
  private released: (() => void) | undefined
  private readonly resume: (answer: Effect.Effect<A, E>) => void

  constructor(resume: (answer: Effect.Effect<A, E>) => void) {
    this.resume = resume
  }

  answer(answer: Effect.Effect<A, E>): void {
    if (this.isAnswered) return
    this.isAnswered = true
    if (this.released !== undefined) this.released()
    else this.resume(answer)
  }

  /** The caller has been interrupted. A child it was starting is stopped again; anything else goes on without it. */
  cancel(): Effect.Effect<void> {
    this.isCancelled = true
    if (this.isAnswered || this.child === undefined) return Effect.void
    return Effect.andThen(
      this.child.halt(),
      Effect.callback<void>((resume) => {
        if (this.isAnswered) return resume(Effect.void)
        this.released = () => resume(Effect.void)
      })
    )
  }
}

/** The part that differs. Everything here runs in the loop, one thing at a time. */
export interface Behaviour {
  /** Starts what the spec names, in order. */
  readonly initialise: Effect.Effect<Exit.Exit<void, unknown>>
  /** Stops all children, last started first. May be cut short and run again. */
  readonly stopAll: Effect.Effect<void>
}

export class SupervisorCore implements Owner {
  readonly children = new Map<string, SupervisedChild>()
  readonly inbox = new Inbox<Job>()
  readonly exit = Deferred.makeUnsafe<ExitReason>()
  active = 0
  supervisors = 0
  isStopping = false
  /** What the loop is at. */
  private current: Job | undefined
  /** Set by the behaviour: see `Owner`. */
  ready: (child: SupervisedChild) => void = () => undefined
  ended: (child: SupervisedChild) => void = () => undefined

  readonly path: string
  readonly period: number
  readonly tell: Lifecycle
  private readonly clock: Clock.Clock

  constructor(path: string, period: number, context: Context.Context<never>) {
    this.path = path
    this.period = period
    this.tell = new Lifecycle(path, context)
    this.clock = Context.get(context, Clock.Clock)
  }

  /** Milliseconds of a clock that people cannot set back. */
  readonly now = (): number => Number(this.clock.monotonicTimeNanosUnsafe()) / 1e6

  pathOf(child: SupervisedChild): string {
    return this.tell.pathOf(child)
  }

  add(entry: Entry): SupervisedChild {
    const child = new SupervisedChild(entry.spec, entry.supervisor, this)
    this.children.set(entry.spec.id, child)
    if (entry.spec.type === "supervisor") this.supervisors++
    return child
  }

  readonly count = (change: 1 | -1): void => {
    this.active += change
    this.tell.metrics.children(change)
  }

  remove(child: SupervisedChild): void {
    child.cancelPause()
    if (this.children.get(child.spec.id) !== child) return
    this.children.delete(child.spec.id)
    if (child.spec.type === "supervisor") this.supervisors--
  }

  /** Has the loop do something and waits for its answer; `otherwise` is the answer of a supervisor that has stopped. */
  ask<A, E>(
    run: (request: Request<A, E>) => Effect.Effect<unknown> | undefined,
    otherwise: () => Effect.Effect<A, E>
  ): Effect.Effect<A, E> {
    return Effect.callback((resume) => {
      if (this.isStopping) return resume(Effect.suspend(otherwise))
      const request = new Request(resume)
      this.inbox.push({
        run: () => (request.isCancelled ? undefined : run(request)),
        refuse: () => request.answer(Effect.suspend(otherwise))
      })
      return Effect.suspend(() => request.cancel())
    })
  }

  /** Refuses whoever waits, and from now on everybody. */
  private close(): void {
    this.isStopping = true
    for (let job = this.inbox.take(); job !== undefined; job = this.inbox.take()) job.refuse?.()
  }

  /** The supervisor ends by its own decision: children first. To its parent this is `shutdown`, as in OTP. */
  end(behaviour: Behaviour, reason: ExitReason = shutdown): Effect.Effect<void> {
    return Effect.suspend(() => {
      this.close()
      return Effect.map(behaviour.stopAll, () => {
        // Cut short by the end, but not left without an answer.
        this.current?.refuse?.()
        Deferred.doneUnsafe(this.exit, Exit.succeed(reason))
      })
    })
  }

  /** Runs the supervisor in the scope at hand; returns when all its first children have started. */
  run(behaviour: Behaviour): Effect.Effect<void, unknown, Scope.Scope> {
    return Effect.gen({ self: this }, function* () {
      const started = Deferred.makeUnsafe<void, unknown>()
      const scope = yield* Effect.scope
      const loop = yield* outsideSpans(
        Effect.forkIn(this.guard(behaviour, this.loop(behaviour, started)), scope, { startImmediately: true })
      )
      yield* Effect.addFinalizer(() =>
        Effect.suspend(() => {
          if (Deferred.isDoneUnsafe(this.exit)) return Effect.void
          this.close()
          return Effect.andThen(Fiber.interrupt(loop), this.end(behaviour))
        })
      )
      yield* Deferred.await(started)
    })
  }

  /** A defect in the loop ends the supervisor as a crash, for its parent to act on. */
  private guard(behaviour: Behaviour, loop: Effect.Effect<void>): Effect.Effect<void> {
    return Effect.catchCause(loop, (cause) =>
      Cause.hasInterruptsOnly(cause)
        ? Effect.failCause(cause)
        : Effect.andThen(
            Effect.logError(`${this.path} broke`, cause),
            this.end(behaviour, { _tag: "Failed", message: messageOf(cause) })
          )
    )
  }

  private loop(behaviour: Behaviour, started: Deferred.Deferred<void, unknown>): Effect.Effect<void> {
    return Effect.gen({ self: this }, function* () {
      const first = yield* behaviour.initialise
      if (Exit.isFailure(first)) {
        yield* this.end(behaviour)
        Deferred.doneUnsafe(started, first)
        return
      }
      Deferred.doneUnsafe(started, first)
      let busy = 0
      while (!this.isStopping) {
        const job = this.inbox.take()
        if (job === undefined) {
          yield* this.inbox.arrived
          continue
        }
        this.current = job
        const rest = job.run()
        if (rest !== undefined) yield* rest
        this.current = undefined
        // A storm of exits shares the event loop with everybody else.
        if (++busy % 256 === 0) yield* Effect.yieldNow
      }
    })
  }
}

/** Children outlive the span in which their supervisor was started. */
const outsideSpans = <A, E>(effect: Effect.Effect<A, E>): Effect.Effect<A, E> =>
  Effect.updateContext(effect, (context: Context.Context<never>) => Context.omit(Tracer.ParentSpan)(context))

/** A core with the clock, the listener and the metrics of the fiber at hand. */
export const makeCore = (path: string, period: number): Effect.Effect<SupervisorCore> =>
  Effect.withFiberSucceed((fiber) => new SupervisorCore(path, period, fiber.context))
