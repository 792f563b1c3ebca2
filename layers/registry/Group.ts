/**
 * The agents that have something in common: a tag, a capability, a role, a status. By age they always stand in order;
 * any other order is made when it is first asked for, kept up while it is used, and let go of when it is not.
 */
import { type AgentOrder, agentOrders } from "../../services/registry/AgentQuery.ts"
import type { Entry } from "./Entry.ts"
import { SortedEntries } from "./SortedEntries.ts"

/** So few are put in order at once, each time. */
const FEW = 64

interface View {
  readonly entries: SortedEntries
  /** Since it was last asked for. */
  changes: number
}

type Kept = Exclude<AgentOrder, "age">

export class Group {
  readonly #byAge: SortedEntries
  #views: Map<Kept, View> | undefined

  constructor() {
    this.#byAge = new SortedEntries(agentOrders.age)
  }

  get size(): number {
    return this.#byAge.size
  }

  /** Whether a change of an entry's load or status has to be told by `reorder`. */
  get isOrderedByLoad(): boolean {
    return this.#views !== undefined && (this.#views.has("load") || this.#views.has("connections"))
  }

  add(entry: Entry): void {
    this.#byAge.add(entry)
    this.#views?.forEach((view, order) => this.#change(view, order, () => view.entries.add(entry)))
  }

  delete(entry: Entry): void {
    this.#byAge.delete(entry)
    this.#views?.forEach((view, order) => this.#change(view, order, () => view.entries.delete(entry)))
  }

  /** `change` makes an agent another one in what it is ordered by, but for its key and age. */
  takeOut(entry: Entry): void {
    this.#views?.forEach((view, order) => {
      if (order !== "key") view.entries.delete(entry)
    })
  }

  putBack(entry: Entry): void {
    this.#views?.forEach((view, order) => {
      if (order !== "key") this.#change(view, order, () => view.entries.add(entry))
    })
  }

  in(order: AgentOrder): SortedEntries {
    if (order === "age" || this.size === 0) return this.#byAge
    const kept = this.#views?.get(order)
    if (kept !== undefined) {
      kept.changes = 0
      return kept.entries
    }
    const compare = agentOrders[order]
    const sorted = this.#byAge.toArray().sort((one, other) => compare(one.agent, other.agent))
    const entries = new SortedEntries(compare, sorted)
    if (this.size > FEW) {
      this.#views ??= new Map()
      this.#views.set(order, { entries, changes: 0 })
    }
    return entries
  }

  /** Keeping an order up for nobody costs more, after a while, than making it anew. */
  #change(view: View, order: Kept, change: () => void): void {
    if (++view.changes > 1_000 + 4 * this.size) {
      this.#views?.delete(order)
      if (this.#views?.size === 0) this.#views = undefined
    } else change()
  }
}
