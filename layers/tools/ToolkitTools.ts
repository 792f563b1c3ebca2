/** The tools of an `effect/ai` `Toolkit` as the runtime's own: their handlers run in turns, journaled and under deadlines. */
import { Context, Effect, Layer, Predicate, Schema, type Scope, Stream } from "effect"
import { Tool as AiTool, type Toolkit } from "effect/ai"
import { InvalidInput } from "../../services/InvalidInput.ts"
import { type Tool, ToolCall, ToolFailure } from "../../services/tools/Tool.ts"
import * as OwnTool from "../../services/tools/Tool.ts"

type AnyTools = Record<string, AiTool.Any>

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
const annotationsOf = (tool: AiTool.Any): Tool["annotations"] => ({
  ...OwnTool.defaults,
  idempotent: Context.get(tool.annotations, AiTool.Idempotent),
  classes: Context.getOrUndefined(tool.annotations, AiTool.Destructive) === true ? ["write"] : ["read"],
  needsPermission: tool.needsApproval !== undefined && tool.needsApproval !== false
})
