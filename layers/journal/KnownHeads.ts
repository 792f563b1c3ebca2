/**
 * Heads of the streams that were written last, so that their next append need not look them up.
 *
 * They are kept in two generations: what is in use moves to the younger one, and once that is full the older one is
 * forgotten. So a busy stream stays however many others come and go, and there never is a moment at which all of them
 * have to be looked up again.
 */
import type { Topic } from "../../services/events/Topic.ts"
import type { StoredHead } from "./JournalReader.ts"

export type KnownHead = Omit<StoredHead, "summary">

/** At some 350 bytes each, both generations together take less than 6 MiB. */
const GENERATION = 8_192

export class KnownHeads {
  private young = new Map<Topic, KnownHead>()
  private old = new Map<Topic, KnownHead>()

  get(stream: Topic): KnownHead | undefined {
    const head = this.young.get(stream)
    if (head !== undefined) return head
    const older = this.old.get(stream)
    if (older !== undefined) this.set(stream, older)
    return older
  }

  set(stream: Topic, head: KnownHead): void {
    this.young.set(stream, head)
  }

  delete(stream: Topic): void {
    this.young.delete(stream)
    this.old.delete(stream)
  }

  clear(): void {
    this.young.clear()
    this.old.clear()
  }

  /** Lets go of the older generation when it is time to. Between two batches only: one needs all it has looked up. */
  age(): void {
    if (this.young.size < GENERATION) return
    this.old = this.young
    this.young = new Map()
  }
}
