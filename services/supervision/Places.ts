/**
 * The fixed places in the runtime's own tree. A layer that runs something asks for its place and starts its child
 * there; the places themselves are started once, in order, by `layers/supervision/RuntimeTree.ts`.
 */
import { Context } from "effect"
import type { SupervisorRef } from "./Supervisor.ts"

/** Root: `espalier`, one_for_one. */
export class Root extends Context.Service<Root, SupervisorRef>()("espalier/supervision/Root") {}

/** Journal, event bus, registry: rest_for_one, for each stands on those before it. */
export class Foundation extends Context.Service<Foundation, SupervisorRef>()("espalier/supervision/Foundation") {}

/** Sessions, session manager, monitor. */
export class Coordinators extends Context.Service<Coordinators, SupervisorRef>()("espalier/supervision/Coordinators") {}

/** Pool, tool executors, exports, maintenance. */
export class Workers extends Context.Service<Workers, SupervisorRef>()("espalier/supervision/Workers") {}

/** Below Coordinators: one child per live session. Each may crash 3 times in 5 seconds; the fourth ends it alone. */
export class Sessions extends Context.Service<Sessions, SupervisorRef>()("espalier/supervision/Sessions") {}

/** Below Workers: one child per running worker. Temporary children. */
export class ToolExecutors extends Context.Service<ToolExecutors, SupervisorRef>()(
  "espalier/supervision/ToolExecutors"
) {}

/** Below Workers: exports under way. Temporary children. */
export class Exports extends Context.Service<Exports, SupervisorRef>()("espalier/supervision/Exports") {}
