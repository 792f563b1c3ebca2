/**
 * `Supervisor` over fibers: each child is a fiber with a scope of its own, each supervisor a fiber that waits for
 * their ends and for calls.
 */
import { Deferred, Duration, Effect, Layer, type Scope } from "effect"
import type {
  ChildSpec,
  DynamicSupervisorSpec,
  Nesting,
  SupervisorChild,
  SupervisorFlags,
  SupervisorSpec
} from "../../services/supervision/ChildSpec.ts"
import {
  type ChildExists,
  ChildNotFound,
  type ChildRunning,
  ChildStartFailed,
  type MaxChildren,
  Supervisor,
  type SupervisorRef,
  SupervisorStopped
} from "../../services/supervision/Supervisor.ts"
import * as dynamicSupervisor from "./dynamicSupervisor.ts"
import { checkChild, checkFlags, checkIds } from "./checkSpec.ts"
import { describe } from "./describe.ts"
import { shutdown } from "./SupervisedChild.ts"
import { type Entry, makeCore, type Request, type SupervisorCore } from "./SupervisorCore.ts"
import * as staticSupervisor from "./staticSupervisor.ts"

type StartRequest = Request<void, ChildStartFailed | ChildExists | MaxChildren | SupervisorStopped>

/** One incarnation of a supervisor. */
interface Running {
  readonly core: SupervisorCore
  readonly calls: Omit<
    ReturnType<typeof staticSupervisor.make> | ReturnType<typeof dynamicSupervisor.make>,
    "behaviour"
  >
  readonly since: number
}

interface Description {
  readonly id: string
  readonly path: string
  readonly strategy: string
  readonly autoShutdown: SupervisorFlags["autoShutdown"]
  /** Starts an incarnation in the scope at hand; `previous` is the one before. */
  readonly run: (previous: Running | undefined) => Effect.Effect<Running, unknown, Scope.Scope>
}

const limits = (spec: Pick<SupervisorFlags, "intensity" | "period">) => ({
  intensity: spec.intensity ?? 3,
  period: Duration.toMillis(Duration.fromInputUnsafe(spec.period ?? "5 seconds"))
})

const staticDescription = (spec: SupervisorSpec, path: string): Description => {
  const flags = {
    ...limits(spec),
    strategy: spec.strategy ?? "one_for_one",
    autoShutdown: spec.autoShutdown ?? "never"
  }
  // Made once, so that a nested supervisor is the same over all restarts of this one.
  const written = spec.children.map((child) => toEntry(child, path))
  return {
    id: spec.id,
    path,
    strategy: flags.strategy,
    autoShutdown: flags.autoShutdown,
    run: (previous) =>
      Effect.gen(function* () {
        const problem =
          checkFlags(spec) ??
          written.map((entry) => checkChild(entry.spec, flags.autoShutdown)).find(Boolean) ??
          checkIds(spec.children)
        if (problem !== undefined) return yield* new ChildStartFailed({ id: spec.id, cause: new Error(problem) })
        const core = yield* makeCore(path, flags.period)
        const first: Iterable<Entry> =
          spec.keepAdded === true && previous !== undefined
            ? Array.from(previous.core.children.values()).filter((child) => child.spec.restart !== "temporary")
            : written
        const { behaviour, ...calls } = staticSupervisor.make(core, flags, Array.from(first))
        yield* core.run(behaviour)
        return { core, calls, since: core.now() }
      })
  }
}

const dynamicDescription = (spec: DynamicSupervisorSpec, path: string): Description => ({
  id: spec.id,
  path,
  strategy: "dynamic",
  autoShutdown: "never",
  run: () =>
    Effect.gen(function* () {
      const problem = checkFlags(spec)
      if (problem !== undefined) return yield* new ChildStartFailed({ id: spec.id, cause: new Error(problem) })
      const flags = {
        ...limits(spec),
        intensityPer: spec.intensityPer ?? "supervisor",
        maxChildren: spec.maxChildren ?? Number.POSITIVE_INFINITY
      }
      const core = yield* makeCore(path, flags.period)
      const { behaviour, ...calls } = dynamicSupervisor.make(core, flags)
      yield* core.run(behaviour)
      return { core, calls, since: core.now() }
    })
})

