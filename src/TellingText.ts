/**
 * What a reader sees of a message that comes in pieces and is told as a whole in the end. Pieces may be missed, and a
 * server that comes back after a crash begins the message anew: nothing is shown twice, and in the end nothing is missing.
 */
export class TellingText {
  /** Of this message, as the reader has it. */
  #shown = ""
  /** Of this message, as it is said since it was last begun. */
  #heard = ""

  /** The next piece, which stands after `from` characters: gives what of it is to be shown. */
  piece(text: string, from: number): string {
    if (from === 0) this.#heard = ""
    // Something is missing before it, and will be there when the message is settled.
    if (from !== this.#heard.length) return ""
    if (from === this.#shown.length) {
      this.#heard += text
      this.#shown += text
      return text
    }
    this.#heard += text
    return this.#catchUp(this.#heard)
  }

  /** The message is complete: gives what of it was not shown. The next piece belongs to another. */
  settle(text: string): string {
    const rest = this.#catchUp(text)
    this.#shown = ""
    this.#heard = ""
    return rest
  }

  #catchUp(text: string): string {
    if (this.#shown.length > text.length && this.#shown.startsWith(text)) return ""
    const rest = text.startsWith(this.#shown) ? text.slice(this.#shown.length) : `\n${text}`
    this.#shown = text
    return rest
  }
}
