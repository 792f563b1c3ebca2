/**
 * A turn of an agent: a message, a call of a fast tool, and 40 streamed words, every step durable. CPU of this process for
 * each, beside a bare loop of `fetch` and SQLite that does the same by hand, and beside one that asks through the AI SDK
 * provider as we do: so much is the provider's. The model is a process of its own.
 */
import { createOpenAICompatible } from "@ai-sdk/openai-compatible"
import type { JSONValue, LanguageModelV4Prompt } from "@ai-sdk/provider"
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

/** Sessions side by side, each with its turns one after the other. */
type Round = Effect.Effect<unknown>

/**
 * Microseconds of this process's CPU for each turn of some rounds: the best of each, the first of which warms up. They
 * take turns, since how fast the machine is changes from one second to the next.
 */
const cpuPerTurn = Effect.fnUntraced(function* (rounds: ReadonlyArray<Round>) {
  const best = rounds.map(() => Number.POSITIVE_INFINITY)
  for (let i = 0; i <= ROUNDS; i++) {
    for (const [index, round] of rounds.entries()) {
      const before = process.cpuUsage()
      yield* round
      const { system, user } = process.cpuUsage(before)
      if (i > 0) best[index] = Math.min(best[index] ?? 0, (system + user) / (SESSIONS * TURNS))
    }
  }
  return best
})

const directory = Effect.acquireRelease(
  Effect.sync(() => mkdtempSync(join(tmpdir(), "espalier-bench-"))),
  (path) => Effect.sync(() => rmSync(path, { recursive: true, force: true }))
)

/** What a loop by hand keeps of an answer. */
interface Answer {
  text: string
  name: string
  args: string
}

interface Delta {
  readonly content?: string
  readonly tool_calls?: ReadonlyArray<{ readonly function: { readonly name?: string; readonly arguments: string } }>
}

/** A way to ask a model, with what is said in its words. */
interface Dialect<M> {
  readonly ask: (messages: ReadonlyArray<M>) => Promise<Answer>
  readonly user: (text: string) => M
  readonly assistant: (text: string) => M
  readonly called: (args: JSONValue) => M
  readonly result: (result: JSONValue) => M
}

/** Asks by hand, and reads what comes by hand. */
const byFetch = (url: string): Dialect<object> => ({
  user: (content) => ({ role: "user", content }),
  assistant: (content) => ({ role: "assistant", content }),
  called: (args) => ({
    role: "assistant",
    content: null,
    tool_calls: [{ id: "1", type: "function", function: { name: "echo", arguments: JSON.stringify(args) } }]
  }),
  result: (result) => ({ role: "tool", tool_call_id: "1", content: JSON.stringify(result) }),
  ask: async (messages) => {
    const response = await fetch(`${url}/chat/completions`, {
      method: "POST",
      headers: { "content-type": "application/json" },
      body: JSON.stringify({ model: "m", stream: true, messages })
    })
    const answer = { text: "", name: "", args: "" }
    let rest = ""
    const decoder = new TextDecoder()
    for await (const bytes of response.body ?? []) {
      rest += decoder.decode(bytes, { stream: true })
      const lines = rest.split("\n")
      rest = lines.pop() ?? ""
      for (const line of lines) {
        if (!line.startsWith("data: {")) continue
        const { choices } = JSON.parse(line.slice(6)) as { readonly choices: ReadonlyArray<{ readonly delta: Delta }> }
        answer.text += choices[0]?.delta.content ?? ""
        for (const call of choices[0]?.delta.tool_calls ?? []) {
          answer.name += call.function.name ?? ""
          answer.args += call.function.arguments
        }
      }
    }
    return answer
  }
})

/** Asks through the provider that Espalier asks through. */
const byProvider = (url: string): Dialect<LanguageModelV4Prompt[number]> => {
  const model = createOpenAICompatible({ name: "bench", baseURL: url, includeUsage: true })("m")
  const inputSchema = { type: "object", properties: { text: { type: "string" } }, required: ["text"] } as const
  const tools = [{ type: "function", name: "echo", description: "Says it again", inputSchema } as const]
  const call = { toolCallId: "1", toolName: "echo" }
  return {
    user: (text) => ({ role: "user", content: [{ type: "text", text }] }),
    assistant: (text) => ({ role: "assistant", content: [{ type: "text", text }] }),
    called: (input) => ({ role: "assistant", content: [{ type: "tool-call", ...call, input }] }),
    result: (value) => ({ role: "tool", content: [{ type: "tool-result", ...call, output: { type: "json", value } }] }),
    ask: async (messages) => {
      const { stream } = await model.doStream({ prompt: [...messages], tools, toolChoice: { type: "auto" } })
      const answer = { text: "", name: "", args: "" }
      for await (const part of stream) {
        if (part.type === "text-delta") answer.text += part.delta
        else if (part.type === "tool-call") {
          answer.name = part.toolName
          answer.args = part.input
        }
      }
      return answer
    }
  }
}

/** What a program does that keeps nothing but what it must, however it asks its model. */
const byHand = Effect.fnUntraced(function* <M>({ ask, assistant, called, result, user }: Dialect<M>) {
  const path = yield* directory
  const db = yield* Effect.acquireRelease(
    Effect.sync(() => new DatabaseSync(join(path, "bare.db"))),
    (db) => Effect.sync(() => db.close())
  )
  db.exec("PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; CREATE TABLE log (session INT, kind TEXT, text TEXT)")
  const insert = db.prepare("INSERT INTO log VALUES (?, ?, ?)")
  const session = async (id: number) => {
    const history: Array<M> = []
    const add = (message: M) => {
      history.push(message)
      insert.run(id, "message", JSON.stringify(message))
    }
    for (let turn = 0; turn < TURNS; turn++) {
      add(user("go"))
      while (true) {
        const { args, name, text } = await ask(history)
        if (name === "") {
          add(assistant(text))
          break
        }
        const given = JSON.parse(args) as JSONValue
        add(called(given))
        add(result(given))
      }
    }
  }
  return Effect.promise(() => Promise.all(Array.from({ length: SESSIONS }, (_, id) => session(id))))
})

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
    return Effect.all(
      Array.from({ length: SESSIONS }, () => session),
      { concurrency: "unbounded", discard: true }
    ).pipe(Effect.provideContext(runtime), Effect.orDie)
  })

export const suite = Effect.gen(function* () {
  const url = yield* startModel
  const [bareTurn = 0, providedTurn = 0, turn = 0] = yield* cpuPerTurn([
    yield* byHand(byFetch(url)),
    yield* byHand(byProvider(url)),
    yield* ours(url)
  ])
  const fetching = { name: "bare fetch loop", value: bareTurn }
  const name = `a turn with one call and 40 words, durable, of ${SESSIONS} sessions: CPU`
  const figures: ReadonlyArray<Figure> = [
    { name, unit: "µs", value: turn, baseline: fetching, bar: "<= 1.5" },
    {
      name: "the same",
      unit: "µs",
      value: turn,
      baseline: { name: "bare loop over the provider", value: providedTurn }
    },
    { name: "bare loop over the provider: CPU", unit: "µs", value: providedTurn, baseline: fetching }
  ]
  return figures
}).pipe(Effect.scoped)
