/**
 * Tags, capabilities and metadata that are equal are one object: a server's agents are of a few kinds, and there may be a
 * hundred thousand of them. What was not seen lately is kept twice, which costs memory and nothing else.
 */
import { Recent } from "./Recent.ts"

type Names = ReadonlyArray<string>
type Metadata = Readonly<Record<string, string>>

const none: Names = []
const blank: Metadata = {}
const KINDS = 1_000

const shared = <A>(seen: Recent<A>, value: A, copy: () => A): A => {
  const text = JSON.stringify(value)
  const known = seen.get(text)
  if (known !== undefined) return known
  const kept = copy()
  seen.set(text, kept)
  return kept
}

export class SharedLabels {
  readonly #names = new Recent<Names>(KINDS)
  readonly #metadata = new Recent<Metadata>(KINDS)

  /** Each of them once. */
  names(given: Names | undefined): Names {
    if (given === undefined || given.length === 0) return none
    return shared(this.#names, given, () => Array.from(new Set(given)))
  }

  metadata(given: Metadata | undefined): Metadata {
    if (given === undefined || Object.keys(given).length === 0) return blank
    return shared(this.#metadata, given, () => ({ ...given }))
  }
}
