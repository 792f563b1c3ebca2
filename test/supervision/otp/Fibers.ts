/** The same programs on our supervisor, under the test clock, told in the same words. */
import { Cause, Deferred, Effect, Exit, Fiber, Predicate, Scope } from "effect"
import { TestClock } from "effect/testing"
import type { ChildSpec, DynamicSupervisorSpec, SupervisorSpec } from "../../../services/supervision/ChildSpec.ts"
import type { SupervisionEvent } from "../../../services/supervision/SupervisionEvent.ts"
import { SupervisionEvents } from "../../../services/supervision/SupervisionEvents.ts"
import { Supervisor, type SupervisorRef } from "../../../services/supervision/Supervisor.ts"
import {
  type Call,
  canonical,
  type Child,
  type Dyn,
  type Exit as ExitStep,
  type ExitKind,
  isSup,
  isWorker,
  type Patience,
  type Program,
  type Step,
  type Sup,
  tick,
  type Worker
} from "./Program.ts"

/** One life of a worker. */
interface Life {
  readonly end: Deferred.Deferred<unknown, unknown>
  readonly parent: string
  /** Set when it ends by itself. */
  reason: ExitKind | undefined
}

interface Place {
  readonly ref: SupervisorRef
  readonly spec: Sup | Dyn
}

const make = (supervisor: Supervisor["Service"]) => {
  const log: Array<string> = []
  const lives = new Map<string, Life>()
  const places = new Map<string, Place>()
  const starts = new Map<string, number>()

  const gone = (name: string, life: Life, word: string) => {
    // The supervisor may have given it up already.
    if (lives.get(name) !== life) return
    lives.delete(name)
    log.push(`-${name} ${word}`)
  }

  /** How the fiber's finalizers see the end. */
  const stop = ({ name, stop }: Worker, shutdown: Patience, life: Life): Effect.Effect<void> =>
    Effect.suspend(() => {
      if (life.reason !== undefined)
        return Effect.sync(() => gone(name, life, life.reason === "kill" ? "killed" : `${life.reason}`))
      if (shutdown === "brutal_kill") gone(name, life, "killed")
      switch (stop) {
        case "obeys":
          return Effect.sync(() => gone(name, life, "stopped"))
        case "breaks":
          gone(name, life, "error")
          return Effect.die(new Error(`${name} broke on its way out`))
        case "deaf":
          return Effect.never
      }
    })

  const startWorker = (worker: Worker, shutdown: Patience, parent: string): ChildSpec["start"] =>
    Effect.gen(function* () {
      const { name } = worker
      const nth = starts.get(name) ?? 0
      starts.set(name, nth + 1)
      if (worker.starts[nth] === "no") {
        log.push(`!${name}`)
        return yield* Effect.fail(new Error(`${name} refuses`))
      }
      const life: Life = { end: yield* Deferred.make<unknown, unknown>(), parent, reason: undefined }
      lives.set(name, life)
      log.push(`+${name}`)
      yield* Effect.addFinalizer(() => stop(worker, shutdown, life))
      return Deferred.await(life.end)
    })

  /** A nested supervisor as a child: it ends with the reason that it gives. */
  const startSup = (spec: Sup | Dyn): ChildSpec["start"] =>
    Effect.gen(function* () {
      log.push(`+${spec.name}`)
      const ref = yield* isSup(spec) ? supervisor.start(supSpec(spec)) : supervisor.startDynamic(dynSpec(spec))
      const place = { ref, spec }
      places.set(spec.name, place)
      yield* Effect.addFinalizer(() =>
        Effect.sync(() => {
          if (places.get(spec.name) === place) places.delete(spec.name)
        })
      )
      return Effect.flatMap(ref.awaitExit, (reason) =>
        reason._tag === "Failed" ? Effect.die(new Error(reason.message)) : Effect.succeed(reason)
      )
    })

  const childSpec = ({ body, restart, shutdown, significant }: Child, parent: string): ChildSpec => ({
    id: body.name,
    type: isWorker(body) ? "worker" : "supervisor",
    restart,
    significant,
    ...(shutdown === "default" ? {} : { shutdown }),
    start: isWorker(body) ? startWorker(body, shutdown, parent) : startSup(body)
  })

  const supSpec = (sup: Sup): SupervisorSpec => ({
    id: sup.name,
    strategy: sup.strategy,
    intensity: sup.intensity,
    period: `${sup.period} seconds`,
    autoShutdown: sup.auto,
    children: sup.children.map((child) => childSpec(child, sup.name))
  })

  const dynSpec = (dyn: Dyn): DynamicSupervisorSpec => ({
    id: dyn.name,
    intensity: dyn.intensity,
    period: `${dyn.period} seconds`
  })

  /** The ends that no fiber tells of: those of children that were given up. */
  const tell = (event: SupervisionEvent) => {
    if (event._tag !== "ChildTerminated" || event.reason._tag !== "Killed") return
    const name = event.path.slice(event.path.lastIndexOf("/") + 1)
    const life = lives.get(name)
    if (life !== undefined) gone(name, life, "killed")
  }

  return { childSpec, lives, log, places, startSup, startWorker, tell }
}

