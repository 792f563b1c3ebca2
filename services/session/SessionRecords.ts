/** What is stored of a session, for those who stand below sessions and may not ask them. */
import { Context, type Effect } from "effect"
import type { StorageError } from "../journal/StorageError.ts"
import type { SessionId } from "./SessionId.ts"
import type { SessionState } from "./SessionState.ts"

export class SessionRecords extends Context.Service<
  SessionRecords,
  {
    /** As its newest event leaves it; `undefined` if there is none. */
    readonly read: (id: SessionId) => Effect.Effect<SessionState | undefined, StorageError>
  }
>()("espalier/session/SessionRecords") {}
