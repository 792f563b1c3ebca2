/** What git says, read for people: its progress, its last word, and never a password. */

/** The same text without credentials: those in URLs, and values of query parameters. */
export const redact = (text: string): string =>
  text
    .replaceAll(/([A-Za-z][A-Za-z0-9+.-]{0,20}:\/\/)[^/\s'"]*@/g, "$1***@")
    .replaceAll(/([?&][^=\s&'"]{1,100}=)[^&\s'"]+/g, "$1***")

const maxLine = 400

/** Why git ended: its last `fatal:` and `error:` lines, or else the last it said. */
export const lastLine = (stderr: string): string => {
  const lines = stderr
    .split(/[\r\n]+/)
    .map((line) => line.trim())
    .filter((line) => line !== "")
  // Two, for the first of them often names the reason and the second what came of it.
  const telling = lines.filter((line) => /^(fatal|error|remote: (error|fatal)):/i.test(line)).slice(-2)
  const text = redact(telling.length > 0 ? telling.join("; ") : (lines.at(-1) ?? "it ended without a word"))
  return text.length > maxLine ? `${text.slice(0, maxLine)}…` : text
}

const units: Readonly<Record<string, number>> = { bytes: 1, KiB: 1024, MiB: 1024 ** 2, GiB: 1024 ** 3, TiB: 1024 ** 4 }

/** How far it says it is, and how many bytes have come, as far as one piece of its output tells. */
export const progressOf = (output: string): { readonly fraction: number; readonly received: number } => {
  const step = (name: string, from: number, to: number) => {
    const percent = [...output.matchAll(new RegExp(`${name}: +(\\d+)%`, "g"))].at(-1)?.[1]
    return percent === undefined ? 0 : from + ((to - from) * Math.min(100, Number(percent))) / 100
  }
  const [, amount = "0", unit = "bytes"] = [...output.matchAll(/, ([\d.]+) (bytes|[KMGT]iB)/g)].at(-1) ?? []
  return {
    fraction: Math.max(
      step("Receiving objects", 0.1, 0.6),
      step("Resolving deltas", 0.6, 0.7),
      step("Updating files", 0.7, 1)
    ),
    received: Number(amount) * (units[unit] ?? 1)
  }
}
