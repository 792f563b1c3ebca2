/**
 * One child of a supervisor through all its incarnations: its fiber, its state, and the end of both.
 *
 * A child initialises and runs in one fiber with a scope of its own, so its end is the end of its finalizers too. The
 * fiber is detached: what ties it to the tree is this record, which its supervisor holds until the fiber has ended or
 * has been given up.
 */
import { Cause, Duration, Effect, Exit, type Fiber, Predicate, Random, type Scope } from "effect"
import type { Body, ChildSpec, Shutdown } from "../../services/supervision/ChildSpec.ts"
import { pauseBefore, restartsInARow } from "../../services/supervision/planBackoff.ts"
import type { Member, RestartHistory } from "../../services/supervision/planRestart.ts"
import type { ExitReason } from "../../services/supervision/SupervisionEvent.ts"
import type { ChildStartFailed, SupervisorRef } from "../../services/supervision/Supervisor.ts"
import type { ChildState } from "../../services/supervision/SupervisionTree.ts"

/** The supervisor's side: told at once, in the fiber in which it happened. */
export interface Owner {
  readonly now: () => number
  /** How many children have a fiber: one more, or one less. */
  readonly count: (change: 1 | -1) => void
  /** The child has initialised. */
  readonly ready: (child: SupervisedChild) => void
  /** The child's fiber has ended, or its shutdown time is over. */
  readonly ended: (child: SupervisedChild) => void
}

const none: RestartHistory = []
const normal: ExitReason = { _tag: "Normal" }
export const shutdown: ExitReason = { _tag: "Shutdown" }
const killed: ExitReason = { _tag: "Killed" }

export const shutdownOf = (spec: ChildSpec): Shutdown =>
  spec.shutdown ?? (spec.type === "supervisor" ? "infinity" : "5 seconds")

export class SupervisedChild {
  state: ChildState = "stopped"
  /** Present as long as the fiber is ours to wait for. */
  fiber: Fiber.Fiber<unknown, unknown> | undefined
  /** How the last incarnation ended; absent while one runs, and when it was given up. */
  exit: Exit.Exit<unknown, unknown> | undefined
  /** Which incarnation this is: what an earlier one still says is not heard. */
  incarnation = 0
  /** When it was last started. */
  since = 0
  restarts: RestartHistory = none
  /** Milliseconds that it waited before its last restart. */
  delay = 0
  /** Wakes whoever waits for its start or its stop to be over. */
  waiter: (() => void) | undefined
  /** The call that asked for its first start, until that is answered. */
  request: { readonly answer: (answer: Effect.Effect<void, ChildStartFailed>) => void } | undefined
  private watchdog: Fiber.Fiber<unknown, unknown> | undefined
  /** Waits for the next restart. */
  private pause: Fiber.Fiber<unknown, unknown> | undefined
  private resume: (() => Effect.Effect<void>) | undefined
  private inARow = 0
  private last: ExitReason = normal
  /** When it had initialised; absent until then. */
  private upSince: number | undefined
  private lived = 0
  private isTardy = false
  /** While it is told that it has started. */
  private handover: { readonly fiber: Fiber.Fiber<unknown, unknown> | undefined; isUnwanted: boolean } | undefined

  readonly spec: ChildSpec
  /** What it is when it is a supervisor of ours. */
  readonly supervisor: SupervisorRef | undefined
  private readonly owner: Owner

  constructor(spec: ChildSpec, supervisor: SupervisorRef | undefined, owner: Owner) {
    this.spec = spec
    this.supervisor = supervisor
    this.owner = owner
  }

  get member(): Member {
    return {
      id: this.spec.id,
      restart: this.spec.restart ?? "permanent",
      significant: this.spec.significant === true,
      // Until its end has been looked at: it may yet be started again.
      isAlive: this.state !== "stopped"
    }
  }

  /** Starts it; returns when it has initialised, has failed to, or has come to its first wait. */
  launch(state: "starting" | "restarting"): Effect.Effect<void> {
    return Effect.suspend(() => {
      this.cancelPause()
      this.incarnation++
      this.state = state
      this.since = this.owner.now()
      this.upSince = undefined
      this.isTardy = false
      const started = this.fork(this.life)
      return this.spec.startTimeout === undefined
        ? started
        : Effect.andThen(started, this.limitStart(this.spec.startTimeout))
    })
  }

