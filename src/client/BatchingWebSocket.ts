/**
 * A WebSocket that sends what is written in one turn of the event loop as one message. Messages here are lines of text,
 * any number of them: what they are split into means nothing, and each costs both sides some work.
 */

/** Characters of a batch at most. */
const enough = 64 * 1024

export class BatchingWebSocket extends WebSocket {
  #waiting = ""

  override send(data: Parameters<WebSocket["send"]>[0]): void {
    // One that is long by itself goes by itself: a message has a limit, too.
    if (typeof data !== "string" || this.#waiting.length + data.length > enough) this.#flush()
    if (typeof data !== "string" || data.length > enough) return super.send(data)
    if (this.#waiting === "") queueMicrotask(() => this.#flush())
    this.#waiting += data
  }

  override close(code?: number, reason?: string): void {
    this.#flush()
    super.close(code, reason)
  }

  #flush(): void {
    if (this.#waiting === "") return
    const data = this.#waiting
    this.#waiting = ""
    // One that has closed meanwhile says so by its event.
    if (this.readyState === WebSocket.OPEN) super.send(data)
  }
}
