/** The command line and a server as the processes that people run, each with directories and ports of its own. */
import { Effect } from "effect"
import { type ChildProcess, spawn } from "node:child_process"
import { once } from "node:events"
import { mkdirSync, readFileSync, writeFileSync } from "node:fs"
import { join } from "node:path"
import { fileURLToPath } from "node:url"
import { temporaryDirectory } from "./temporaryDirectory.ts"

const script = (path: string) => fileURLToPath(new URL(`../../src/${path}`, import.meta.url))

/** What a process inherits: nothing of the settings of whoever runs the tests. */
const clean = (env: Readonly<Record<string, string>>): NodeJS.ProcessEnv => ({
  ...Object.fromEntries(Object.entries(process.env).filter(([name]) => !/^(ESPALIER_|npm_|FORCE_COLOR)/.test(name))),
  NO_COLOR: "1",
  ...env
})

export interface Ended {
  readonly status: number | null
  readonly stdout: string
  readonly stderr: string
}

export class Running {
  stdout = ""
  stderr = ""
  readonly process: ChildProcess
  readonly ended: Promise<Ended>

  constructor(
    entry: string,
    args: ReadonlyArray<string>,
    env: Readonly<Record<string, string>>,
    /** What it is run by: `prlimit --nofile=256`. */
    by: ReadonlyArray<string> = [],
    stdin: "ignore" | "pipe" = "ignore"
  ) {
    const [command = process.execPath, ...rest] = [...by, process.execPath, script(entry), ...args]
    this.process = spawn(command, rest, {
      env: clean(env),
      stdio: [stdin, "pipe", "pipe"]
    })
    this.process.stdout?.on("data", (data) => (this.stdout += String(data)))
    this.process.stderr?.on("data", (data) => (this.stderr += String(data)))
    this.ended = once(this.process, "close").then(([status]) => ({
      status: status as number | null,
      stdout: this.stdout,
      stderr: this.stderr
    }))
  }

  /** Returns once the output holds what is wanted. */
  async until(output: "stdout" | "stderr", wanted: RegExp): Promise<RegExpExecArray> {
    const stream = this.process[output]
    for (;;) {
      const found = wanted.exec(this[output])
      if (found !== null) return found
      const more =
        stream === null ? "end" : await Promise.race([once(stream, "data"), this.ended.then(() => "end" as const)])
      if (more === "end" && !wanted.test(this[output])) {
        throw new Error(`it ended before ${String(wanted)}: ${this.stdout}${this.stderr}`)
      }
    }
  }
}

const scoped = (...what: ConstructorParameters<typeof Running>) =>
  Effect.acquireRelease(
    Effect.sync(() => new Running(...what)),
    (running) =>
      Effect.promise(() => {
        running.process.kill("SIGKILL")
        return running.ended
      })
  )

export interface Server {
  readonly url: string
  readonly dataDirectory: string
  readonly running: Running
}

/** A server as `npm start` runs it. */
export const server = Effect.fnUntraced(function* (
  given?: string,
  env: Readonly<Record<string, string>> = {},
  by?: ReadonlyArray<string>
) {
  const dataDirectory = given ?? (yield* temporaryDirectory)
  const running = yield* scoped("main.ts", [], { ESPALIER_PORT: "0", ESPALIER_DATA: dataDirectory, ...env }, by)
  const [, url = ""] = yield* Effect.promise(() => running.until("stdout", /url +(\S+)/))
  return { url, dataDirectory, running } satisfies Server
})

const memory = (field: "VmRSS" | "VmHWM", { process: { pid } }: Running): number =>
  Number(new RegExp(`^${field}:\\s+(\\d+) kB`, "m").exec(readFileSync(`/proc/${pid}/status`, "utf8"))?.[1] ?? 0) * 1024

/** Memory of a server that runs as a process of its own. */
export const rssOf = (running: Running): number => memory("VmRSS", running)

/** The most that it ever had: how much of it a heap has given back by a certain moment is chance. */
export const peakOf = (running: Running): number => memory("VmHWM", running)

/** A command that runs until the scope closes. */
export const start = (
  { env = {}, url }: Pick<Server, "url"> & { readonly env?: Readonly<Record<string, string>> },
  ...args: ReadonlyArray<string>
) => scoped("cli/espalier.ts", args, { ESPALIER_URL: url, ...env })

/** A command that is typed to: all of `input` and the end, or, without one, what the test writes. */
export const talk = (
  { url }: Pick<Server, "url">,
  args: ReadonlyArray<string>,
  input?: string,
  env: Readonly<Record<string, string>> = {}
) =>
  Effect.tap(scoped("cli/espalier.ts", args, { ESPALIER_URL: url, ...env }, [], "pipe"), ({ process }) =>
    Effect.sync(() => (input === undefined ? undefined : process.stdin?.end(input)))
  )

/** A command, run to its end. */
export const espalier = (server: Pick<Server, "url">, ...args: ReadonlyArray<string>) =>
  Effect.scoped(Effect.flatMap(start(server, ...args), ({ ended }) => Effect.promise(() => ended)))

/** Files that keep an analysis busy for some seconds. */
export const busywork = Effect.fnUntraced(function* (files = 600) {
  const directory = yield* temporaryDirectory
  const line = "export const f = (a, b) => { if (a) { return [a, b, () => a] } else { return { a, b } } }\n"
  mkdirSync(join(directory, "src"))
  for (let file = 0; file < files; file++) writeFileSync(join(directory, "src", `f${file}.ts`), line.repeat(1_000))
  return directory
})
