/**
 * `Tools` whose calls go through their rate limit and their circuit breaker, wherever they run.
 *
 * The rate comes first: a call that it refuses says nothing of the tool. A call that the breaker refuses has cost its
 * token all the same, so that a model that asks again and again is slowed down either way.
 */
import { Effect, Layer } from "effect"
import { Breakers } from "../../services/limits/Breakers.ts"
import { type Rate, RateLimits } from "../../services/limits/RateLimits.ts"
import * as toolLimits from "../../services/limits/toolLimits.ts"
import { type Tool, ToolCall, type ToolFailure } from "../../services/tools/Tool.ts"
import { Tools } from "../../services/tools/Tools.ts"

export interface Options {
  /** How often one session may call tools, all of them together (default: as often as it likes). */
  readonly rate?: Rate | undefined
}

/** Name of the limit on all tools together. */
const allTools = "tools"

const hasCrashed = ({ code }: ToolFailure) => code === "tool_crashed"

export const make = Effect.fnUntraced(function* ({ rate }: Options) {
  const tools = yield* Tools
  const breakers = yield* Breakers
  const limits = yield* RateLimits
  const guarded = new WeakMap<Tool, Tool>()

  const guard = (tool: Tool): Tool => {
    const name = toolLimits.ofTool(tool.name)
    const own = tool.annotations.rate
    const admit = Effect.flatMap(ToolCall, ({ sessionId: key }) =>
      Effect.andThen(
        own === undefined ? Effect.void : limits.take({ ...own, name }, { key }),
        rate === undefined ? Effect.void : limits.take({ ...rate, name: allTools }, { key })
      )
    ).pipe(Effect.mapError(toolLimits.failureOf))
    return {
      ...tool,
      run: (args) =>
        Effect.andThen(
          admit,
          breakers.guard(name, tool.run(args), {
            isFailure: tool.isUnwell ?? hasCrashed,
            fallback: (refusal) => Effect.fail(toolLimits.failureOf(refusal))
          })
        )
    }
  }
  const guardOnce = (tool: Tool): Tool => {
    const found = guarded.get(tool) ?? guard(tool)
    guarded.set(tool, found)
    return found
  }

  // A list that stayed the same is the same list: who made something of it need not make it anew.
  let listed: ReadonlyArray<Tool> | undefined
  let list: ReadonlyArray<Tool> = []

  return Tools.of({
    get: (name) => Effect.map(tools.get(name), guardOnce),
    list: Effect.map(tools.list, (tools) => {
      if (tools !== listed) list = tools.map(guardOnce)
      listed = tools
      return list
    })
  })
})

/** Around the `Tools` of its surroundings. */
export const layer = (options: Options = {}) => Layer.effect(Tools, make(options))
