/** What a program that has ended said last of why. */

/** Lines about what went wrong, and not about where in the program. */
const telling = /error|cannot|not found|denied|no such|fail/i
const npm = /^npm (?:error|ERR!) ?/

/** The line that tells most, of at most so many characters. */
export const lastWordsOf = (stderr: string, limit: number): string => {
  const lines = stderr
    .split("\n")
    .map((line) => line.trim())
    .filter((line) => line !== "" && !line.startsWith("at "))
  // What it says first names the reason, what it says last the file of its log.
  const ofNpm = lines.filter((line) => npm.test(line)).slice(0, 2)
  const words =
    ofNpm.length === 0
      ? (lines.findLast((line) => telling.test(line)) ?? lines.at(-1) ?? "")
      : `npm: ${ofNpm.map((line) => line.replace(npm, "")).join(", ")}`
  return words.slice(0, limit)
}
