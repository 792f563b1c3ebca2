/**
 * Every error that leaves the process, by its tag: a stable code, the exit status of the command line and the HTTP
 * status. Codes and statuses never change their meaning; `docs/errors.md` lists them for people.
 *
 * Exit statuses lie between 50 and 125 or above 192, where neither the shell nor a signal has a meaning of its own. Beside them: 0
 * for success and 130 for a command that Ctrl-C ended.
 */
export interface ErrorCode {
  readonly code: string
  readonly exit: number
  readonly http: number
  /** What was found, for `docs/errors.md`. */
  readonly meaning: string
}

export const errorCodes = {
  UsageError: { code: "usage", exit: 64, http: 400, meaning: "The command line was not understood" },
  InvalidInput: {
    code: "invalid_input",
    exit: 65,
    http: 400,
    meaning: "Input does not fit its schema; each place is named"
  },
  ServerUnreachable: { code: "server_unreachable", exit: 66, http: 502, meaning: "No server answers at the address" },
  PortInUse: { code: "port_in_use", exit: 67, http: 500, meaning: "Another program listens on the port" },
  AddressUnavailable: {
    code: "address_unavailable",
    exit: 68,
    http: 500,
    meaning: "The address cannot be listened on"
  },
  InvalidConfig: {
    code: "invalid_config",
    exit: 69,
    http: 500,
    meaning: "A setting from the environment or a flag is wrong"
  },
  InternalError: {
    code: "internal_error",
    exit: 70,
    http: 500,
    meaning: "Something broke; the log tells why under the id given"
  },
  Overloaded: { code: "overloaded", exit: 71, http: 429, meaning: "As many calls are under way as there may be" },
  ShuttingDown: { code: "shutting_down", exit: 72, http: 503, meaning: "The server is stopping" },
  SessionNotFound: { code: "session_not_found", exit: 73, http: 404, meaning: "There is no such session" },
  SessionHasEnded: {
    code: "session_has_ended",
    exit: 74,
    http: 409,
    meaning: "The session was stopped and takes nothing more"
  },
  SessionInterrupted: {
    code: "session_interrupted",
    exit: 75,
    http: 503,
    meaning: "The session crashed before it answered; retry with the same message id"
  },
  TooManySessions: {
    code: "too_many_sessions",
    exit: 76,
    http: 429,
    meaning: "As many sessions are live as the server takes"
  },
  MailboxFull: { code: "mailbox_full", exit: 77, http: 429, meaning: "As many messages wait as the session takes" },
  NoTurn: { code: "no_turn", exit: 78, http: 409, meaning: "The session has no running turn to cancel" },
  ToolNotFound: { code: "tool_not_found", exit: 79, http: 404, meaning: "There is no such tool" },
  ToolFailure: {
    code: "tool_failure",
    exit: 80,
    http: 422,
    meaning: "The tool could not do its work; its own code tells why"
  },
  PoolSaturated: { code: "pool_saturated", exit: 81, http: 429, meaning: "The pool runs and queues all it takes" },
  WorkerNotFound: { code: "worker_not_found", exit: 82, http: 404, meaning: "There is no such worker" },
  WorkerEnded: { code: "worker_ended", exit: 83, http: 409, meaning: "The worker has ended and cannot be cancelled" },
  WorkerCancelled: {
    code: "worker_cancelled",
    exit: 84,
    http: 409,
    meaning: "Somebody else cancelled the worker that was waited for"
  },
  CursorAhead: { code: "cursor_ahead", exit: 85, http: 416, meaning: "The cursor lies beyond the newest event" },
  CursorExpired: { code: "cursor_expired", exit: 95, http: 410, meaning: "The events asked for are no longer kept" },
  SubscriptionCut: {
    code: "subscription_cut",
    exit: 96,
    http: 409,
    meaning: "The server ended the subscription; the error names the last sequence"
  },
  AgentNotFound: { code: "agent_not_found", exit: 86, http: 404, meaning: "No such agent is alive" },
  TurnFailed: {
    code: "turn_failed",
    exit: 87,
    http: 502,
    meaning: "The turn that was waited for failed; its own code tells why"
  },
  TurnCancelled: { code: "turn_cancelled", exit: 88, http: 409, meaning: "The turn that was waited for was cancelled" },
  RuntimeGaveUp: {
    code: "runtime_gave_up",
    exit: 89,
    http: 503,
    meaning: "A part crashed so often that the root supervisor gave up: the server has stopped, start it again"
  },
  StorageFull: { code: "storage_full", exit: 90, http: 507, meaning: "The disk that holds the data is full" },
  StorageUnavailable: { code: "storage_unavailable", exit: 91, http: 503, meaning: "The data store cannot be used" },
  StorageCorrupt: {
    code: "storage_corrupt",
    exit: 92,
    http: 500,
    meaning: "The data store is damaged; it was left as it is"
  },
  StorageNewer: {
    code: "storage_newer",
    exit: 93,
    http: 500,
    meaning: "A newer version wrote the data; it was not touched"
  },
  DataDirectoryBusy: {
    code: "data_directory_busy",
    exit: 94,
    http: 500,
    meaning: "Another process holds the data directory"
  },
  ChaosRefused: {
    code: "chaos_refused",
    exit: 97,
    http: 403,
    meaning: "The server was not started with ESPALIER_CHAOS=1, and crashes nothing on purpose"
  },
  PermissionNotFound: {
    code: "permission_not_found",
    exit: 50,
    http: 404,
    meaning: "The session asks for no such permission"
  },
  PermissionExpired: {
    code: "permission_expired",
    exit: 51,
    http: 410,
    meaning: "Nobody answered in time, which counts as no"
  },
  PermissionMismatch: {
    code: "permission_mismatch",
    exit: 52,
    http: 409,
    meaning: "The answer is to something else than what is asked, or from somebody else"
  },
  PermissionAlreadyResolved: {
    code: "permission_already_resolved",
    exit: 53,
    http: 409,
    meaning: "The permission has been answered, and an answer counts once"
  },
  SessionBusy: {
    code: "session_busy",
    exit: 54,
    http: 409,
    meaning: "A turn runs, and the message was to be refused then"
  },
  TooManySubSessions: {
    code: "too_many_sub_sessions",
    exit: 55,
    http: 429,
    meaning: "As many sessions are below the session as may be, side by side or in a row"
  },
  TurnTimedOut: {
    code: "turn_timed_out",
    exit: 124,
    http: 504,
    meaning: "The turn that was waited for took longer than it was given"
  },
  ChildNotFound: { code: "child_not_found", exit: 98, http: 404, meaning: "No such part runs in the supervision tree" },
  PoolNotFound: { code: "pool_not_found", exit: 106, http: 404, meaning: "There is no such pool" },
  QuotaExceeded: {
    code: "quota_exceeded",
    exit: 107,
    http: 429,
    meaning:
      "The session, its kind of agent or the MCP server has all it may have of the pool; the error says when to try again"
  },
  PoolDraining: {
    code: "pool_draining",
    exit: 108,
    http: 503,
    meaning: "The pool is being drained and takes nothing new"
  },
  RateLimited: {
    code: "rate_limited",
    exit: 116,
    http: 429,
    meaning: "A rate limit is used up; the error says for how long"
  },
  BreakerOpen: {
    code: "breaker_open",
    exit: 117,
    http: 503,
    meaning: "A dependency failed several times in a row and is not called for now; the error says for how long"
  },
  NoAgentAvailable: {
    code: "no_agent_available",
    exit: 111,
    http: 503,
    meaning: "No agent that fits is alive and takes work"
  },
  MessageNotDelivered: {
    code: "message_not_delivered",
    exit: 112,
    http: 409,
    meaning: "The message to an agent was not delivered; its outcome tells why"
  },
  McpServerNotFound: {
    code: "mcp_server_not_found",
    exit: 193,
    http: 404,
    meaning: "No MCP server of that name is declared"
  },
  McpServerUnavailable: {
    code: "mcp_server_unavailable",
    exit: 194,
    http: 503,
    meaning: "The MCP server is declared and does not answer; its tools stay listed"
  },
  McpToolChanged: {
    code: "mcp_tool_changed",
    exit: 196,
    http: 409,
    meaning: "The tool is not the one that was looked at; nothing was approved"
  },
  McpToolNotFound: {
    code: "mcp_tool_not_found",
    exit: 195,
    http: 404,
    meaning: "The MCP server has no such tool now"
  },
  PermissionNeeded: {
    code: "permission_needed",
    exit: 121,
    http: 403,
    meaning: "The turn that was waited for needs a person's permission; it was cancelled"
  },
  QuestionNotFound: {
    code: "question_not_found",
    exit: 99,
    http: 404,
    meaning: "The session asks no such question"
  },
  QuestionExpired: {
    code: "question_expired",
    exit: 100,
    http: 410,
    meaning: "Nobody answered in time, and the MCP server waits no longer"
  },
  QuestionNotYours: {
    code: "question_not_yours",
    exit: 101,
    http: 403,
    meaning: "The question is put to another person"
  },
  QuestionAlreadySettled: {
    code: "question_already_settled",
    exit: 102,
    http: 409,
    meaning: "The question has been answered, or is not asked any more"
  }
} as const satisfies Readonly<Record<string, ErrorCode>>

export type ErrorTag = keyof typeof errorCodes

const byTag: ReadonlyMap<string, ErrorCode> = new Map(Object.entries(errorCodes))

/** What the table says of an error; an error it does not know is a bug, and so internal. */
export const codeOf = (error: unknown): ErrorCode =>
  (typeof error === "object" && error !== null && "_tag" in error && typeof error._tag === "string"
    ? byTag.get(error._tag)
    : undefined) ?? errorCodes.InternalError
