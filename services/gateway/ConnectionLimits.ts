/** What one connection may cost, and when it is time to let go of it. Times in milliseconds, sizes in bytes. */
export interface ConnectionLimits {
  /** Connections of a whole server. */
  readonly connections: number
  /** Connections from one address. */
  readonly perAddress: number
  /** Silence after which a peer is asked whether it is still there. */
  readonly ping: number
  /** Silence after which it is not. */
  readonly silence: number
  /** How long a peer may leave what was sent to it unread. */
  readonly unread: number
  /** How long a connection may have nothing under way. */
  readonly idle: number
  /** How old a connection gets, give or take a tenth: those that came together do not all go together. */
  readonly age: number
  /**
   * Calls that a connection may make in a second, on average; twice as many at once. One that makes more is read more
   * slowly, so that the others need not wait behind it.
   */
  readonly callsPerSecond: number
}

/** Bytes on their way to a peer from which on whatever has more for it waits. */
export const softUnread = 1024 * 1024
/** Bytes on their way to a peer at most: no single answer is longer. */
export const hardUnread = 8 * 1024 * 1024

export const defaultLimits: ConnectionLimits = {
  connections: 10_000,
  perAddress: 100,
  ping: 15_000,
  silence: 45_000,
  // With the second that it takes to look: ten.
  unread: 9_000,
  idle: 3_600_000,
  age: 86_400_000,
  callsPerSecond: 1_000
}

/** What is known of a connection; every `…At` is a time. */
export interface ConnectionState {
  /** When it is to end, however busy. */
  readonly endsAt: number
  /** When the peer last sent anything; undefined for one that is not expected to. */
  readonly heardAt: number | undefined
  readonly pingedAt: number
  /** When the peer last read anything of what waits for it; undefined while nothing waits. */
  readonly unreadSince: number | undefined
  /** Of a peer that answers no ping: since when its system has acknowledged nothing of what was sent to it. */
  readonly unacknowledgedSince?: number | undefined
  /** When the last call or subscription ended; undefined while one is under way. */
  readonly idleSince: number | undefined
}

export type Verdict = "keep" | "ping" | "gone" | "unread" | "idle" | "old"

/** What is to be done about a connection. */
export const judgeConnection = (state: ConnectionState, limits: ConnectionLimits, now: number): Verdict => {
  const { endsAt, heardAt, idleSince, pingedAt, unacknowledgedSince, unreadSince } = state
  if (unreadSince !== undefined && now - unreadSince >= limits.unread) return "unread"
  if (heardAt !== undefined && now - heardAt >= limits.silence) return "gone"
  // Something is sent at each ping, so this begins one ping after the peer has gone; the other one is for looking.
  if (unacknowledgedSince !== undefined && now - unacknowledgedSince >= limits.silence - 2 * limits.ping) return "gone"
  if (now >= endsAt) return "old"
  if (idleSince !== undefined && now - idleSince >= limits.idle) return "idle"
  const quietSince = Math.max(heardAt ?? 0, pingedAt)
  return now - quietSince >= limits.ping ? "ping" : "keep"
}
