/** The last event that a topic has: of a session its end, of a worker the one that tells how it ended. */
import { isTerminal } from "../worker/WorkerEvent.ts"

export const endsTopic = (event: { readonly _tag: string }): boolean =>
  event._tag === "SessionEnded" || isTerminal(event)
