/** What a reader of manifests takes and gives. */
import type { Dependency } from "../../../../services/tools/CodebaseAnalysis.ts"

export type Kind = Dependency["kind"]

export interface Declared {
  readonly name: string
  readonly requirement: string
  readonly kind: Kind
}

/** Fixed versions by name. */
export type Locked = ReadonlyMap<string, string>

export interface LockFile {
  readonly versions: Locked
  /** Packages it fixes in all. */
  readonly packages: number
}

export interface ManifestReader {
  readonly ecosystem: string
  readonly matches: (fileName: string) => boolean
  /** Throws an `Error` that says what is wrong with the text. */
  readonly read: (text: string) => ReadonlyArray<Declared>
  /** Lock files that may lie beside the manifest, the first found counts. */
  readonly locks: ReadonlyArray<{ readonly file: string; readonly read: (text: string) => LockFile }>
}

type Table = Readonly<Record<string, unknown>>

export const tableOf = (value: unknown): Table =>
  typeof value === "object" && value !== null && !Array.isArray(value) ? (value as Table) : {}

export const textOf = (value: unknown): string => (typeof value === "string" ? value : "")

export const listOf = (value: unknown): ReadonlyArray<unknown> => (Array.isArray(value) ? value : [])

/** A table of dependencies: a requirement as text, or a table that may hold one. */
export const declared = (value: unknown, kind: Kind): ReadonlyArray<Declared> =>
  Object.entries(tableOf(value)).map(([name, requirement]) => {
    if (typeof requirement === "string") return { name, requirement, kind }
    const table = tableOf(Array.isArray(requirement) ? requirement[0] : requirement)
    const written = [table["version"], table["git"], table["path"], table["url"]]
      .map(textOf)
      .find((text) => text !== "")
    return { name, requirement: written ?? "", kind: table["optional"] === true ? "optional" : kind }
  })

export const lockOf = (pairs: Iterable<readonly [string, string]>): LockFile => {
  const versions = new Map<string, string>()
  let packages = 0
  for (const [name, version] of pairs) {
    packages++
    if (!versions.has(name)) versions.set(name, version)
  }
  return { versions, packages }
}
