/** Our gateway over memory. */
import { Effect, Layer, References } from "effect"
import { NodeRuntime } from "@effect/platform-node"
import * as HttpGateway from "../../layers/gateway/HttpGateway.ts"
import * as Server from "../../src/server/Server.ts"
import { announce } from "./meter.ts"

const ready = Layer.effectDiscard(Effect.map(HttpGateway.url, (url) => announce(Number(new URL(url).port))))

Layer.launch(ready.pipe(Layer.provide(Server.layerMemory({ port: 0, limits: { callsPerSecond: 1_000_000 } })))).pipe(
  Effect.provideService(References.MinimumLogLevel, "Error"),
  NodeRuntime.runMain
)
