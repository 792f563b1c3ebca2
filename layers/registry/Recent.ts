/** A map of so many entries at most: what was used longest ago goes first. */
export class Recent<A> {
  readonly #capacity: number
  readonly #entries = new Map<string, A>()

  constructor(capacity: number) {
    this.#capacity = capacity
  }

  get size(): number {
    return this.#entries.size
  }

  get(name: string): A | undefined {
    const value = this.#entries.get(name)
    if (value !== undefined) this.set(name, value)
    return value
  }

  set(name: string, value: A): void {
    this.#entries.delete(name)
    this.#entries.set(name, value)
    if (this.#entries.size <= this.#capacity) return
    const [oldest] = this.#entries.keys()
    if (oldest !== undefined) this.#entries.delete(oldest)
  }
}
