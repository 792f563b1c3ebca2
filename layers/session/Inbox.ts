/**
 * What waits for one session's fiber. Everything that waits is taken at once, so that a burst costs one append.
 *
 * Leaner than a queue, since every live session has one: an array and the one fiber that may wait for it. Offers from
 * outside are refused beyond `CAPACITY`; the session's own fibers may always post, for each has one post under way.
 */
import { Effect } from "effect"

export const CAPACITY = 1_000

export interface Inbox<A> {
  items: Array<A>
  /** Resumes its fiber, while that waits, with what it is to take. */
  wake: ((taken: Effect.Effect<Array<A>>) => void) | undefined
  /** Its fiber has ended: nothing will be taken any more. */
  isClosed: boolean
}

export const make = <A>(): Inbox<A> => ({ items: [], wake: undefined, isClosed: false })

const drain = <A>(inbox: Inbox<A>): Array<A> => {
  const { items } = inbox
  inbox.items = []
  return items
}

/** False when nobody will ever take it. */
export const post = <A>(inbox: Inbox<A>, item: A): boolean => {
  if (inbox.isClosed) return false
  inbox.items.push(item)
  const { wake } = inbox
  if (wake !== undefined) {
    inbox.wake = undefined
    wake(Effect.sync(() => drain(inbox)))
  }
  return true
}

export const offer = <A>(inbox: Inbox<A>, item: A): boolean => inbox.items.length < CAPACITY && post(inbox, item)

/** Waits until there is something, then takes all of it. For one fiber only. */
export const takeAll = <A>(inbox: Inbox<A>): Effect.Effect<Array<A>> =>
  Effect.callback((resume) => {
    if (inbox.items.length > 0) {
      resume(Effect.succeed(drain(inbox)))
      return
    }
    inbox.wake = resume
  })

/** What was left is handed back, to be answered. */
export const close = <A>(inbox: Inbox<A>): Array<A> => {
  inbox.isClosed = true
  inbox.wake = undefined
  return drain(inbox)
}
