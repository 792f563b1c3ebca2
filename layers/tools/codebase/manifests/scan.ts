/** Reads the manifests that a walk found, and what is fixed by the lock files beside them. */
import { basename, dirname, join } from "node:path"
import * as limits from "../../../../services/tools/analysisLimits.ts"
import type { Dependency, Manifest } from "../../../../services/tools/CodebaseAnalysis.ts"
import { makeReader } from "../readFile.ts"
import { cargo } from "./cargo.ts"
import { gemfile } from "./gemfile.ts"
import { go } from "./go.ts"
import type { LockFile, ManifestReader } from "./Manifest.ts"
import { mix } from "./mix.ts"
import { npm } from "./npm.ts"
import { pom } from "./pom.ts"
import { pyproject, requirementsTxt } from "./python.ts"

const readers: ReadonlyArray<ManifestReader> = [npm, pyproject, requirementsTxt, cargo, go, mix, pom, gemfile]

export const isManifest = (fileName: string): boolean => readers.some((reader) => reader.matches(fileName))

const maxManifestBytes = 2 * 1024 * 1024
const maxLockBytes = 32 * 1024 * 1024

const cap = (text: string) => (text.length > limits.textCharacters ? `${text.slice(0, limits.textCharacters)}…` : text)
const messageOf = (error: unknown) => cap(error instanceof Error ? error.message : String(error))

export interface Scan {
  readonly manifests: ReadonlyArray<Manifest>
  readonly dependencies: ReadonlyArray<Dependency>
  readonly dependenciesOmitted: number
}

/** `paths` are relative to the root. */
export const scan = async (
  root: string,
  paths: ReadonlyArray<string>,
  onProgress: (fraction: number) => void
): Promise<Scan> => {
  const read = makeReader(maxLockBytes)
  const manifests: Array<Manifest> = []
  const dependencies: Array<Dependency> = []
  let omitted = 0

  const readLock = (directory: string, reader: ManifestReader): LockFile | undefined => {
    for (const lock of reader.locks) {
      const contents = read(join(root, directory, lock.file))
      if (contents._tag !== "Read") continue
      try {
        return lock.read(contents.bytes.toString("utf8"))
      } catch {
        return undefined
      }
    }
    return undefined
  }

  for (const [index, path] of paths.entries()) {
    const name = basename(path)
    const reader = readers.find((reader) => reader.matches(name))
    if (reader === undefined) continue
    const contents = read(join(root, path))
    const problem = (text: string) =>
      manifests.push({ path: cap(path), ecosystem: reader.ecosystem, dependencies: 0, problem: text })
    if (contents._tag !== "Read" || contents.size > maxManifestBytes) {
      problem(contents._tag === "Unreadable" ? "it cannot be read" : "it is too large for a manifest")
      continue
    }
    try {
      const declared = reader.read(contents.bytes.toString("utf8"))
      const lock = readLock(dirname(path), reader)
      manifests.push({
        path: cap(path),
        ecosystem: reader.ecosystem,
        dependencies: declared.length,
        ...(lock !== undefined && { locked: lock.packages })
      })
      for (const { kind, name, requirement } of declared) {
        if (dependencies.length >= limits.dependencies) {
          omitted++
          continue
        }
        const locked = lock?.versions.get(name)
        dependencies.push({
          name: cap(name),
          requirement: cap(requirement),
          kind,
          ecosystem: reader.ecosystem,
          manifest: cap(path),
          ...(locked !== undefined && { locked: cap(locked) })
        })
      }
    } catch (error) {
      problem(messageOf(error))
    }
    onProgress((index + 1) / paths.length)
  }
  return { manifests, dependencies, dependenciesOmitted: omitted }
}
