/** What a terminal can show that a pipe cannot. */
import { stripVTControlCharacters, styleText } from "node:util"

type Output = "stdout" | "stderr"

export const isTerminal = (output: Output): boolean => process[output].isTTY
export const width = (output: Output): number => (isTerminal(output) ? process[output].columns || 80 : 100)

/** Styles are dropped in a pipe and where NO_COLOR asks for it. */
const styled =
  (style: Parameters<typeof styleText>[0]) =>
  (text: string, output: Output = "stdout"): string =>
    styleText(style, text, { stream: process[output], validateStream: true })

export const bold = styled("bold")
export const dim = styled("dim")
export const red = styled("red")
export const green = styled("green")
export const yellow = styled("yellow")

/** Text from elsewhere, harmless: no control character reaches the terminal, and it stays on its line. */
export const plain = (text: string): string => stripVTControlCharacters(text).replaceAll(/\p{Cc}+/gu, " ")

/** As `plain`, with its lines and tabs kept. */
export const lines = (text: string): string => stripVTControlCharacters(text).replaceAll(/(?![\t\n])\p{Cc}/gu, " ")

const graphemes = new Intl.Segmenter()
const wide =
  /\p{Emoji_Presentation}|[\u1100-\u115f\u2e80-\ua4cf\uac00-\ud7a3\uf900-\ufaff\ufe30-\ufe6f\uff00-\uff60\uffe0-\uffe6]/u

/** Columns that a text takes. */
export const columns = (text: string): number => {
  let count = 0
  for (const { segment } of graphemes.segment(stripVTControlCharacters(text))) count += wide.test(segment) ? 2 : 1
  return count
}

/** The column in which a text ends that is written from a column on; as wide as the screen when it fills its row. */
export const columnAfter = (column: number, text: string, width: number): number => {
  const end = text.lastIndexOf("\n")
  let at = end === -1 ? column : 0
  for (const { segment } of graphemes.segment(stripVTControlCharacters(text.slice(end + 1)))) {
    const taken = segment === "\t" ? 8 - (at % 8) : wide.test(segment) ? 2 : 1
    at = at + taken > width ? taken : at + taken
  }
  return at
}

/** Cuts a text to a number of columns, with an ellipsis where something is missing. */
export const fit = (text: string, width: number): string => {
  if (columns(text) <= width) return text
  let kept = ""
  let used = 1
  for (const { segment } of graphemes.segment(text)) {
    used += wide.test(segment) ? 2 : 1
    if (used > width) break
    kept += segment
  }
  return `${kept}…`
}

/** Milliseconds as people say them: `340 ms`, `12 s`, `3 min 5 s`, `2 h 10 min`, `4 d`. */
export const duration = (milliseconds: number): string => {
  const seconds = Math.round(milliseconds / 1000)
  if (milliseconds < 1000) return `${Math.round(milliseconds)} ms`
  if (seconds < 60) return `${seconds} s`
  if (seconds < 3600) return `${Math.floor(seconds / 60)} min${seconds % 60 === 0 ? "" : ` ${seconds % 60} s`}`
  if (seconds < 86_400) {
    const minutes = Math.floor((seconds % 3600) / 60)
    return `${Math.floor(seconds / 3600)} h${minutes === 0 ? "" : ` ${minutes} min`}`
  }
  return `${Math.floor(seconds / 86_400)} d`
}
