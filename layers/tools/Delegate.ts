/** `delegate`: gives a task to an agent of its own, in a sub-session. The turn that calls it does all there is to it. */
import { Effect, Schema } from "effect"
import * as Tool from "../../services/tools/Tool.ts"

const Parameters = Schema.Struct({
  task: Schema.NonEmptyString.check(Schema.isMaxLength(100_000)).annotate({
    description: "What is to be done, with all that has to be known for it: the agent sees nothing else"
  }),
  agentType: Schema.optionalKey(
    Schema.String.check(Schema.isMaxLength(100)).annotate({ description: "The type of agent; by default as this one" })
  ),
  /** Seconds. */
  deadline: Schema.optionalKey(
    Schema.Int.check(Schema.isBetween({ minimum: 1, maximum: 86_400 })).annotate({
      description: "Seconds that it may take; by default an hour"
    })
  )
})

export const make = Tool.make({
  name: "delegate",
  description:
    "Gives a task to an agent of its own and waits for its answer. Call it several times at once to have tasks done side by side.",
  parameters: Parameters,
  result: Schema.Struct({ sessionId: Schema.String, answer: Schema.String }),
  classes: [],
  delegates: ({ agentType, deadline, task }) => ({
    task,
    agentType,
    deadline: deadline === undefined ? undefined : deadline * 1_000
  }),
  run: () =>
    Effect.fail(
      new Tool.ToolFailure({
        code: "not_by_hand",
        message: "only a session's own turn delegates; start a sub-session with StartSession and its parent instead"
      })
    )
})