type World = ReturnType<typeof make>

const ends: Record<ExitKind, Exit.Exit<unknown, unknown>> = {
  normal: Exit.succeed(undefined),
  shutdown: Exit.succeed({ _tag: "Shutdown" }),
  error: Exit.die(new Error("crash")),
  kill: Exit.failCause(Cause.interrupt())
}

const finish = (world: World, step: ExitStep, parent?: string): string => {
  const life = world.lives.get(step.name)
  if (life === undefined || (parent !== undefined && life.parent !== parent)) return "nobody"
  life.reason = step.reason
  Deferred.doneUnsafe(life.end, ends[step.reason])
  return "ok"
}

/** The differential test's dictionary: our errors in OTP's words. */
const words: Record<string, (error: object) => string> = {
  ChildExists: (error) => ("isRunning" in error && error.isRunning === true ? "already_started" : "already_present"),
  ChildNotFound: () => "not_found",
  ChildRunning: () => "running",
  ChildStartFailed: () => "not_started",
  SupervisorStopped: () => "stopped"
}

const word = (error: unknown): string =>
  (Predicate.isTagged(error, "ChildExists") || Predicate.isObject(error)) && "_tag" in error
    ? (words[String(error._tag)]?.(error) ?? String(error._tag))
    : String(error)

const call = (world: World, step: Call): Effect.Effect<string> => {
  const place = world.places.get(step.sup)
  if (place === undefined) return Effect.succeed("nobody")
  const { ref, spec } = place
  const isDynamic = !isSup(spec)
  const ask = (): Effect.Effect<string, unknown> => {
    switch (step._tag) {
      case "start": {
        if ("body" in step.child) return Effect.as(ref.startChild(world.childSpec(step.child, spec.name)), "ok")
        const { restart, shutdown } = isSup(spec)
          ? { restart: "permanent" as const, shutdown: "default" as const }
          : spec
        const child: Child = { body: step.child, restart, shutdown, significant: false }
        return Effect.as(ref.startChild(world.childSpec(child, spec.name)), "ok")
      }
      case "terminate":
        return Effect.as(ref.terminateChild(step.name), "ok")
      case "restart":
        return Effect.as(ref.restartChild(step.name), "ok")
      case "delete":
        return Effect.as(ref.deleteChild(step.name), "ok")
      case "spec":
        return Effect.map(ref.getChildSpec(step.name), specText)
    }
  }
  return Effect.match(Effect.suspend(ask), {
    onSuccess: (text) => text,
    onFailure: (error) => {
      if (isDynamic && (step._tag === "restart" || step._tag === "delete")) return "not_here"
      return word(error)
    }
  })
}

const specText = ({ restart, shutdown, significant, type }: ChildSpec): string =>
  [
    restart ?? "permanent",
    typeof shutdown === "object"
      ? JSON.stringify(shutdown)
      : (shutdown ?? (type === "supervisor" ? "infinity" : "5000")),
    type ?? "worker",
    significant === true
  ].join("/")

/** The supervisor is busy with starting a child that hangs; everything else waits, in order. */
const together = (world: World, name: string, steps: ReadonlyArray<ExitStep | Call>) =>
  Effect.gen(function* () {
    const place = world.places.get(name)
    if (place === undefined || !isSup(place.spec)) return "nobody"
    const gate = yield* Deferred.make<never, Error>()
    const holding = yield* Effect.forkChild(
      Effect.exit(place.ref.startChild({ id: "gate", restart: "temporary", start: Deferred.await(gate) })),
      { startImmediately: true }
    )
    yield* quiet(world)
    const asked: Array<string | Fiber.Fiber<string>> = []
    for (const step of steps) {
      if (step._tag === "exit") {
        asked.push(finish(world, step, name))
      } else {
        asked.push(yield* Effect.forkChild(call(world, step), { startImmediately: true }))
      }
      yield* quiet(world)
    }
    yield* Deferred.fail(gate, new Error("the gate opens"))
    yield* answer(world, holding)
    const texts: Array<string> = []
    for (const waiting of asked) {
      texts.push(typeof waiting === "string" ? waiting : ((yield* answer(world, waiting)) ?? "no answer"))
    }
    return texts.join(" ")
  })

const perform = (world: World, step: Step): Effect.Effect<string> => {
  switch (step._tag) {
    case "exit":
      return Effect.sync(() => finish(world, step))
    case "tick":
      return Effect.as(TestClock.adjust(`${tick} seconds`), "ok")
    case "together":
      return together(world, step.sup, step.steps)
    default:
      return Effect.gen(function* () {
        const calling = yield* Effect.forkChild(call(world, step), { startImmediately: true })
        return (yield* answer(world, calling)) ?? "no answer"
      })
  }
}

