/** `Gemfile`: code, so what is read are its lines `gem "name", "~> 1.0"` and the groups around them. */
import { type Declared, type Kind, lockOf, type ManifestReader } from "./Manifest.ts"

const kindOf = (groups: string): Kind => (/:(development|test)\b/.test(groups) ? "development" : "runtime")

export const gemfile: ManifestReader = {
  ecosystem: "rubygems",
  matches: (name) => name === "Gemfile" || name === "gems.rb",
  read: (text) => {
    const found: Array<Declared> = []
    /** The kinds of the blocks that a line stands in; undefined for blocks that are no group. */
    const blocks: Array<Kind | undefined> = []
    for (const raw of text.split(/\r?\n/)) {
      const line = raw.trim()
      if (line === "" || line.startsWith("#")) continue
      if (/^end\b/.test(line)) blocks.pop()
      else if (/\bdo(\s*\|[^|]*\|)?$/.test(line)) blocks.push(line.startsWith("group") ? kindOf(line) : undefined)
      else if (/^(if|unless|case|begin|def)\b/.test(line)) blocks.push(undefined)
      const gem = /^gem\s*\(?\s*["']([^"']+)["'](.*)$/.exec(line)
      if (gem !== null) {
        const [, name = "", rest = ""] = gem
        const versions = [...rest.matchAll(/,\s*["']([^"']+)["']/g)].map(([, version = ""]) => version)
        const group = /\bgroups?(?::|\s*=>)\s*(.*)$/.exec(rest)?.[1]
        const kind = group === undefined ? blocks.findLast((block) => block !== undefined) : kindOf(group)
        found.push({ name, requirement: versions.join(", "), kind: kind ?? "runtime" })
      }
    }
    return found
  },
  locks: ["Gemfile.lock", "gems.locked"].map((file) => ({
    file,
    // Four spaces begin a fixed gem, six what it needs itself.
    read: (text: string) =>
      lockOf(
        [...text.matchAll(/^ {4}([^\s(]+) \(([^)]+)\)$/gm)].map(
          ([, name = "", version = ""]) => [name, version] as const
        )
      )
  }))
}
