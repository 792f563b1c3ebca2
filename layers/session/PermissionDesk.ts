/** Where persons see what waits for their leave, and answer. */
import { Clock, Effect, Option } from "effect"
import { Person } from "../../services/access/Person.ts"
import { rulesFor } from "../../services/permission/Approval.ts"
import { PermissionMismatch } from "../../services/permission/Permission.ts"
import { Command } from "../../services/session/decide.ts"
import type { SessionId } from "../../services/session/SessionId.ts"
import { type PermissionReply, SessionInterrupted } from "../../services/session/SessionManager.ts"
import { ToolCall } from "../../services/tools/Tool.ts"
import * as LiveSession from "./LiveSession.ts"
import { openSession, type Reachable } from "./openSession.ts"
import { eventAt } from "./SessionStore.ts"

export const make = ({ journal, reach }: Reachable) => {
  /** What is asked, as it was journaled. */
  const askedAt = (sessionId: SessionId, sequence: number) =>
    Effect.map(eventAt(journal, sessionId, sequence), (recorded) => {
      if (recorded?.event._tag !== "PermissionRequested") return undefined
      const { _tag, ...permission } = recorded.event
      return permission
    })

  const permissions = Effect.fnUntraced(function* (sessionId: SessionId) {
    const session = yield* openSession({ journal, reach }, sessionId)
    const pending = session?.state.permission.pending ?? []
    const asked = yield* Effect.forEach(pending, ({ sequence }) => askedAt(sessionId, sequence))
    return asked.filter((permission) => permission !== undefined)
  })

  const resolve = Effect.fnUntraced(function* ({ remember = false, ...reply }: PermissionReply) {
    const { decision, hash, permissionId, sessionId } = reply
    // Whatever a tool gets hold of while it runs, it is no person.
    if (Option.isSome(yield* Effect.serviceOption(ToolCall))) return yield* new PermissionMismatch({ permissionId })
    // What waits for an answer keeps its session in memory.
    const session = yield* reach(sessionId)
    const asked = session.state.permission.pending.find((asked) => asked.permissionId === permissionId)
    const shown =
      remember && decision === "allow" && asked !== undefined ? yield* askedAt(sessionId, asked.sequence) : undefined
    const now = yield* Clock.currentTimeMillis
    const allowed = shown === undefined ? undefined : rulesFor(shown)
    const person = yield* Person
    // The session that asks decides, wherever it is answered: of two answers at the same time one counts.
    const asker = asked?.path?.at(-1)
    const at = asker === undefined ? session : yield* reach(asker)
    yield* LiveSession.decide(
      at,
      Command.AnswerPermission({ permissionId, decision, hash, person, allowed, now })
    ).pipe(
      Effect.catchTag([...LiveSession.ofTurns, ...LiveSession.ofQuestions], Effect.die),
      Effect.catchTag("MailboxFull", () => Effect.fail(new SessionInterrupted({ sessionId })))
    )
  })

  return { permissions, resolve }
}
