/**
 * A place for children without supervision: it starts them, and stops and starts them again when a test says so.
 * What a layer does on its place is tested with the real supervisor elsewhere.
 */
import { Effect, Exit, Fiber, Layer, Scope } from "effect"
import type { ChildSpec } from "../../services/supervision/ChildSpec.ts"
import { Foundation } from "../../services/supervision/Places.ts"
import { ChildNotFound, ChildStartFailed, type SupervisorRef } from "../../services/supervision/Supervisor.ts"

interface Child {
  readonly spec: ChildSpec
  scope: Scope.Closeable | undefined
}

const make = Effect.gen(function* () {
  const all = yield* Effect.scope
  const children = new Map<string, Child>()

  const run = Effect.fnUntraced(function* (child: Child) {
    const scope = yield* Scope.fork(all)
    const { id, start } = child.spec
    const body = yield* Scope.provide(start, scope).pipe(
      Effect.mapError((cause) => new ChildStartFailed({ id, cause }))
    )
    const fiber = yield* Effect.forkDetach(body)
    yield* Scope.addFinalizer(scope, Fiber.interrupt(fiber))
    child.scope = scope
  })

  const find = (id: string) =>
    Effect.suspend(() => {
      const child = children.get(id)
      return child === undefined ? Effect.fail(new ChildNotFound({ id })) : Effect.succeed(child)
    })
  const notHere = Effect.die(new Error("the fake supervisor does not do this"))

  return {
    path: "espalier/foundation",
    startChild: (spec) =>
      Effect.suspend(() => {
        const child: Child = { spec, scope: undefined }
        children.set(spec.id, child)
        return run(child)
      }),
    terminateChild: (id) =>
      Effect.flatMap(find(id), (child) => {
        const { scope } = child
        child.scope = undefined
        return scope === undefined ? Effect.void : Scope.close(scope, Exit.void)
      }),
    restartChild: (id) => Effect.flatMap(find(id), run),
    deleteChild: (id) => Effect.asVoid(Effect.tap(find(id), () => Effect.sync(() => children.delete(id)))),
    getSupervisor: () => notHere,
    crashChild: () => notHere,
    getChildSpec: (id) => Effect.map(find(id), ({ spec }) => spec),
    whichChildren: Effect.sync(() =>
      Array.from(children.values(), ({ scope, spec }) => ({
        id: spec.id,
        state: scope === undefined ? ("stopped" as const) : ("running" as const),
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

export const layer = Layer.effect(Foundation, make)
