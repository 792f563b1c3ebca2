/** The newest events of a topic that no journal keeps, numbered as they come. Older ones make room. */
import type { Recorded, RuntimeEvent } from "../../services/events/RuntimeEvent.ts"
import type { Topic } from "../../services/events/Topic.ts"

export class EventWindow {
  readonly #topic: Topic
  readonly #capacity: number
  readonly #ring: Array<Recorded> = []
  #latest = 0

  constructor(topic: Topic, capacity: number) {
    this.#topic = topic
    this.#capacity = capacity
  }

  get latest(): number {
    return this.#latest
  }

  append(events: ReadonlyArray<RuntimeEvent>, at: number): ReadonlyArray<Recorded> {
    return events.map((event) => {
      const recorded = { topic: this.#topic, sequence: ++this.#latest, at, event }
      this.#ring[recorded.sequence % this.#capacity] = recorded
      return recorded
    })
  }

  /** Events above `after`, or from the oldest that is left. */
  read(after: number, limit: number): ReadonlyArray<Recorded> {
    const first = Math.max(after, 0, this.#latest - this.#capacity) + 1
    const last = Math.min(this.#latest, first + limit - 1)
    const found: Array<Recorded> = []
    for (let sequence = first; sequence <= last; sequence++) {
      const recorded = this.#ring[sequence % this.#capacity]
      if (recorded !== undefined) found.push(recorded)
    }
    return found
  }
}
