/** What `analyze_codebase` is asked and what it finds. Every list is bounded, so a result fits in one message. */
import { Schema } from "effect"

const isControl = (text: string) => {
  for (let i = 0; i < text.length; i++) if (text.charCodeAt(i) < 32 || text.charCodeAt(i) === 127) return true
  return false
}

const refuse = (url: string): string | undefined => {
  if (url.startsWith("-")) return 'a repository never begins with "-"'
  if (isControl(url)) return "a repository contains no control characters"
  const scheme = /^([A-Za-z][A-Za-z0-9+.-]*):/.exec(url)?.[1]?.toLowerCase()
  if (/^[^/]*::/.test(url)) return "remote helpers (helper::address) are not allowed; use a https, ssh, git or file URL"
  if (/^[A-Za-z][A-Za-z0-9+.-]*:\/\//.test(url)) {
    if (!["https", "http", "ssh", "git", "file"].includes(scheme ?? "")) {
      return `the scheme "${scheme}" is not supported; use https, http, ssh, git or file`
    }
    if (/^[^:]+:\/\/([^/@]*@)?-/.test(url)) return 'a host never begins with "-"'
  } else if (/^([^/@]*@)?-[^/]*:/.test(url)) return 'a host never begins with "-"'
  return undefined
}

export const RepositoryUrl = Schema.NonEmptyString.check(
  Schema.makeFilter((url) => refuse(url)),
  Schema.isMaxLength(2048)
)

export const AnalyzeCodebase = Schema.Struct({
  path: Schema.optionalKey(Schema.NonEmptyString.check(Schema.isMaxLength(4096))).annotate({
    description: "directory to analyse, as the server sees it"
  }),
  repoUrl: Schema.optionalKey(RepositoryUrl).annotate({
    description: "repository to clone and analyse: a https, http, ssh, git or file URL, or a path on the server"
  })
}).check(
  Schema.makeFilter(({ path, repoUrl }) =>
    (path === undefined) === (repoUrl === undefined)
      ? { path: ["path"], issue: "give exactly one of path and repoUrl" }
      : undefined
  )
)
export type AnalyzeCodebase = typeof AnalyzeCodebase.Type

const counts = {
  files: Schema.Int,
  bytes: Schema.Int,
  /** Lines in all: code, comments and blanks. A line with code and a comment is code. */
  lines: Schema.Int,
  code: Schema.Int,
  comments: Schema.Int,
  blanks: Schema.Int
}

/** What a parser found. Only definitions with a body count, so a declaration file has no functions. */
export const Definitions = Schema.Struct({
  /** Functions and methods that have a name, of their own or by what they are assigned to. */
  functions: Schema.Int,
  /** Those of `functions` that belong to a class or its like. */
  methods: Schema.Int,
  /** Arrow functions, lambdas and function expressions without a name. */
  anonymous: Schema.Int,
  /** Classes, and where a language has them instead structs and records. */
  classes: Schema.Int
})
export type Definitions = typeof Definitions.Type

export const LanguageCount = Schema.Struct({
  name: Schema.String,
  ...counts,
  /** Absent where there is no parser for the language. */
  definitions: Schema.optionalKey(Definitions)
})
export type LanguageCount = typeof LanguageCount.Type

export const LargeFile = Schema.Struct({
  path: Schema.String,
  bytes: Schema.Int,
  lines: Schema.Int,
  language: Schema.String
})
export type LargeFile = typeof LargeFile.Type

export const Dependency = Schema.Struct({
  name: Schema.String,
  /** As the manifest writes it: `^4.1.0`, `>=2,<3`, a URL; empty when it names none. */
  requirement: Schema.String,
  kind: Schema.Literals(["runtime", "development", "build", "optional", "peer"]),
  ecosystem: Schema.String,
  /** The manifest that declares it. */
  manifest: Schema.String,
  /** What the lock file beside the manifest fixes. */
  locked: Schema.optionalKey(Schema.String)
})
export type Dependency = typeof Dependency.Type

export const Manifest = Schema.Struct({
  path: Schema.String,
  ecosystem: Schema.String,
  /** Dependencies it declares. */
  dependencies: Schema.Int,
  /** Packages that its lock file fixes in all, those of dependencies included. */
  locked: Schema.optionalKey(Schema.Int),
  /** Why it could not be read. */
  problem: Schema.optionalKey(Schema.String)
})
export type Manifest = typeof Manifest.Type

const Passed = Schema.Struct({
  count: Schema.Int,
  /** The first few. */
  examples: Schema.Array(Schema.String)
})

/** What was passed over, and why. */
export const Skipped = Schema.Struct({
  /** Named by an ignore file: a directory counts once. */
  ignored: Passed,
  binary: Passed,
  /** Above the size up to which files are counted. */
  tooLarge: Passed,
  unreadable: Passed,
  /** Never followed. */
  symlinks: Passed,
  /** Text in no language that is known here. */
  unrecognized: Passed,
  /** Counted, but too large for the parser or not parsed by it. */
  notParsed: Passed
})
export type Skipped = typeof Skipped.Type

export const CodebaseAnalysis = Schema.Struct({
  /** The directory, or the repository without its credentials. */
  source: Schema.String,
  /** The commit that was cloned. */
  commit: Schema.optionalKey(Schema.String),
  ...counts,
  definitions: Definitions,
  /** By lines of code, most first. */
  languages: Schema.Array(LanguageCount),
  languagesOmitted: Schema.Int,
  largestFiles: Schema.Array(LargeFile),
  manifests: Schema.Array(Manifest),
  manifestsOmitted: Schema.Int,
  dependencies: Schema.Array(Dependency),
  dependenciesOmitted: Schema.Int,
  skipped: Skipped,
  /** Markdown. */
  report: Schema.String
})
export type CodebaseAnalysis = typeof CodebaseAnalysis.Type
