/**
 * A `LanguageModel` with patience: over one model, or over several of which each stands in for those before it.
 *
 * Until the first part of an answer has come, a request that fails is made again (see `planRetry.ts`), and then the
 * next model is asked. Once an answer has begun nothing is repeated: whoever reads it would get it twice. Each provider
 * has a breaker, a limit of requests under way with a bounded line behind it, a rate that requests keep to, and a budget
 * of retries.
 */
import { Cause, Channel, Duration, Effect, Exit, Layer, Metric, Pull, Random, Scope, Stream } from "effect"
import { AiError, LanguageModel, type Toolkit } from "effect/ai"
import { isReadonlyArrayNonEmpty, type NonEmptyReadonlyArray } from "effect/Array"
import { Breakers } from "../../services/limits/Breakers.ts"
import { type Rate, RateLimits } from "../../services/limits/RateLimits.ts"
import { type Limits, ModelLimits } from "../../services/model/ModelLimits.ts"
import { failureOf } from "../../services/model/modelFailure.ts"
import { type Own, write } from "../../services/model/ownMetadata.ts"
import * as Retry from "../../services/model/planRetry.ts"
import * as Turnstile from "./Turnstile.ts"

export interface Candidate {
  /** Whose breaker, limit and budget it shares with its other models: `openai`. */
  readonly provider: string
  /** `provider/model`. */
  readonly name: string
  readonly model: LanguageModel.LanguageModel
}

export interface Options {
  /** The first is asked first. */
  readonly candidates: NonEmptyReadonlyArray<Candidate>
  /** Requests under way at a provider (default 64). */
  readonly concurrency?: number | undefined
  /** How often a provider is asked; beyond it requests wait (default: as often as it takes). */
  readonly rate?: Rate | undefined
}

/** Requests that wait for one under way to end, at one provider. */
const LINE = 10_000

const attempts = Metric.counter("espalier_model_attempts_total", {
  description: "Requests to models, by model and how they ended; an answer that begins is ok",
  incremental: true
})

interface Provider {
  readonly turnstile: Turnstile.Turnstile
  readonly budget: Retry.RetryBudget
  /** What was wrong with it the last time: the reason behind an open breaker. */
  trouble: string | undefined
}

const refuse = (name: string, code: NonNullable<Own["code"]>, description: string) =>
  AiError.make({
    module: name,
    method: "ResilientModel",
    reason: new AiError.InternalProviderError({ description, metadata: write({ code }) })
  })

const reasonOf = (error: unknown): AiError.AiErrorReason | undefined =>
  AiError.isAiError(error) ? error.reason : undefined

type AnyRequest = LanguageModel.GenerateTextOptions<{}> & { readonly toolkit: Toolkit.WithHandler<{}> }

/** One request: its result, and in its scope what is held while that is used. */
type Request<A, E, R> = (candidate: Candidate) => Effect.Effect<A, E, R>

/** The policy for any request to one of the models. */
const makePolicy = (
  breakers: Breakers["Service"],
  rates: RateLimits["Service"],
  { candidates, concurrency = 64, rate }: Options
): (<A, E, R>(request: Request<A, E, R>) => Effect.Effect<A, E | AiError.AiError, R | Scope.Scope>) => {
  const providers = new Map<string, Provider>()
  const providerOf = ({ provider }: Candidate): Provider => {
    let found = providers.get(provider)
    if (found === undefined) {
      found = { turnstile: Turnstile.make(concurrency, LINE), budget: Retry.makeBudget(), trouble: undefined }
      providers.set(provider, found)
    }
    return found
  }

  const count = (name: string, outcome: string) =>
    Metric.update(Metric.withAttributes(attempts, { model: name, outcome }), 1)

  /** Waits until the provider may be asked again. Who waits has a place among the requests under way, so that few do. */
  const keepRate = (provider: string): Effect.Effect<void> =>
    rate === undefined
      ? Effect.void
      : Effect.catch(rates.take({ name: `model:${provider}`, ...rate }), (limited) =>
          limited.retryAfter === undefined
            ? Effect.die(limited)
            : Effect.andThen(Effect.sleep(limited.retryAfter), keepRate(provider))
        )

  /** What it holds is let go of when it fails, and goes to the caller's scope when it does not. */
  const once = <A, E, R>(candidate: Candidate, request: Request<A, E, R>) => {
    const { name, provider } = candidate
    const enter = Effect.mapError(providerOf(candidate).turnstile.enter, ({ waiting }) =>
      refuse(
        name,
        "model_unavailable",
        `${waiting} requests to ${provider} wait already, which is all that may; try again later`
      )
    )
    const guarded = breakers.guard(`model:${provider}`, request(candidate), {
      isFailure: (error) => {
        const reason = reasonOf(error)
        const isUnwell = reason === undefined || Retry.isUnwell(reason)
        if (isUnwell) providerOf(candidate).trouble = reason === undefined ? undefined : failureOf(reason).message
        return isUnwell
      },
      retryAfter: (error) => {
        const reason = reasonOf(error)
        return reason === undefined ? undefined : Retry.retryAfterOf(reason)
      },
      fallback: ({ message }) => {
        const { trouble } = providerOf(candidate)
        const why = trouble === undefined ? "" : `; the last time, ${trouble}`
        return Effect.fail(refuse(name, "model_unavailable", `${message}${why}`))
      }
    })
    return Effect.flatMap(Effect.scope, (outer) =>
      Effect.flatMap(Scope.fork(outer), (scope) =>
        Effect.andThen(enter, Effect.andThen(keepRate(provider), guarded)).pipe(
          Scope.provide(scope),
          Effect.onExit((exit) =>
            Exit.isSuccess(exit)
              ? count(name, "ok")
              : Effect.andThen(count(name, outcomeOf(exit)), Scope.close(scope, exit))
          )
        )
      )
    )
  }

  return Effect.fnUntraced(function* (request) {
    let refusal: AiError.AiError | undefined
    let made = 0
    for (const [index, candidate] of candidates.entries()) {
      const { budget } = providerOf(candidate)
      Retry.countCall(budget)
      while (true) {
        const result = yield* Effect.result(once(candidate, request))
        if (result._tag === "Success") return result.success
        const error = result.failure
        if (!AiError.isAiError(error) || Retry.isFinal(error.reason)) return yield* Effect.fail(error)
        const { reason } = error
        // That a breaker is open says less than what opened it.
        if (refusal === undefined || Retry.isNotMade(refusal.reason) || !Retry.isNotMade(reason)) refusal = error
        if (!Retry.isNotMade(reason)) made++
        const wait = Retry.planRetry(reason, made, yield* Random.next, candidates.length - 1 - index)
        if (wait === undefined || !Retry.takeRetry(budget)) break
        yield* Effect.sleep(wait)
      }
      if (made >= Retry.MAX_ATTEMPTS) break
    }
    return yield* Effect.fail(refusal ?? refuse(candidates[0].name, "model_unavailable", "no model was asked"))
  })
}

