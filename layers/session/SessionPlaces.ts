/**
 * Where sessions stand in the tree: below `sessions`, and those below another session in a supervisor beside it that is
 * made with the first of them and goes with their session.
 */
import { Effect } from "effect"
import type { SessionId } from "../../services/session/SessionId.ts"
import type { SessionState } from "../../services/session/SessionState.ts"
import type { SupervisorRef } from "../../services/supervision/Supervisor.ts"

const subsOf = (id: SessionId): string => `${id} sub-sessions`

/** The child of `sessions` that is the session, or that it is below. */
export const idOf = ({ id, parent }: SessionState): string => (parent === undefined ? id : subsOf(parent.sessionId))

export const make = (sessions: SupervisorRef) => {
  /** Supervisors of sub-sessions whose session is gone. */
  const retired = new Set<string>()

  const of = ({ parent }: SessionState) => {
    if (parent === undefined) return Effect.succeed(sessions)
    const id = subsOf(parent.sessionId)
    return sessions.getSupervisor(id).pipe(
      Effect.catchTag("ChildNotFound", () =>
        sessions.startDynamicSupervisor(
          { id, intensity: 3, period: "5 seconds", intensityPer: "child" },
          { restart: "temporary" }
        )
      ),
      // Somebody else was faster.
      Effect.catchTag("ChildExists", () => Effect.orDie(sessions.getSupervisor(id)))
    )
  }

  /** The session is gone; whether there is something to clear away. */
  const retire = ({ id, nextSub }: SessionState): boolean => {
    if (nextSub === 0) return false
    retired.add(subsOf(id))
    return true
  }

  const clear = Effect.suspend(() => {
    const ids = Array.from(retired)
    retired.clear()
    return Effect.forEach(ids, (id) => Effect.ignore(sessions.terminateChild(id)), { discard: true })
  })

  return { clear, of, retire, retired: () => retired.size }
}
