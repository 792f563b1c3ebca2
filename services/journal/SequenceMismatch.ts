/**
 * Someone else wrote to the stream, or the writer lost count: a defect, since every stream has one writer at a time.
 * Nothing of the append was written.
 */
import { Data } from "effect"
import type { Topic } from "../events/Topic.ts"

export class SequenceMismatch extends Data.TaggedError("SequenceMismatch")<{
  readonly stream: Topic
  /** The last event that the writer knew of. */
  readonly after: number
  /** The last event there is. */
  readonly sequence: number
}> {
  override get message() {
    return `${this.stream} has ${this.sequence} events, but its writer went on from ${this.after}: a second writer`
  }
}
