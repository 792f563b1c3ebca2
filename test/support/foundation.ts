import { Layer } from "effect"
import * as FiberSupervisor from "../../layers/supervision/FiberSupervisor.ts"
import * as RuntimeTree from "../../layers/supervision/RuntimeTree.ts"

/** The runtime's own tree, for what hangs on its foundation. */
export const foundationLayer = RuntimeTree.layer.pipe(Layer.provide(FiberSupervisor.layer))