  /** Has `resume` called once the pause before its next restart is over: at once, if it has no back-off. */
  pauseFirst(
    resume: () => Effect.Effect<void>,
    later: (resume: () => Effect.Effect<void>) => void
  ): Effect.Effect<void> {
    const { backoff } = this.spec
    if (backoff === undefined) return Effect.suspend(resume)
    return Effect.flatMap(Random.next, (random) => {
      this.inARow = restartsInARow(backoff, this.inARow, this.lived)
      this.delay = pauseBefore(backoff, this.inARow, random)
      const wait = Effect.andThen(
        Effect.sleep(this.delay),
        Effect.sync(() => {
          this.pause = undefined
          this.resume = undefined
          later(resume)
        })
      )
      this.cancelPause()
      this.resume = resume
      return Effect.map(Effect.forkDetach(wait, { startImmediately: true }), (pause) => {
        if (this.resume === resume) this.pause = pause
      })
    })
  }

  /** Ends the pause before its time; returns what was to follow. */
  cancelPause(): (() => Effect.Effect<void>) | undefined {
    const { pause, resume } = this
    this.pause = undefined
    this.resume = undefined
    pause?.interruptUnsafe()
    return resume
  }

  /** Runs `last` in its place, for as long as its shutdown time allows, and is then stopped. */
  conclude(last: Effect.Effect<unknown, unknown, Scope.Scope>): Effect.Effect<void> {
    return Effect.suspend(() => {
      this.incarnation++
      this.state = "stopping"
      return Effect.andThen(
        this.fork(last),
        Effect.suspend(() => this.limit())
      )
    })
  }

  /** One incarnation. It is held for as long as that runs, so it holds no more than this. */
  private get life(): Effect.Effect<unknown, unknown, Scope.Scope> {
    return Effect.suspend(() => Effect.flatMap(this.spec.start, (body) => this.handOver(body)))
  }

  /**
   * From its start to its body, which cleans up behind both. Whoever hears that it has started may stop it at once: that
   * waits until the body has begun, or nobody would clean up.
   */
  private handOver(body: Body): Body {
    const handover = { fiber: this.fiber, isUnwanted: false }
    this.handover = handover
    this.initialised()
    this.handover = undefined
    if (!handover.isUnwanted) return body
    return Effect.andThen(Effect.forkDetach(Effect.sync(() => handover.fiber?.interruptUnsafe())), body)
  }

  /** Interrupts its fiber. */
  interrupt(): void {
    const { fiber, handover } = this
    if (handover !== undefined && handover.fiber === fiber) handover.isUnwanted = true
    else fiber?.interruptUnsafe()
  }

  private fork(effect: Effect.Effect<unknown, unknown, Scope.Scope>): Effect.Effect<void> {
    this.exit = undefined
    // Known from its first step on: whoever waits for its start may go on, and ask for it, within that very step.
    const known = Effect.withFiber<unknown, unknown>((fiber) => {
      this.own(fiber, this.incarnation)
      return Effect.scoped(effect)
    })
    return Effect.asVoid(Effect.forkDetach(known, { startImmediately: true }))
  }

  private own(fiber: Fiber.Fiber<unknown, unknown>, incarnation: number): void {
    this.fiber = fiber
    this.owner.count(1)
    fiber.addObserver((exit) => this.over(incarnation, exit))
  }

  /** Asks it to stop. When its time is over it is given up; `brutal_kill` leaves it no time. */
  halt(): Effect.Effect<void> {
    return Effect.suspend(() => {
      this.cancelPause()
      if (this.fiber === undefined || this.state === "stopping") return Effect.void
      this.state = "stopping"
      this.interrupt()
      return this.limit()
    })
  }

