/**
 * Upkeep as the child `maintenance` of `Workers`: at the start and then every hour it removes working directories that
 * a crash has left behind, lets go of what is old, if it is told what that means, and tells of it on
 * `system:maintenance`.
 *
 * Of directories it removes only real directories of our own naming, directly below the scratch directory, and follows no symbolic
 * link: not the scratch directory itself, not what lies in it, not one that is put there meanwhile.
 */
import { Clock, type Duration, Effect, FileSystem, Layer, Option, Path } from "effect"
import { EventBus } from "../../services/events/EventBus.ts"
import * as Topic from "../../services/events/Topic.ts"
import { Journal } from "../../services/journal/Journal.ts"
import { isLeftOver, ownerOf } from "../../services/maintenance/LeftOver.ts"
import type { Retention } from "../../services/maintenance/Retention.ts"
import { Workers } from "../../services/supervision/Places.ts"
import { letGo } from "./LetGo.ts"
import { removeTree } from "./removeTree.ts"

export interface Options {
  /** Where working directories are made. */
  readonly scratch: string
  /** Default 1 hour. */
  readonly interval?: Duration.Input | undefined
  /** What of the journal is let go of. Default: nothing. */
  readonly retention?: Retention | undefined
}

const childId = "maintenance"

/** Signal 0 asks whether a process is there; not being allowed to ask means that it is. */
const isAlive = (pid: number): boolean => {
  try {
    return process.kill(pid, 0)
  } catch (error) {
    return !(error instanceof Error && "code" in error && error.code === "ESRCH")
  }
}

const make = Effect.fnUntraced(function* ({ interval = "1 hour", retention = {}, scratch }: Options) {
  const bus = yield* EventBus
  const journal = yield* Journal
  const fs = yield* FileSystem.FileSystem
  const path = yield* Path.Path
  const workers = yield* Workers
  const clock = yield* Clock.Clock

  // Someone may set the clock while we run; the earliest start that it ever implied is the safe one.
  let startedAt = Infinity
  const circumstances = Effect.sync(() => {
    const implied = clock.currentTimeMillisUnsafe() - process.uptime() * 1_000
    startedAt = Math.min(startedAt, implied, performance.timeOrigin)
    return { ownPid: process.pid, startedAt, isAlive }
  })

  /** What there is of our naming, and is a directory of our own rather than a link to one. */
  const leftOvers = Effect.gen(function* () {
    const root = yield* fs.lstat(scratch)
    if (root.type !== "Directory") {
      return yield* Effect.fail(new Error(`${scratch} is a ${root.type} and not a directory; nothing was removed`))
    }
    const now = yield* circumstances
    const names = yield* fs.readDirectory(scratch)
    const found: Array<string> = []
    for (const name of names) {
      const owner = ownerOf(name)
      if (owner === undefined) continue
      const info = yield* Effect.option(fs.lstat(path.join(scratch, name)))
      if (Option.isNone(info) || info.value.type !== "Directory") continue
      const createdAt = Option.map(info.value.birthtime, (date) => date.getTime()).pipe(
        // A file system that does not know says 1970.
        Option.filter((time) => time > 0),
        Option.getOrUndefined
      )
      if (isLeftOver(owner, createdAt, now)) found.push(name)
    }
    return found
  })

  const remove = (name: string) =>
    removeTree(scratch, name).pipe(
      Effect.as(1),
      Effect.catch((error) =>
        Effect.as(Effect.logWarning(`${path.join(scratch, name)} is left over and cannot be removed`, error), 0)
      )
    )

  const run = Effect.gen(function* () {
    const before = clock.monotonicTimeNanosUnsafe()
    const isThere = yield* fs.exists(scratch)
    const removed = yield* Effect.forEach(isThere ? yield* leftOvers : [], remove)
    const gone = yield* Effect.provideService(letGo(retention), Journal, journal)
    yield* bus.publishSystem(Topic.maintenance, [
      {
        _tag: "MaintenanceRan",
        removedDirectories: removed.reduce((sum, count) => sum + count, 0),
        removedWorkers: gone.workers,
        removedSessions: gone.sessions,
        removedEvents: gone.events,
        took: Number((clock.monotonicTimeNanosUnsafe() - before) / 1_000n) / 1_000
      }
    ])
  }).pipe(Effect.catch(({ message }) => bus.publishSystem(Topic.maintenance, [{ _tag: "MaintenanceFailed", message }])))

  yield* Effect.acquireRelease(
    Effect.orDie(
      workers.startChild({
        id: childId,
        start: Effect.succeed(Effect.forever(Effect.andThen(run, Effect.sleep(interval))))
      })
    ),
    () => Effect.ignore(Effect.andThen(workers.terminateChild(childId), workers.deleteChild(childId)))
  )
})

export const layer = (options: Options) => Layer.effectDiscard(make(options))
