/**
 * What comes from a terminal's keyboard, with what is pasted kept in one line: a line feed in it, or one typed with Alt
 * and Enter, becomes a sign that stands for it until the line is read. So a paste is not sent line by line.
 */
import { Transform } from "node:stream"

/** A terminal that was told so says by these where a paste begins and ends. */
export const ask = "\u001b[?2004h"
export const stop = "\u001b[?2004l"
const BEGIN = "\u001b[200~"
const END = "\u001b[201~"

/** Stands for a line feed. */
export const BREAK = "⏎"

/** A line as it is meant. */
export const unfold = (line: string): string => line.replaceAll(BREAK, "\n")
export const fold = (text: string): string => text.replaceAll(/\r\n|[\r\n]/g, BREAK)

/** Where a mark may have begun at the end of what was read so far. */
const begun = (text: string, mark: string, least: number): number => {
  for (let length = Math.min(mark.length - 1, text.length); length >= least; length--) {
    if (text.endsWith(mark.slice(0, length))) return text.length - length
  }
  return text.length
}

export class Paste {
  #isPasting = false
  #rest = ""

  /** What a piece of the input means to whoever edits a line. */
  take(piece: string): string {
    let text = this.#rest + piece
    let taken = ""
    this.#rest = ""
    while (text !== "") {
      const mark = this.#isPasting ? END : BEGIN
      const at = text.indexOf(mark)
      // Outside of a paste the first two characters alone are keys, which must not wait.
      const end = at === -1 ? begun(text, mark, this.#isPasting ? 1 : 3) : at
      taken += this.#isPasting ? pasted(text.slice(0, end)) : text.slice(0, end).replaceAll("\u001b\r", BREAK)
      if (at === -1) {
        this.#rest = text.slice(end)
        return taken
      }
      text = text.slice(at + mark.length)
      this.#isPasting = !this.#isPasting
    }
    return taken
  }
}

/** Nothing in it is a key. */
const pasted = (text: string): string =>
  fold(text)
    .replaceAll("\t", "  ")
    .replaceAll(/\p{Cc}/gu, "")

/** The keyboard, for `readline`. */
export const keyboard = (): Transform => {
  const paste = new Paste()
  const keys = new Transform({
    decodeStrings: false,
    transform: (piece, _encoding, done) => done(null, paste.take(String(piece)))
  })
  process.stdin.setEncoding("utf8")
  process.stdin.pipe(keys)
  return Object.assign(keys, {
    isTTY: true,
    setRawMode: (isRaw: boolean) => {
      process.stdin.setRawMode(isRaw)
      return keys
    }
  })
}