const outcomeOf = (exit: Exit.Failure<unknown, unknown>): string => {
  const error = exit.cause.reasons.find((reason) => reason._tag === "Fail")?.error
  return reasonOf(error)?._tag ?? (exit.cause.reasons.some(({ _tag }) => _tag === "Die") ? "defect" : "interrupted")
}

/** What an answer has begun with, and how to go on. */
interface Begun<A, E, R> {
  readonly parts: ReadonlyArray<A>
  readonly pull: Pull.Pull<NonEmptyReadonlyArray<A>, E, void, R>
}

/** Waits until there is more than who answers. */
const begin = Effect.fnUntraced(function* <A extends { readonly type: string }, E, R>(
  stream: Stream.Stream<A, E, R>,
  name: string,
  limits: Limits
): Effect.fn.Return<Begun<A, E, R>, E | AiError.AiError, R | Scope.Scope> {
  // Not `Stream.toPull`, which merges all services anew for every pull: this one has a single reader, in this scope.
  const pull = yield* Channel.toPullScoped(Stream.toChannel(stream), yield* Effect.scope)
  const parts: Array<A> = []
  const begun: Begun<A, E, R> = { parts, pull }
  const ended: Begun<A, E, R> = { parts, pull: Cause.done() }
  const listen = Effect.whileLoop({
    while: () => parts.every(({ type }) => type === "response-metadata"),
    body: () => pull,
    step: (more) => parts.push(...more)
  })
  const limit = Duration.format(limits.idle)
  return yield* listen.pipe(
    Effect.timeoutOrElse({
      duration: limits.idle,
      orElse: () => Effect.fail(refuse(name, "model_stalled", `nothing came for ${limit}`))
    }),
    Effect.as(begun),
    // It ended before it began: whoever reads it sees that for himself.
    Pull.catchDone(() => Effect.succeed(ended))
  )
})

export const make = Effect.fnUntraced(function* (options: Options) {
  const limits = yield* ModelLimits
  const policy = makePolicy(yield* Breakers, yield* RateLimits, options)
  const [first] = options.candidates

  const generate = <A, E, R>(ask: (model: LanguageModel.LanguageModel) => Effect.Effect<A, E, R>) =>
    Effect.scoped(policy(({ model }) => ask(model))).pipe(
      Effect.timeoutOrElse({
        duration: limits.total,
        orElse: () =>
          Effect.fail(refuse(first.name, "model_stalled", `no answer within ${Duration.format(limits.total)}`))
      })
    )

  const stream = <A extends { readonly type: string }, E, R>(
    ask: (model: LanguageModel.LanguageModel) => Stream.Stream<A, E, R>
  ) =>
    Stream.fromPull(
      Effect.map(
        policy(({ model, name }) => begin(ask(model), name, limits)),
        ({ parts, pull }) => {
          let begun: ReadonlyArray<A> = parts
          return Effect.suspend(() => {
            const now = begun
            begun = []
            return isReadonlyArrayNonEmpty(now) ? Effect.succeed(now) : pull
          })
        }
      )
    ).pipe(Stream.scoped)

  // Whatever was asked for is handed on as it is: the types of a request and of its answer are those of the model.
  const generateText = ((request: AnyRequest) =>
    generate((model) => model.generateText(request))) as LanguageModel.LanguageModel["generateText"]
  const generateObject = ((request: never) =>
    generate((model) => model.generateObject(request))) as LanguageModel.LanguageModel["generateObject"]
  const streamText = ((request: never) =>
    stream((model) => model.streamText(request))) as LanguageModel.LanguageModel["streamText"]
  return LanguageModel.LanguageModel.of({ ...first.model, generateText, generateObject, streamText })
})

/** Over the `LanguageModel` of the surroundings. */
export const layer = (options: Omit<Options, "candidates"> & { readonly provider: string; readonly name: string }) =>
  Layer.effect(
    LanguageModel.LanguageModel,
    Effect.flatMap(LanguageModel.LanguageModel, (model) =>
      make({ candidates: [{ ...options, model }], concurrency: options.concurrency, rate: options.rate })
    )
  )
