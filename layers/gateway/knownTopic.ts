/** Whether there is such a topic: one of a session or a worker exists once its stream does. */
import { Effect } from "effect"
import { isWildcard, type Subject } from "../../services/events/Topic.ts"
import { Journal } from "../../services/journal/Journal.ts"
import type { StorageError } from "../../services/journal/StorageError.ts"
import { SessionId } from "../../services/session/SessionId.ts"
import { SessionNotFound } from "../../services/session/SessionManager.ts"
import { WorkerId } from "../../services/worker/WorkerId.ts"
import { WorkerNotFound } from "../../services/worker/WorkerPool.ts"

export const make = Effect.map(
  Journal,
  (journal) =>
    (topic: Subject): Effect.Effect<void, SessionNotFound | WorkerNotFound | StorageError> => {
      const [kind, id = ""] = topic.split(":", 2)
      if (kind === "system" || isWildcard(topic)) return Effect.void
      return Effect.flatMap(journal.head(topic), (head): Effect.Effect<void, SessionNotFound | WorkerNotFound> => {
        if (head !== undefined) return Effect.void
        return kind === "session"
          ? Effect.fail(new SessionNotFound({ sessionId: SessionId.make(id) }))
          : Effect.fail(new WorkerNotFound({ workerId: WorkerId.make(id) }))
      })
    }
)
