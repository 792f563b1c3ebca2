/** `analyze_codebase`: counts, definitions, dependencies and a report of a directory or a repository. */
import { Effect } from "effect"
import { resolve } from "node:path"
import { AnalyzeCodebase, CodebaseAnalysis } from "../../services/tools/CodebaseAnalysis.ts"
import { redact } from "../../services/tools/gitOutput.ts"
import * as Tool from "../../services/tools/Tool.ts"
import type { Input } from "./codebase/analyze.ts"
import * as GitClone from "./codebase/GitClone.ts"
import * as Thread from "./Thread.ts"

export interface Options {
  /** Directory for clones, made when it is needed. */
  readonly scratch: string
}

const entry = Thread.entry("./codebase/thread", import.meta.url)

/** Megabytes: many times what the largest file that is parsed needs. */
const heap = 512

const analyze = (input: Input) => Thread.run<CodebaseAnalysis, Input>({ entry, input, heap })

export const make = ({ scratch }: Options) =>
  Tool.make({
    name: "analyze_codebase",
    description:
      "Analyses a codebase: files, lines of code, comments and blanks per language, functions and classes, declared dependencies, largest files, and a Markdown report. Takes a directory on the server (path) or a Git repository (repoUrl).",
    parameters: AnalyzeCodebase,
    result: CodebaseAnalysis,
    weight: "heavy",
    idempotent: true,
    classes: ["read", "network"],
    classesOf: ({ repoUrl }) => (repoUrl === undefined ? ["read"] : ["read", "network"]),
    run: Effect.fn("analyze_codebase")(function* ({ path, repoUrl }) {
      const result =
        repoUrl === undefined
          ? yield* analyze({ directory: resolve(path ?? "."), source: path ?? "." })
          : yield* GitClone.clone({ url: repoUrl, scratch }).pipe(
              Effect.flatMap(({ commit, directory }) => analyze({ directory, commit, source: redact(repoUrl) })),
              Effect.scoped
            )
      const call = yield* Tool.ToolCall
      yield* call.progress(100, "complete")
      return result
    })
  })
