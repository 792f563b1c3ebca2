/** Clones a repository that nobody vouches for: only its files are wanted, and nothing in it may run. */
import { Deferred, Effect, Queue, type Scope } from "effect"
import { mkdir, rm, stat } from "node:fs/promises"
import { join, resolve } from "node:path"
import { pathToFileURL } from "node:url"
import { SecureRandom } from "effect/crypto"
import { type CommandMissing, type CommandNotStarted, Processes } from "../../../services/processes/Processes.ts"
import { ToolCall, ToolFailure } from "../../../services/tools/Tool.ts"
import { lastLine, progressOf, redact } from "../../../services/tools/gitOutput.ts"

export interface Options {
  readonly url: string
  /** Where clones go; each gets a directory of its own that begins with the process id, and loses it with the scope. */
  readonly scratch: string
}

export interface Clone {
  readonly directory: string
  readonly commit: string
}

/** Most bytes received, and most bytes and files checked out. */
const maxReceived = 2 * 1024 ** 3
const maxCheckedOut = 4 * 1024 ** 3
const maxFiles = 500_000

/** How much of the whole the clone is. */
const share = 10

/** No hooks, no filters, no helpers of the repository's choosing, no work in the background. */
const config = [
  "core.hooksPath=/dev/null",
  "core.fsmonitor=false",
  "core.symlinks=true",
  "filter.lfs.smudge=",
  "filter.lfs.process=",
  "filter.lfs.required=false",
  "gc.auto=0",
  "maintenance.auto=false",
  "submodule.recurse=false",
  "protocol.ext.allow=never",
  "credential.interactive=false",
  "advice.detachedHead=false"
].flatMap((setting) => ["-c", setting])

const environment = {
  GIT_TERMINAL_PROMPT: "0",
  GIT_CONFIG_NOSYSTEM: "1",
  GIT_ALLOW_PROTOCOL: "file:git:http:https:ssh",
  GIT_LFS_SKIP_SMUDGE: "1",
  GIT_ASKPASS: "true",
  SSH_ASKPASS_REQUIRE: "never",
  GIT_SSH_COMMAND: "ssh -oBatchMode=yes",
  GIT_OPTIONAL_LOCKS: "0",
  LC_ALL: "C"
}

const inherit = [
  "SSH_AUTH_SOCK",
  "HTTP_PROXY",
  "HTTPS_PROXY",
  "NO_PROXY",
  "http_proxy",
  "https_proxy",
  "no_proxy",
  "SSL_CERT_FILE",
  "SSL_CERT_DIR"
]

const cloneFailed = (url: string, detail: string) =>
  new ToolFailure({ code: "clone_failed", message: `git could not clone ${redact(url)}: ${detail}` })

const toFailure = (url: string) => (error: CommandMissing | CommandNotStarted) =>
  error._tag === "CommandMissing"
    ? new ToolFailure({
        code: "git_missing",
        message: "there is no git on the server's PATH; install git, or give the path of a directory instead"
      })
    : cloneFailed(url, error.detail)

