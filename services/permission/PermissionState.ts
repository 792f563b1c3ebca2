/** What a session knows of permissions: its rules, what waits for an answer, and what was answered lately. A fold. */
import { Schema } from "effect"
import type { SessionEvent } from "../session/SessionEvent.ts"
import { CallId, SessionId } from "../session/SessionId.ts"
import { PermissionAnswer, PermissionId } from "./Permission.ts"
import { PermissionMode, PermissionRule } from "./Rules.ts"

/** Answers that are remembered, so that a second one is told from one that was never asked for. */
export const REMEMBERED = 64
/** Rules that a session may have come by with its answers; from then on it asks every time. */
export const MAX_RULES = 200

/** Tool, arguments and classes are in the journal at `sequence`. */
export const PendingPermission = Schema.Struct({
  permissionId: PermissionId,
  callId: CallId,
  hash: Schema.String,
  expiresAt: Schema.Int,
  sequence: Schema.Int,
  /** Of a sub-agent's: from the session's own sub-session down to the one that asks. */
  path: Schema.optionalKey(Schema.Array(SessionId))
})
export type PendingPermission = typeof PendingPermission.Type

export const PermissionState = Schema.Struct({
  mode: PermissionMode,
  rules: Schema.Array(PermissionRule),
  pending: Schema.Array(PendingPermission),
  /** The newest last. */
  answered: Schema.Array(
    Schema.Struct({ permissionId: PermissionId, decision: PermissionAnswer, expired: Schema.Boolean })
  )
})
export type PermissionState = typeof PermissionState.Type

/** Of a session that was told nothing, and of most: so they share it. */
export const initial: PermissionState = { mode: "attended", rules: [], pending: [], answered: [] }

const none: ReadonlyArray<never> = []

/** Leave for one tool, for the classes that it was given for, and no pattern: a star in its name stays one. */
const rememberedRules = (
  rules: ReadonlyArray<PermissionRule>,
  allowed: ReadonlyArray<PermissionRule>
): ReadonlyArray<PermissionRule> => {
  const fresh = allowed.filter(
    (rule) =>
      !rules.some(
        ({ class: name, decision, tool }) => decision === "allow" && tool === rule.tool && name === rule.class
      )
  )
  return rules.length + fresh.length > MAX_RULES ? rules : [...rules, ...fresh]
}

export const fold = (state: PermissionState, event: SessionEvent, sequence: number): PermissionState => {
  switch (event._tag) {
    case "SessionStarted":
      return event.permissions === undefined
        ? initial
        : { ...initial, mode: event.permissions.mode ?? "attended", rules: event.permissions.rules ?? none }
    case "PermissionRequested": {
      const { callId, expiresAt, hash, path, permissionId } = event
      const asked = { permissionId, callId, hash, expiresAt, sequence, ...(path === undefined ? undefined : { path }) }
      return { ...state, pending: [...state.pending, asked] }
    }
    case "PermissionResolved": {
      const { allowed, decision, how, permissionId } = event
      const pending = state.pending.filter((asked) => asked.permissionId !== permissionId)
      return {
        ...state,
        rules: allowed === undefined ? state.rules : rememberedRules(state.rules, allowed),
        pending: pending.length === 0 ? none : pending,
        answered: [...state.answered.slice(1 - REMEMBERED), { permissionId, decision, expired: how === "expired" }]
      }
    }
    case "SessionEnded":
      return { ...state, pending: none }
    default:
      return state
  }
}
