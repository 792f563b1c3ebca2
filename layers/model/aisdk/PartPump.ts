/**
 * Reads a web stream ahead of its reader, a bounded number of parts, and hands over all there are at once: parts come
 * in bursts, and a fiber that goes on for each of them would cost more than what it reads. So would each that is checked
 * on its way, which is why those of a burst that say more of the same are joined.
 */
import { Cause, Effect } from "effect"
import { isReadonlyArrayNonEmpty, type NonEmptyReadonlyArray } from "effect/Array"
import type { Pull } from "effect"

/** Parts that are read ahead. */
const CAPACITY = 256

type Step<A, E> = Effect.Effect<NonEmptyReadonlyArray<A>, E | Cause.Done>

export interface PartPump<A, E> {
  readonly pull: Pull.Pull<NonEmptyReadonlyArray<A>, E>
  /** Lets go of the stream; false when it has ended by itself, and there is nothing to let go of. */
  readonly close: () => boolean
}

export interface Reading<Raw, A, E> {
  /** What is handed over for a part (nothing when undefined), or the failure that ends the stream. */
  readonly accept: (part: Raw) => { readonly part: A | undefined } | { readonly error: E }
  /** Two that come one after the other as one, where that says the same. */
  readonly join: (last: A, next: A) => A | undefined
  /** The failure for what the stream itself broke with. */
  readonly toError: (error: unknown) => E
}

export const make = <Raw, A, E>(
  stream: ReadableStream<Raw>,
  { accept, join, toError }: Reading<Raw, A, E>
): PartPump<A, E> => {
  const reader = stream.getReader()
  let buffer: Array<A> = []
  let ended: Step<A, E> | undefined
  let waiting: (() => void) | undefined
  let isReading = false
  /** Nothing more can come of the stream. */
  let isOver = false

  const take = (): Step<A, E> | undefined => {
    const parts = buffer
    if (!isReadonlyArrayNonEmpty(parts)) return ended
    buffer = []
    return Effect.succeed(parts)
  }
  const keep = (part: A) => {
    const last = buffer.at(-1)
    const both = last === undefined ? undefined : join(last, part)
    if (both === undefined) buffer.push(part)
    else buffer[buffer.length - 1] = both
  }
  const wake = () => {
    const resume = waiting
    waiting = undefined
    resume?.()
  }
  const end = (step: Step<A, E>) => {
    isReading = false
    ended ??= step
    wake()
  }
  const onPart = (result: ReadableStreamReadResult<Raw>): void => {
    if (ended !== undefined) return
    if (result.done) {
      isOver = true
      return end(Cause.done())
    }
    const accepted = accept(result.value)
    if ("error" in accepted) {
      end(Effect.fail(accepted.error))
      close()
      return
    }
    if (accepted.part !== undefined) keep(accepted.part)
    isReading = false
    read()
    if (buffer.length > 0) wake()
  }
  const read = () => {
    if (isReading || ended !== undefined || buffer.length >= CAPACITY) return
    isReading = true
    reader.read().then(onPart, (error: unknown) => {
      isOver = true
      end(Effect.fail(toError(error)))
    })
  }
  const close = (): boolean => {
    if (isOver) return false
    isOver = true
    ended ??= Cause.done()
    reader.cancel().catch(() => undefined)
    return true
  }

  const arrival = Effect.callback<void>((resume) => {
    waiting = () => resume(Effect.void)
    return Effect.sync(() => {
      waiting = undefined
    })
  })
  const pull: Step<A, E> = Effect.suspend(() => {
    read()
    // After a wait, what has come in the same burst is read before any of it is handed over.
    return take() ?? Effect.andThen(arrival, Effect.andThen(Effect.yieldNow, pull))
  })

  return { pull, close }
}
