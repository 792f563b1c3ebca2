/** `pom.xml`: dependencies and plugins, with the properties that the file itself defines filled in. */
import type { Declared, Kind, ManifestReader } from "./Manifest.ts"

interface Element {
  readonly name: string
  readonly children: Array<Element>
  text: string
}

const entities: Readonly<Record<string, string>> = { lt: "<", gt: ">", amp: "&", apos: "'", quot: '"' }
const unescape = (text: string) => text.replaceAll(/&(\w+);/g, (all, name: string) => entities[name] ?? all)

/**
 * Elements and text, without attributes. Effect's XML decoder is a stream and would bring its whole runtime into a
 * thread that has to start fast.
 */
const parse = (source: string): Element => {
  const root: Element = { name: "", children: [], text: "" }
  const open: Array<Element> = [root]
  const until = (marker: string, from: number) => {
    const found = source.indexOf(marker, from)
    if (found === -1) throw new Error(`"${marker}" is missing after character ${from}`)
    return found
  }
  for (let i = 0; i < source.length;) {
    const current = open.at(-1) ?? root
    const next = source.indexOf("<", i)
    if (next !== i) {
      current.text += unescape(source.slice(i, next === -1 ? source.length : next))
      if (next === -1) break
    }
    i = next
    if (source.startsWith("<!--", i)) i = until("-->", i) + 3
    else if (source.startsWith("<![CDATA[", i)) {
      const end = until("]]>", i)
      current.text += source.slice(i + 9, end)
      i = end + 3
    } else if (source.startsWith("<?", i) || source.startsWith("<!", i)) i = until(">", i) + 1
    else {
      const end = until(">", i)
      const tag = source.slice(i + 1, end)
      i = end + 1
      if (tag.startsWith("/")) {
        if (open.length > 1 && current.name !== tag.slice(1).trim())
          throw new Error(`</${tag.slice(1).trim()}> closes <${current.name}>`)
        open.pop()
        continue
      }
      const name = /^[^\s/]+/.exec(tag)?.[0] ?? ""
      const element: Element = { name, children: [], text: "" }
      current.children.push(element)
      if (!tag.endsWith("/")) open.push(element)
      if (open.length > 500) throw new Error("elements are nested too deeply")
    }
  }
  if (open.length > 1) throw new Error(`<${open.at(-1)?.name}> is not closed`)
  return root
}

const child = (element: Element | undefined, name: string) => element?.children.find((one) => one.name === name)
const textAt = (element: Element | undefined, name: string) => child(element, name)?.text.trim() ?? ""

export const pom: ManifestReader = {
  ecosystem: "maven",
  matches: (name) => name === "pom.xml" || name.endsWith(".pom"),
  read: (text) => {
    const project = child(parse(text), "project")
    if (project === undefined) throw new Error("there is no <project>")
    const properties = new Map(
      child(project, "properties")?.children.map(({ name, text }) => [name, text.trim()] as const)
    )
    properties.set("project.version", textAt(project, "version"))
    const fill = (value: string) =>
      value.replaceAll(/\$\{([^}]+)\}/g, (all, name: string) => properties.get(name) ?? all)
    const kindOf = (dependency: Element): Kind => {
      if (textAt(dependency, "optional") === "true") return "optional"
      const scope = textAt(dependency, "scope")
      return scope === "test" ? "development" : scope === "provided" || scope === "system" ? "build" : "runtime"
    }
    const artifacts = (holder: Element | undefined, kind: (element: Element) => Kind): ReadonlyArray<Declared> =>
      (holder?.children ?? []).map((element) => ({
        name: [textAt(element, "groupId"), textAt(element, "artifactId")]
          .filter((part) => part !== "")
          .map(fill)
          .join(":"),
        requirement: fill(textAt(element, "version")),
        kind: kind(element)
      }))
    return [
      ...artifacts(child(project, "dependencies"), kindOf),
      ...artifacts(child(child(project, "dependencyManagement"), "dependencies"), kindOf),
      ...artifacts(child(child(project, "build"), "plugins"), () => "build")
    ].filter(({ name }) => name !== "")
  },
  locks: []
}
