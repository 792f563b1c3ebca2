/** Calls a tool as the runtime would, and keeps what it reported. */
import { Effect, Schema } from "effect"
import { SessionId } from "../../services/session/SessionId.ts"
import { type Tool, ToolCall } from "../../services/tools/Tool.ts"

export interface Report {
  readonly percent: number
  readonly stage: string
}

export const reporting = (reports: Array<Report> = []) => ({
  reports,
  call: ToolCall.of({
    sessionId: SessionId.make("ses_test"),
    progress: (percent, stage) => Effect.sync(() => void reports.push({ percent, stage }))
  })
})

/** The decoded result; arguments that do not fit are a defect. */
export const callTool = <A>(tool: Tool, result: Schema.Codec<A, unknown>, args: Schema.Json, reports?: Array<Report>) =>
  Effect.gen(function* () {
    const issues = yield* tool.check(args)
    if (issues.length > 0) return yield* Effect.die(new Error(JSON.stringify(issues)))
    const json = yield* tool.run(args)
    return yield* Effect.orDie(Schema.decodeUnknownEffect(Schema.toCodecJson(result))(json))
  }).pipe(Effect.provideService(ToolCall, reporting(reports).call))

export const stages = (reports: ReadonlyArray<Report>): ReadonlyArray<string> => [
  ...new Set(reports.map(({ stage }) => stage))
]
