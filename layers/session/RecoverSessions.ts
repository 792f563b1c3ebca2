/** Takes up the sessions with unfinished business: by their heads, so that it costs what is open and not what is stored. */
import { Effect } from "effect"
import type { Topic } from "../../services/events/Topic.ts"
import { SessionId } from "../../services/session/SessionId.ts"
import type { StorageError } from "../../services/journal/StorageError.ts"
import type { JournalService } from "./SessionStore.ts"

const PAGE = 200
/** Sessions that are loaded at the same time, while others are being served. */
const CONCURRENCY = 16

export const recoverOpen = Effect.fnUntraced(function* <A, E extends { readonly message: string }>(
  journal: JournalService,
  reach: (id: SessionId) => Effect.Effect<A, E>
): Effect.fn.Return<void, StorageError> {
  let before: Topic | undefined
  while (true) {
    const heads = yield* journal.heads({ prefix: "session:", open: true, before, limit: PAGE })
    yield* Effect.forEach(
      heads,
      ({ stream }) =>
        reach(SessionId.make(stream.slice("session:".length))).pipe(
          Effect.catch((error) => Effect.logWarning(`${stream} could not be taken up: ${error.message}`))
        ),
      { concurrency: CONCURRENCY, discard: true }
    )
    before = heads.at(-1)?.stream
    if (heads.length < PAGE) return
  }
})
