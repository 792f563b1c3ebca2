/**
 * What becomes of a permission that was asked for. Pure, so that all that stands between a question and a tool that
 * runs can be read here:
 *
 * - an answer is good for the permission it names, while that waits, from the person and for the hash it was asked
 *   with, and before it expires;
 * - a permission is resolved once: by an answer, by its expiry, or by the end of what asked for it;
 * - a call that is not allowed is settled with the answer itself, so that no crash can come between the two.
 */
import { Result } from "effect"
import type { SessionEvent } from "../session/SessionEvent.ts"
import type { CallId, SessionId } from "../session/SessionId.ts"
import {
  type Permission,
  type PermissionAnswer,
  PermissionAlreadyResolved,
  PermissionExpired,
  type PermissionId,
  PermissionMismatch,
  PermissionNotFound
} from "./Permission.ts"
import type { PendingPermission, PermissionState } from "./PermissionState.ts"
import type { PermissionRule } from "./Rules.ts"

export type PermissionRefusal = PermissionNotFound | PermissionExpired | PermissionMismatch | PermissionAlreadyResolved

export interface Answer {
  readonly permissionId: PermissionId
  readonly decision: PermissionAnswer
  readonly hash: string
  readonly person: string
  /** Rules that go with the answer from now on, for a person who does not want to be asked again. */
  readonly allowed: ReadonlyArray<PermissionRule> | undefined
  readonly now: number
}

/**
 * Rules for whoever does not want to be asked again: the one tool, for what it touched this time. A name with a star
 * would be a pattern, and gets none.
 */
export const rulesFor = ({ classes, tool }: Pick<Permission, "tool" | "classes">): ReadonlyArray<PermissionRule> =>
  tool.includes("*") || classes.length === 0 ? [] : classes.map((name) => ({ tool, class: name, decision: "allow" }))

export type Resolved = Extract<SessionEvent, { readonly _tag: "PermissionResolved" }>

type Events = ReadonlyArray<SessionEvent>

const pathOf = ({ path }: PendingPermission) => (path === undefined ? undefined : { path })

const find = ({ pending }: PermissionState, id: PermissionId): PendingPermission | undefined =>
  pending.find(({ permissionId }) => permissionId === id)

export const answer = (
  sessionId: SessionId,
  owner: string,
  state: PermissionState,
  { allowed, decision, hash, now, permissionId, person }: Answer
): Result.Result<Events, PermissionRefusal> => {
  const asked = find(state, permissionId)
  if (asked === undefined) {
    const before = state.answered.find((answered) => answered.permissionId === permissionId)
    if (before === undefined) return Result.fail(new PermissionNotFound({ sessionId, permissionId }))
    return Result.fail(
      before.expired ? new PermissionExpired({ permissionId }) : new PermissionAlreadyResolved({ permissionId })
    )
  }
  if (person !== owner || hash !== asked.hash) return Result.fail(new PermissionMismatch({ permissionId }))
  if (now >= asked.expiresAt) return Result.fail(new PermissionExpired({ permissionId }))
  const resolved: SessionEvent = {
    _tag: "PermissionResolved",
    permissionId,
    callId: asked.callId,
    decision,
    how: "answered",
    by: person,
    ...pathOf(asked),
    ...(decision === "allow" && allowed !== undefined ? { allowed } : undefined)
  }
  return Result.succeed(decision === "allow" ? [resolved] : [resolved, ...refused(asked, "answered")])
}

/** What the model is told, in words that it can act on. A sub-agent's call is its own session's to settle. */
const refused = ({ callId, path }: PendingPermission, how: Resolved["how"]): Events =>
  path !== undefined
    ? []
    : [
        {
          _tag: "ToolCallSettled",
          callId,
          outcome: {
            _tag: "ToolFailed",
            failure:
              how === "answered"
                ? { code: "permission_denied", message: "a person did not allow this call; do without it" }
                : { code: "permission_expired", message: "nobody allowed this call in time; do without it" }
          }
        }
      ]

const denied = (asked: PendingPermission, how: "expired" | "withdrawn"): SessionEvent => ({
  _tag: "PermissionResolved",
  permissionId: asked.permissionId,
  callId: asked.callId,
  ...pathOf(asked),
  decision: "deny",
  how
})

/** Nobody answered in time. Before that, and when it is resolved already, nothing happens. */
export const expire = (state: PermissionState, permissionId: PermissionId, now: number): Events => {
  const asked = find(state, permissionId)
  return asked === undefined || now < asked.expiresAt ? [] : [denied(asked, "expired"), ...refused(asked, "expired")]
}

/** What asked for it does so no longer. */
export const withdraw = (state: PermissionState, isOver: (asked: PendingPermission) => boolean): Events =>
  state.pending.filter(isOver).map((asked) => denied(asked, "withdrawn"))

/** A sub-session asks: this session's person is asked for it, once. */
export const relay = (state: PermissionState, permission: Permission): Events =>
  find(state, permission.permissionId) !== undefined ||
  state.answered.some(({ permissionId }) => permissionId === permission.permissionId)
    ? []
    : [{ _tag: "PermissionRequested", ...permission }]

/** What became of it in the session above or below this one, where it was asked too. */
export const follow = (state: PermissionState, told: Resolved): Events => {
  const asked = find(state, told.permissionId)
  if (asked === undefined) return []
  const { path: _path, ...resolved } = told
  const isRefused = told.decision === "deny" && told.how !== "withdrawn"
  return [{ ...resolved, ...pathOf(asked) }, ...(isRefused ? refused(asked, told.how) : [])]
}

/** Of calls that are over, whoever asked: the session itself, or a sub-agent that the call stands for. */
export const withdrawCalls = (state: PermissionState, calls: ReadonlyArray<{ readonly callId: CallId }>): Events =>
  state.pending.length === 0
    ? []
    : withdraw(state, (asked) => asked.path === undefined && calls.some(({ callId }) => callId === asked.callId))
