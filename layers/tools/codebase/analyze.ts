/** The analysis of one tree: runs in a thread of its own, so it may take the processor for itself. */
import { readdirSync, statSync } from "node:fs"
import * as limits from "../../../services/tools/analysisLimits.ts"
import type {
  CodebaseAnalysis,
  Definitions as Counted,
  LargeFile,
  LanguageCount
} from "../../../services/tools/CodebaseAnalysis.ts"
import * as Report from "../../../services/tools/codebaseReport.ts"
import { ThreadFailure, type ThreadProgress } from "../ThreadBody.ts"
import * as Definitions from "./Definitions.ts"
import * as Languages from "./Languages.ts"
import * as LineCounter from "./LineCounter.ts"
import { isManifest, scan } from "./manifests/scan.ts"
import { makeReader } from "./readFile.ts"
import { walk } from "./walk.ts"

export interface Input {
  /** The directory on this machine. */
  readonly directory: string
  /** What the result calls it. */
  readonly source: string
  readonly commit?: string | undefined
}

/** Above this size a file is no source text that a person wrote. */
const maxFileBytes = 32 * 1024 * 1024
/** Above this size the parser's tree would cost more memory than it tells. */
const maxParsedBytes = 1024 * 1024
const maxManifests = 5_000

const stages = { analyzing: 30, scanning: 60, reporting: 80 }

type Mutable<A> = { -readonly [K in keyof A]: A[K] }
type Tally = Mutable<Omit<LanguageCount, "definitions">> & { definitions: Counted | undefined }

const cap = (text: string) => (text.length > limits.textCharacters ? `${text.slice(0, limits.textCharacters)}…` : text)

const passedOver = () => ({ count: 0, examples: Array.of<string>() })

const checkRoot = (directory: string, source: string): void => {
  try {
    if (!statSync(directory).isDirectory()) {
      throw new ThreadFailure("not_a_directory", `${source} is not a directory; give the directory to analyse`)
    }
    readdirSync(directory)
  } catch (error) {
    if (error instanceof ThreadFailure) throw error
    const code = error instanceof Error && "code" in error ? error.code : undefined
    // A path with a NUL in it cannot exist.
    if (code === "ENOENT" || code === "ENOTDIR" || code === "ERR_INVALID_ARG_VALUE" || code === "ENAMETOOLONG") {
      throw new ThreadFailure("path_not_found", `${source} does not exist on the server; check the path`)
    }
    throw new ThreadFailure("path_not_readable", `${source} cannot be read by the server's user; check its permissions`)
  }
}

/** Git's own rule: a NUL near the beginning. UTF-16 texts have them too, and say so by a byte order mark. */
const textOf = (bytes: Buffer): Uint8Array | undefined => {
  if (bytes[0] === 0xff && bytes[1] === 0xfe) return new TextEncoder().encode(new TextDecoder("utf-16le").decode(bytes))
  if (bytes[0] === 0xfe && bytes[1] === 0xff) return new TextEncoder().encode(new TextDecoder("utf-16be").decode(bytes))
  const zero = bytes.indexOf(0)
  return zero !== -1 && zero < 8_000 ? undefined : bytes
}

/** Keeps the largest few, largest first. */
const keepLargest = (files: Array<LargeFile>, file: LargeFile) => {
  if (files.length === limits.largestFiles && file.bytes <= (files.at(-1)?.bytes ?? 0)) return
  const at = files.findIndex(({ bytes }) => bytes < file.bytes)
  files.splice(at === -1 ? files.length : at, 0, file)
  if (files.length > limits.largestFiles) files.pop()
}

