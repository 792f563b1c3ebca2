/**
 * The calls under way at one running server, by the session that they are made for: so that it can be told for whom the
 * server asks something, as far as that can be told.
 */
import { Duration, Effect } from "effect"
import type { SessionId } from "../../services/session/SessionId.ts"

/** One call under way. */
export interface Caller {
  readonly sessionId: SessionId
  /** That it waits for somebody else, as a sign of life. */
  readonly sign: (stage: string) => Effect.Effect<void>
}

export class Callers {
  count = 0
  readonly #sessions = new Map<SessionId, Set<Caller>>()
  /** Who waits until a session has no call. */
  readonly #leaving = new Map<SessionId, Set<() => void>>()
  readonly #silence: Duration.Duration

  /** `silence` is the longest that a call may show no sign of life. */
  constructor(silence: Duration.Duration) {
    this.#silence = silence
  }

  enter(caller: Caller): void {
    this.count++
    const others = this.#sessions.get(caller.sessionId)
    if (others === undefined) this.#sessions.set(caller.sessionId, new Set([caller]))
    else others.add(caller)
  }

  leave(caller: Caller): void {
    const { sessionId } = caller
    const left = this.#sessions.get(sessionId)
    if (left?.delete(caller) !== true) return
    this.count--
    if (left.size > 0) return
    this.#sessions.delete(sessionId)
    const waiting = this.#leaving.get(sessionId)
    this.#leaving.delete(sessionId)
    for (const resume of waiting ?? []) resume()
  }

  /** The session with a call under way, where there is but one. */
  get only(): SessionId | undefined {
    const [sessionId, ...others] = this.#sessions.keys()
    return others.length === 0 ? sessionId : undefined
  }

  /** Returns when the session has no call under way. */
  left(sessionId: SessionId): Effect.Effect<void> {
    return Effect.callback((resume) => {
      if (!this.#sessions.has(sessionId)) return resume(Effect.void)
      const waiting = this.#leaving.get(sessionId) ?? new Set()
      const done = () => resume(Effect.void)
      this.#leaving.set(sessionId, waiting.add(done))
      return Effect.sync(() => {
        waiting.delete(done)
        if (waiting.size === 0 && this.#leaving.get(sessionId) === waiting) this.#leaving.delete(sessionId)
      })
    })
  }

  /** Keeps the calls of a session alive for as long as it runs: it is not they that are silent. */
  keepAlive(sessionId: SessionId, stage: string): Effect.Effect<never> {
    const signs = Effect.suspend(() =>
      Effect.forEach([...(this.#sessions.get(sessionId) ?? [])], ({ sign }) => sign(stage), { discard: true })
    )
    return Effect.forever(Effect.andThen(signs, Effect.sleep(Duration.times(this.#silence, 1 / 3))))
  }
}
