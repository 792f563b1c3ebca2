/** `Tools` over a list that is fixed when the layer is built, and over sources whose tools come and go. */
import { Effect, Layer } from "effect"
import type { Tool } from "../../services/tools/Tool.ts"
import { ToolNotFound, Tools } from "../../services/tools/Tools.ts"
import type { ToolSource } from "../../services/tools/ToolSource.ts"

/** Names that a refusal lists. */
const maxNames = 100

const byName = (a: Tool, b: Tool): number => (a.name < b.name ? -1 : 1)

/**
 * Two fixed tools of one name are a defect: it would be chance which of them a caller gets. A fixed tool stands before
 * those of sources, and an earlier source before a later one, so nothing that comes later takes another's name.
 */
export const make = (
  fixed: ReadonlyArray<Tool>,
  sources: ReadonlyArray<ToolSource> = []
): Effect.Effect<Tools["Service"]> =>
  Effect.suspend(() => {
    const sorted = fixed.toSorted(byName)
    const named = new Map(sorted.map((tool) => [tool.name, tool]))
    if (named.size < sorted.length) {
      const twice = sorted.find(({ name }, index) => sorted[index + 1]?.name === name)
      return Effect.die(new Error(`there are two tools of the name "${twice?.name}"`))
    }

    const find = (name: string): Tool | undefined => {
      const tool = named.get(name)
      if (tool !== undefined) return tool
      for (const source of sources) {
        const found = source.find(name)
        if (found !== undefined) return found
      }
      return undefined
    }

    // Whoever prepares tools for a model does it once for as long as the list is the same array.
    let merged: ReadonlyArray<Tool> = sorted
    let mergedFrom: ReadonlyArray<ReadonlyArray<Tool>> = []
    const list =
      sources.length === 0
        ? Effect.succeed(sorted)
        : Effect.map(
            Effect.forEach(sources, (source) => source.list),
            (lists) => {
              if (lists.every((each, i) => each === mergedFrom[i]) && mergedFrom.length > 0) return merged
              const all = new Map(named)
              for (const tool of lists.flat()) if (!all.has(tool.name)) all.set(tool.name, tool)
              mergedFrom = lists
              merged = [...all.values()].sort(byName)
              return merged
            }
          )

    return Effect.succeed(
      Tools.of({
        get: (name) =>
          Effect.suspend(() => {
            const tool = find(name)
            return tool !== undefined
              ? Effect.succeed(tool)
              : Effect.flatMap(list, (tools) => {
                  // A source may have had to be waited for.
                  const late = find(name)
                  return late === undefined
                    ? Effect.fail(
                        new ToolNotFound({ name, available: tools.slice(0, maxNames).map(({ name }) => name) })
                      )
                    : Effect.succeed(late)
                })
          }),
        list
      })
    )
  })

/** Takes the makers of the tools, so that what they need comes from the layer's surroundings. */
export const layer = <E = never, R = never, E2 = never, R2 = never>(
  tools: ReadonlyArray<Effect.Effect<Tool, E, R>>,
  sources: Effect.Effect<ReadonlyArray<ToolSource>, E2, R2> = Effect.succeed([])
) =>
  Layer.effect(
    Tools,
    Effect.flatMap(Effect.all([Effect.all(tools), sources]), ([tools, sources]) => make(tools, sources))
  )