/** A directory on this machine is cloned by its file URL, which no character of its name can turn into an option. */
const addressOf = (url: string): Effect.Effect<string, ToolFailure> => {
  if (/^[A-Za-z][A-Za-z0-9+.-]*:\/\//.test(url)) return Effect.succeed(url)
  const path = resolve(url)
  return Effect.tryPromise({ try: () => stat(path), catch: (error) => error }).pipe(
    Effect.matchEffect({
      onSuccess: (found) =>
        found.isDirectory()
          ? Effect.succeed(pathToFileURL(path).href)
          : Effect.fail(
              new ToolFailure({ code: "not_a_directory", message: `${url} is not a directory; give a repository` })
            ),
      onFailure: () =>
        // What is no path may be the short form for ssh: `user@host:path`.
        /^[^/:]+:[^:]/.test(url)
          ? Effect.succeed(url)
          : Effect.fail(
              new ToolFailure({
                code: "path_not_found",
                message: `${url} does not exist on the server; check the path`
              })
            )
    })
  )
}

const scratchDirectory = (scratch: string): Effect.Effect<string, ToolFailure, Scope.Scope> =>
  Effect.gen(function* () {
    const random = Array.from(SecureRandom.randomBytesUnsafe(12), (byte) => byte.toString(16).padStart(2, "0")).join("")
    const directory = join(scratch, `${process.pid}-${random}`)
    return yield* Effect.acquireRelease(
      Effect.tryPromise({
        try: () => mkdir(directory, { recursive: true, mode: 0o700 }),
        catch: (error) =>
          new ToolFailure({
            code: "scratch_not_writable",
            message: `the server cannot write to its scratch directory (${error instanceof Error ? error.message : String(error)}); check the disk`
          })
      }),
      () => Effect.promise(() => rm(directory, { recursive: true, force: true, maxRetries: 3 }).catch(() => undefined))
    ).pipe(Effect.as(directory))
  })

/** Clones the newest commit. The directory is gone when the scope closes. */
export const clone = Effect.fn("GitClone.clone")(function* ({ scratch, url }: Options) {
  const processes = yield* Processes
  const call = yield* ToolCall
  yield* call.progress(0, "cloning")
  const address = yield* addressOf(url)
  const directory = yield* scratchDirectory(scratch)
  const repository = join(directory, "repository")
  const tooLarge = yield* Deferred.make<never, ToolFailure>()
  const refuse = (detail: string) => void Deferred.doneUnsafe(tooLarge, Effect.fail(cloneFailed(url, detail)))

  const git = (args: ReadonlyArray<string>, onStdout?: (chunk: Uint8Array) => void) =>
    Effect.gen(function* () {
      // What git says of its progress is a sign of life; only the newest counts.
      const reports = yield* Queue.sliding<number>(1)
      yield* Queue.take(reports).pipe(
        Effect.flatMap((fraction) => call.progress(share * fraction, "cloning")),
        Effect.andThen(Effect.sleep("200 millis")),
        Effect.forever,
        Effect.forkScoped
      )
      const exit = yield* processes
        .run({
          command: "git",
          args: [...config, ...args],
          cwd: directory,
          env: environment,
          inherit,
          onStdout,
          onStderr: (chunk) => {
            const { fraction, received } = progressOf(Buffer.from(chunk).toString("latin1"))
            if (received > maxReceived) refuse(`it is larger than ${maxReceived / 1024 ** 3} GiB`)
            Queue.offerUnsafe(reports, fraction)
          }
        })
        .pipe(Effect.mapError(toFailure(url)), Effect.raceFirst(Deferred.await(tooLarge)))
      return exit.code === 0 ? exit : yield* cloneFailed(url, lastLine(exit.stderr))
    }).pipe(Effect.scoped)

  yield* git([
    "clone",
    "--progress",
    "--no-checkout",
    "--depth",
    "1",
    "--single-branch",
    "--no-tags",
    "--template=",
    "--",
    address,
    repository
  ])

  // A few objects can name a tree of any size, so its size is asked before it is written.
  const inRepository = ["-C", repository]
  let pending = ""
  let bytes = 0
  let files = 0
  const head = yield* git([...inRepository, "rev-parse", "--verify", "--quiet", "HEAD"]).pipe(
    Effect.mapError((failure) =>
      failure.code === "clone_failed" ? cloneFailed(url, "it is empty: it has no commit") : failure
    )
  )
  yield* git([...inRepository, "ls-tree", "-r", "-l", "-z", "HEAD"], (chunk) => {
    const entries = (pending + Buffer.from(chunk).toString("latin1")).split("\0")
    pending = entries.pop() ?? ""
    for (const entry of entries) {
      files++
      bytes += Number(/^\S+ \S+ \S+ +(\d+)\t/.exec(entry)?.[1] ?? 0)
    }
    if (bytes > maxCheckedOut) refuse(`its files are larger than ${maxCheckedOut / 1024 ** 3} GiB`)
    if (files > maxFiles) refuse(`it has more than ${maxFiles} files`)
  })
  yield* git([...inRepository, "checkout", "--progress", "--force", "--detach", "HEAD"])
  yield* call.progress(share, "cloning")
  const cloned: Clone = { directory: repository, commit: head.stdout.trim() }
  return cloned
})
