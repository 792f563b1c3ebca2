/** `package.json`, and `package-lock.json` of every version beside it. */
import { declared, type LockFile, lockOf, type ManifestReader, tableOf, textOf } from "./Manifest.ts"

const readLock = (text: string): LockFile => {
  const lock = tableOf(JSON.parse(text))
  if (lock["packages"] !== undefined) {
    const entries = Object.entries(tableOf(lock["packages"])).filter(([path]) => path.includes("node_modules/"))
    const top = entries.filter(([path]) => path.lastIndexOf("node_modules/") === 0)
    const { versions } = lockOf(
      top.map(([path, entry]) => [path.slice("node_modules/".length), textOf(tableOf(entry)["version"])] as const)
    )
    return { versions, packages: entries.length }
  }
  // Version 1 nests what it fixes.
  const pairs: Array<readonly [string, string]> = []
  const collect = (dependencies: unknown, depth: number) => {
    for (const [name, entry] of Object.entries(tableOf(dependencies))) {
      pairs.push([name, textOf(tableOf(entry)["version"])])
      if (depth < 50) collect(tableOf(entry)["dependencies"], depth + 1)
    }
  }
  collect(lock["dependencies"], 0)
  return lockOf(pairs)
}

export const npm: ManifestReader = {
  ecosystem: "npm",
  matches: (name) => name === "package.json",
  read: (text) => {
    const manifest = tableOf(JSON.parse(text))
    return [
      ...declared(manifest["dependencies"], "runtime"),
      ...declared(manifest["devDependencies"], "development"),
      ...declared(manifest["peerDependencies"], "peer"),
      ...declared(manifest["optionalDependencies"], "optional")
    ]
  },
  locks: [
    { file: "package-lock.json", read: readLock },
    { file: "npm-shrinkwrap.json", read: readLock }
  ]
}
