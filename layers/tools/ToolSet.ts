/** `Tools` over a list that is fixed when the layer is built. */
import { Effect, Layer } from "effect"
import type { Tool } from "../../services/tools/Tool.ts"
import { ToolNotFound, Tools } from "../../services/tools/Tools.ts"

/** Two tools of one name are a defect: it would be chance which of them a caller gets. */
export const make = (tools: ReadonlyArray<Tool>): Effect.Effect<Tools["Service"]> =>
  Effect.suspend(() => {
    const sorted = [...tools].sort((a, b) => (a.name < b.name ? -1 : 1))
    const byName = new Map(sorted.map((tool) => [tool.name, tool]))
    if (byName.size < sorted.length) {
      const twice = sorted.find(({ name }, index) => sorted[index + 1]?.name === name)
      return Effect.die(new Error(`there are two tools of the name "${twice?.name}"`))
    }
    const available = sorted.map(({ name }) => name)
    return Effect.succeed(
      Tools.of({
        get: (name) =>
          Effect.suspend(() => {
            const tool = byName.get(name)
            return tool === undefined ? Effect.fail(new ToolNotFound({ name, available })) : Effect.succeed(tool)
          }),
        list: Effect.succeed(sorted)
      })
    )
  })

/** Takes the makers of the tools, so that what they need comes from the layer's surroundings. */
export const layer = <E = never, R = never>(tools: ReadonlyArray<Effect.Effect<Tool, E, R>>) =>
  Layer.effect(Tools, Effect.flatMap(Effect.all(tools), make))
