/** `SessionRecords` by the journal. */
import { Effect, Layer } from "effect"
import { Journal } from "../../services/journal/Journal.ts"
import { SessionRecords } from "../../services/session/SessionRecords.ts"
import { load } from "./SessionStore.ts"

export const layer = Layer.effect(
  SessionRecords,
  Effect.map(Journal, (journal) => SessionRecords.of({ read: (id) => load(journal, id) }))
)
