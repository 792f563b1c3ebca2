/**
 * Names in order, read from either end. Kept in blocks of bounded length, so that adding, removing and
 * starting to read cost the same however many there are.
 */
const BLOCK = 512

/** First position in `sorted` whose value is not below `name`. */
const lowerBound = <A>(sorted: ReadonlyArray<A>, name: string, nameOf: (value: A) => string): number => {
  let low = 0
  let high = sorted.length
  while (low < high) {
    const middle = (low + high) >>> 1
    const value = sorted[middle]
    if (value !== undefined && nameOf(value) < name) low = middle + 1
    else high = middle
  }
  return low
}

const itself = (name: string) => name
const lastOf = (block: ReadonlyArray<string>) => block.at(-1) ?? ""

export class SortedNames {
  readonly #blocks: Array<Array<string>> = []

  get isEmpty(): boolean {
    return this.#blocks.length === 0
  }

  add(name: string): void {
    const at = Math.min(lowerBound(this.#blocks, name, lastOf), Math.max(this.#blocks.length - 1, 0))
    const block = this.#blocks[at]
    if (block === undefined) {
      this.#blocks.push([name])
      return
    }
    const place = lowerBound(block, name, itself)
    if (block[place] === name) return
    block.splice(place, 0, name)
    if (block.length > BLOCK) this.#blocks.splice(at + 1, 0, block.splice(BLOCK / 2))
  }

  remove(name: string): void {
    const at = lowerBound(this.#blocks, name, lastOf)
    const block = this.#blocks[at]
    if (block === undefined) return
    const place = lowerBound(block, name, itself)
    if (block[place] !== name) return
    block.splice(place, 1)
    if (block.length === 0) this.#blocks.splice(at, 1)
  }

  /** Names below `before` (all, when absent) that start with `prefix`, the last first. */
  *descending(prefix: string, before: string | undefined): Generator<string> {
    // No name goes on with the last code unit, so this is where the names with the prefix end.
    const end = `${prefix}\uffff`
    const bound = before === undefined || before > end ? end : before
    let at = lowerBound(this.#blocks, bound, lastOf)
    let block = this.#blocks[at]
    let place = block === undefined ? 0 : lowerBound(block, bound, itself)
    while (true) {
      while (place === 0) {
        block = this.#blocks[--at]
        if (block === undefined) return
        place = block.length
      }
      const name = block?.[--place]
      if (name === undefined || !name.startsWith(prefix)) return
      yield name
    }
  }

  /** Names above `after` (all, when absent) that start with `prefix`, the first first. */
  *ascending(prefix: string, after: string | undefined): Generator<string> {
    const start = after === undefined || after < prefix ? prefix : after
    let at = lowerBound(this.#blocks, start, lastOf)
    let place = lowerBound(this.#blocks[at] ?? [], start, itself)
    for (let block = this.#blocks[at]; block !== undefined; block = this.#blocks[++at], place = 0) {
      for (; place < block.length; place++) {
        const name = block[place]
        if (name === undefined || !name.startsWith(prefix)) return
        if (name !== after) yield name
      }
    }
  }
}
