/**
 * What a server asks back while one of its tools runs, carried from the SDK's callbacks to `McpQuestions`: a few at a
 * time, all of them within the scope of the connection, and none for longer than the server and its call wait for it.
 *
 * What asks is a call, but the protocol does not say which. So it is asked for the session whose calls are under way on
 * the server, and for nobody while they are of several sessions.
 */
import type {
  CreateMessageRequest,
  CreateMessageResult,
  ElicitRequest,
  ElicitResult
} from "@modelcontextprotocol/sdk/types.js"
import { Cause, Clock, Duration, Effect, Queue, Schema } from "effect"
import { McpQuestions, type SamplingRequest } from "../../services/mcp/McpQuestions.ts"
import { fieldsOf } from "../../services/question/Form.ts"
import { type Answer, EXPIRY, MAX_OPEN } from "../../services/question/Question.ts"
import type { SessionId } from "../../services/session/SessionId.ts"
import type { Instance } from "./Instance.ts"

type Handler<Params, Result> = (params: Params, signal: AbortSignal) => Promise<Result>

export interface Asked {
  readonly sample?: Handler<CreateMessageRequest["params"], CreateMessageResult> | undefined
  readonly answer?: Handler<ElicitRequest["params"], ElicitResult> | undefined
}

/** Requests of one server that are under way or wait for those before them. */
const maxWaiting = 8
/** For whoever answers in a person's place: a session ends its questions itself, before that. */
const patience = Duration.millis(EXPIRY + 30_000)
/** Characters of a question. */
const maxMessage = 4_096
/** The budget of sampling: requests within a minute, tokens of an answer, characters of a request, stop sequences. */
export const samplingBudget = { perMinute: 10, tokens: 1_024, characters: 32 * 1024, stops: 16 } as const

interface Waiting<Params, Result> {
  readonly params: Params
  readonly signal: AbortSignal
  readonly resolve: (result: Result) => void
  readonly reject: (error: Error) => void
}

/** Returns when the server wants no answer any more. */
const aborted = (signal: AbortSignal): Effect.Effect<void> =>
  Effect.callback((resume) => {
    const done = () => resume(Effect.void)
    if (signal.aborted) return done()
    signal.addEventListener("abort", done, { once: true })
    return Effect.sync(() => signal.removeEventListener("abort", done))
  })

/** A promise-returning function over an Effect that runs in the scope. */
const answering = Effect.fnUntraced(function* <Params, Result, R>(
  concurrency: number,
  handle: (params: Params) => Effect.Effect<Result, string, R>
) {
  const waiting = yield* Queue.dropping<Waiting<Params, Result>>(maxWaiting)
  let count = 0
  const serve = Queue.take(waiting).pipe(
    Effect.flatMap(({ params, reject, resolve, signal }) =>
      handle(params).pipe(
        // What breaks in one answer is the end of that one.
        Effect.catchCauseIf(Cause.hasDies, (cause) =>
          Effect.andThen(Effect.logError("what answers MCP servers broke", cause), Effect.fail("it broke off here"))
        ),
        Effect.match({ onSuccess: resolve, onFailure: (reason) => reject(new Error(reason)) }),
        Effect.raceFirst(aborted(signal)),
        Effect.ensuring(Effect.sync(() => void count--))
      )
    ),
    Effect.forever
  )
  for (let slot = 0; slot < concurrency; slot++) yield* Effect.forkScoped(serve)
  return (params: Params, signal: AbortSignal): Promise<Result> =>
    new Promise((resolve, reject) => {
      if (count < maxWaiting && Queue.offerUnsafe(waiting, { params, signal, resolve, reject })) count++
      else reject(new Error(`${maxWaiting} questions of this server wait already`))
    })
})

const textOf = (content: CreateMessageRequest["params"]["messages"][number]["content"]): string | undefined => {
  const parts = Array.isArray(content) ? content : [content]
  const texts = parts.flatMap((part) => (part.type === "text" ? [part.text] : []))
  return texts.length === parts.length ? texts.join("\n") : undefined
}

