/** Which language a file is written in, by its name and, without one that says so, by its first line. */
import { ambiguous, families, headers, prose, type Syntax, syntaxes } from "./Syntax.ts"

export interface Language {
  /** The name it is counted under. */
  readonly name: string
  /** The dialect, which is what a parser goes by: `TSX` is counted as TypeScript and parsed as TSX. */
  readonly dialect: string
  readonly syntax: Syntax
}

export interface Languages {
  readonly byName: (fileName: string) => Language | undefined
  /** By a `#!` line; `line` is the beginning of the file. */
  readonly byFirstLine: (line: string) => Language | undefined
}

interface LinguistData {
  readonly extensions?: ReadonlyArray<string>
  readonly filenames?: ReadonlyArray<string>
  readonly interpreters?: ReadonlyArray<string>
}

/** As `linguist-languages` names its files: all but letters, digits, "-" and "." in hexadecimal. */
const fileOf = (name: string) =>
  name.replace(/[^A-Za-z0-9.-]/g, (character) => `_${character.charCodeAt(0).toString(16)}_`)

const dataOf = async (name: string): Promise<LinguistData> => {
  // One module for each language: the package's index would load 800 of them.
  const module: { readonly default: LinguistData } = await import(`linguist-languages/data/${fileOf(name)}`)
  return module.default
}

const interpreterOf = (line: string): string | undefined => {
  if (!line.startsWith("#!")) return undefined
  const words = line.slice(2).trim().split(/\s+/)
  const program = words[0]?.split("/").at(-1)
  if (program !== "env") return program
  return words.slice(1).find((word) => !word.startsWith("-") && !word.includes("="))
}

export const load = async (): Promise<Languages> => {
  const extensions = new Map<string, Language>()
  const names = new Map<string, Language>()
  const interpreters = new Map<string, Language>()
  const add = (map: Map<string, Language>, keys: ReadonlyArray<string> | undefined, language: Language) => {
    for (const key of keys ?? []) if (!map.has(key)) map.set(key, language)
  }
  add(extensions, headers.extensions, { name: headers.name, dialect: "C++", syntax: headers.syntax })
  const entries = Object.entries(syntaxes)
  const data = await Promise.all(entries.map(([dialect]) => dataOf(dialect)))
  entries.forEach(([dialect, syntax], index) => {
    const language = { name: families[dialect] ?? dialect, dialect, syntax }
    const known = data[index]
    add(
      extensions,
      known?.extensions?.map((extension) => extension.toLowerCase()).filter((extension) => !ambiguous.has(extension)),
      language
    )
    if (!prose.has(dialect)) add(names, known?.filenames, language)
    add(interpreters, known?.interpreters, language)
  })
  return {
    byName: (fileName) => {
      const exact = names.get(fileName)
      if (exact !== undefined) return exact
      // The longest extension wins: `.html.erb` is not `.erb`.
      for (let dot = fileName.indexOf(".", 1); dot !== -1; dot = fileName.indexOf(".", dot + 1)) {
        const found = extensions.get(fileName.slice(dot).toLowerCase())
        if (found !== undefined) return found
      }
      return /^(Dockerfile|Containerfile)\./.test(fileName) ? names.get("Dockerfile") : undefined
    },
    byFirstLine: (line) => {
      const program = interpreterOf(line)
      return program === undefined
        ? undefined
        : (interpreters.get(program) ?? interpreters.get(program.replace(/[\d.]+$/, "")))
    }
  }
}
