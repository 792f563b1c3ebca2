/** `go.mod`; `go.sum` tells what is fixed. */
import { type Declared, lockOf, type ManifestReader } from "./Manifest.ts"

const parseRequire = (line: string): Declared | undefined => {
  const [name, requirement] = line.split("//")[0]?.trim().split(/\s+/) ?? []
  return name === undefined || name === "" || requirement === undefined
    ? undefined
    : { name: name.replaceAll('"', ""), requirement, kind: "runtime" }
}

export const go: ManifestReader = {
  ecosystem: "go",
  matches: (name) => name === "go.mod",
  read: (text) => {
    const found: Array<Declared> = []
    let directive: string | undefined
    for (const raw of text.split(/\r?\n/)) {
      const line = raw.trim()
      if (directive !== undefined) {
        if (line.startsWith(")")) directive = undefined
        else if (directive === "require") {
          const dependency = parseRequire(line)
          if (dependency !== undefined) found.push(dependency)
        }
        continue
      }
      const block = /^(\w+)\s*\(/.exec(line)
      if (block !== null) directive = block[1]
      else if (/^require\s/.test(line)) {
        const dependency = parseRequire(line.slice("require".length))
        if (dependency !== undefined) found.push(dependency)
      }
    }
    return found
  },
  locks: [
    {
      file: "go.sum",
      read: (text) =>
        lockOf(
          text.split("\n").flatMap((line) => {
            const [name, version] = line.split(" ")
            return name === undefined || version === undefined || version.endsWith("/go.mod") ? [] : [[name, version]]
          })
        )
    }
  ]
}
