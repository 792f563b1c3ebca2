/** A `Client` whose server is in the same process: the runtime with its handlers, and nothing on the wire. */
import { Effect, Layer } from "effect"
import { RpcTest } from "effect/rpc"
import * as GatewayHandlers from "../../layers/gateway/GatewayHandlers.ts"
import { GatewayRpcs } from "../../services/gateway/GatewayRpcs.ts"
import * as Client from "../client.ts"
import * as Runtime from "./Runtime.ts"
import { resolveSettings } from "./Settings.ts"

const make = Effect.map(RpcTest.makeClient(GatewayRpcs, { flatten: true, disableFatalDefects: true }), (send) =>
  Client.fromSend("this process", send)
)

/** The runtime over the data directory that a server would use; it must not be in use by one. */
export const layer = (given: {
  readonly dataDirectory?: string | undefined
  readonly mcpConfig?: string | undefined
}) =>
  Layer.unwrap(
    Effect.map(resolveSettings(given), (settings) =>
      Layer.effect(Client.Client, make).pipe(
        Layer.provide(GatewayHandlers.layer),
        Layer.provide(Runtime.layer(settings))
      )
    )
  )
