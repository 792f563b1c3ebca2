/**
 * What a server asks back while one of its tools runs, carried from the SDK's callbacks to `McpQuestions`: one at a time,
 * a few of them waiting, each with a limit, and all of them within the scope of the connection.
 */
import type {
  CreateMessageRequest,
  CreateMessageResult,
  ElicitRequest,
  ElicitResult
} from "@modelcontextprotocol/sdk/types.js"
import { Clock, Effect, Queue, Schema } from "effect"
import { McpQuestions, type SamplingRequest } from "../../services/mcp/McpQuestions.ts"
import type { SessionId } from "../../services/session/SessionId.ts"

type Handler<Params, Result> = (params: Params, signal: AbortSignal) => Promise<Result>

export interface Asked {
  readonly sample?: Handler<CreateMessageRequest["params"], CreateMessageResult> | undefined
  readonly answer?: Handler<ElicitRequest["params"], ElicitResult> | undefined
}

/** Questions that wait for the one before them. */
const maxWaiting = 8
/** For a person to answer. */
const patience = "5 minutes"
/** The budget of sampling: requests within a minute, tokens of an answer, characters of a request. */
export const samplingBudget = { perMinute: 10, tokens: 1_024, characters: 32 * 1024 } as const

interface Waiting<Params, Result> {
  readonly params: Params
  readonly signal: AbortSignal
  readonly resolve: (result: Result) => void
  readonly reject: (error: Error) => void
}

/** A promise-returning function over an Effect that runs in the scope. */
const answering = Effect.fnUntraced(function* <Params, Result, R>(
  handle: (params: Params) => Effect.Effect<Result, string, R>
) {
  const waiting = yield* Queue.dropping<Waiting<Params, Result>>(maxWaiting)
  yield* Queue.take(waiting).pipe(
    Effect.flatMap(({ params, reject, resolve, signal }) =>
      signal.aborted
        ? Effect.void
        : Effect.match(handle(params), { onSuccess: resolve, onFailure: (reason) => reject(new Error(reason)) })
    ),
    Effect.forever,
    Effect.forkScoped
  )
  return (params: Params, signal: AbortSignal): Promise<Result> =>
    new Promise((resolve, reject) => {
      if (!Queue.offerUnsafe(waiting, { params, signal, resolve, reject })) {
        reject(new Error(`${maxWaiting} questions of this server wait already`))
      }
    })
})

const textOf = (content: CreateMessageRequest["params"]["messages"][number]["content"]): string | undefined => {
  const parts = Array.isArray(content) ? content : [content]
  const texts = parts.flatMap((part) => (part.type === "text" ? [part.text] : []))
  return texts.length === parts.length ? texts.join("\n") : undefined
}

/** The request within the budget, or why it is not answered. */
const within = (params: CreateMessageRequest["params"]): SamplingRequest | string => {
  const messages: Array<SamplingRequest["messages"][number]> = []
  for (const { content, role } of params.messages) {
    const text = textOf(content)
    if (text === undefined) return "only text can be sampled here"
    messages.push({ role, text })
  }
  const system = params.systemPrompt ?? ""
  const characters = messages.reduce((sum, { text }) => sum + text.length, system.length)
  return characters > samplingBudget.characters
    ? `a request has at most ${samplingBudget.characters} characters`
    : { system, messages, maxTokens: Math.min(params.maxTokens, samplingBudget.tokens) }
}

const asJsonObject = Schema.decodeUnknownOption(Schema.JsonObject)

/** `sessions` are those whose calls are under way on the server. */
export const make = Effect.fnUntraced(function* (
  server: string,
  granted: { readonly sampling: boolean },
  sessions: () => ReadonlyArray<SessionId>
) {
  const questions = yield* McpQuestions
  const clock = yield* Clock.Clock
  const { ask, sample } = questions
  let since = 0
  let sampled = 0

  const sampling =
    sample === undefined || !granted.sampling
      ? undefined
      : yield* answering((params: CreateMessageRequest["params"]): Effect.Effect<CreateMessageResult, string> => {
          const now = clock.currentTimeMillisUnsafe()
          if (now - since >= 60_000) {
            since = now
            sampled = 0
          }
          if (sessions().length === 0) return Effect.fail("sampling is for while a tool runs")
          if (++sampled > samplingBudget.perMinute) {
            return Effect.fail(`at most ${samplingBudget.perMinute} requests a minute; try again later`)
          }
          const request = within(params)
          if (typeof request === "string") return Effect.fail(request)
          return Effect.map(sample(request), ({ model, text }) => ({
            model,
            role: "assistant",
            content: { type: "text", text },
            stopReason: "endTurn"
          }))
        })

  const answer =
    ask === undefined
      ? undefined
      : yield* answering((params: ElicitRequest["params"]): Effect.Effect<ElicitResult> => {
          const asking = new Set(sessions())
          const [sessionId] = asking
          const schema = "requestedSchema" in params ? asJsonObject(params.requestedSchema) : undefined
          if (sessionId === undefined || asking.size > 1 || schema?._tag !== "Some") {
            return Effect.succeed({ action: "decline" })
          }
          return ask({ server, sessionId, message: params.message.slice(0, 4_096), schema: schema.value }).pipe(
            Effect.map((answer): ElicitResult =>
              answer.action === "accept"
                ? {
                    action: "accept",
                    content: Object.fromEntries(
                      Object.entries(answer.content).map(([key, value]) => [
                        key,
                        typeof value === "object" ? [...value] : value
                      ])
                    )
                  }
                : { action: answer.action }
            ),
            Effect.timeoutOrElse({
              duration: patience,
              orElse: () => Effect.succeed<ElicitResult>({ action: "cancel" })
            })
          )
        })

  return { sample: sampling, answer } satisfies Asked
})
