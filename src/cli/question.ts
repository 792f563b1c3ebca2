/** What MCP servers ask the person of a session, and the answers to it. */
import { Effect, Option, Result, Schema } from "effect"
import { Argument, Command, Flag } from "effect/cli"
import { InvalidInput } from "../../services/InvalidInput.ts"
import { type Field, read } from "../../services/question/Form.ts"
import { AnswerContent, Question, QuestionAction, QuestionId } from "../../services/question/Question.ts"
import { SessionId } from "../../services/session/SessionId.ts"
import type * as Client from "../client.ts"
import { UsageError } from "./Failure.ts"
import * as Output from "./Output.ts"
import { fieldsIn, questionText } from "./questionText.ts"
import { withClient } from "./Root.ts"
import * as Terminal from "./Terminal.ts"

const sessionId = Argument.String("session").pipe(
  Argument.withSchema(SessionId),
  Argument.withDescription('A session\'s id; see "espalier session list"')
)

export const questions = Command.make("questions", { sessionId }, ({ sessionId }) =>
  withClient((espalier) =>
    Effect.gen(function* () {
      const asked = yield* espalier.ListQuestions({ sessionId })
      const texts = yield* Effect.forEach(asked, questionText)
      yield* Output.print(Schema.Array(Question), asked, () =>
        texts.length === 0 ? Terminal.dim("nothing is asked") : texts.join("\n\n")
      )
    })
  )
).pipe(Command.withDescription("What MCP servers ask the person of the session, with the forms to fill in"))

const question = Argument.String("question").pipe(
  Argument.withSchema(QuestionId),
  Argument.withDescription('What is asked; see "espalier session questions". Needed when more than one is'),
  Argument.optional
)

const accept = Flag.KeyValuePair("accept").pipe(
  Flag.withDescription("Answer a field, name=value; may be given more than once"),
  Flag.optional
)
const content = Flag.String("content").pipe(
  Flag.withDescription('Answer all fields, as one JSON object: \'{"colour":"green"}\''),
  Flag.withSchema(Schema.fromJsonString(AnswerContent)),
  Flag.optional
)
const decline = Flag.Boolean("decline").pipe(Flag.withDescription("Say that you do not tell"), Flag.withDefault(false))
const cancel = Flag.Boolean("cancel").pipe(
  Flag.withDescription("Say that you do not want to be asked"),
  Flag.withDefault(false)
)

interface Said {
  readonly accept: Option.Option<Readonly<Record<string, string>>>
  readonly content: Option.Option<AnswerContent>
  readonly decline: boolean
  readonly cancel: boolean
}

const actionOf = ({ accept, cancel, content, decline }: Said): Effect.Effect<QuestionAction, UsageError> => {
  const said: ReadonlyArray<QuestionAction> = [
    ...(Option.isSome(accept) || Option.isSome(content) ? (["accept"] as const) : []),
    ...(decline ? (["decline"] as const) : []),
    ...(cancel ? (["cancel"] as const) : [])
  ]
  const [action, ...others] = said
  return action === undefined || others.length > 0
    ? Effect.fail(
        new UsageError({ message: "say one of it: --accept name=value …, --content '{…}', --decline or --cancel" })
      )
    : Effect.succeed(action)
}

/** What was typed, as the form wants it. What it does not know goes along, and is refused with the rest. */
const typed = (fields: ReadonlyArray<Field>, values: Readonly<Record<string, string>>) =>
  Effect.gen(function* () {
    const parsed = Object.entries(values).map(([name, text]) => {
      const field = fields.find((field) => field.name === name)
      return { name, value: field === undefined ? Result.succeed(text) : read(field, text) }
    })
    const issues = parsed.flatMap(({ name, value }) =>
      Result.isFailure(value) ? [{ path: name, message: value.failure }] : []
    )
    if (issues.length > 0) return yield* new InvalidInput({ subject: "--accept", issues })
    return Object.fromEntries(
      parsed.flatMap(({ name, value }) => (Result.isSuccess(value) ? [[name, value.success] as const] : []))
    )
  })

const Answered = Schema.Struct({ questionId: QuestionId, action: QuestionAction })

const reply = Effect.fnUntraced(function* (
  espalier: Client.Operation,
  sessionId: SessionId,
  wanted: QuestionId | undefined,
  said: Said
) {
  const action = yield* actionOf(said)
  const asked = yield* espalier.ListQuestions({ sessionId })
  if (wanted === undefined && asked.length > 1) {
    return yield* new UsageError({
      message: `${asked.length} questions are asked; name one: see "espalier session questions ${sessionId}"`
    })
  }
  const found = wanted === undefined ? asked[0] : asked.find(({ questionId }) => questionId === wanted)
  const questionId = wanted ?? found?.questionId
  if (questionId === undefined) return yield* new UsageError({ message: "nothing is asked" })
  const fields = found === undefined ? [] : fieldsIn(found)
  const content = {
    ...Option.getOrUndefined(said.content),
    ...(yield* typed(
      fields,
      Option.getOrElse(said.accept, () => ({}))
    ))
  }
  yield* espalier.AnswerQuestion({ sessionId, questionId, action, ...(action === "accept" ? { content } : {}) })
  const done = { accept: "answered", decline: "declined", cancel: "cancelled" }[action]
  yield* Output.print(Answered, { questionId, action }, () => `${done} ${questionId}`)
})

export const answer = Command.make(
  "answer",
  { sessionId, question, accept, content, decline, cancel },
  ({ question, sessionId, ...said }) =>
    withClient((espalier) => reply(espalier, sessionId, Option.getOrUndefined(question), said))
).pipe(
  Command.withDescription("Answer what an MCP server asks; the answer goes to the server and is kept nowhere"),
  Command.withExamples([
    { command: "espalier session answer ses_… --accept colour=green", description: "Fill in the form" },
    { command: "espalier session answer ses_… --decline", description: "Do not tell" }
  ])
)