/** Lets every other fiber run until nothing more is written. */
const quiet = (world: World) =>
  Effect.gen(function* () {
    for (let before = -1, still = 0; still < 3; still = before === world.log.length ? still + 1 : 0) {
      before = world.log.length
      for (let turn = 0; turn < 5; turn++) yield* Effect.yieldNow
    }
  })

const isBusy = (world: World) =>
  Effect.gen(function* () {
    for (const { ref } of world.places.values()) {
      for (const { state } of yield* ref.whichChildren) if (state !== "running" && state !== "stopped") return true
    }
    return false
  })

/** The tree at rest, and `calling` answered: whoever waits for a child's end gets the time that takes. */
const settle = (world: World, calling?: Fiber.Fiber<unknown, unknown>) =>
  Effect.gen(function* () {
    yield* quiet(world)
    for (let waits = 0; waits < 50; waits++) {
      const isAnswered = calling === undefined || calling.pollUnsafe() !== undefined
      if (isAnswered && !(yield* isBusy(world))) return
      yield* TestClock.adjust("20 millis")
      yield* quiet(world)
    }
  })

/** The answer, unless it does not come with all that time. */
const answer = <A>(world: World, calling: Fiber.Fiber<A, never>): Effect.Effect<A | undefined> =>
  Effect.andThen(
    settle(world, calling),
    Effect.suspend(() => {
      const exit = calling.pollUnsafe()
      if (exit !== undefined) return exit
      return Effect.as(Fiber.interrupt(calling), undefined)
    })
  )

const look = (world: World, name: string): Effect.Effect<string> =>
  Effect.gen(function* () {
    const place = world.places.get(name)
    if (place === undefined) return `${name} is not there`
    const texts: Array<string> = []
    for (const { id, state, type } of yield* place.ref.whichChildren) {
      if (state === "stopped") texts.push(`${id}-`)
      else if (state !== "running") texts.push(`${id} ${state}`)
      else if (type === "supervisor") texts.push(yield* look(world, id))
      else texts.push(world.lives.has(id) ? id : `${id} has no fiber`)
    }
    const { active, specs, supervisors, workers } = yield* place.ref.countChildren
    const isStatic = isSup(place.spec)
    const shown = [isStatic ? specs : "*", active, supervisors, workers].join("/")
    return `${name}[${(isStatic ? texts : texts.toSorted()).join(" ")}] ${shown}`
  })

/** One line for each step. */
export const run = ({ steps, tree }: Program): Effect.Effect<ReadonlyArray<string>, never, Supervisor> =>
  Effect.gen(function* () {
    const world = make(yield* Supervisor)
    const scope = yield* Scope.make()
    const lines: Array<string> = []
    let down: string | undefined
    const account = (result: string) =>
      Effect.gen(function* () {
        yield* settle(world)
        const states = down ?? (yield* look(world, tree.name))
        lines.push(canonical(`${result} | ${world.log.splice(0).join(" ")} | ${states}`))
      })

    const starting = yield* Effect.forkChild(
      world
        .startSup(tree)
        .pipe(
          Scope.provide(scope),
          Effect.provideService(SupervisionEvents, { tell: world.tell, take: Effect.never }),
          Effect.exit
        ),
      { startImmediately: true }
    )
    const started = yield* answer(world, starting)
    if (started === undefined) return ["never started"]
    if (Exit.isFailure(started)) {
      const error = Cause.squash(started.cause)
      const id = Predicate.isObject(error) && "id" in error && error.id !== tree.name ? ` ${String(error.id)}` : ""
      yield* Scope.close(scope, Exit.void)
      lines.push(canonical(`failed${id} | ${world.log.splice(0).join(" ")} | `))
      return lines
    }
    const body = yield* Effect.forkChild(
      Effect.map(Effect.exit(started.value), (exit) => {
        down =
          Exit.isSuccess(exit) && Predicate.isTagged(exit.value, "Shutdown") ? "down shutdown" : `down ${exit._tag}`
        world.places.delete(tree.name)
      }),
      { startImmediately: true }
    )
    yield* account("started")
    for (const step of steps) yield* account(yield* perform(world, step))
    const closing = yield* Effect.forkChild(Scope.close(scope, Exit.void), { startImmediately: true })
    yield* answer(world, closing)
    yield* answer(world, body)
    lines.push(canonical(`stopped | ${world.log.splice(0).join(" ")} | ${down ?? "still there"}`))
    if (world.lives.size > 0) lines.push(`still alive: ${Array.from(world.lives.keys()).join(" ")}`)
    return lines
  })
