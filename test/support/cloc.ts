/** What `cloc` counts, to be held against our own count. */
import { spawnSync } from "node:child_process"

export interface ClocCount {
  readonly files: number
  readonly code: number
  readonly comments: number
  readonly blanks: number
}

const names: Readonly<Record<string, string>> = {
  "Bourne Shell": "Shell",
  "Bourne Again Shell": "Shell",
  make: "Makefile",
  "Vuejs Component": "Vue",
  "DOS Batch": "Batchfile",
  "Protocol Buffers": "Protocol Buffer",
  LESS: "Less",
  awk: "Awk",
  "Tcl/Tk": "Tcl"
}

/** `cloc` is a Perl program. In CI its absence is a fault, elsewhere a reason to leave a test out. */
export const isMissing = process.env["CI"] === undefined && spawnSync("perl", ["-v"]).status !== 0

const script = new URL("../../node_modules/cloc/lib/cloc", import.meta.url).pathname

export const byLanguage = (directory: string): ReadonlyMap<string, ClocCount> => {
  const { error, status, stderr, stdout } = spawnSync(
    "perl",
    [script, "--quiet", "--skip-uniqueness", "--json", "--timeout", "60", "."],
    { cwd: directory, encoding: "utf8", maxBuffer: 16 * 1024 * 1024 }
  )
  if (error !== undefined || status !== 0) throw new Error(`cloc did not run: ${error?.message ?? stderr}`)
  const found = new Map<string, ClocCount>()
  const json: Record<string, { nFiles: number; code: number; comment: number; blank: number }> = JSON.parse(
    stdout.slice(stdout.indexOf("{"))
  )
  for (const [language, { blank, code, comment, nFiles }] of Object.entries(json)) {
    if (language === "header" || language === "SUM") continue
    const name = names[language] ?? language
    const before = found.get(name) ?? { files: 0, code: 0, comments: 0, blanks: 0 }
    found.set(name, {
      files: before.files + nFiles,
      code: before.code + code,
      comments: before.comments + comment,
      blanks: before.blanks + blank
    })
  }
  return found
}
