import type { StorageError } from "../../services/journal/StorageError.ts"
import type {
  SessionHasEnded,
  SessionInterrupted,
  SessionNotFound,
  TooManySessions
} from "../../services/session/SessionManager.ts"

/** Why a session cannot be reached. */
export type Unavailable = SessionNotFound | SessionHasEnded | SessionInterrupted | TooManySessions | StorageError
