/**
 * What a model or a person may ask to be done: a schema for arguments and result, what one has to know before
 * running it, and an Effect that may report progress.
 */
import { Context, Duration, Effect, Schema } from "effect"
import { InvalidInput, type InputIssue } from "../InvalidInput.ts"
import type { SessionId } from "../session/SessionId.ts"

/** Why a tool could not do its work. The code is stable, the message a sentence that says what to do. */
export class ToolFailure extends Schema.TaggedError<ToolFailure>()("ToolFailure", {
  /** Snake case: `path_not_found`. */
  code: Schema.String,
  message: Schema.String
}) {}

/** What a running tool knows of its surroundings. */
export class ToolCall extends Context.Service<
  ToolCall,
  {
    readonly sessionId: SessionId
    /** `percent` 0 to 100. Also a sign of life: it starts the worker's deadline anew. */
    readonly progress: (percent: number, stage: string) => Effect.Effect<void>
  }
>()("espalier/tools/ToolCall") {}

export interface Annotations {
  /** `fast` runs in the turn, `heavy` on the pool. */
  readonly weight: "fast" | "heavy"
  /** May be run twice with the same effect as once, and so is run again after a crash. */
  readonly idempotent: boolean
  /** Is not run unless a person has allowed it. */
  readonly needsPermission: boolean
  /** Longest silence between two reports of progress (default 300 s). */
  readonly deadline: Duration.Duration
  /** Longest run whatever it reports (default one hour). */
  readonly hardCap: Duration.Duration
  /** The pool that it runs on when it is heavy (default `tools`). */
  readonly pool?: string | undefined
  /** Its place among the tasks of a session, 0 to 9, 9 first, where the caller names none (default 5). */
  readonly priority?: number | undefined
}

/** A tool as the runtime holds it: arguments and result are JSON, checked by the tool's own schemas. */
export interface Tool {
  readonly name: string
  readonly description: string
  /** JSON Schema (draft 2020-12) of the arguments. */
  readonly parameters: Schema.JsonObject
  readonly annotations: Annotations
  /** What is wrong with the arguments; empty when they fit. */
  readonly check: (args: Schema.Json) => Effect.Effect<ReadonlyArray<InputIssue>>
  /** Runs with arguments that `check` has passed; others are a defect. */
  readonly run: (args: Schema.Json) => Effect.Effect<Schema.Json, ToolFailure, ToolCall>
}

export interface Options<Args, Result, R> {
  readonly name: string
  readonly description: string
  readonly parameters: Schema.Codec<Args, unknown>
  readonly result: Schema.Codec<Result, unknown>
  readonly weight?: "fast" | "heavy"
  readonly idempotent?: boolean
  readonly needsPermission?: boolean
  readonly deadline?: Duration.Input
  readonly hardCap?: Duration.Input
  readonly pool?: string
  readonly priority?: number
  readonly run: (args: Args) => Effect.Effect<Result, ToolFailure, R>
}

const jsonSchemaOf = (schema: Schema.Top): Schema.JsonObject => {
  const { definitions, schema: root } = Schema.toJsonSchemaDocument(schema, { onExcessProperty: "error" })
  return Schema.decodeUnknownSync(Schema.JsonObject)(
    Object.keys(definitions).length === 0 ? root : { ...root, $defs: definitions }
  )
}

/**
 * Makes a tool. What `run` needs besides the `ToolCall` is taken from the surroundings in which the tool is made. By
 * default a tool is fast, not idempotent and needs no permission.
 */
export const make = Effect.fnUntraced(function* <Args, Result, R>(
  options: Options<Args, Result, R>
): Effect.fn.Return<Tool, never, Exclude<R, ToolCall>> {
  const context = yield* Effect.context<Exclude<R, ToolCall>>()
  const args = Schema.toCodecJson(options.parameters)
  const decode = Schema.decodeUnknownEffect(args, { errors: "all", onExcessProperty: "error" })
  const encode = Schema.encodeEffect(Schema.toCodecJson(options.result))
  return {
    name: options.name,
    description: options.description,
    parameters: jsonSchemaOf(args),
    annotations: {
      weight: options.weight ?? "fast",
      idempotent: options.idempotent ?? false,
      needsPermission: options.needsPermission ?? false,
      deadline: Duration.fromInputUnsafe(options.deadline ?? "300 seconds"),
      hardCap: Duration.fromInputUnsafe(options.hardCap ?? "1 hour"),
      pool: options.pool,
      priority: options.priority
    },
    check: (input) =>
      decode(input).pipe(
        Effect.as([]),
        Effect.catch((error) => Effect.succeed(InvalidInput.fromSchema(error).issues))
      ),
    run: (input) =>
      decode(input).pipe(
        Effect.orDie,
        Effect.flatMap(options.run),
        Effect.flatMap((result) => Effect.orDie(encode(result))),
        Effect.provide(context)
        // Of R without ToolCall, taken from R, remains ToolCall at most: the compiler cannot tell while R is open.
      ) as Effect.Effect<Schema.Json, ToolFailure, ToolCall>
  }
})
