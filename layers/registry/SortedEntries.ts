/**
 * Entries in an order, in pieces of a few hundred: to add, to remove and to find a place costs a binary search and the
 * move of one piece, whatever there are. An entry has to be taken out before what it is ordered by changes.
 */
import type { AgentCursor } from "../../services/registry/AgentQuery.ts"
import type { Entry } from "./Entry.ts"

const PIECE = 256

export class SortedEntries {
  readonly #compare: (one: AgentCursor, other: AgentCursor) => number
  /** None of them is empty. */
  readonly #pieces: Array<Array<Entry>> = []
  #size = 0

  constructor(compare: (one: AgentCursor, other: AgentCursor) => number, sorted: ReadonlyArray<Entry> = []) {
    this.#compare = compare
    for (let from = 0; from < sorted.length; from += PIECE) this.#pieces.push(sorted.slice(from, from + PIECE))
    this.#size = sorted.length
  }

  get size(): number {
    return this.#size
  }

  add(entry: Entry): void {
    this.#size++
    const number = this.#pieceOf(entry.agent)
    const piece = this.#pieces[number]
    if (piece === undefined) {
      this.#pieces.push([entry])
      return
    }
    const at = this.#place(piece, entry.agent)
    if (piece.length < PIECE) {
      if (at === piece.length) piece.push(entry)
      else piece.splice(at, 0, entry)
      return
    }
    // What comes in order fills piece after piece; elsewhere a full one is halved.
    if (at === piece.length && number === this.#pieces.length - 1) {
      this.#pieces.push([entry])
      return
    }
    const upper = piece.splice(PIECE / 2)
    this.#pieces.splice(number + 1, 0, upper)
    if (at <= piece.length) piece.splice(at, 0, entry)
    else upper.splice(at - piece.length, 0, entry)
  }

  delete(entry: Entry): void {
    const number = this.#pieceOf(entry.agent)
    const piece = this.#pieces[number]
    if (piece === undefined) return
    const at = this.#place(piece, entry.agent) - 1
    if (piece[at] !== entry) return
    piece.splice(at, 1)
    this.#size--
    if (piece.length === 0) {
      this.#pieces.splice(number, 1)
      return
    }
    const next = this.#pieces[number + 1]
    if (next === undefined || piece.length + next.length > PIECE / 2) return
    for (const moved of next) piece.push(moved)
    this.#pieces.splice(number + 1, 1)
  }

  /** In order, from behind a place, until `visit` says no. */
  walk(after: AgentCursor | undefined, visit: (entry: Entry) => boolean): void {
    let number = after === undefined ? 0 : this.#pieceOf(after)
    let at = 0
    const first = this.#pieces[number]
    if (after !== undefined && first !== undefined) at = this.#place(first, after)
    for (; number < this.#pieces.length; number++, at = 0) {
      const piece = this.#pieces[number] ?? []
      for (; at < piece.length; at++) {
        const entry = piece[at]
        if (entry !== undefined && !visit(entry)) return
      }
    }
  }

  /** The entry at a position, counted from 0. */
  at(position: number): Entry | undefined {
    let left = position
    for (const piece of this.#pieces) {
      if (left < piece.length) return piece[left]
      left -= piece.length
    }
    return undefined
  }

  toArray(): Array<Entry> {
    return this.#pieces.flat()
  }

  /** The last piece that does not begin behind a place. */
  #pieceOf(place: AgentCursor): number {
    let low = 0
    let high = this.#pieces.length - 1
    while (low < high) {
      const middle = (low + high + 1) >> 1
      const first = this.#pieces[middle]?.[0]
      if (first !== undefined && this.#compare(first.agent, place) <= 0) low = middle
      else high = middle - 1
    }
    return low
  }

  /** How many of a piece do not stand behind a place. */
  #place(piece: ReadonlyArray<Entry>, place: AgentCursor): number {
    let low = 0
    let high = piece.length
    // Most come in order.
    const last = piece[high - 1]
    if (last !== undefined && this.#compare(last.agent, place) <= 0) return high
    while (low < high) {
      const middle = (low + high) >> 1
      const entry = piece[middle]
      if (entry !== undefined && this.#compare(entry.agent, place) <= 0) low = middle + 1
      else high = middle
    }
    return low
  }
}
