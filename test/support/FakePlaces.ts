/**
 * The places `Workers`, `ToolExecutors` and `Coordinators` without the runtime's tree: children start, end, are restarted
 * when they are permanent, and stop when asked. How supervision itself behaves is tested elsewhere.
 */
import { Deferred, Effect, Exit, Fiber, Layer } from "effect"
import type { ChildSpec } from "../../services/supervision/ChildSpec.ts"
import { Coordinators, ToolExecutors, Workers } from "../../services/supervision/Places.ts"
import {
  ChildExists,
  ChildNotFound,
  ChildStartFailed,
  SupervisorStopped,
  type SupervisorRef
} from "../../services/supervision/Supervisor.ts"

interface Child {
  readonly spec: ChildSpec
  isWanted: boolean
  fiber: Fiber.Fiber<unknown, unknown> | undefined
  readonly started: Deferred.Deferred<void, ChildStartFailed>
}

const make = Effect.fnUntraced(function* (path: string) {
  const all = yield* Effect.scope
  const children = new Map<string, Child>()
  let isStopping = false
  yield* Effect.addFinalizer(() => Effect.sync(() => (isStopping = true)))

  const live = (child: Child): Effect.Effect<void> =>
    Effect.scoped(
      child.spec.start.pipe(
        Effect.mapError((cause) => new ChildStartFailed({ id: child.spec.id, cause })),
        Effect.onExit((exit) => Effect.asVoid(Deferred.done(child.started, Exit.asVoid(exit)))),
        Effect.flatten
      )
    ).pipe(
      Effect.exit,
      Effect.flatMap((exit) => {
        const restart = child.spec.restart ?? "permanent"
        if (child.isWanted && (restart === "permanent" || (restart === "transient" && Exit.isFailure(exit)))) {
          return live(child)
        }
        if (restart === "temporary") children.delete(child.spec.id)
        return Effect.void
      }),
      Effect.onExit(() =>
        Effect.sync(() => {
          child.fiber = undefined
          if (child.spec.restart === "temporary") children.delete(child.spec.id)
        })
      )
    )

  const run = Effect.fnUntraced(function* (spec: ChildSpec) {
    if (isStopping) yield* new SupervisorStopped({ id: path })
    const child: Child = { spec, isWanted: true, fiber: undefined, started: Deferred.makeUnsafe() }
    children.set(spec.id, child)
    child.fiber = yield* Effect.forkIn(live(child), all)
    yield* Deferred.await(child.started)
  })

  const find = (id: string) =>
    Effect.suspend(() => {
      const child = children.get(id)
      return child === undefined ? Effect.fail(new ChildNotFound({ id })) : Effect.succeed(child)
    })
  const notHere = Effect.die(new Error("the fake supervisor does not do this"))

  return {
    path,
    startChild: (spec) =>
      Effect.gen(function* () {
        if (children.has(spec.id)) yield* new ChildExists({ id: spec.id, isRunning: true })
        yield* run(spec)
      }),
    terminateChild: (id) =>
      Effect.flatMap(find(id), (child) => {
        child.isWanted = false
        return child.fiber === undefined ? Effect.void : Fiber.interrupt(child.fiber)
      }),
    restartChild: (id) => Effect.flatMap(find(id), ({ spec }) => Effect.orDie(run(spec))),
    deleteChild: (id) => Effect.asVoid(Effect.tap(find(id), () => Effect.sync(() => children.delete(id)))),
    getChildSpec: (id) => Effect.map(find(id), ({ spec }) => spec),
    whichChildren: Effect.sync(() =>
      Array.from(children.values(), ({ fiber, spec }) => ({
        id: spec.id,
        state: fiber === undefined ? ("stopped" as const) : ("running" as const),
        type: spec.type ?? "worker"
      }))
    ),
    startSupervisor: () => notHere,
    startDynamicSupervisor: () => notHere,
    countChildren: notHere,
    tree: notHere,
    awaitExit: Effect.never
  } satisfies SupervisorRef
})

export const layer = Layer.mergeAll(
  Layer.effect(Workers, make("espalier/workers")),
  Layer.effect(ToolExecutors, make("espalier/workers/tool-executors")),
  Layer.effect(Coordinators, make("espalier/coordinators"))
)
