/** Runs a fast tool where it was asked for, under its deadline, and says how it ended. It never fails. */
import { Clock, Duration, Effect, type Schema } from "effect"
import type { ToolOutcome } from "../../services/session/SessionEvent.ts"
import type { SessionId } from "../../services/session/SessionId.ts"
import { type Tool, ToolCall } from "../../services/tools/Tool.ts"

export const failed = (code: string, message: string): ToolOutcome => ({
  _tag: "ToolFailed",
  failure: { code, message }
})

export const run = (sessionId: SessionId, tool: Tool, args: Schema.Json): Effect.Effect<ToolOutcome> =>
  Effect.flatMap(Clock.currentTimeMillis, (startedAt) => {
    let heardAt = startedAt
    const silence = Duration.toMillis(tool.annotations.deadline)
    const longest = Duration.toMillis(tool.annotations.hardCap)
    const progress = () =>
      Effect.map(Clock.currentTimeMillis, (now) => {
        heardAt = now
      })

    const watch: Effect.Effect<ToolOutcome> = Effect.flatMap(Clock.currentTimeMillis, (now) => {
      const left = Math.min(heardAt + silence, startedAt + longest) - now
      return left > 0
        ? Effect.andThen(Effect.sleep(left), watch)
        : Effect.succeed(
            failed(
              "deadline_exceeded",
              now - startedAt >= longest
                ? `${tool.name} ran for ${Duration.format(tool.annotations.hardCap)}, which is the longest it may`
                : `${tool.name} gave no sign of life for ${Duration.format(tool.annotations.deadline)}`
            )
          )
    })

    const work = tool.run(args).pipe(
      Effect.provideService(ToolCall, { sessionId, progress }),
      Effect.map((result): ToolOutcome => ({ _tag: "ToolCompleted", result })),
      Effect.catch(({ failure }) => Effect.succeed<ToolOutcome>({ _tag: "ToolFailed", failure })),
      // Also when it interrupts itself: an interruption from outside does not come here.
      Effect.catchCause((cause) =>
        Effect.as(
          Effect.logError(`tool ${tool.name} of ${sessionId} broke`, cause),
          failed("tool_crashed", `${tool.name} broke while it ran; the server's log tells why`)
        )
      )
    )
    return Effect.raceFirst(work, watch)
  })
