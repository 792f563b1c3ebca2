/** A session that something may wait in: one that is in memory, or has to come there because it is not done. */
import { Effect } from "effect"
import * as Topic from "../../services/events/Topic.ts"
import type { SessionId } from "../../services/session/SessionId.ts"
import { SessionNotFound } from "../../services/session/SessionManager.ts"
import type { JournalService } from "./SessionStore.ts"
import type { Others } from "./SubSessions.ts"

export interface Reachable {
  readonly journal: JournalService
  readonly reach: Others["reach"]
}

/** Nothing waits in one that has ended, or that has nothing left to do. */
export const openSession = Effect.fnUntraced(function* ({ journal, reach }: Reachable, sessionId: SessionId) {
  const head = yield* journal.head(Topic.ofSession(sessionId))
  if (head === undefined) return yield* new SessionNotFound({ sessionId })
  if (!head.open) return undefined
  return yield* Effect.catchTag(reach(sessionId), "SessionHasEnded", () => Effect.undefined)
})
