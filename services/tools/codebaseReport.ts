/** The Markdown report of an analysis: what a person reads first. */
import * as limits from "./analysisLimits.ts"
import type { CodebaseAnalysis, LanguageCount } from "./CodebaseAnalysis.ts"

export type Findings = Omit<CodebaseAnalysis, "report">

const number = (value: number) => String(value).replaceAll(/\B(?=(\d{3})+$)/g, ",")

const size = (bytes: number) => {
  const units = ["B", "KiB", "MiB", "GiB", "TiB"]
  let value = bytes
  let unit = 0
  while (value >= 1024 && unit < units.length - 1) {
    value /= 1024
    unit++
  }
  return `${unit === 0 ? value : value.toFixed(1)} ${units[unit]}`
}

/** File names and versions are others' text: nothing in them may end a cell or begin markup. */
const cell = (text: string) => text.replaceAll(/[\\|`<>*_[\]]/g, String.raw`\$&`).replaceAll(/\s+/g, " ")

const table = (head: ReadonlyArray<string>, rows: ReadonlyArray<ReadonlyArray<string | number>>) =>
  [
    `| ${head.join(" | ")} |`,
    // The first column is a name, the others are figures.
    `| ${head.map((_, index) => (index === 0 ? "---" : "---:")).join(" | ")} |`,
    ...rows.map(
      (row) => `| ${row.map((value) => (typeof value === "number" ? number(value) : cell(value))).join(" | ")} |`
    )
  ].join("\n")

const languageRow = (language: LanguageCount) => [
  language.name,
  language.files,
  language.code,
  language.comments,
  language.blanks,
  ...(language.definitions === undefined ? ["", ""] : [language.definitions.functions, language.definitions.classes])
]

const passages = (skipped: Findings["skipped"]): ReadonlyArray<string> => {
  const reasons: Readonly<Record<keyof Findings["skipped"], string>> = {
    ignored: "named by an ignore file",
    binary: "binary",
    tooLarge: "too large to be counted",
    unreadable: "not readable",
    symlinks: "symbolic links, never followed",
    unrecognized: "in no language known here",
    notParsed: "counted, but not parsed for functions and classes"
  }
  return Object.entries(reasons).flatMap(([key, reason]) => {
    const { count, examples } = skipped[key as keyof Findings["skipped"]]
    if (count === 0) return []
    const shown = examples.slice(0, 3).map(cell).join(", ")
    return [`- ${number(count)} ${reason}${shown === "" ? "" : `: ${shown}${count > 3 ? ", …" : ""}`}`]
  })
}

export const render = (findings: Findings): string => {
  const { definitions } = findings
  const sections = [
    `# Codebase analysis\n\n**${cell(findings.source)}**${findings.commit === undefined ? "" : ` at ${findings.commit.slice(0, 12)}`}`,
    [
      `${number(findings.files)} files, ${size(findings.bytes)}, ${number(findings.lines)} lines: ` +
        `${number(findings.code)} of code, ${number(findings.comments)} of comments, ${number(findings.blanks)} blank.`,
      `${number(definitions.functions)} functions (${number(definitions.methods)} of them methods), ` +
        `${number(definitions.anonymous)} anonymous functions, ${number(definitions.classes)} classes.`
    ].join("\n"),
    findings.languages.length === 0
      ? "## Languages\n\nNo source text was found."
      : `## Languages\n\n${table(
          ["Language", "Files", "Code", "Comments", "Blanks", "Functions", "Classes"],
          findings.languages.slice(0, 40).map(languageRow)
        )}${findings.languages.length > 40 ? `\n\nand ${findings.languages.length - 40} more` : ""}`
  ]
  if (findings.largestFiles.length > 0) {
    sections.push(
      `## Largest files\n\n${table(
        ["File", "Size", "Lines"],
        findings.largestFiles.map(({ bytes, lines, path }) => [path, size(bytes), lines])
      )}`
    )
  }
  if (findings.manifests.length > 0) {
    sections.push(
      `## Manifests\n\n${table(
        ["Manifest", "Ecosystem", "Dependencies", "Locked", "Problem"],
        findings.manifests
          .slice(0, 50)
          .map(({ dependencies, ecosystem, locked, path, problem }) => [
            path,
            ecosystem,
            dependencies,
            locked ?? "",
            problem ?? ""
          ])
      )}`
    )
  }
  if (findings.dependencies.length > 0) {
    const total = findings.dependencies.length + findings.dependenciesOmitted
    const shown = findings.dependencies.slice(0, 150)
    sections.push(
      `## Dependencies\n\n${table(
        ["Dependency", "Requirement", "Locked", "Kind", "Manifest"],
        shown.map(({ kind, locked, manifest, name, requirement }) => [name, requirement, locked ?? "", kind, manifest])
      )}${total > shown.length ? `\n\nand ${number(total - shown.length)} more` : ""}`
    )
  }
  const passed = passages(findings.skipped)
  if (passed.length > 0) sections.push(`## Passed over\n\n${passed.join("\n")}`)
  const report = `${sections.join("\n\n")}\n`
  return report.length <= limits.reportCharacters
    ? report
    : `${report.slice(0, report.lastIndexOf("\n", limits.reportCharacters))}\n\n*The report goes on; it was cut here.*\n`
}
