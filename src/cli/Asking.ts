/**
 * Questions to the person, one at a time and in the order in which they came: whoever has the turn is handed what is
 * typed, until the dialogue is over. A question is taken back by interrupting it; then the next one is put.
 */
import { type Cause, Deferred, Effect, Semaphore } from "effect"
import type { Lines } from "./Lines.ts"

export interface Asking {
  /** Has a dialogue when its turn comes. `line` asks, with what stands before the answer, and waits for it. */
  readonly inTurn: <A, E, R>(
    dialogue: (line: (prompt: string) => Effect.Effect<string, Cause.Done>) => Effect.Effect<A, E, R>
  ) => Effect.Effect<A, E, R>
  /** Hands a line to whoever asked; false when nobody did. */
  readonly offer: (line: string) => boolean
  readonly isWaiting: () => boolean
}

/** `next` is where an answer comes from that nobody types. */
export const make = Effect.fnUntraced(function* (
  lines: Pick<Lines, "isPerson" | "prompt">,
  next: Effect.Effect<string, Cause.Done>
): Effect.fn.Return<Asking> {
  const turns = yield* Semaphore.make(1)
  let waiting: Deferred.Deferred<string> | undefined
  const typed = (prompt: string) =>
    Effect.suspend(() => {
      const answer = Deferred.makeUnsafe<string>()
      waiting = answer
      return Effect.andThen(lines.prompt(prompt), Deferred.await(answer))
    }).pipe(
      Effect.ensuring(
        Effect.sync(() => {
          waiting = undefined
        })
      )
    )
  const line = lines.isPerson ? typed : () => next
  return {
    inTurn: (dialogue) => turns.withPermit(dialogue(line)),
    offer: (line) => waiting !== undefined && Deferred.doneUnsafe(waiting, Effect.succeed(line)),
    isWaiting: () => waiting !== undefined
  }
})
