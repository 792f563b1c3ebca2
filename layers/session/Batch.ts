/** What the items that a session has taken from its inbox come to, before anything is written. */
import { Effect, Result } from "effect"
import { type Command, decide, type Decision } from "../../services/session/decide.ts"
import type { SessionEvent } from "../../services/session/SessionEvent.ts"
import type { AnswerContent, QuestionId } from "../../services/question/Question.ts"
import { NoTurn, SessionHasEnded } from "../../services/session/SessionManager.ts"
import { fold, type SessionState } from "../../services/session/SessionState.ts"
import { type Ending, type Attachment, type Item, type LiveSession, topicOf } from "./LiveSession.ts"

/** What a session on its way out takes no more. Its own fibers still report. */
const fromOutside: ReadonlySet<Command["_tag"]> = new Set([
  "Send",
  "Update",
  "RequestCall",
  "AnswerPermission",
  "Spawn",
  "AskQuestion",
  "AnswerQuestion"
])

/** Decides item by item, each against what those before it have made of the state. */
export class Batch {
  /** As it will be, but for the journal's own stamps. */
  state: SessionState
  readonly events: Array<SessionEvent> = []
  /** Answered with the state once the events are durable. */
  readonly accepted: Array<Extract<Item, { readonly _tag: "Decide" | "Look" }>> = []
  /** Answers that do not depend on the events. */
  readonly refused: Array<() => void> = []
  readonly cancels: Array<{ readonly turnId: string; readonly reply: Ending }> = []
  readonly stops: Array<{ readonly reason: string; readonly reply: Ending }> = []
  /** Journaled with the events, and used once they are durable. */
  readonly admissions: Array<Attachment> = []
  /** What was answered to questions that are settled with it: handed over, and never journaled. */
  contents: Map<QuestionId, AnswerContent> | undefined
  /** Of commands that were refused, to be given back. */
  readonly unused: Array<Attachment> = []
  readonly #live: LiveSession
  readonly #at: number

  constructor(live: LiveSession, items: ReadonlyArray<Item>, at: number) {
    this.state = live.state
    this.#live = live
    this.#at = at
    for (const item of items) this.#take(item)
  }

  /** A message waits, and nothing keeps it from having its turn. */
  get isTurnDue(): boolean {
    const { stops, state } = this
    return (
      state.turn === undefined && state.waiting.length > 0 && this.#live.stopping === undefined && stops.length === 0
    )
  }

  evolve(command: Command): Decision {
    const decision = decide(this.state, command)
    if (Result.isSuccess(decision)) {
      for (const event of decision.success) {
        const recorded = { topic: topicOf(this.#live), sequence: this.state.sequence + 1, at: this.#at, event }
        this.events.push(event)
        this.state = fold(this.state, recorded) ?? this.state
      }
    }
    return decision
  }

  #keepContent(command: Command): void {
    if (command._tag !== "AnswerQuestion" && command._tag !== "FollowQuestion") return
    const { content } = command
    if (content === undefined) return
    const { questionId } = command._tag === "AnswerQuestion" ? command : command.told
    this.contents ??= new Map()
    this.contents.set(questionId, content)
  }

  #take(item: Item): void {
    const live = this.#live
    switch (item._tag) {
      case "Look":
        this.accepted.push(item)
        break
      case "Decide": {
        const decision =
          live.stopping !== undefined && fromOutside.has(item.command._tag)
            ? Result.fail(new SessionHasEnded({ sessionId: live.id }))
            : this.evolve(item.command)
        if (Result.isSuccess(decision)) {
          this.accepted.push(item)
          if (decision.success.length > 0) this.#keepContent(item.command)
          this.admissions.push(...item.admissions)
        } else {
          this.refused.push(() => item.reply(Effect.fail(decision.failure)))
          this.unused.push(...item.admissions)
        }
        break
      }
      case "CancelTurn": {
        const { reply } = item
        if (live.stopping !== undefined || this.state.isEnded) {
          this.refused.push(() => reply(Effect.fail(new SessionHasEnded({ sessionId: live.id }))))
        } else if (this.state.turn === undefined) {
          this.refused.push(() => reply(Effect.fail(new NoTurn({ sessionId: live.id }))))
        } else this.cancels.push({ turnId: this.state.turn.id, reply })
        break
      }
      case "Stop":
        this.stops.push({ reason: item.reason, reply: item.reply })
        break
      default:
        break
    }
  }
}
