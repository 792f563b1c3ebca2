/** What MCP servers ask, put to the person one question after the other, field by field. */
import { type Cause, Clock, Effect, FiberMap, Result } from "effect"
import { visible } from "../../../services/permission/visible.ts"
import { type Field, read, type Value } from "../../../services/question/Form.ts"
import type { Answer, Question, QuestionId } from "../../../services/question/Question.ts"
import type { SessionEvent } from "../../../services/session/SessionEvent.ts"
import type { Asking } from "../Asking.ts"
import { insist } from "../insist.ts"
import { fieldsIn, fieldText } from "../questionText.ts"
import * as Terminal from "../Terminal.ts"
import { type Room, told } from "./Room.ts"

const HELP = "/decline: do not tell; /dismiss: do not be asked"
const ways: Readonly<Record<string, "decline" | "cancel">> = { "/decline": "decline", "/dismiss": "cancel" }

const done = { accept: "answered", decline: "declined", cancel: "dismissed" } as const

type Settled = Extract<SessionEvent, { readonly _tag: "QuestionSettled" }>

const settledElsewhere = ({ action }: Settled): string => {
  switch (action) {
    case "expired":
      return "nobody answered in time, and it is not asked any more"
    case "withdrawn":
      return "that is not asked any more: what asked it is over"
    default:
      return `${done[action]} elsewhere`
  }
}

type Line = (prompt: string) => Effect.Effect<string, Cause.Done>

export const make = Effect.fnUntraced(function* (room: Room, asking: Asking) {
  const { espalier, lines, screen, sessionId, talk } = room
  const asked = yield* FiberMap.make<QuestionId>()
  /** Answered from here. */
  const answered = new Set<QuestionId>()

  const show = ({ expiresAt, message, path = [], server }: Question) =>
    Effect.gen(function* () {
      const [asker = sessionId] = path.slice(-1)
      const who = path.length === 0 ? "" : ` for ${talk.nameOf(asker) ?? `sub-session ${asker}`}`
      const left = Terminal.duration(Math.max(0, expiresAt - (yield* Clock.currentTimeMillis)))
      yield* lines.tell(`the MCP server ${visible(server)} asks${who}: ${visible(message)}`)
      yield* lines.tell(`${HELP}; it waits for ${left}`)
    })

  /** A value, nothing where a field is left out, or that the person does not want to. */
  const fill = Effect.fnUntraced(function* (
    line: Line,
    field: Field
  ): Effect.fn.Return<Value | undefined | Answer, Cause.Done> {
    for (const text of fieldText(field)) yield* lines.tell(text)
    while (true) {
      const text = yield* line(`${visible(field.name)}: `)
      const way = ways[text.trim()]
      if (way !== undefined) return { action: way }
      if (text.trim() === "" && (field.default !== undefined || !field.isRequired)) return undefined
      const value = read(field, text)
      if (Result.isSuccess(value)) return value.success
      yield* lines.tell(`${visible(value.failure)}; ${HELP}`)
    }
  })

  const confirm = Effect.fnUntraced(function* (line: Line): Effect.fn.Return<Answer, Cause.Done> {
    while (true) {
      const text = (yield* line("is that all right? [y/n] ")).trim().toLowerCase()
      if (text === "y" || text === "yes") return { action: "accept", content: {} }
      const way = text === "n" || text === "no" ? "decline" : ways[text]
      if (way !== undefined) return { action: way }
      yield* lines.tell(HELP)
    }
  })

  const ask = Effect.fnUntraced(function* (line: Line, question: Question): Effect.fn.Return<Answer, Cause.Done> {
    const fields = fieldsIn(question)
    if (fields.length === 0) return yield* confirm(line)
    const content: Array<readonly [string, Value]> = []
    for (const field of fields) {
      const value = yield* fill(line, field)
      if (typeof value === "object" && "action" in value) return value
      if (value !== undefined) content.push([field.name, value])
    }
    return { action: "accept", content: Object.fromEntries(content) }
  })

  const answer = ({ questionId }: Question, said: Answer) => {
    answered.add(questionId)
    return told(
      room,
      Effect.andThen(
        insist(espalier.AnswerQuestion({ sessionId, questionId, ...said })),
        screen.note(done[said.action])
      )
    )
  }

  const declined: Answer = { action: "decline" }

  const request = (question: Question) =>
    asking.inTurn((line) =>
      Effect.andThen(
        show(question),
        // A pipe holds messages, and no answers to what nobody could foresee.
        lines.isPerson ? Effect.catch(ask(line, question), () => Effect.succeed(declined)) : Effect.succeed(declined)
      ).pipe(Effect.flatMap((said) => answer(question, said)))
    )

  return {
    request: (question: Question) =>
      Effect.asVoid(FiberMap.run(asked, question.questionId, request(question), { onlyIfMissing: true })),
    /** It was answered, here or elsewhere, or is not asked any more. */
    settle: (event: Settled) =>
      Effect.gen(function* () {
        if (answered.delete(event.questionId)) return
        const wasAsked = yield* FiberMap.has(asked, event.questionId)
        yield* FiberMap.remove(asked, event.questionId)
        if (!wasAsked) return
        yield* screen.note(settledElsewhere(event))
        if (!asking.isWaiting()) yield* lines.prompt()
      })
  }
})
