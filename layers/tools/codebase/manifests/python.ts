/** `pyproject.toml` (PEP 621, PEP 735 and Poetry's tables) and `requirements*.txt`. */
import { type Declared, declared, type Kind, listOf, type ManifestReader, tableOf, textOf } from "./Manifest.ts"
import * as Toml from "./toml.ts"

/** A requirement as PEP 508 writes it: `name[extra] >=1,<2 ; marker`, or `name @ url`. */
const parseRequirement = (text: string, kind: Kind): Declared | undefined => {
  const name = /^[A-Za-z0-9][A-Za-z0-9._-]*/.exec(text)?.[0]
  if (name === undefined) return undefined
  let rest = text.slice(name.length).trim()
  if (rest.startsWith("[")) {
    const close = rest.indexOf("]")
    rest = close === -1 ? "" : rest.slice(close + 1).trim()
  }
  const marker = rest.startsWith("@") ? rest.indexOf(" ;") : rest.indexOf(";")
  return { name, requirement: (marker === -1 ? rest : rest.slice(0, marker)).replace(/^@/, "").trim(), kind }
}

const requirements = (value: unknown, kind: Kind): ReadonlyArray<Declared> =>
  listOf(value).flatMap((entry) => parseRequirement(textOf(entry).trim(), kind) ?? [])

const groups = (value: unknown, kind: Kind): ReadonlyArray<Declared> =>
  Object.values(tableOf(value)).flatMap((group) => requirements(group, kind))

export const pyproject: ManifestReader = {
  ecosystem: "pypi",
  matches: (name) => name === "pyproject.toml",
  read: (text) => {
    const manifest = Toml.parse(text)
    const project = tableOf(manifest["project"])
    const poetry = tableOf(tableOf(manifest["tool"])["poetry"])
    return [
      ...requirements(project["dependencies"], "runtime"),
      ...groups(project["optional-dependencies"], "optional"),
      ...groups(manifest["dependency-groups"], "development"),
      ...requirements(tableOf(manifest["build-system"])["requires"], "build"),
      ...declared(poetry["dependencies"], "runtime").filter(({ name }) => name !== "python"),
      ...declared(poetry["dev-dependencies"], "development"),
      ...Object.values(tableOf(poetry["group"])).flatMap((group) =>
        declared(tableOf(group)["dependencies"], "development")
      )
    ]
  },
  locks: [
    { file: "poetry.lock", read: Toml.readPackages },
    { file: "uv.lock", read: Toml.readPackages }
  ]
}

export const requirementsTxt: ManifestReader = {
  ecosystem: "pypi",
  matches: (name) => /^requirements[\w.-]*\.(txt|in)$/.test(name),
  read: (text) =>
    text
      .replaceAll(/\\\r?\n/g, " ")
      .split(/\r?\n/)
      .flatMap((line) => {
        const comment = line.startsWith("#") ? 0 : line.indexOf(" #")
        const bare = (comment === -1 ? line : line.slice(0, comment)).split(" --")[0]?.trim() ?? ""
        // Options: other files, indexes, editable paths.
        return bare === "" || bare.startsWith("-") ? [] : (parseRequirement(bare, "runtime") ?? [])
      }),
  locks: []
}
