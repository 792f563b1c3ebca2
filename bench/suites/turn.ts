/**
 * A turn of an agent: a message, a call of a fast tool, and 40 streamed words, every step durable. CPU of this process for
 * each, beside a bare loop of `fetch` and SQLite that does the same by hand. The model is a process of its own.
 */
import { Effect, Layer, Queue, Schema, Stream } from "effect"
import { ChildProcess, ChildProcessSpawner } from "effect/process"
import { ask, Embedded, SessionManager, Tool } from "espalier"
import { mkdtempSync, rmSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { DatabaseSync } from "node:sqlite"
import type { Figure } from "../Figure.ts"

const SESSIONS = 200
const TURNS = 5
const ROUNDS = 3

const startModel = Effect.gen(function* () {
  const spawner = yield* ChildProcessSpawner.ChildProcessSpawner
  const questions = yield* Queue.bounded<string>(1)
  const child = yield* spawner.spawn(
    ChildProcess.make(process.execPath, [new URL("../servers/model.ts", import.meta.url).pathname], {
      stdin: Stream.encodeText(Stream.fromQueue(questions)),
      stderr: "inherit",
      forceKillAfter: "1 second"
    })
  )
  const answers = yield* Queue.bounded<string>(1)
  yield* child.stdout.pipe(
    Stream.decodeText(),
    Stream.splitLines,
    Stream.runForEach((line) => Queue.offer(answers, line)),
    Effect.forkScoped
  )
  return `http://127.0.0.1:${yield* Queue.take(answers)}/v1`
})

/** Microseconds of this process's CPU for each turn of `round`: the best of some, the first of which warms up. */
const cpuPerTurn = <E, R>(round: Effect.Effect<unknown, E, R>) =>
  Effect.gen(function* () {
    yield* round
    let best = Number.POSITIVE_INFINITY
    for (let i = 0; i < ROUNDS; i++) {
      const before = process.cpuUsage()
      yield* round
      const { system, user } = process.cpuUsage(before)
      best = Math.min(best, (system + user) / (SESSIONS * TURNS))
    }
    return best
  })

const directory = Effect.acquireRelease(
  Effect.sync(() => mkdtempSync(join(tmpdir(), "espalier-bench-"))),
  (path) => Effect.sync(() => rmSync(path, { recursive: true, force: true }))
)

interface Delta {
  readonly content?: string
  readonly tool_calls?: ReadonlyArray<{ readonly function: { readonly name?: string; readonly arguments: string } }>
}

/** What a program does that keeps nothing but what it must. */
const bareTurn = async (url: string, write: (kind: string, text: string) => void, history: Array<unknown>) => {
  const add = (message: unknown) => {
    history.push(message)
    write("message", JSON.stringify(message))
  }
  add({ role: "user", content: "go" })
  while (true) {
    const response = await fetch(`${url}/chat/completions`, {
      method: "POST",
      headers: { "content-type": "application/json" },
      body: JSON.stringify({ model: "m", stream: true, messages: history })
    })
    let text = ""
    let name = ""
    let args = ""
    let rest = ""
    const decoder = new TextDecoder()
    for await (const bytes of response.body ?? []) {
      rest += decoder.decode(bytes, { stream: true })
      const lines = rest.split("\n")
      rest = lines.pop() ?? ""
      for (const line of lines) {
        if (!line.startsWith("data: {")) continue
        const { choices } = JSON.parse(line.slice(6)) as { readonly choices: ReadonlyArray<{ readonly delta: Delta }> }
        text += choices[0]?.delta.content ?? ""
        for (const call of choices[0]?.delta.tool_calls ?? []) {
          name += call.function.name ?? ""
          args += call.function.arguments
        }
      }
    }
    if (name === "") return add({ role: "assistant", content: text })
    const call = { id: "1", type: "function", function: { name, arguments: args } }
    add({ role: "assistant", content: null, tool_calls: [call] })
    add({ role: "tool", tool_call_id: "1", content: JSON.stringify(JSON.parse(args)) })
  }
}

const bare = (url: string) =>
  Effect.gen(function* () {
    const path = yield* directory
    const db = yield* Effect.acquireRelease(
      Effect.sync(() => new DatabaseSync(join(path, "bare.db"))),
      (db) => Effect.sync(() => db.close())
    )
    db.exec(
      "PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; CREATE TABLE log (session INT, kind TEXT, text TEXT)"
    )
    const insert = db.prepare("INSERT INTO log VALUES (?, ?, ?)")
    return yield* cpuPerTurn(
      Effect.promise(() =>
        Promise.all(
          Array.from({ length: SESSIONS }, async (_, session) => {
            const history: Array<unknown> = []
            for (let turn = 0; turn < TURNS; turn++) {
              await bareTurn(url, (kind, text) => void insert.run(session, kind, text), history)
            }
          })
        )
      )
    )
  }).pipe(Effect.scoped)

const echo = Tool.make({
  name: "echo",
  description: "Says it again",
  parameters: Schema.Struct({ text: Schema.String }),
  result: Schema.Struct({ text: Schema.String }),
  run: ({ text }) => Effect.succeed({ text })
})

const ours = (url: string) =>
  Effect.gen(function* () {
    const dataDirectory = yield* directory
    const model = { provider: "openai-compatible", model: "m", name: "openai-compatible/m", url } as const
    const runtime = yield* Layer.build(
      Embedded.layer({ dataDirectory, models: [model], modelConcurrency: SESSIONS, tools: [echo] })
    )
    const session = Effect.gen(function* () {
      const sessions = yield* SessionManager
      const { id } = yield* sessions.start({})
      for (let turn = 0; turn < TURNS; turn++) yield* ask(id, "go")
    })
    return yield* cpuPerTurn(
      Effect.all(
        Array.from({ length: SESSIONS }, () => session),
        { concurrency: "unbounded", discard: true }
      )
    ).pipe(Effect.provideContext(runtime))
  }).pipe(Effect.scoped)

export const suite = Effect.gen(function* () {
  const url = yield* startModel
  const baseline = { name: "bare fetch loop", value: yield* bare(url) }
  const figures: ReadonlyArray<Figure> = [
    {
      name: `a turn with one call and 40 words, durable, of ${SESSIONS} sessions: CPU`,
      unit: "µs",
      value: yield* ours(url),
      baseline,
      bar: "<= 1.5"
    }
  ]
  return figures
}).pipe(Effect.scoped)
