import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import { execFileSync } from "node:child_process"
import { chmodSync, closeSync, mkdirSync, openSync, readFileSync, writeFileSync, writeSync } from "node:fs"
import { join } from "node:path"
import * as ProcessLargeFile from "../../layers/tools/ProcessLargeFile.ts"
import { FileProfile } from "../../services/tools/FileProfile.ts"
import { callTool, type Report, stages } from "../support/callTool.ts"
import { temporaryDirectory } from "../support/temporaryDirectory.ts"

const profile = (path: string, pattern?: string, reports?: Array<Report>) =>
  Effect.gen(function* () {
    const tool = yield* ProcessLargeFile.make
    return yield* callTool(tool, FileProfile, { path, ...(pattern !== undefined && { pattern }) }, reports)
  })

const profileText = (name: string, content: string | Uint8Array, pattern?: string) =>
  Effect.gen(function* () {
    const file = join(yield* temporaryDirectory, name)
    writeFileSync(file, content)
    return yield* profile(file, pattern)
  })

const columnsOf = (found: FileProfile) =>
  found.table?.columns.map(({ distinct, max, min, name, nulls, type }) => [name, type, nulls, min, max, distinct])

describe("process_large_file", () => {
  it.live("counts lines and words as wc does", () =>
    Effect.gen(function* () {
      const file = new URL("../../node_modules/effect/src/Effect.ts", import.meta.url).pathname
      const found = yield* profile(file)
      const wc = (option: string) => Number(/\d+/.exec(execFileSync("wc", [option, file], { encoding: "utf8" }))?.[0])
      // In the locale C, wc takes no word for one that is all umlauts, so words are counted by hand.
      const words = readFileSync(file, "utf8")
        .split(/[ \t\n\v\f\r]+/)
        .filter((word) => word !== "").length
      const [lines, bytes] = [wc("-l"), wc("-c")]
      assert.deepStrictEqual([found.lines, found.words, found.bytes], [lines, words, bytes])
    })
  )

  it.live("counts the ends of texts", () =>
    Effect.gen(function* () {
      const counts = (text: string) =>
        Effect.map(profileText("a.txt", text), ({ lines, longestLine, words }) => [lines, words, longestLine])
      assert.deepStrictEqual(yield* counts(""), [0, 0, undefined])
      assert.deepStrictEqual(yield* counts("\n"), [1, 0, { line: 1, bytes: 0 }])
      assert.deepStrictEqual(yield* counts("one two"), [1, 2, { line: 1, bytes: 7 }])
      assert.deepStrictEqual(yield* counts("a\r\nlonger line\r\n\r\nb"), [4, 4, { line: 2, bytes: 11 }])
      const long = `${"x".repeat(3_000_000)} y\nz\n`
      assert.deepStrictEqual(yield* counts(long), [2, 3, { line: 1, bytes: 3_000_002 }])
    })
  )

  it.live("tells encodings apart", () =>
    Effect.gen(function* () {
      const encoding = (content: string | Uint8Array) =>
        Effect.map(profileText("a.txt", content), ({ encoding, words }) => [encoding.name, encoding.bom, words])
      const text = "grün süß\n".repeat(200_000)
      const swapped = (value: string) => Buffer.from(value, "utf16le").swap16()
      assert.deepStrictEqual(yield* encoding("plain text"), ["ascii", false, 2])
      assert.deepStrictEqual(yield* encoding(text), ["utf-8", false, 400_000])
      assert.deepStrictEqual(yield* encoding(`\ufeff${text}`), ["utf-8", true, 400_000])
      assert.deepStrictEqual(yield* encoding(Buffer.from(text, "latin1")), ["latin-1", false, 400_000])
      assert.deepStrictEqual(yield* encoding(Buffer.from(`\ufeff${text}`, "utf16le")), ["utf-16le", true, 400_000])
      assert.deepStrictEqual(yield* encoding(Buffer.from(text, "utf16le")), ["utf-16le", false, 400_000])
      assert.deepStrictEqual(yield* encoding(swapped(`\ufeff${text}`)), ["utf-16be", true, 400_000])
      assert.strictEqual((yield* encoding(new Uint8Array([0x7f, 0x45, 0, 1, 2, 0, 0, 255])))[0], "binary")
      // A character cut off by the end of the file is not UTF-8.
      assert.strictEqual((yield* encoding(Buffer.from("aü").subarray(0, 2)))[0], "latin-1")
    })
  )

  it.live("makes a table of a CSV file's columns", () =>
    Effect.gen(function* () {
      const found = yield* profileText(
        "a.csv",
        `id,name,price,born,seen,active,note,code,mixed
1,Ann,1.5,2001-02-03,2024-01-01T10:00:00Z,true,,007,1
2,"Bob, ""the builder""",-20,1999-12-31,2024-01-02 11:30:00.5,false,NULL,012,a
10,Ann,3e2,2010-01-01,2024-01-01T10:00:00+02:00,true,x,007,2024-01-01
3,Zoë,.5,2001-02-03
`
      )
      assert.deepStrictEqual(columnsOf(found), [
        ["id", "integer", 0, 1, 10, 4],
        ["name", "text", 0, "Ann", "Zoë", 3],
        ["price", "number", 0, -20, 300, 4],
        ["born", "date", 0, "1999-12-31", "2010-01-01", 3],
        ["seen", "datetime", 1, "2024-01-01T10:00:00+02:00", "2024-01-02 11:30:00.5", 3],
        ["active", "boolean", 1, "false", "true", 2],
        ["note", "text", 3, "x", "x", 1],
        ["code", "text", 1, "007", "012", 2],
        ["mixed", "text", 1, "1", "a", 3]
      ])
      assert.deepInclude(found.table, { format: "csv", delimiter: ",", header: true, rows: 4, irregularRows: 1 })
    })
  )

  it.live("finds out the delimiter, and whether there is a header", () =>
    Effect.gen(function* () {
      const table = (name: string, text: string) =>
        Effect.map(profileText(name, text), ({ table }) => [
          table?.delimiter,
          table?.header,
          table?.rows,
          table?.columns.map(({ name }) => name)
        ])
      assert.deepStrictEqual(yield* table("a.csv", "a;b\n1,5;2\n3;4\n"), [";", true, 2, ["a", "b"]])
      assert.deepStrictEqual(yield* table("a.tsv", "a\tb\n1\t2\n"), ["\t", true, 1, ["a", "b"]])
      assert.deepStrictEqual(yield* table("a.csv", "1,2\n3,4\n"), [",", false, 2, ["column_1", "column_2"]])
      assert.deepStrictEqual(yield* table("a.csv", "only\n1\n"), [",", true, 1, ["only"]])
      assert.deepStrictEqual(yield* table("a.csv", "a,b\n"), [",", true, 0, ["a", "b"]])
      assert.deepStrictEqual(yield* table("data", `a|b\n${"1|2\n".repeat(20)}`), ["|", true, 20, ["a", "b"]])
      assert.deepStrictEqual(yield* table("prose.txt", "One, two.\nThree, four, five.\nSix.\n".repeat(9)), [
        undefined,
        undefined,
        undefined,
        undefined
      ])
    })
  )

  it.live("makes a table of JSON Lines", () =>
    Effect.gen(function* () {
      const found = yield* profileText(
        "a.jsonl",
        `{"id":1,"name":"a","at":"2024-01-01","tags":["x"],"some":1,"n":1}
{"id":2,"name":null,"at":"2024-02-01","tags":[],"some":"x","n":2.5,"__proto__":{"polluted":1}}

not json
[1]
{"id":3,"name":"b"}
`
      )
      assert.deepStrictEqual(columnsOf(found), [
        ["id", "integer", 2, 1, 3, 3],
        ["name", "text", 3, "a", "b", 2],
        ["at", "date", 3, "2024-01-01", "2024-02-01", 2],
        ["tags", "array", 3, undefined, undefined, 2],
        ["some", "text", 3, "1", "x", 2],
        ["n", "number", 3, 1, 2.5, 2],
        ["__proto__", "object", 4, undefined, undefined, 1]
      ])
      assert.deepInclude(found.table, { format: "jsonl", rows: 5, irregularRows: 2 })
      const sniffed = yield* profileText("events.log", '{"a":1}\n{"a":2}\n{"a":3}\n')
      assert.deepStrictEqual(columnsOf(sniffed), [["a", "integer", 0, 1, 3, 3]])
    })
  )

  it.live("estimates many different values within five percent, and counts few exactly", () =>
    Effect.gen(function* () {
      const rows = Array.from({ length: 200_000 }, (_, row) => `${row},user${row % 1_000},${row % 30_000}`)
      const found = yield* profileText("a.csv", `id,user,group\n${rows.join("\n")}\n`)
      const [id, user, group] = found.table?.columns ?? []
      assert.approximately(id?.distinct ?? 0, 200_000, 10_000)
      assert.isFalse(id?.distinctIsExact)
      assert.deepStrictEqual([user?.distinct, user?.distinctIsExact], [1_000, true])
      assert.approximately(group?.distinct ?? 0, 30_000, 1_500)
    })
  )

  it.live("names columns up to a limit", () =>
    Effect.gen(function* () {
      const names = Array.from({ length: 500 }, (_, column) => `c${column}`)
      const found = yield* profileText("a.csv", `${names.join(",")}\n${names.map(() => 1).join(",")}\n`)
      assert.deepStrictEqual([found.table?.columns.length, found.table?.columnsOmitted], [200, 300])
      const records = names.map((name) => JSON.stringify({ [name]: 1 })).join("\n")
      const json = yield* profileText("a.jsonl", records)
      assert.deepStrictEqual([json.table?.columns.length, json.table?.columnsOmitted], [200, 300])
    })
  )

  it.live("finds lines that match, with their numbers", () =>
    Effect.gen(function* () {
      const lines = Array.from({ length: 1_000 }, (_, index) => (index % 4 === 3 ? `ERROR ${index} größe` : "fine"))
      const found = yield* profileText("a.log", lines.join("\r\n"), String.raw`^ERROR \d+ gr.ße$`)
      assert.strictEqual(found.matches?.total, 250)
      assert.strictEqual(found.matches?.first.length, 100)
      assert.deepStrictEqual(found.matches?.first[1], { line: 8, text: "ERROR 7 größe" })
      const long = yield* profileText("b.log", `${"a".repeat(5_000)}needle${"b".repeat(5_000)}\n`, "needle")
      assert.include(long.matches?.first[0]?.text, "needle")
      assert.isBelow(long.matches?.first[0]?.text.length ?? 0, 300)
      const endless = yield* profileText("c.log", `${"a".repeat(3_000_000)}needle\nneedle\n`, "needle")
      assert.deepStrictEqual([endless.matches?.total, endless.matches?.cutLines], [1, 1])
    })
  )

  it.live("is not hung by any pattern", () =>
    Effect.gen(function* () {
      const text = `${"a".repeat(50_000)}!\n`.repeat(3)
      for (const pattern of [
        "(a+)+$",
        "(a|aa)+$",
        "(a*)*b",
        "(.*a){20}$",
        "(?:a?){50}a{50}$",
        "^(([a-z])+.)+[A-Z]([a-z])+$"
      ]) {
        const started = performance.now()
        const found = yield* profileText("a.txt", text, pattern)
        assert.isDefined(found.matches)
        assert.isBelow(performance.now() - started, 20_000, pattern)
      }
    })
  )

  it.live("names what is wrong with a pattern or a path", () =>
    Effect.gen(function* () {
      const directory = yield* temporaryDirectory
      const file = join(directory, "a.txt")
      writeFileSync(file, "text")
      mkdirSync(join(directory, "directory"))
      execFileSync("mkfifo", [join(directory, "pipe")])
      const failure = (path: string, pattern?: string) =>
        Effect.map(Effect.flip(profile(path, pattern)), ({ code, message }) => ({ code, message }))
      for (const pattern of ["(", "[z-a]", "a{2000}", String.raw`(a)\1`, "*"]) {
        const { code, message } = yield* failure(file, pattern)
        assert.strictEqual(code, "invalid_pattern", pattern)
        assert.isAbove(message.length, 40)
      }
      assert.strictEqual((yield* failure(join(directory, "nowhere"))).code, "path_not_found")
      assert.strictEqual((yield* failure(`${file}\0.csv`)).code, "path_not_found")
      assert.strictEqual((yield* failure(join(file, "below"))).code, "path_not_found")
      assert.strictEqual((yield* failure(join(directory, "directory"))).code, "not_a_file")
      assert.strictEqual((yield* failure(join(directory, "pipe"))).code, "not_a_file")
      assert.strictEqual((yield* failure("/dev/zero")).code, "not_a_file")
      if (process.getuid?.() !== 0) {
        chmodSync(file, 0)
        assert.strictEqual((yield* failure(file)).code, "path_not_readable")
      }
    })
  )

  it.live("reads 200 MB in constant memory", () =>
    Effect.gen(function* () {
      const file = join(yield* temporaryDirectory, "large.log")
      const descriptor = openSync(file, "w")
      const lines = Array.from(
        { length: 10_000 },
        (_, index) => `2026-01-02 INFO request ${index} took ${index % 97} ms`
      )
      const block = `${lines.join("\n")}\n`
      let written = 0
      while (written < 200e6) written += writeSync(descriptor, block)
      closeSync(descriptor)
      const reports: Array<Report> = []
      const before = process.memoryUsage.rss()
      let highest = before
      const started = performance.now()
      const watched = Effect.sync(() => (highest = Math.max(highest, process.memoryUsage.rss()))).pipe(
        Effect.andThen(Effect.sleep("20 millis")),
        Effect.forever
      )
      const found = yield* Effect.raceFirst(profile(file, "took 96 ms", reports), watched)
      const seconds = (performance.now() - started) / 1_000
      assert.strictEqual(found.bytes, written)
      assert.strictEqual(found.lines, (written / block.length) * 10_000)
      assert.strictEqual(found.matches?.total, (written / block.length) * 103)
      assert.isBelow(highest - before, 100e6)
      assert.deepStrictEqual(stages(reports), ["reading", "complete"])
      yield* Effect.log(
        `${(written / 1e6).toFixed(0)} MB with a pattern: ${(written / 1e6 / seconds).toFixed(0)} MB/s, ${((highest - before) / 1e6).toFixed(0)} MB more memory`
      )
    })
  )
})
