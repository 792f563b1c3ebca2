/**
 * `AgentMessages` in this process: into the mailbox that an agent registered with, and otherwise, for a session's main
 * agent, into the session's own, where the message is durable before it counts as delivered.
 */
import { Cause, Clock, Duration, Effect, Layer, Schedule } from "effect"
import { codeOf } from "../../services/gateway/ErrorCodes.ts"
import { type AgentKey, isMain, nameOf } from "../../services/registry/Agent.ts"
import {
  type AgentMessage,
  AgentMessages,
  AUDIENCE,
  DeliveryOutcome,
  type DeliveryReceipt,
  type Letter,
  MAX_AUDIENCE,
  type Receive
} from "../../services/registry/AgentMessage.ts"
import { Registry } from "../../services/registry/Registry.ts"
import { Router } from "../../services/registry/Router.ts"
import { generateMessageId } from "../../services/session/SessionId.ts"
import { SessionManager } from "../../services/session/SessionManager.ts"

/** Deliveries of a broadcast at a time. */
const CONCURRENCY = 16
const PATIENCE = "5 seconds"

const { Delivered, Ended, MailboxFull, NoMailbox, NoSuchAgent, Refused, TimedOut } = DeliveryOutcome.cases

const refused = (error: Error) => Refused.make({ code: codeOf(error).code, message: error.message })

export const make = Effect.gen(function* () {
  const registry = yield* Registry
  const router = yield* Router
  const sessions = yield* SessionManager

  const toSession = ({ session }: AgentKey, message: AgentMessage): Effect.Effect<DeliveryOutcome> =>
    sessions.send({ sessionId: session, ...message }).pipe(
      // With the same message id, so it is not there twice when the session had taken it before it crashed.
      Effect.retry({ schedule: Schedule.spaced("50 millis"), while: ({ _tag }) => _tag === "SessionInterrupted" }),
      Effect.map(({ sequence }): DeliveryOutcome => Delivered.make({ sequence })),
      Effect.catchTags({
        MailboxFull: ({ capacity }) => Effect.succeed(MailboxFull.make({ capacity })),
        SessionNotFound: () => Effect.succeed(NoSuchAgent.make({})),
        SessionHasEnded: () => Effect.succeed(Ended.make({}))
      }),
      Effect.catch((error) => Effect.succeed(refused(error)))
    )

  const toMailbox = (to: AgentKey, receive: Receive, message: AgentMessage): Effect.Effect<DeliveryOutcome> =>
    Effect.catchCauseIf(receive(message), Cause.hasDies, (cause) =>
      Effect.as(
        Effect.logError(`the mailbox of ${nameOf(to)} broke`, cause),
        Refused.make({ code: "internal_error", message: "its mailbox broke; the log tells more" })
      )
    )

  const deliver = (to: AgentKey, message: AgentMessage): Effect.Effect<DeliveryOutcome> =>
    registry.receiver(to).pipe(
      Effect.flatMap((receive) => {
        if (receive !== undefined) return toMailbox(to, receive, message)
        return isMain(to) ? toSession(to, message) : Effect.succeed(NoMailbox.make({}))
      }),
      // A session that is not in memory is in the journal, if it is at all.
      Effect.catchTag("AgentNotFound", () =>
        isMain(to) ? toSession(to, message) : Effect.succeed(NoSuchAgent.make({}))
      )
    )

  const messageOf = Effect.fnUntraced(function* ({ from, messageId, text }: Letter) {
    const message: AgentMessage = {
      messageId: messageId ?? (yield* generateMessageId),
      text,
      ...(from === undefined ? undefined : { from })
    }
    return message
  })

  const inTime = (to: AgentKey, message: AgentMessage, patience: Duration.Input): Effect.Effect<DeliveryReceipt> =>
    deliver(to, message).pipe(
      Effect.timeoutOrElse({ duration: patience, orElse: () => Effect.succeed<DeliveryOutcome>(TimedOut.make({})) }),
      Effect.map((outcome) => ({ agent: to, messageId: message.messageId, outcome }))
    )

  return AgentMessages.of({
    send: (to, letter) =>
      Effect.flatMap(messageOf(letter), (message) => inTime(to, message, letter.patience ?? PATIENCE)),

    route: (to, letter) =>
      Effect.flatMap(messageOf(letter), (message) =>
        router.withAgent({ ...to, except: letter.from }, ({ key }) => inTime(key, message, letter.patience ?? PATIENCE))
      ),

    broadcast: Effect.fnUntraced(function* (to, { limit = AUDIENCE, patience = PATIENCE, ...letter }) {
      const message = yield* messageOf(letter)
      const until = (yield* Clock.currentTimeMillis) + Duration.toMillis(patience)
      const audience = yield* registry.find({ ...to, except: letter.from, limit: Math.min(limit, MAX_AUDIENCE) })
      return yield* Effect.forEach(
        audience,
        ({ key }) => Effect.flatMap(Clock.currentTimeMillis, (now) => inTime(key, message, Math.max(0, until - now))),
        { concurrency: CONCURRENCY }
      )
    })
  })
})

export const layer = Layer.effect(AgentMessages, make)
