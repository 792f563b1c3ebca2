import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import { chmodSync, mkdirSync, readdirSync, readFileSync, symlinkSync, truncateSync } from "node:fs"
import { join } from "node:path"
import * as AnalyzeCodebase from "../../layers/tools/AnalyzeCodebase.ts"
import * as ReapedProcesses from "../../layers/processes/ReapedProcesses.ts"
import { CodebaseAnalysis } from "../../services/tools/CodebaseAnalysis.ts"
import { callTool, type Report, stages } from "../support/callTool.ts"
import * as Cloc from "../support/cloc.ts"
import { samples } from "../support/polyglot.ts"
import { temporaryDirectory } from "../support/temporaryDirectory.ts"
import { writeTree } from "../support/writeTree.ts"

const analyze = (path: string, reports?: Array<Report>) =>
  Effect.gen(function* () {
    const tool = yield* AnalyzeCodebase.make({ scratch: "/nonexistent" })
    return yield* callTool(tool, CodebaseAnalysis, { path }, reports)
  }).pipe(Effect.provide(ReapedProcesses.layer))

const analyzeTree = (files: Readonly<Record<string, string | Uint8Array>>) =>
  Effect.gen(function* () {
    const root = yield* temporaryDirectory
    writeTree(root, files)
    return yield* analyze(root)
  })

const effectPackage = new URL("../../node_modules/effect", import.meta.url).pathname

