/** How a sub-session knows of the session above it. */
import { Schema } from "effect"
import { CallId, SessionId } from "./SessionId.ts"

/** Where a sub-session hangs, and how long it may live. */
export const Parent = Schema.Struct({
  sessionId: SessionId,
  /** Its number below its session: in the registry it is `{ session, sub, index }`. */
  index: Schema.Int,
  /** 1 for the sub-session of a session that is none itself. */
  depth: Schema.Int,
  /** The call that it is the outcome of; absent when a person or a program started it. */
  callId: Schema.optionalKey(CallId),
  /** Unix time in milliseconds at which it is stopped. */
  deadline: Schema.Int,
  /** Milliseconds that it may be idle before it is stopped. */
  idleLimit: Schema.Int
})
export type Parent = typeof Parent.Type
