/** The Markdown report of an analysis: what a person reads first. */
import * as limits from "./analysisLimits.ts"
import { count, escape, table, truncate } from "./markdown.ts"
import type { CodebaseAnalysis, LanguageCount } from "./CodebaseAnalysis.ts"

export type Findings = Omit<CodebaseAnalysis, "report">

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
    const passed = skipped[key as keyof Findings["skipped"]]
    if (passed.count === 0) return []
    const shown = passed.examples.slice(0, 3).map(escape).join(", ")
    return [`- ${count(passed.count)} ${reason}${shown === "" ? "" : `: ${shown}${passed.count > 3 ? ", …" : ""}`}`]
  })
}

export const render = (findings: Findings): string => {
  const { definitions } = findings
  const sections = [
    `# Codebase analysis\n\n**${escape(findings.source)}**${findings.commit === undefined ? "" : ` at ${findings.commit.slice(0, 12)}`}`,
    [
      `${count(findings.files)} files, ${size(findings.bytes)}, ${count(findings.lines)} lines: ` +
        `${count(findings.code)} of code, ${count(findings.comments)} of comments, ${count(findings.blanks)} blank.`,
      `${count(definitions.functions)} functions (${count(definitions.methods)} of them methods), ` +
        `${count(definitions.anonymous)} anonymous functions, ${count(definitions.classes)} classes.`
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
      )}${total > shown.length ? `\n\nand ${count(total - shown.length)} more` : ""}`
    )
  }
  const passed = passages(findings.skipped)
  if (passed.length > 0) sections.push(`## Passed over\n\n${passed.join("\n")}`)
  return truncate(`${sections.join("\n\n")}\n`, limits.reportCharacters)
}
