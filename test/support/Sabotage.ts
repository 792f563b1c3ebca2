/** Breaks one thing on purpose, in every way that an effect can break. */
import { Deferred, Effect, Layer } from "effect"
import * as FiberSupervisor from "../../layers/supervision/FiberSupervisor.ts"
import type { ChildSpec } from "../../services/supervision/ChildSpec.ts"
import { Supervisor, type SupervisorRef } from "../../services/supervision/Supervisor.ts"

/** Ways in which any effect can break. */
export const breaks: Readonly<Record<string, Effect.Effect<unknown, unknown>>> = {
  throws: Effect.sync(() => {
    throw new Error("thrown")
  }),
  rejects: Effect.promise(() => Promise.reject(new Error("rejected"))),
  dies: Effect.die("defect"),
  fails: Effect.fail("failure"),
  interrupts: Effect.interrupt,
  overflows: Effect.sync(function deeper(): number {
    return 1 + deeper()
  }),
  finalizes: Effect.scoped(Effect.addFinalizer(() => Effect.die("bad finalizer")))
}

/** Ways in which only a supervised child can: on its way out, and on its way back. */
export const breaksOfChildren = ["bad finalizer", "bad restart"] as const

export class Sabotage {
  /** How often each child of the tree has been started, by its path; not of those who are never started again. */
  readonly starts = new Map<string, number>()
  private readonly switches = new Map<string, Deferred.Deferred<Effect.Effect<unknown, unknown>>>()
  private armed: { readonly place: string; readonly way: string } | undefined

  /** The runtime's supervisor, but for a switch beside each body. */
  readonly layer = Layer.succeed(Supervisor, {
    start: (spec) => Effect.map(FiberSupervisor.make.start(spec), (ref) => this.rigged(ref)),
    startDynamic: (spec) => Effect.map(FiberSupervisor.make.startDynamic(spec), (ref) => this.rigged(ref))
  })

  /** Breaks whoever passes that place next, and nobody else. */
  arm(place: string, way: string): void {
    this.armed = { place, way }
  }

  /** Children that run below a place. */
  below(path: string): ReadonlyArray<string> {
    return Array.from(this.switches.keys()).filter((child) => child.startsWith(`${path}/`))
  }

  get isArmed(): boolean {
    return this.armed !== undefined
  }

  /** A place that may break. */
  pass(place: string): Effect.Effect<void> {
    return Effect.suspend(() => {
      const way = this.take(place)
      return way === undefined ? Effect.void : Effect.asVoid(Effect.orDie(breaks[way] ?? Effect.die(way)))
    })
  }

  /** Breaks a child of the tree; false when it is not running. */
  strike(path: string, way: string): boolean {
    const found = this.switches.get(path)
    if (found === undefined) return false
    if (way === "bad finalizer" || way === "bad restart") this.arm(path, way)
    // The finalizer alone makes it a crash.
    const end = way === "bad finalizer" ? Effect.void : Effect.die(way)
    return Deferred.doneUnsafe(found, Effect.succeed(breaks[way] ?? end))
  }

  private take(place: string, wanted?: string): string | undefined {
    if (this.armed?.place !== place || (wanted !== undefined && this.armed.way !== wanted)) return undefined
    const { way } = this.armed
    this.armed = undefined
    return way
  }

  private rigged(ref: SupervisorRef): SupervisorRef {
    return {
      ...ref,
      startChild: (spec) => ref.startChild(this.child(`${ref.path}/${spec.id}`, spec)),
      getSupervisor: (id) => Effect.map(ref.getSupervisor(id), (nested) => this.rigged(nested))
    }
  }

  private child(path: string, spec: ChildSpec): ChildSpec {
    const start = Effect.gen({ self: this }, function* () {
      if (this.take(path, "bad restart") !== undefined) throw new Error("no start")
      const body = yield* spec.start
      const found = Deferred.makeUnsafe<Effect.Effect<unknown, unknown>>()
      this.switches.set(path, found)
      if (spec.restart !== "temporary") this.starts.set(path, (this.starts.get(path) ?? 0) + 1)
      yield* Effect.addFinalizer(() =>
        Effect.suspend(() => {
          this.switches.delete(path)
          return this.take(path, "bad finalizer") === undefined ? Effect.void : Effect.die("bad finalizer")
        })
      )
      return Effect.raceFirst(body, Effect.flatten(Deferred.await(found)))
    })
    return { ...spec, start }
  }
}
