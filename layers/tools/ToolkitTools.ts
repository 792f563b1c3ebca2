/** The tools of an `effect/ai` `Toolkit` as the runtime's own: their handlers run in turns, journaled and under deadlines. */
import { type Context, Duration, Effect, Layer, Predicate, Schema, type Scope, Stream } from "effect"
import { Tool as AiTool, type Toolkit } from "effect/ai"
import { InvalidInput, type InputIssue } from "../../services/InvalidInput.ts"
import { Compiler } from "../../services/tools/argumentChecks.ts"
import { type Annotations, type Tool, ToolFailure } from "../../services/tools/Tool.ts"

const isJson = Schema.is(Schema.Json)
const toJson = (value: unknown): Schema.Json => (isJson(value) ? value : (JSON.stringify(value) ?? null))

const sentenceOf = (error: unknown): string =>
  Predicate.hasProperty(error, "message") && Predicate.isString(error.message) && error.message !== ""
    ? error.message
    : Predicate.isString(error)
      ? error
      : (JSON.stringify(error) ?? "it gave no reason")

/** `WeatherUnknown` becomes `weather_unknown`. */
const codeOf = (error: unknown): string =>
  Predicate.hasProperty(error, "_tag") && Predicate.isString(error._tag)
    ? error._tag.replaceAll(/(?<=[a-z0-9])[A-Z]/g, (letter) => `_${letter}`).toLowerCase()
    : "tool_failure"

const failureOf = (error: unknown) => new ToolFailure({ code: codeOf(error), message: sentenceOf(error) })

/** What says nothing of itself is taken for a tool that looks and changes nothing, as `Tool.make` takes it. */
const annotationsOf = ({ annotations, needsApproval }: AiTool.Any): Annotations => {
  const says = (key: typeof AiTool.Destructive) => annotations.mapUnsafe.get(key.key) === true
  return {
    weight: "fast",
    idempotent: says(AiTool.Idempotent) || says(AiTool.Readonly),
    classes: says(AiTool.Destructive) ? ["write"] : ["read"],
    needsPermission: needsApproval !== undefined && needsApproval !== false,
    deadline: Duration.seconds(300),
    hardCap: Duration.hours(1)
  }
}

/** A tool whose parameters are a JSON Schema has nothing else to check its arguments by. */
const compile = (tool: AiTool.Any, parameters: Schema.JsonObject): Tool["check"] | undefined => {
  if (!AiTool.isDynamic(tool) || tool.jsonSchema === undefined) return undefined
  try {
    const check = new Compiler().compile(parameters)
    return (args) => Effect.sync(() => check(args))
  } catch (cause) {
    throw new Error(
      `the parameters of the tool "${tool.name}" are no JSON Schema that arguments can be checked by: ${sentenceOf(cause)}`,
      { cause }
    )
  }
}

type Needs<Tools extends Record<string, AiTool.Any>> = AiTool.HandlerServices<Tools[keyof Tools]>

const toTool = <Tools extends Record<string, AiTool.Any>>(
  { handle }: Toolkit.WithHandler<Tools>,
  name: keyof Tools & string,
  tool: AiTool.Any,
  services: Context.Context<Needs<Tools>>
): Tool => {
  const parameters = Schema.decodeUnknownSync(Schema.JsonObject)(AiTool.getJsonSchema(tool))
  const decode = Schema.decodeUnknownEffect(Schema.toCodecJson(tool.parametersSchema), {
    errors: "all",
    onExcessProperty: "error"
  })
  return {
    name,
    description: AiTool.getDescription(tool) ?? "",
    parameters,
    annotations: annotationsOf(tool),
    check:
      compile(tool, parameters) ??
      ((args) =>
        decode(args).pipe(
          Effect.as([]),
          Effect.catch((error) => Effect.succeed(InvalidInput.fromSchema(error).issues)),
          Effect.provideContext(services)
          // What a tool needs to read its arguments is among what its handler needs; of any tool the compiler cannot tell.
        ) as Effect.Effect<ReadonlyArray<InputIssue>>),
    run: (args) =>
      // `check` has passed them.
      handle(name, args as AiTool.ParametersEncoded<Tools[keyof Tools & string]>).pipe(
        // The last result is the one that counts; those before it tell how far it is.
        Effect.flatMap(Stream.runLast),
        Effect.flatMap((last) => Effect.fromOption(last)),
        Effect.mapError(failureOf),
        Effect.flatMap(({ encodedResult, isFailure }) =>
          isFailure ? Effect.fail(failureOf(encodedResult)) : Effect.succeed(toJson(encodedResult))
        ),
        Effect.provideContext(services)
      )
  }
}

/** The tools with their handlers, which live as long as the scope. */
export const make = <Tools extends Record<string, AiTool.Any>, E, R>(
  toolkit: Toolkit.Toolkit<Tools>,
  handlers: Layer.Layer<AiTool.HandlersFor<Tools>, E, R>
): Effect.Effect<ReadonlyArray<Tool>, E, R | Scope.Scope | Needs<Tools>> =>
  Effect.gen(function* () {
    const context = yield* Layer.build(handlers)
    const handled = yield* Effect.provideContext(toolkit, context)
    const services = yield* Effect.context<Needs<Tools>>()
    return Object.entries(handled.tools).map(([name, tool]) => toTool(handled, name, tool, services))
  })
