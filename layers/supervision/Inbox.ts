/**
 * What waits for a supervisor's attention, in order of arrival.
 *
 * It needs no capacity of its own: what stands in it is at most one exit per child and one request per caller, and a
 * caller waits for its answer. A waiting supervisor wakes within the push, so that a request costs no turn of the
 * scheduler.
 */
import { Effect } from "effect"

export class Inbox<Message> {
  private messages: Array<Message> = []
  private next = 0
  private wake: (() => void) | undefined

  push(message: Message): void {
    this.messages.push(message)
    const wake = this.wake
    if (wake !== undefined) {
      this.wake = undefined
      wake()
    }
  }

  take(): Message | undefined {
    if (this.next === this.messages.length) return undefined
    const message = this.messages[this.next]
    this.next++
    if (this.next === this.messages.length) {
      this.messages = []
      this.next = 0
    }
    return message
  }

  /** Returns when there is something to take. */
  readonly arrived: Effect.Effect<void> = Effect.callback((resume) => {
    if (this.next < this.messages.length) return resume(Effect.void)
    this.wake = () => resume(Effect.void)
  })
}
