/** The tools that come with the runtime. */
import { Effect } from "effect"
import * as AnalyzeCodebase from "./AnalyzeCodebase.ts"
import * as GenerateReport from "./GenerateReport.ts"
import * as ProcessLargeFile from "./ProcessLargeFile.ts"
import * as ReapedProcesses from "./ReapedProcesses.ts"

export interface Options {
  /** Directory for what is cloned; made when it is needed, and each clone removed with its call. */
  readonly scratch: string
}

/** Made where the journal is; heavy ones bring their threads and processes with them. */
export const make = ({ scratch }: Options) =>
  Effect.all([AnalyzeCodebase.make({ scratch }), ProcessLargeFile.make, GenerateReport.make]).pipe(
    Effect.provide(ReapedProcesses.layer)
  )
