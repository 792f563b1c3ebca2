/** The tools that come with the runtime. */
import type { Effect } from "effect"
import type { Journal } from "../../services/journal/Journal.ts"
import type { Processes } from "../../services/processes/Processes.ts"
import type { Tool } from "../../services/tools/Tool.ts"
import * as AnalyzeCodebase from "./AnalyzeCodebase.ts"
import * as Delegate from "./Delegate.ts"
import * as GenerateReport from "./GenerateReport.ts"
import * as ProcessLargeFile from "./ProcessLargeFile.ts"
import * as ToolSet from "./ToolSet.ts"

export interface Options {
  /** Directory for what is cloned; made when it is needed, and each clone removed with its call. */
  readonly scratch: string
}

/** Their makers, to be put beside a program's own in a `ToolSet`. */
export const tools = ({ scratch }: Options): ReadonlyArray<Effect.Effect<Tool, never, Journal | Processes>> => [
  AnalyzeCodebase.make({ scratch }),
  ProcessLargeFile.make,
  GenerateReport.make,
  Delegate.make
]

export const layer = (options: Options) => ToolSet.layer(tools(options))