/** The request within the budget, or why it is not answered. */
const within = (
  params: CreateMessageRequest["params"],
  of: Pick<SamplingRequest, "server" | "sessionId">
): SamplingRequest | string => {
  const messages: Array<SamplingRequest["messages"][number]> = []
  for (const { content, role } of params.messages) {
    const text = textOf(content)
    if (text === undefined) return "only text can be sampled here"
    messages.push({ role, text })
  }
  const system = params.systemPrompt ?? ""
  const stopSequences = params.stopSequences ?? []
  if (stopSequences.length > samplingBudget.stops) return `a request has at most ${samplingBudget.stops} stop sequences`
  const characters = [system, ...stopSequences, ...messages.map(({ text }) => text)].reduce(
    (sum, { length }) => sum + length,
    0
  )
  return characters > samplingBudget.characters
    ? `a request has at most ${samplingBudget.characters} characters`
    : {
        ...of,
        system,
        messages,
        stopSequences,
        maxTokens: Math.max(1, Math.min(params.maxTokens, samplingBudget.tokens))
      }
}

const asJsonObject = Schema.decodeUnknownOption(Schema.JsonObject)

/** The form, if it is one that a person can be shown. */
const formOf = (params: ElicitRequest["params"]): Schema.JsonObject | undefined => {
  const schema = "requestedSchema" in params ? asJsonObject(params.requestedSchema) : undefined
  return schema?._tag === "Some" && fieldsOf(schema.value) !== undefined ? schema.value : undefined
}

const resultOf = (answer: Answer): ElicitResult =>
  answer.action === "accept"
    ? {
        action: "accept",
        content: Object.fromEntries(
          Object.entries(answer.content).map(([key, value]) => [key, typeof value === "object" ? [...value] : value])
        )
      }
    : { action: answer.action }

const declined: ElicitResult = { action: "decline" }

export const make = Effect.fnUntraced(function* ({
  callers,
  server: { config, name }
}: Pick<Instance, "callers" | "server">) {
  const { ask, sample } = yield* McpQuestions
  const clock = yield* Clock.Clock
  let since = 0
  let sampled = 0

  /** Only for as long as the session has a call under way, which is not silent meanwhile. */
  const during = <A, E>(sessionId: SessionId, stage: string, work: Effect.Effect<A, E>, over: Effect.Effect<A, E>) =>
    Effect.raceAllFirst([work, Effect.andThen(callers.left(sessionId), over), callers.keepAlive(sessionId, stage)])

  const sampling =
    sample === undefined || config.grants.sampling !== true
      ? undefined
      : yield* answering(1, (params: CreateMessageRequest["params"]): Effect.Effect<CreateMessageResult, string> => {
          const now = clock.currentTimeMillisUnsafe()
          if (now - since >= 60_000) {
            since = now
            sampled = 0
          }
          const sessionId = callers.only
          if (sessionId === undefined)
            return Effect.fail("sampling is for while a tool runs, for one session at a time")
          if (++sampled > samplingBudget.perMinute) {
            return Effect.fail(`at most ${samplingBudget.perMinute} requests a minute; try again later`)
          }
          const request = within(params, { server: name, sessionId })
          if (typeof request === "string") return Effect.fail(request)
          return during(
            sessionId,
            "the server asks the model",
            Effect.map(sample(request), ({ model, stopReason, text }): CreateMessageResult => ({
              model,
              role: "assistant",
              content: { type: "text", text },
              stopReason
            })),
            Effect.fail("the call is over")
          )
        })

  const answer =
    ask === undefined
      ? undefined
      : yield* answering(MAX_OPEN, (params: ElicitRequest["params"]): Effect.Effect<ElicitResult> => {
          const sessionId = callers.only
          const schema = formOf(params)
          if (sessionId === undefined || schema === undefined) return Effect.succeed(declined)
          const message = params.message.slice(0, maxMessage)
          return during(
            sessionId,
            `the server asks: espalier session questions ${sessionId}`,
            Effect.timeoutOrElse(Effect.map(ask({ server: name, sessionId, message, schema }), resultOf), {
              duration: patience,
              orElse: () => Effect.succeed<ElicitResult>({ action: "cancel" })
            }),
            Effect.succeed<ElicitResult>({ action: "cancel" })
          )
        })

  return { sample: sampling, answer } satisfies Asked
})
