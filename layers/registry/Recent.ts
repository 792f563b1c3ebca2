/**
 * A map of what was used last: at least `capacity` entries, at most twice as many. In two generations, so that nothing is
 * ever deleted: a map of V8 grows slow when one name goes and comes again and again.
 */
export class Recent<A> {
  readonly #capacity: number
  #young = new Map<string, A>()
  #old = new Map<string, A>()

  constructor(capacity: number) {
    this.#capacity = capacity
  }

  get(name: string): A | undefined {
    const young = this.#young.get(name)
    if (young !== undefined) return young
    const old = this.#old.get(name)
    if (old !== undefined) this.set(name, old)
    return old
  }

  set(name: string, value: A): void {
    if (this.#young.size >= this.#capacity && !this.#young.has(name)) {
      this.#old = this.#young
      this.#young = new Map()
    }
    this.#young.set(name, value)
  }
}