describe("analyze_codebase", () => {
  it.live("counts a tree of more than 25 languages as by hand", () =>
    Effect.gen(function* () {
      const found = yield* analyzeTree(Object.fromEntries(samples.map(({ file, text }) => [`src/${file}`, text])))
      assert.isAtLeast(found.languages.length, 50)
      for (const language of found.languages) {
        const own = samples.filter((sample) => sample.language === language.name)
        const sum = (key: "code" | "comments" | "blanks") => own.reduce((total, sample) => total + sample[key], 0)
        assert.deepStrictEqual(
          [language.files, language.code, language.comments, language.blanks],
          [own.length, sum("code"), sum("comments"), sum("blanks")],
          language.name
        )
      }
      assert.strictEqual(found.files, samples.length)
    })
  )

  it.live.skipIf(Cloc.isMissing)("agrees with cloc exactly on plain texts (needs perl)", () =>
    Effect.gen(function* () {
      const root = yield* temporaryDirectory
      const plain = samples.filter(({ clocDiffers, language }) => clocDiffers === undefined && language !== "Perl")
      writeTree(root, Object.fromEntries(plain.map(({ file, text }) => [file, text])))
      const ours = yield* analyze(root)
      for (const [name, theirs] of Cloc.byLanguage(root)) {
        const found = ours.languages.find((language) => language.name === name)
        assert.deepStrictEqual(
          { files: found?.files, code: found?.code, comments: found?.comments, blanks: found?.blanks },
          { ...theirs },
          name
        )
      }
    })
  )

  it.live.skipIf(Cloc.isMissing)(
    "agrees with cloc on a real code base within half a percent (needs perl)",
    () =>
      Effect.gen(function* () {
        const started = performance.now()
        const reports: Array<Report> = []
        const ours = yield* analyze(effectPackage, reports)
        const seconds = (performance.now() - started) / 1_000
        for (const [name, theirs] of Cloc.byLanguage(effectPackage)) {
          const found = ours.languages.find((language) => language.name === name)
          assert.strictEqual(found?.files, theirs.files, `${name}: files`)
          assert.strictEqual(found?.blanks, theirs.blanks, `${name}: blanks`)
          assert.approximately(found?.code ?? 0, theirs.code, theirs.code * 0.005, `${name}: code`)
          assert.approximately(found?.comments ?? 0, theirs.comments, theirs.comments * 0.005, `${name}: comments`)
        }
        assert.deepStrictEqual(stages(reports), ["analyzing", "scanning_dependencies", "generating_report", "complete"])
        assert.deepStrictEqual(
          reports.map(({ percent }) => percent),
          reports.map(({ percent }) => percent).sort((a, b) => a - b)
        )
        assert.isAbove(reports.filter(({ percent }) => percent > 30 && percent < 60).length, 3)
        assert.deepStrictEqual(reports.at(-1), { percent: 100, stage: "complete" })
        assert.isBelow(JSON.stringify(ours).length, 256 * 1024)
        yield* Effect.log(`${ours.files} files, ${(ours.bytes / 1e6).toFixed(1)} MB in ${seconds.toFixed(1)} s`)
      }),
    180_000
  )

  it.live("counts lines as an independent count of the same files does", () =>
    Effect.gen(function* () {
      const root = join(effectPackage, "src/rpc")
      const ours = yield* analyze(root)
      const files = readdirSync(root, { recursive: true, encoding: "utf8" }).filter((file) => file.endsWith(".ts"))
      const texts = files.map((file) => readFileSync(join(root, file), "utf8"))
      const lines = texts.flatMap((text) => text.replace(/\n$/, "").split("\n"))
      const blanks = lines.filter((line) => line.trim() === "").length
      // In this code every comment line begins with a marker or a star, and no code line does.
      const comments = lines.filter((line) => /^\s*(\/\/|\/\*|\*)/.test(line)).length
      assert.deepStrictEqual(
        [ours.files, ours.lines, ours.blanks, ours.comments, ours.code],
        [files.length, lines.length, blanks, comments, lines.length - blanks - comments]
      )
    })
  )

  it.live("finds functions and classes with a parser", () =>
    Effect.gen(function* () {
      const found = yield* analyzeTree({
        "a.ts": `
// function commented() {}
const text = "function inString() {} class InString {}"
export function declared() { return [1].map((x) => x) }
function overload(a: string): void
function overload(a: number): void
function overload(a: unknown) { void a }
declare function ambient(): void
const arrow = async () => text
export abstract class A { abstract none(): void; method() {} get value() { return 1 } field = () => 2 }
const expression = class { constructor() {} }
const object = { method() {}, property: function () {} }
`,
        "b.tsx": "export const View = () => <div onClick={() => undefined}>{/* none */}</div>\n",
        "c.py": `
# def commented(): pass
"""def in_text(): pass"""
def top():
    def inner(): pass
    return lambda: 1
class A:
    def method(self): pass
    @staticmethod
    def other(): pass
    class B: pass
async def later(): pass
name = lambda x: x
`,
        "d.js": "function* many() {}\nclass C extends D { static s() {} }\n",
        "e.go": "package e\ntype T struct{}\nfunc (t T) M() {}\nfunc F() { func() {}() }\n",
        "f.rs": "struct S;\nimpl S { fn m(&self) {} }\nfn f() { let c = || 1; }\n",
        "g.java": "class G { G() {} void m() {} }\ninterface I { void none(); }\n",
        "h.rb": "class H\n  def m; end\nend\ndef f; end\n"
      })
      const definitions = (name: string) => found.languages.find((language) => language.name === name)?.definitions
      // declared, overload, arrow, method, value, field, constructor, method, property; View
      assert.deepStrictEqual(definitions("TypeScript"), { functions: 10, methods: 5, anonymous: 2, classes: 2 })
      assert.deepStrictEqual(definitions("Python"), { functions: 6, methods: 2, anonymous: 1, classes: 2 })
      assert.deepStrictEqual(definitions("JavaScript"), { functions: 2, methods: 1, anonymous: 0, classes: 1 })
      assert.deepStrictEqual(definitions("Go"), { functions: 2, methods: 1, anonymous: 1, classes: 1 })
      assert.deepStrictEqual(definitions("Rust"), { functions: 3, methods: 1, anonymous: 0, classes: 1 })
      assert.deepStrictEqual(definitions("Java"), { functions: 2, methods: 2, anonymous: 0, classes: 1 })
      assert.deepStrictEqual(definitions("Ruby"), { functions: 2, methods: 2, anonymous: 0, classes: 1 })
      assert.strictEqual(found.definitions.classes, 9)
    })
  )

  it.live("leaves out what the tree's own ignore files name, at every level", () =>
    Effect.gen(function* () {
      const found = yield* analyzeTree({
        ".gitignore": "/dist/\n*.gen.ts\n!keep.gen.ts\nlogs\n",
        "dist/a.ts": "1\n",
        "src/a.ts": "1\n",
        "src/b.gen.ts": "1\n",
        "src/keep.gen.ts": "1\n",
        "src/logs/a.ts": "1\n",
        "src/sub/.gitignore": "/only.ts\n!b.gen.ts\n",
        "src/sub/only.ts": "1\n",
        "src/sub/b.gen.ts": "1\n",
        "src/sub/deep/only.ts": "1\n",
        ".git/info/exclude": "secret.ts\n",
        ".git/config.ts": "1\n",
        "secret.ts": "1\n"
      })
      assert.deepStrictEqual(found.largestFiles.map(({ path }) => path).sort(), [
        "src/a.ts",
        "src/keep.gen.ts",
        "src/sub/b.gen.ts",
        "src/sub/deep/only.ts"
      ])
      assert.strictEqual(found.skipped.ignored.count, 5)
    })
  )

  it.live("does not ask the ignore files of directories above", () =>
    Effect.gen(function* () {
      const root = yield* temporaryDirectory
      writeTree(root, { ".gitignore": "vendor\n", "vendor/a.ts": "1\n" })
      assert.strictEqual((yield* analyze(root)).files, 0)
      assert.strictEqual((yield* analyze(join(root, "vendor"))).files, 1)
    })
  )

  it.live("passes over links, binaries, huge and unreadable files, and says so", () =>
    Effect.gen(function* () {
      const root = yield* temporaryDirectory
      writeTree(root, {
        "a.ts": "export const a = 1\n",
        "binary.ts": new Uint8Array([0x23, 0, 1, 2]),
        "huge.ts": "//\n",
        "large.ts": "const a = () => 1\n".repeat(70_000),
        "utf16.ts": Buffer.from("\ufeffconst a = 1\n// b\n", "utf16le"),
        "unknown.zzz": "text\n",
        "outside/secret.ts": "1\n",
        script: "#!/usr/bin/env node\nfoo()\n"
      })
      truncateSync(join(root, "huge.ts"), 40 * 1024 * 1024)
      mkdirSync(join(root, "tree"))
      symlinkSync("..", join(root, "tree/loop"))
      symlinkSync("/etc/passwd", join(root, "tree/passwd.ts"))
      const found = yield* analyze(root)
      assert.deepStrictEqual(
        Object.fromEntries(Object.entries(found.skipped).map(([reason, { examples }]) => [reason, examples])),
        {
          ignored: [],
          binary: ["binary.ts"],
          tooLarge: ["huge.ts"],
          unreadable: [],
          symlinks: ["tree/loop", "tree/passwd.ts"],
          unrecognized: ["unknown.zzz"],
          notParsed: ["large.ts"]
        }
      )
      assert.strictEqual(found.files, 5)
      assert.strictEqual(found.languages.find(({ name }) => name === "TypeScript")?.code, 70_003)
      assert.strictEqual(found.languages.find(({ name }) => name === "TypeScript")?.comments, 1)
      assert.include(found.report, "too large to be counted: huge.ts")
    })
  )

  it.live(
    "is not held up by texts made to hold it up",
    () =>
      Effect.gen(function* () {
        const started = performance.now()
        const found = yield* analyzeTree({
          "slashes.js": "= /[ ".repeat(400_000),
          "open.ts": "`${".repeat(300_000),
          "brackets.py": "(".repeat(500_000),
          "nested.rs": "/*".repeat(500_000),
          "quotes.c": "'\"".repeat(500_000),
          "deep.json": "[".repeat(900_000),
          "mix.exs": `${"\n".repeat(500_000)}defp deps ${"{:a,".repeat(100_000)}`,
          "pom.xml": "<a>".repeat(100_000),
          "Cargo.toml": "[".repeat(200_000),
          "package.json": `{"dependencies":${"[".repeat(100_000)}`,
          Gemfile: "gem 'a',".repeat(100_000),
          ".gitignore": `${"*a".repeat(40)}b\n${"[".repeat(10_000)}\n`,
          [`${"a".repeat(200)}.ts`]: "1\n"
        })
        assert.strictEqual(found.files, 12)
        // Alone on a machine it takes ten seconds; any one of the texts would take minutes if it could.
        assert.isBelow(performance.now() - started, 100_000)
      }),
    120_000
  )

  it.live("names what is wrong with a path", () =>
    Effect.gen(function* () {
      const root = yield* temporaryDirectory
      writeTree(root, { "file.ts": "1\n", "closed/a.ts": "1\n" })
      const codeOf = (path: string) => Effect.map(Effect.flip(analyze(path)), ({ code }) => code)
      assert.strictEqual(yield* codeOf(join(root, "nowhere")), "path_not_found")
      assert.strictEqual(yield* codeOf(`${root}\0/etc`), "path_not_found")
      assert.strictEqual(yield* codeOf(`/${"a".repeat(4000)}`), "path_not_found")
      assert.strictEqual(yield* codeOf(join(root, "file.ts")), "not_a_directory")
      assert.strictEqual(yield* codeOf("/dev/null"), "not_a_directory")
      if (process.getuid?.() !== 0) {
        chmodSync(join(root, "closed"), 0)
        assert.strictEqual(yield* codeOf(join(root, "closed")), "path_not_readable")
        chmodSync(join(root, "closed"), 0o700)
      }
    })
  )

  it.effect("takes exactly one of path and repoUrl, and no repository that could be an option", () =>
    Effect.gen(function* () {
      const tool = yield* AnalyzeCodebase.make({ scratch: "/nonexistent" })
      const refused: ReadonlyArray<Record<string, string>> = [
        {},
        { path: "a", repoUrl: "b" },
        { path: "" },
        { path: "a", other: "b" },
        { repoUrl: "--upload-pack=touch /tmp/x" },
        { repoUrl: "-oProxyCommand=touch" },
        { repoUrl: "ext::sh -c touch% /tmp/x" },
        { repoUrl: "fd::17" },
        { repoUrl: "transport::address" },
        { repoUrl: "ftp://host/a" },
        { repoUrl: "javascript://host/a" },
        { repoUrl: "ssh://-oProxyCommand=touch/a" },
        { repoUrl: "ssh://user@-oProxyCommand=touch/a" },
        { repoUrl: "-oProxyCommand=touch:a" },
        { repoUrl: "user@-oProxyCommand=touch:a" },
        { repoUrl: "https://host/a\nb" },
        { repoUrl: "https://host/a\0b" },
        { repoUrl: "a".repeat(3000) }
      ]
      for (const args of refused) assert.isAbove((yield* tool.check(args)).length, 0, JSON.stringify(args))
      for (const repoUrl of [
        "https://host/a.git",
        "http://host:80/a",
        "ssh://git@host/a",
        "git://host/a",
        "file:///a",
        "/a/b c",
        "a/b",
        "git@host:a/b.git"
      ]) {
        assert.deepStrictEqual(yield* tool.check({ repoUrl }), [], repoUrl)
      }
    }).pipe(Effect.provide(ReapedProcesses.layer))
  )
})
