/**
 * Lets go of what the retention says is old, stream by stream, with other work in between. It decides by what the
 * journal says of a stream at that moment, and the journal refuses when that has changed since or someone reads it.
 */
import { Clock, Duration, Effect } from "effect"
import * as Topic from "../../services/events/Topic.ts"
import { Journal, type HeadsOptions, type StreamHead } from "../../services/journal/Journal.ts"
import type { StorageError } from "../../services/journal/StorageError.ts"
import { isSessionDue, judgeWorker, type Retention } from "../../services/maintenance/Retention.ts"
import type { SessionId } from "../../services/session/SessionId.ts"

/** Heads read at a time. */
const PAGE = 200
/** Streams that one run removes: the next one goes on, and writers have the disk to themselves in between. */
const REMOVED = 10_000

export interface LetGo {
  readonly workers: number
  readonly sessions: number
  readonly events: number
}

export const letGo = Effect.fnUntraced(function* (
  retention: Retention
): Effect.fn.Return<LetGo, StorageError, Journal> {
  const journal = yield* Journal
  const now = yield* Clock.currentTimeMillis
  const gone = { workers: 0, sessions: 0, events: 0 }
  const isEnough = () => gone.workers + gone.sessions >= REMOVED

  /** Each stream, oldest first, until `use` says that it is enough. */
  const eachHead = Effect.fnUntraced(function* <E>(
    options: Pick<HeadsOptions, "prefix" | "owner">,
    use: (head: StreamHead) => Effect.Effect<"go on" | "stop", E>
  ) {
    let before: Topic.Topic | undefined
    while (!isEnough()) {
      const heads = yield* journal.heads({ ...options, order: "oldest first", before, limit: PAGE })
      for (const head of heads) if ((yield* use(head)) === "stop") return
      if (heads.length < PAGE) return
      before = heads.at(-1)?.stream
      yield* Effect.yieldNow
    }
  })

  const remove = ({ sequence, stream }: StreamHead) => journal.remove({ stream, sequence })

  const isBusy = (sessionId: SessionId) =>
    Effect.map(journal.head(Topic.ofSession(sessionId)), (head) => head?.open === true)

  const oldWorkers = (limit: number) =>
    eachHead(
      { prefix: "worker:" },
      Effect.fnUntraced(function* (head: StreamHead) {
        const age = judgeWorker(head, limit)
        if (age._tag === "Young") return "stop"
        // A session that was cut off may not have heard yet how its worker ended.
        if (age._tag === "Due" && !(yield* isBusy(age.summary.sessionId)) && (yield* remove(head))) gone.workers++
        return isEnough() ? "stop" : "go on"
      })
    )

  const oldSessions = (limit: number) =>
    eachHead(
      { prefix: "session:" },
      Effect.fnUntraced(function* (head: StreamHead) {
        if (!isSessionDue(head, limit)) return "go on"
        let isAlone = true
        yield* eachHead(
          { prefix: "worker:", owner: head.stream.slice("session:".length) },
          Effect.fnUntraced(function* (worker: StreamHead) {
            if (yield* remove(worker)) gone.workers++
            else isAlone = false
            return "go on" as const
          })
        )
        if (isAlone && (yield* remove(head))) gone.sessions++
        return isEnough() ? "stop" : "go on"
      })
    )

  const oldEvents = (kept: number) =>
    eachHead({ prefix: "session:" }, ({ earliest, sequence, stream }) => {
      const before = sequence - Math.max(Math.trunc(kept), 0) + 1
      if (before <= earliest) return Effect.succeed("go on" as const)
      return Effect.map(journal.compact({ stream, before }), (left) => {
        gone.events += left - earliest
        return "go on" as const
      })
    })

  const before = (age: Duration.Input) => now - Duration.toMillis(Duration.fromInputUnsafe(age))
  if (retention.sessions !== undefined) yield* oldSessions(before(retention.sessions))
  if (retention.workers !== undefined) yield* oldWorkers(before(retention.workers))
  if (retention.sessionEvents !== undefined) yield* oldEvents(retention.sessionEvents)
  return gone
})
