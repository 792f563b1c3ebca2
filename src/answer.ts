/** The answer to one message, as it comes, from the events of its session. */
import { Effect, Stream } from "effect"
import type { Delivery } from "../services/events/RuntimeEvent.ts"
import type { Permission } from "../services/permission/Permission.ts"
import type { Question } from "../services/question/Question.ts"
import type { TurnId } from "../services/session/SessionId.ts"
import { TellingText } from "./TellingText.ts"
import { TurnCancelled, TurnFailed } from "./TurnOutcome.ts"

/**
 * Hands out the text piece by piece and ends with the whole of it when the turn has ended. What has to be allowed
 * meanwhile goes to `ask`, and what MCP servers want to know to `question`.
 */
export const answerTo = <E, E2, R = never>(
  messageId: string,
  deliveries: Stream.Stream<Delivery, E>,
  show: (piece: string) => Effect.Effect<void, E2>,
  ask: (permission: Permission) => Effect.Effect<void, E2, R> = () => Effect.void,
  question: (question: Question) => Effect.Effect<void, E2, R> = () => Effect.void
) =>
  Effect.suspend(() => {
    let turn: TurnId | undefined
    let settled = ""
    const telling = new TellingText()
    const present = (piece: string): Effect.Effect<boolean, E2> =>
      piece === "" ? Effect.succeed(false) : Effect.as(show(piece), false)
    return deliveries.pipe(
      Stream.filter((delivery) => delivery._tag === "Event" || delivery._tag === "Ephemeral"),
      Stream.mapEffect(({ event }): Effect.Effect<boolean, E2 | TurnFailed | TurnCancelled, R> => {
        switch (event._tag) {
          case "TurnStarted":
            if (event.messageId === messageId) turn = event.turnId
            break
          case "TextDelta":
            if (event.turnId === turn) return present(telling.piece(event.text, event.from))
            break
          case "PermissionRequested":
            return turn === undefined ? Effect.succeed(false) : Effect.as(ask(event), false)
          case "QuestionAsked":
            return turn === undefined ? Effect.succeed(false) : Effect.as(question(event), false)
          case "MessageSettled":
            if (event.turnId === turn) {
              settled += event.text
              return present(telling.settle(event.text))
            }
            break
          case "TurnEnded":
            if (event.turnId !== turn) break
            if (event.outcome === "completed") return Effect.succeed(true)
            return event.outcome === "cancelled"
              ? Effect.fail(new TurnCancelled())
              : Effect.fail(new TurnFailed(event.failure ?? { code: "turn_failed", message: "the turn failed" }))
          case "SessionEnded":
            return Effect.fail(new TurnCancelled())
          default:
        }
        return Effect.succeed(false)
      }),
      Stream.takeUntil((hasEnded) => hasEnded),
      Stream.runDrain,
      Effect.map(() => settled)
    )
  })
