/** Appends on their way to the store: bounded, in order of arrival, and longer-lived than the writer that takes them. */
import { type Effect, Latch } from "effect"
import type { Recorded } from "../../services/events/RuntimeEvent.ts"
import type { Append } from "../../services/journal/Journal.ts"
import type { StorageError } from "../../services/journal/StorageError.ts"
import type { EventText } from "./EventText.ts"

export interface WaitingAppend {
  readonly appends: ReadonlyArray<Append>
  /** The events as they will be stored, in their order. */
  readonly texts: ReadonlyArray<EventText>
  readonly answer: (answer: Effect.Effect<ReadonlyArray<Recorded>, StorageError>) => void
  /** Its caller was interrupted: it must not be written any more. */
  isGone: boolean
}

export interface Limits {
  readonly events: number
  /** Characters of text. */
  readonly size: number
}

const sizeOf = ({ appends, texts }: WaitingAppend) => {
  let size = 0
  for (const { blobs, text } of texts) {
    size += text.length
    for (const { body } of blobs) size += body.length
  }
  for (const { snapshot } of appends) size += snapshot?.state.length ?? 0
  return size
}

/** Chores that may wait: few ask for them, and each asks for one at a time. */
const CHORES = 64

/** `Chore` is what else the writer does, between two batches: it answers by itself and does not throw. */
export class AppendQueue<Chore> {
  /** Open while there is something to take. */
  readonly ready = Latch.makeUnsafe(false)
  readonly #limits: Limits
  #waiting: Array<WaitingAppend> = []
  readonly #chores: Array<Chore> = []
  #events = 0
  #size = 0

  readonly #open = () => {
    if (this.#waiting.length > 0) Latch.openUnsafe(this.ready)
  }

  /** False when there is no room. */
  offerChore(chore: Chore): boolean {
    if (this.#chores.length >= CHORES) return false
    this.#chores.push(chore)
    Latch.openUnsafe(this.ready)
    return true
  }

  takeChore(): Chore | undefined {
    const chore = this.#chores.shift()
    this.#settle()
    return chore
  }

  constructor(limits: Limits) {
    this.#limits = limits
  }

  /** Events waiting. */
  get length(): number {
    return this.#events
  }

  /**
   * False when there is no room. One append always fits an empty queue, whatever its size. `wake` is called when the
   * queue was empty: it opens `ready` once whoever else is about to append has had a turn.
   */
  offer(append: WaitingAppend, wake: (open: () => void) => void): boolean {
    const size = sizeOf(append)
    const isOver = this.#events + append.texts.length > this.#limits.events || this.#size + size > this.#limits.size
    if (isOver && this.#waiting.length > 0) return false
    if (this.#waiting.length === 0) wake(this.#open)
    this.#waiting.push(append)
    this.#events += append.texts.length
    this.#size += size
    return true
  }

  /** The oldest ones, together not more than `limits`, and at least one. */
  take(limits: Limits): ReadonlyArray<WaitingAppend> {
    let events = 0
    let size = 0
    let count = 0
    for (const append of this.#waiting) {
      const nextSize = size + sizeOf(append)
      if (count > 0 && (events + append.texts.length > limits.events || nextSize > limits.size)) break
      events += append.texts.length
      size = nextSize
      count++
    }
    this.#events -= events
    this.#size -= size
    const taken = count === this.#waiting.length ? this.#waiting : this.#waiting.slice(0, count)
    this.#waiting = count === this.#waiting.length ? [] : this.#waiting.slice(count)
    this.#settle()
    return taken.some(({ isGone }) => isGone) ? taken.filter(({ isGone }) => !isGone) : taken
  }

  #settle(): void {
    if (this.#waiting.length === 0 && this.#chores.length === 0) Latch.closeUnsafe(this.ready)
  }
}
