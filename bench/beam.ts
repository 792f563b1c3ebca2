/** The same work on BEAM (Erlang/OTP, one scheduler), where `erl` and `erlc` are installed. */
import { Effect, FileSystem, Stream } from "effect"
import { ChildProcess, ChildProcessSpawner } from "effect/process"

export type Beam = Readonly<Record<string, number>>

const output = Effect.fnUntraced(function* (command: string, args: ReadonlyArray<string>) {
  const spawner = yield* ChildProcessSpawner.ChildProcessSpawner
  const child = yield* spawner.spawn(ChildProcess.make(command, args, { forceKillAfter: "1 second" }))
  return yield* child.stdout.pipe(Stream.decodeText(), Stream.mkString)
}, Effect.scoped)

/** Figures by name; empty without Erlang. */
export const measure = Effect.gen(function* () {
  const fs = yield* FileSystem.FileSystem
  const directory = yield* fs.makeTempDirectoryScoped()
  const source = new URL("./beam_baseline.erl", import.meta.url).pathname
  yield* output("erlc", ["-o", directory, source])
  const lines = yield* output("erl", ["-noshell", "+S", "1:1", "-pa", directory, "-s", "beam_baseline", "main"])
  return Object.fromEntries(
    lines
      .trim()
      .split("\n")
      .map((line) => line.split(" "))
      .map(([name, value]) => [name, Number(value)])
  ) as Beam
}).pipe(
  Effect.scoped,
  Effect.timeout("3 minutes"),
  Effect.catch(() => Effect.succeed<Beam>({}))
)

/** A baseline taken from BEAM, when there is one. */
export const against = (beam: Beam, name: string, scale = 1) => {
  const value = beam[name]
  return value === undefined ? {} : { baseline: { name: "BEAM", value: value * scale } }
}
