/** Pools as the environment has them: one line of YAML, which JSON is too, such as `{cpu: {permits: 4}, tools: {max: 8}}`. */
import { Effect, Schema } from "effect"
import { Yaml } from "effect/encoding"
import { InvalidInput } from "../../services/InvalidInput.ts"
import { type Pools, PoolsConfig } from "../../services/worker/PoolLimits.ts"
import { InvalidConfig } from "./InvalidConfig.ts"

export const variable = "ESPALIER_POOLS"

const decode = Schema.decodeUnknownEffect(PoolsConfig, { errors: "all", onExcessProperty: "error" })

/** Whether the numbers fit is looked at where all of a pool's settings come together. */
export const parse = (text: string): Effect.Effect<Pools, InvalidConfig> =>
  Effect.try({
    try: () => Yaml.parse(text),
    catch: (cause) =>
      new InvalidConfig({
        detail: `${variable} is not YAML (${cause instanceof Error ? cause.message : "unreadable"}); write it like {cpu: {permits: 4}}`
      })
  }).pipe(
    Effect.flatMap((value) => decode(value ?? {})),
    Effect.catchTag("SchemaError", (error) =>
      Effect.fail(InvalidConfig.fromIssues(variable, InvalidInput.fromSchema(error).issues))
    )
  )
