/**
 * Removes a directory with all that is in it and follows no symbolic link, not even one that takes a directory's place meanwhile:
 * `rm` of Node looks at a path, and goes into what is there a moment later.
 *
 * Each directory is opened once, as a directory and no link, and all that is done in it is done by way of what was
 * opened (`/proc/self/fd`, Linux). Systems without that have Node's `rm`.
 */
import { Effect } from "effect"
import { constants, type Dirent, promises } from "node:fs"
import { join } from "node:path"

const asError = (cause: unknown) => (cause instanceof Error ? cause : new Error(String(cause)))
const attempt = <A>(what: () => Promise<A>) => Effect.tryPromise({ try: what, catch: asError })

/** Runs `use` with a path to the directory that stays good wherever that is moved to. */
const within = (directory: string | Buffer, use: (here: string) => Effect.Effect<void, Error>) =>
  Effect.acquireUseRelease(
    attempt(() => promises.open(directory, constants.O_RDONLY | constants.O_DIRECTORY | constants.O_NOFOLLOW)),
    ({ fd }) => use(`/proc/self/fd/${fd}`),
    (handle) => Effect.ignore(attempt(() => handle.close()))
  )

/** Names are bytes: not all of them are text. */
const entriesOf = (here: string) =>
  attempt((): Promise<Array<Dirent<Buffer>>> => promises.readdir(here, { withFileTypes: true, encoding: "buffer" }))

const removeIn = (here: string, name: string | Buffer): Effect.Effect<void, Error> => {
  const path = Buffer.concat([Buffer.from(`${here}/`), Buffer.from(name)])
  const empty = within(path, (inside) =>
    Effect.flatMap(entriesOf(inside), (entries) =>
      Effect.forEach(
        entries,
        (entry) =>
          entry.isDirectory()
            ? removeIn(inside, entry.name)
            : attempt(() => promises.unlink(Buffer.concat([Buffer.from(`${inside}/`), entry.name]))),
        { discard: true }
      )
    )
  )
  return Effect.andThen(
    empty,
    attempt(() => promises.rmdir(path))
  )
}

/** Fails where something was changed meanwhile; what is left then can be removed the next time. */
export const removeTree = (parent: string, name: string): Effect.Effect<void, Error> =>
  process.platform === "linux"
    ? within(parent, (here) => removeIn(here, name))
    : attempt(() => promises.rm(join(parent, name), { recursive: true }))