  /** Asks it to stop if it has not initialised in time; then it has failed to. */
  private limitStart(patience: Duration.Input): Effect.Effect<void> {
    const { incarnation } = this
    return this.watch(
      Effect.andThen(
        Effect.sleep(Duration.fromInputUnsafe(patience)),
        Effect.suspend(() => {
          if (incarnation !== this.incarnation || this.fiber === undefined || !this.isStarting) return Effect.void
          this.isTardy = true
          this.watchdog = undefined
          this.fiber.interruptUnsafe()
          return this.limit()
        })
      ),
      () => this.isStarting
    )
  }

  private get isStarting(): boolean {
    return this.state === "starting" || this.state === "restarting"
  }

  /** Forks what acts on it later, unless it is too late for that already. */
  private watch(effect: Effect.Effect<void>, isWanted: () => boolean): Effect.Effect<void> {
    return Effect.map(Effect.forkDetach(effect, { startImmediately: true }), (watchdog) => {
      if (this.fiber === undefined || !isWanted()) watchdog.interruptUnsafe()
      else this.watchdog = watchdog
    })
  }

  /** Gives it up when it is still there after its shutdown time. */
  private limit(): Effect.Effect<void> {
    const { incarnation } = this
    const patience = shutdownOf(this.spec)
    if (this.fiber === undefined || patience === "infinity") return Effect.void
    if (patience === "brutal_kill") return Effect.sync(() => this.over(incarnation, undefined))
    const giveUp = Effect.andThen(
      Effect.sleep(Duration.fromInputUnsafe(patience)),
      Effect.sync(() => {
        this.fiber?.interruptUnsafe()
        this.over(incarnation, undefined)
      })
    )
    return this.watch(giveUp, () => true)
  }

  /** How its last incarnation ended. */
  get reason(): ExitReason {
    // It had no life to end: it was about to be started again.
    return this.state === "restarting" ? shutdown : this.last
  }

  /** How the life before this one ended, for one that has been started again. */
  get reasonBefore(): ExitReason {
    return this.last
  }

  private reasonOf(exit: Exit.Exit<unknown, unknown> | undefined): ExitReason {
    if (exit === undefined) return killed
    if (Exit.isSuccess(exit)) {
      return this.state === "stopping" || Predicate.isTagged(exit.value, "Shutdown") ? shutdown : normal
    }
    // A failure in its own words is a failure even when the child was on its way out: a finalizer broke.
    if (this.state === "stopping" && Cause.hasInterruptsOnly(exit.cause)) return shutdown
    return { _tag: "Failed", message: messageOf(exit.cause) }
  }

  /** Never of an earlier incarnation: one that is given up has been interrupted, and so does not get here. */
  private initialised(): void {
    if (!this.isStarting) return
    this.state = "running"
    this.upSince = this.owner.now()
    if (this.watchdog !== undefined) {
      this.watchdog.interruptUnsafe()
      this.watchdog = undefined
    }
    this.owner.ready(this)
  }

  private over(incarnation: number, exit: Exit.Exit<unknown, unknown> | undefined): void {
    if (incarnation !== this.incarnation || this.fiber === undefined) return
    this.fiber = undefined
    this.owner.count(-1)
    this.exit = this.isTardy && this.isStarting ? Exit.fail(new StartTimedOut(this.spec)) : exit
    this.last = this.reasonOf(this.exit)
    this.lived = this.upSince === undefined ? 0 : this.owner.now() - this.upSince
    if (exit !== undefined && this.watchdog !== undefined) this.watchdog.interruptUnsafe()
    this.watchdog = undefined
    this.owner.ended(this)
  }
}

/** Its start took longer than it may. */
export class StartTimedOut extends Error {
  constructor({ id, startTimeout = 0 }: ChildSpec) {
    super(`"${id}" had not started after ${Duration.format(Duration.fromInputUnsafe(startTimeout))}`)
    this.name = "StartTimedOut"
  }
}

/** One sentence for events; logs get the whole cause. */
export const messageOf = (cause: Cause.Cause<unknown>): string => {
  const error = Cause.squash(cause)
  const message = error instanceof Error ? error.message || error.name : String(error)
  return message.length > 500 ? `${message.slice(0, 500)}…` : message
}