/** A supervisor that can be started, again and again, and the reference that always means its newest incarnation. */
const makeSupervisor = (description: Description) => {
  const { id, path } = description
  let running: Running | undefined

  const stopped = () => Effect.fail(new SupervisorStopped({ id }))
  const notFound = (child: string) => (): Effect.Effect<never, ChildNotFound> =>
    Effect.fail(new ChildNotFound({ id: child }))
  const children = () => running?.core.children

  const startEntry = (entry: Entry): ReturnType<SupervisorRef["startChild"]> =>
    Effect.suspend((): ReturnType<SupervisorRef["startChild"]> => {
      if (running === undefined) return stopped()
      const { calls, core } = running
      return core.ask((request: StartRequest) => {
        const problem = checkChild(entry.spec, description.autoShutdown)
        if (problem === undefined) return calls.startChild(entry, request)
        request.answer(Effect.fail(new ChildStartFailed({ id: entry.spec.id, cause: new Error(problem) })))
        return undefined
      }, stopped)
    })

  const startNested = (nested: Description, options: Nesting | undefined) => {
    const entry = nest(nested, options)
    return Effect.as(startEntry(entry), entry.supervisor)
  }

  const call =
    <E>(use: (running: Running, child: string) => Effect.Effect<void, E | ChildNotFound>) =>
    (child: string): Effect.Effect<void, E | ChildNotFound> =>
      Effect.suspend((): Effect.Effect<void, E | ChildNotFound> =>
        running === undefined ? notFound(child)() : use(running, child)
      )

  const ref: SupervisorRef = {
    path,
    startChild: (spec) => startEntry({ spec }),
    startSupervisor: (spec, options) => startNested(staticDescription(spec, `${path}/${spec.id}`), options),
    startDynamicSupervisor: (spec, options) => startNested(dynamicDescription(spec, `${path}/${spec.id}`), options),
    terminateChild: call(({ calls, core }, child) =>
      core.ask<void, ChildNotFound>((request) => calls.terminateChild(child, request), notFound(child))
    ),
    restartChild: call(({ calls, core }, child) =>
      core.ask<void, ChildNotFound | ChildRunning | ChildStartFailed>(
        (request) => calls.restartChild(child, request),
        notFound(child)
      )
    ),
    deleteChild: call(({ calls, core }, child) =>
      core.ask<void, ChildNotFound | ChildRunning>((request) => calls.deleteChild(child, request), notFound(child))
    ),
    whichChildren: Effect.sync(() =>
      Array.from(children()?.values() ?? [], ({ spec, state }) => ({ id: spec.id, state, type: spec.type ?? "worker" }))
    ),
    countChildren: Effect.sync(() => {
      if (running === undefined) return { specs: 0, active: 0, supervisors: 0, workers: 0 }
      const { active, supervisors } = running.core
      const specs = running.core.children.size
      return { specs, active, supervisors, workers: specs - supervisors }
    }),
    getChildSpec: (child) =>
      Effect.suspend(() => {
        const found = children()?.get(child)
        return found === undefined ? notFound(child)() : Effect.succeed(found.spec)
      }),
    getSupervisor: (child) =>
      Effect.suspend(() => {
        const found = children()?.get(child)?.supervisor
        return found === undefined ? notFound(child)() : Effect.succeed(found)
      }),
    crashChild: (child) =>
      Effect.suspend(() => {
        const found = children()?.get(child)
        return found?.fiber === undefined ? notFound(child)() : Effect.sync(() => found.interrupt())
      }),
    tree: Effect.suspend(() => describe(description, running)),
    awaitExit: Effect.suspend(() =>
      running === undefined ? Effect.succeed(shutdown) : Deferred.await(running.core.exit)
    )
  }

  const start = Effect.map(
    Effect.suspend(() => description.run(running)),
    (next) => {
      running = next
      return next
    }
  )
  return { ref, start }
}

/** A nested supervisor as a child: it ends with the reason that it gives. */
const body = (core: SupervisorCore) =>
  Effect.flatMap(Deferred.await(core.exit), (reason) =>
    reason._tag === "Failed" ? Effect.die(new Error(reason.message)) : Effect.succeed(reason)
  )

/** A supervisor as a child of another. */
const nest = (nested: Description, options: Nesting | undefined): Entry & { readonly supervisor: SupervisorRef } => {
  const { ref, start } = makeSupervisor(nested)
  return {
    spec: { ...options, id: nested.id, type: "supervisor", start: Effect.map(start, ({ core }) => body(core)) },
    supervisor: ref
  }
}

const toEntry = (child: ChildSpec | SupervisorChild, parent: string): Entry => {
  if (!("_tag" in child)) return { spec: child }
  const path = `${parent}/${child.id}`
  const nested = child._tag === "Supervisor" ? staticDescription(child, path) : dynamicDescription(child, path)
  const { backoff, restart, shutdown, significant } = child
  return nest(nested, { backoff, restart, shutdown, significant })
}

const startRoot = (description: Description) => {
  const supervisor = makeSupervisor(description)
  return Effect.as(supervisor.start, supervisor.ref)
}

const asStartFailed = (id: string) => (cause: unknown) =>
  cause instanceof ChildStartFailed ? cause : new ChildStartFailed({ id, cause })

export const make = Supervisor.of({
  start: (spec) => startRoot(staticDescription(spec, spec.id)).pipe(Effect.mapError(asStartFailed(spec.id))),
  startDynamic: (spec) => startRoot(dynamicDescription(spec, spec.id)).pipe(Effect.orDie)
})

export const layer = Layer.succeed(Supervisor, make)
