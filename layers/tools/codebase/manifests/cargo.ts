/** `Cargo.toml` and `Cargo.lock`. */
import { declared, type ManifestReader, tableOf } from "./Manifest.ts"
import * as Toml from "./toml.ts"

const sections = (table: Readonly<Record<string, unknown>>) => [
  ...declared(table["dependencies"], "runtime"),
  ...declared(table["dev-dependencies"], "development"),
  ...declared(table["build-dependencies"], "build")
]

export const cargo: ManifestReader = {
  ecosystem: "cargo",
  matches: (name) => name === "Cargo.toml",
  read: (text) => {
    const manifest = Toml.parse(text)
    return [
      ...sections(manifest),
      ...Object.values(tableOf(manifest["target"])).flatMap((target) => sections(tableOf(target))),
      ...declared(tableOf(manifest["workspace"])["dependencies"], "runtime")
    ]
  },
  locks: [{ file: "Cargo.lock", read: Toml.readPackages }]
}
