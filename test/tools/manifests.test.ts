import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import { scan } from "../../layers/tools/codebase/manifests/scan.ts"
import { temporaryDirectory } from "../support/temporaryDirectory.ts"
import { writeTree } from "../support/writeTree.ts"

const scanTree = (files: Readonly<Record<string, string>>) =>
  Effect.gen(function* () {
    const root = yield* temporaryDirectory
    writeTree(root, files)
    return yield* Effect.promise(() => scan(root, Object.keys(files), () => undefined))
  })

/** `name requirement kind locked`, as one line each. */
const lines = (files: Readonly<Record<string, string>>) =>
  Effect.map(scanTree(files), ({ dependencies }) =>
    dependencies.map(({ kind, locked, name, requirement }) => [name, requirement, kind, locked ?? "-"].join(" "))
  )

describe("manifests", () => {
  it.live("package.json with its lock", () =>
    Effect.gen(function* () {
      const lock = {
        lockfileVersion: 3,
        packages: {
          "": {},
          "node_modules/a": { version: "1.2.3" },
          "node_modules/@s/b": { version: "2.0.0" },
          "node_modules/a/node_modules/@s/b": { version: "1.0.0" }
        }
      }
      const files = {
        "package.json": JSON.stringify({
          dependencies: { a: "^1.0.0" },
          devDependencies: { "@s/b": "workspace:*" },
          peerDependencies: { c: ">=1" },
          optionalDependencies: { d: "1" }
        }),
        "package-lock.json": JSON.stringify(lock)
      }
      assert.deepStrictEqual(yield* lines(files), [
        "a ^1.0.0 runtime 1.2.3",
        "@s/b workspace:* development 2.0.0",
        "c >=1 peer -",
        "d 1 optional -"
      ])
      assert.deepStrictEqual((yield* scanTree(files)).manifests, [
        { path: "package.json", ecosystem: "npm", dependencies: 4, locked: 3 }
      ])
    })
  )

  it.live("a lock of the first version", () =>
    Effect.gen(function* () {
      const lock = { dependencies: { a: { version: "1.0.1", dependencies: { b: { version: "3.0.0" } } } } }
      assert.deepStrictEqual(
        yield* lines({ "package.json": '{"dependencies":{"a":"1"}}', "package-lock.json": JSON.stringify(lock) }),
        ["a 1 runtime 1.0.1"]
      )
    })
  )

  it.live("pyproject.toml in all its dialects, and requirements.txt", () =>
    Effect.gen(function* () {
      assert.deepStrictEqual(
        yield* lines({
          "pyproject.toml": `
[build-system]
requires = ["hatchling>=1"]
[project]
name = "x"
dependencies = ["requests[socks] >=2,<3 ; python_version > '3.8'", "flask", "lib @ https://host/lib.whl"]
[project.optional-dependencies]
fast = ["uvloop~=0.19"]
[dependency-groups]
dev = ["pytest>=8", {include-group = "lint"}]
[tool.poetry.dependencies]
python = "^3.11"
django = {version = "^5", optional = true}
[tool.poetry.group.test.dependencies]
mypy = "*"
`,
          "poetry.lock": '[[package]]\nname = "flask"\nversion = "3.0.2"\n',
          "requirements-dev.txt":
            "# tools\n-r base.txt\nblack==24.1 # pinned\nruff\\\n  >=0.3 --hash=sha256:abc\n\ngit+https://host/x\n"
        }),
        [
          "requests >=2,<3 runtime -",
          "flask  runtime 3.0.2",
          "lib https://host/lib.whl runtime -",
          "uvloop ~=0.19 optional -",
          "pytest >=8 development -",
          "hatchling >=1 build -",
          "django ^5 optional -",
          "mypy * development -",
          "black ==24.1 runtime -",
          "ruff >=0.3 runtime -",
          "git +https://host/x runtime -"
        ]
      )
    })
  )

  it.live("Cargo.toml, go.mod, mix.exs, pom.xml and Gemfile", () =>
    Effect.gen(function* () {
      assert.deepStrictEqual(
        yield* lines({
          "Cargo.toml": `[package]\nname = "x"\n[dependencies]\nserde = { version = "1", features = ["derive"] }\ntokio = "1.3"\n[dev-dependencies]\nrand = "0.8"\n[build-dependencies]\ncc = "1"\n[target.'cfg(unix)'.dependencies]\nlibc = "0.2"\n`,
          "Cargo.lock": '[[package]]\nname = "serde"\nversion = "1.0.200"\n'
        }),
        [
          "serde 1 runtime 1.0.200",
          "tokio 1.3 runtime -",
          "rand 0.8 development -",
          "cc 1 build -",
          "libc 0.2 runtime -"
        ]
      )
      assert.deepStrictEqual(
        yield* lines({
          "go.mod":
            "module x\n\ngo 1.22\n\nrequire example.com/a v1.0.0\n\nrequire (\n\texample.com/b v0.2.0 // indirect\n\t// example.com/no v1\n)\n\nreplace (\n\texample.com/c => ../c\n)\n",
          "go.sum": "example.com/a v1.0.0 h1:x=\nexample.com/a v1.0.0/go.mod h1:y=\n"
        }),
        ["example.com/a v1.0.0 runtime v1.0.0", "example.com/b v0.2.0 runtime -"]
      )
      assert.deepStrictEqual(
        yield* lines({
          "mix.exs": `defmodule X do
  defp aliases, do: [{:not_this, "x"}]
  defp deps do
    [
      {:phoenix, "~> 1.7"},
      # {:gone, "~> 1.0"},
      {:credo, "~> 1.7", only: [:dev, :test], runtime: false},
      {:own, path: "../own"}
    ]
  end
end
`,
          "mix.lock": '%{\n  "phoenix": {:hex, :phoenix, "1.7.11", "abc", [:mix], [], "hexpm", "def"},\n}\n'
        }),
        ["phoenix ~> 1.7 runtime 1.7.11", "credo ~> 1.7 development -", "own ../own runtime -"]
      )
      assert.deepStrictEqual(
        yield* lines({
          "pom.xml": `<?xml version="1.0"?>
<project xmlns="http://maven.apache.org/POM/4.0.0">
  <properties><junit.version>5.10</junit.version></properties>
  <!-- <dependencies><dependency><artifactId>no</artifactId></dependency></dependencies> -->
  <dependencies>
    <dependency><groupId>org.a</groupId><artifactId>b</artifactId><version>1.0</version></dependency>
    <dependency><groupId>org.junit</groupId><artifactId>junit</artifactId><version>\${junit.version}</version><scope>test</scope></dependency>
  </dependencies>
  <build><plugins><plugin><artifactId>maven-jar-plugin</artifactId><version>3</version></plugin></plugins></build>
</project>`
        }),
        ["org.a:b 1.0 runtime -", "org.junit:junit 5.10 development -", "maven-jar-plugin 3 build -"]
      )
      assert.deepStrictEqual(
        yield* lines({
          Gemfile: `source "https://rubygems.org"
ruby "3.3"
gem "rails", "~> 7.1", ">= 7.1.2"
gem 'puma'
group :development, :test do
  gem "rspec"
  # gem "no"
end
gem "web", group: :test
`,
          "Gemfile.lock": "GEM\n  specs:\n    puma (6.4.0)\n      nio4r (~> 2.0)\n    rails (7.1.3)\n"
        }),
        ["rails ~> 7.1, >= 7.1.2 runtime 7.1.3", "puma  runtime 6.4.0", "rspec  development -", "web  development -"]
      )
    })
  )

  it.live("says what is wrong with a manifest and reads on", () =>
    Effect.gen(function* () {
      const { dependencies, manifests } = yield* scanTree({
        "a/package.json": "{ not json",
        "b/Cargo.toml": "[[[",
        "c/pom.xml": "<project><dependencies>",
        "d/package.json": "[]",
        "e/pyproject.toml": "[project]\ndependencies = 3\n",
        "f/package.json": '{"dependencies":{"a":"1"}}'
      })
      assert.deepStrictEqual(
        manifests.map(({ path, problem }) => `${path} ${problem === undefined ? "ok" : "has a problem"}`),
        [
          "a/package.json has a problem",
          "b/Cargo.toml has a problem",
          "c/pom.xml has a problem",
          "d/package.json ok",
          "e/pyproject.toml ok",
          "f/package.json ok"
        ]
      )
      assert.deepStrictEqual(
        dependencies.map(({ name }) => name),
        ["a"]
      )
    })
  )

  it.live("names the first 500 dependencies and counts the rest", () =>
    Effect.gen(function* () {
      const many = Object.fromEntries(Array.from({ length: 700 }, (_, index) => [`p${index}`, "1"]))
      const { dependencies, dependenciesOmitted } = yield* scanTree({
        "package.json": JSON.stringify({ dependencies: many })
      })
      assert.deepStrictEqual([dependencies.length, dependenciesOmitted], [500, 200])
    })
  )
})
