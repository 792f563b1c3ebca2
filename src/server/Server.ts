/** A server: the runtime in its data directory, and the gateway in front of it. */
import { Layer } from "effect"
import * as HttpGateway from "../../layers/gateway/HttpGateway.ts"
import type { ConnectionLimits } from "../../services/gateway/ConnectionLimits.ts"
import { version } from "../version.ts"
import * as Runtime from "./Runtime.ts"

export interface Options extends Runtime.Options {
  readonly dataDirectory: string
  /** 0 takes a port that is free. */
  readonly port: number
  /** Default 127.0.0.1. */
  readonly host?: string | undefined
  /** What connections may cost, where it is to differ from the default. */
  readonly limits?: Partial<ConnectionLimits> | undefined
}

/** The gateway goes first and the runtime after it, so nothing is accepted that cannot be done. */
export const layer = ({ host, limits, port, ...options }: Options) =>
  HttpGateway.layer({ host, port, version, limits }).pipe(Layer.provideMerge(Runtime.layer(options)))

/** The same over memory, for tests: what it did is gone with it. */
export const layerMemory = ({
  host,
  limits,
  port,
  ...options
}: Omit<Options, "dataDirectory"> & Pick<Parameters<typeof Runtime.layerMemory>[0] & object, "journal">) =>
  HttpGateway.layer({ host, port, version, limits }).pipe(Layer.provideMerge(Runtime.layerMemory(options)))
