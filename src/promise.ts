/**
 * The runtime for programs that know promises and not Effect:
 *
 *     await using espalier = await Espalier.open({ model: createMistral()("mistral-large-latest") })
 *     const session = await espalier.session()
 *     console.log(await session.ask("What is in this directory?", { signal }))
 *
 * A promise is rejected with the runtime's own typed errors (`error._tag`, `error.message`), and with the signal's
 * reason when that aborts it: the turn is cancelled then, with all that runs for it.
 */
import type { LanguageModelV4 } from "@ai-sdk/provider"
import { Data, Deferred, Effect, type Layer, ManagedRuntime, Schema, Stream } from "effect"
import * as AiSdkModel from "../layers/model/AiSdkModel.ts"
import { EventBus } from "../services/events/EventBus.ts"
import type { Delivery } from "../services/events/RuntimeEvent.ts"
import * as Topic from "../services/events/Topic.ts"
import { InvalidInput } from "../services/InvalidInput.ts"
import type { Message } from "../services/session/Session.ts"
import { SessionId } from "../services/session/SessionId.ts"
import { SessionManager, type StartOptions } from "../services/session/SessionManager.ts"
import { ask, type AskOptions } from "./ask.ts"
import * as Runtime from "./server/Runtime.ts"

type Services = SessionManager | EventBus
type Run = <A, E>(effect: Effect.Effect<A, E, Services>, signal?: AbortSignal) => Promise<A>

export interface OpenOptions extends Omit<Runtime.Options, "model"> {
  /** Where everything is kept; absent: in memory, and gone with the process. */
  readonly dataDirectory?: string | undefined
  /** A model of the Vercel AI SDK, or a layer of `effect/ai`. */
  readonly model?: LanguageModelV4 | Runtime.Options["model"] | undefined
}

export interface Aborting {
  readonly signal?: AbortSignal | undefined
}

export interface SessionOptions extends Pick<StartOptions, "title" | "agentType" | "permissions" | "directory"> {
  readonly id?: string | undefined
}

export class Session {
  readonly id: SessionId
  readonly #run: Run
  readonly #closed: Effect.Effect<void>
  constructor(id: SessionId, run: Run, closed: Effect.Effect<void>) {
    this.id = id
    this.#run = run
    this.#closed = closed
  }

  /** Says something and gives the answer. */
  ask(text: string, { signal, ...options }: AskOptions & Aborting = {}): Promise<string> {
    // Closing is no cancel: what is unfinished goes on at the next start.
    const isCancel = () => signal?.aborted === true
    return this.#run(ask(this.id, text, options, isCancel), signal)
  }

  /** What was said and done so far, from the oldest. */
  messages(options: { readonly after?: number; readonly limit?: number } = {}): Promise<ReadonlyArray<Message>> {
    const { after = 0, limit = 100 } = options
    return this.#run(SessionManager.use((sessions) => sessions.messages({ sessionId: this.id, after, limit })))
  }

  /**
   * Everything that happens, from a sequence on. Leaving the loop ends it, and so does closing the runtime; a signal
   * that aborts it rejects with its reason.
   */
  async *events({ from = 1, signal }: { readonly from?: number } & Aborting = {}): AsyncGenerator<Delivery, void> {
    const topic = Topic.ofSession(this.id)
    const deliveries = await this.#run(
      Effect.map(Effect.context<Services>(), (context) =>
        Stream.toAsyncIterable(
          Stream.provideContext(
            Stream.unwrap(EventBus.use((bus) => Effect.succeed(bus.subscribe({ topic, from })))).pipe(
              Stream.interruptWhen(Effect.raceFirst(aborted(signal), this.#closed))
            ),
            context
          )
        )
      ),
      signal
    )
    yield* deliveries
    signal?.throwIfAborted()
  }

  /** Ends it for good: it can still be read. */
  stop(reason?: string): Promise<void> {
    return this.#run(SessionManager.use((sessions) => sessions.stop(this.id, reason)))
  }
}

/** Returns when a signal aborts. */
const aborted = (signal: AbortSignal | undefined): Effect.Effect<void> =>
  Effect.callback((resume) => {
    const abort = () => resume(Effect.void)
    if (signal?.aborted === true) abort()
    signal?.addEventListener("abort", abort, { once: true })
    return Effect.sync(() => signal?.removeEventListener("abort", abort))
  })

const decodeId = Schema.decodeUnknownEffect(SessionId)

const isLayer = (model: NonNullable<OpenOptions["model"]>): model is NonNullable<Runtime.Options["model"]> =>
  !("specificationVersion" in model)

const modelOf = ({ model }: OpenOptions): Runtime.Options["model"] =>
  model === undefined || isLayer(model) ? model : AiSdkModel.layer({ model })

const layerOf = ({ dataDirectory, ...options }: OpenOptions): Layer.Layer<Services, unknown> => {
  const all = { ...options, model: modelOf(options) }
  return dataDirectory === undefined ? Runtime.layerMemory(all) : Runtime.layer({ ...all, dataDirectory })
}

/** The runtime was closed, or is being closed, before there was an answer. */
export class RuntimeClosed extends Data.TaggedError("RuntimeClosed") {
  override get message() {
    return "the runtime is closed; what is unfinished goes on at the next start, where it has a data directory"
  }
}

export class Espalier implements AsyncDisposable {
  readonly #closing = Deferred.makeUnsafe<void>()
  readonly #runtime: ManagedRuntime.ManagedRuntime<Services, unknown>
  private constructor(runtime: ManagedRuntime.ManagedRuntime<Services, unknown>) {
    this.#runtime = runtime
  }

  /** Starts a runtime; what an earlier one left unfinished in its data directory goes on. */
  static async open(options: OpenOptions = {}): Promise<Espalier> {
    const runtime = ManagedRuntime.make(layerOf(options))
    try {
      await runtime.context()
    } catch (error) {
      await runtime.dispose()
      throw error
    }
    return new Espalier(runtime)
  }

  readonly #run: Run = async (effect, signal) => {
    signal?.throwIfAborted()
    const isClosed = Effect.andThen(Deferred.await(this.#closing), new RuntimeClosed())
    try {
      if (Deferred.isDoneUnsafe(this.#closing)) throw new RuntimeClosed()
      return await this.#runtime.runPromise(
        Effect.raceFirst(effect, isClosed),
        signal === undefined ? undefined : { signal }
      )
    } catch (error) {
      signal?.throwIfAborted()
      throw error
    }
  }

  /** A new session, or, with the id of one, that one. What else is given says how a new one is. */
  async session({ id, ...options }: SessionOptions = {}): Promise<Session> {
    const sessionId = id === undefined ? Effect.undefined : Effect.mapError(decodeId(id), InvalidInput.fromSchema)
    const session = await this.#run(
      Effect.flatMap(sessionId, (sessionId) =>
        SessionManager.use((sessions) => sessions.start({ sessionId, ...options }))
      )
    )
    return new Session(session.id, this.#run, Deferred.await(this.#closing))
  }

  /** Stops everything in order. What is unfinished goes on at the next start. */
  close(): Promise<void> {
    Deferred.doneUnsafe(this.#closing, Effect.void)
    return this.#runtime.dispose()
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close()
  }
}

export * from "./TurnOutcome.ts"