export const analyze = async (
  { commit, directory, source }: Input,
  progress: ThreadProgress
): Promise<CodebaseAnalysis> => {
  checkRoot(directory, source)
  progress(stages.analyzing, "analyzing")
  const [languages, finder] = await Promise.all([Languages.load(), Definitions.load()])

  let expected = 0
  await walk(directory, { onFile: () => void expected++, onPassed: () => undefined })

  const skipped = {
    ignored: passedOver(),
    binary: passedOver(),
    tooLarge: passedOver(),
    unreadable: passedOver(),
    symlinks: passedOver(),
    unrecognized: passedOver(),
    notParsed: passedOver()
  }
  const pass = (reason: keyof typeof skipped, path: string) => {
    const passed = skipped[reason]
    passed.count++
    if (passed.examples.length < limits.examples) passed.examples.push(cap(path))
  }
  const tallies = new Map<string, Tally>()
  const counters = new Map<string, LineCounter.LineCounter>()
  const largestFiles: Array<LargeFile> = []
  const manifests: Array<string> = []
  let manifestsFound = 0
  const read = makeReader(maxFileBytes)
  let seen = 0

  const count = async (path: string, name: string): Promise<void> => {
    seen++
    progress(stages.analyzing + (stages.scanning - stages.analyzing) * Math.min(1, seen / expected), "analyzing")
    if (isManifest(name) && ++manifestsFound <= maxManifests) manifests.push(path)
    const named = languages.byName(name)
    // Without a known name only a first line can tell, and only a name without an extension asks for one.
    if (named === undefined && name.includes(".", 1)) return pass("unrecognized", path)
    const contents = read(`${directory}/${path}`)
    if (contents._tag === "TooLarge") return pass("tooLarge", path)
    if (contents._tag !== "Read") return pass("unreadable", path)
    const bytes = textOf(contents.bytes)
    if (bytes === undefined) return pass("binary", path)
    const language =
      named ?? languages.byFirstLine(Buffer.from(bytes.subarray(0, 200)).toString("latin1").split("\n")[0] ?? "")
    if (language === undefined) return pass("unrecognized", path)
    let counter = counters.get(language.dialect)
    if (counter === undefined) counters.set(language.dialect, (counter = LineCounter.make(language.syntax)))
    const { blanks, code, comments } = counter(bytes)
    const lines = code + comments + blanks
    let tally = tallies.get(language.name)
    if (tally === undefined) {
      tally = {
        name: language.name,
        files: 0,
        bytes: 0,
        lines: 0,
        code: 0,
        comments: 0,
        blanks: 0,
        definitions: undefined
      }
      tallies.set(language.name, tally)
    }
    tally.files++
    tally.bytes += contents.size
    tally.lines += lines
    tally.code += code
    tally.comments += comments
    tally.blanks += blanks
    keepLargest(largestFiles, { path: cap(path), bytes: contents.size, lines, language: language.name })
    if (!finder.knows(language.dialect)) return
    tally.definitions ??= Definitions.none
    if (bytes.length > maxParsedBytes) return pass("notParsed", path)
    const found = await finder.find(language.dialect, new TextDecoder().decode(bytes))
    if (found === undefined) return pass("notParsed", path)
    tally.definitions = Definitions.add(tally.definitions, found)
  }

  await walk(directory, { onFile: count, onPassed: pass })

  progress(stages.scanning, "scanning_dependencies")
  const scanned = await scan(directory, manifests, (fraction) =>
    progress(stages.scanning + (stages.reporting - stages.scanning) * fraction, "scanning_dependencies")
  )

  progress(stages.reporting, "generating_report")
  const byCode = [...tallies.values()].sort((a, b) => b.code - a.code || (a.name < b.name ? -1 : 1))
  const sum = (key: "files" | "bytes" | "lines" | "code" | "comments" | "blanks") =>
    byCode.reduce((total, tally) => total + tally[key], 0)
  const findings: Report.Findings = {
    source,
    ...(commit !== undefined && { commit }),
    files: sum("files"),
    bytes: sum("bytes"),
    lines: sum("lines"),
    code: sum("code"),
    comments: sum("comments"),
    blanks: sum("blanks"),
    definitions: byCode.reduce(
      (total, { definitions }) => Definitions.add(total, definitions ?? Definitions.none),
      Definitions.none
    ),
    languages: byCode
      .slice(0, limits.languages)
      .map(({ definitions, ...rest }) => (definitions === undefined ? rest : { ...rest, definitions })),
    languagesOmitted: Math.max(0, byCode.length - limits.languages),
    largestFiles,
    manifests: scanned.manifests.slice(0, limits.manifests),
    manifestsOmitted: Math.max(0, manifestsFound - Math.min(scanned.manifests.length, limits.manifests)),
    dependencies: scanned.dependencies,
    dependenciesOmitted: scanned.dependenciesOmitted,
    skipped
  }
  return { ...findings, report: Report.render(findings) }
}
