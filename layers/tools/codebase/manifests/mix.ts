/** `mix.exs`: code, so what is read are the tuples `{:name, "~> 1.0", only: :test}` that it writes down. */
import { type Declared, lockOf, type ManifestReader } from "./Manifest.ts"

const withoutComments = (text: string) => text.replaceAll(/^[ \t]*#.*$/gm, "")

export const mix: ManifestReader = {
  ecosystem: "hex",
  matches: (name) => name === "mix.exs",
  read: (text) => {
    const source = withoutComments(text)
    const start = source.search(/\bdefp?\s+deps\b/)
    const body = start === -1 ? source : source.slice(start)
    const found: Array<Declared> = []
    for (const [, name = "", rest = ""] of body.matchAll(/\{\s*:([a-z_][A-Za-z0-9_]*)\s*,([^{}]*)\}/g)) {
      const requirement = /^\s*"([^"]*)"/.exec(rest)?.[1] ?? /\b(?:git|github|path):\s*"([^"]*)"/.exec(rest)?.[1] ?? ""
      const only = /\bonly:\s*(\[[^\]]*\]|:\w+)/.exec(rest)?.[1] ?? ":prod"
      found.push({
        name,
        requirement,
        kind: /optional:\s*true/.test(rest) ? "optional" : only.includes(":prod") ? "runtime" : "development"
      })
    }
    return found
  },
  locks: [
    {
      file: "mix.lock",
      read: (text) =>
        lockOf(
          [...text.matchAll(/^[ \t]*"([^"]+)":\s*\{:\w+,\s*(?::\w+,\s*)?"([^"]+)"/gm)].map(
            ([, name = "", version = ""]) => [name, version] as const
          )
        )
    }
  ]
}
