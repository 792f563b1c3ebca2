/**
 * What a model or a person may ask to be done: a schema for arguments and result, what one has to know before
 * running it, and an Effect that may report progress.
 */
import { Context, Duration, Effect, Option, Schema } from "effect"
import type { Failure } from "../Failure.ts"
import { InvalidInput, type InputIssue } from "../InvalidInput.ts"
import type { Rate } from "../limits/RateLimits.ts"
import type { SessionId } from "../session/SessionId.ts"
import type { ToolClass } from "./ToolClass.ts"

/** Why a tool could not do its work. The code is stable, the message a sentence that says what to do. */
export class ToolFailure extends Schema.TaggedError<ToolFailure>()("ToolFailure", {
  /** Snake case: `path_not_found`. */
  code: Schema.String,
  message: Schema.String,
  /** Milliseconds after which the same call may work; absent where waiting does not help. */
  retryAfter: Schema.optionalKey(Schema.Int)
}) {
  /** As it is journaled and shown. */
  get failure(): Failure {
    const { code, message, retryAfter } = this
    return retryAfter === undefined ? { code, message } : { code, message, retryAfter }
  }
}

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
  /** What it touches: what permission rules go by. */
  readonly classes: ReadonlyArray<ToolClass>
  /** Is not run unless a person or a rule has allowed it, whatever its classes. */
  readonly needsPermission: boolean
  /** Longest silence between two reports of progress (default 300 s). */
  readonly deadline: Duration.Duration
  /** Longest run whatever it reports (default one hour). */
  readonly hardCap: Duration.Duration
  /** The pool that it runs on when it is heavy (default `tools`). */
  readonly pool?: string | undefined
  /** What quotas per key of that pool count its calls by (default: the kind of agent that calls it). */
  readonly key?: string | undefined
  /** Its place among the tasks of a session, 0 to 9, 9 first, where the caller names none (default 5). */
  readonly priority?: number | undefined
  /** How often one session may call it (default: as often as it likes). */
  readonly rate?: Rate | undefined
}

/** A tool as the runtime holds it: arguments and result are JSON, checked by the tool's own schemas. */
export interface Tool {
  readonly name: string
  readonly description: string
  /** The MCP server that it is of, by its name; absent for the runtime's own. */
  readonly server?: string | undefined
  /** JSON Schema (draft 2020-12) of the arguments. */
  readonly parameters: Schema.JsonObject
  readonly annotations: Annotations
  /** Its classes for these arguments, where they touch less than the tool can. Never more than its annotations say. */
  readonly classesOf?: ((args: Schema.Json) => ReadonlyArray<ToolClass>) | undefined
  /** Its calls are sub-sessions, and this is what they are told. */
  readonly delegates?: ((args: Schema.Json) => Delegation | undefined) | undefined
  /** What is wrong with the arguments; empty when they fit. */
  readonly check: (args: Schema.Json) => Effect.Effect<ReadonlyArray<InputIssue>>
  /** Runs with arguments that `check` has passed; others are a defect. */
  readonly run: (args: Schema.Json) => Effect.Effect<Schema.Json, ToolFailure, ToolCall>
  /**
   * Whether a failure says that the tool is unwell, and counts for its circuit breaker. Most say that what was asked for
   * cannot be done, so by default none does but `tool_crashed`; what the tool does not expect itself always does.
   */
  readonly isUnwell?: ((failure: ToolFailure) => boolean) | undefined
}

/** A task for a sub-session. */
export interface Delegation {
  readonly task: string
  /** Default: as the session that delegates. */
  readonly agentType: string | undefined
  /** Milliseconds. */
  readonly deadline: number | undefined
}

export interface Options<Args, Result, R> {
  readonly name: string
  readonly description: string
  readonly parameters: Schema.Codec<Args, unknown>
  readonly result: Schema.Codec<Result, unknown>
  readonly weight?: "fast" | "heavy"
  readonly idempotent?: boolean
  readonly classes?: ReadonlyArray<ToolClass>
  /** Its classes for these arguments, where they touch less than the tool can. */
  readonly classesOf?: (args: Args) => ReadonlyArray<ToolClass>
  readonly delegates?: (args: Args) => Delegation
  readonly needsPermission?: boolean
  readonly deadline?: Duration.Input
  readonly hardCap?: Duration.Input
  readonly pool?: string
  readonly priority?: number
  readonly rate?: Rate
  readonly isUnwell?: (failure: ToolFailure) => boolean
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
 * default a tool is fast, not idempotent, reads only and needs no permission.
 */
export const make = Effect.fnUntraced(function* <Args, Result, R>(
  options: Options<Args, Result, R>
): Effect.fn.Return<Tool, never, Exclude<R, ToolCall>> {
  const context = yield* Effect.context<Exclude<R, ToolCall>>()
  const args = Schema.toCodecJson(options.parameters)
  const decode = Schema.decodeUnknownEffect(args, { errors: "all", onExcessProperty: "error" })
  const encode = Schema.encodeEffect(Schema.toCodecJson(options.result))
  const classes = options.classes ?? ["read"]
  const { classesOf, delegates } = options
  const decodeOption = Schema.decodeUnknownOption(args, { onExcessProperty: "error" })
  return {
    name: options.name,
    description: options.description,
    parameters: jsonSchemaOf(args),
    annotations: {
      weight: options.weight ?? "fast",
      idempotent: options.idempotent ?? false,
      classes,
      needsPermission: options.needsPermission ?? false,
      deadline: Duration.fromInputUnsafe(options.deadline ?? "300 seconds"),
      hardCap: Duration.fromInputUnsafe(options.hardCap ?? "1 hour"),
      pool: options.pool,
      priority: options.priority,
      rate: options.rate
    },
    isUnwell: options.isUnwell,
    ...(classesOf !== undefined && {
      classesOf: (input) => {
        const touched = Option.map(decodeOption(input), classesOf)
        return Option.isSome(touched) ? classes.filter((name) => touched.value.includes(name)) : classes
      }
    }),
    ...(delegates !== undefined && {
      delegates: (input) => Option.getOrUndefined(Option.map(decodeOption(input), delegates))
    }),
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
