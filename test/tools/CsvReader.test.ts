import { assert, describe, it } from "@effect/vitest"
import * as CsvReader from "../../layers/tools/file/CsvReader.ts"

/** Records as our reader gives them when the text comes in pieces of the given sizes. */
const read = (text: string, pieces: () => number, delimiter = ","): ReadonlyArray<ReadonlyArray<string>> => {
  const records: Array<Array<string>> = []
  let record: Array<string> = []
  const reader = CsvReader.make(
    delimiter.charCodeAt(0),
    (_, bytes, start, end) => void record.push(Buffer.from(bytes.subarray(start, end)).toString("utf8")),
    () => {
      records.push(record)
      record = []
    }
  )
  const bytes = Buffer.from(text)
  for (let start = 0; start < bytes.length;) {
    const end = Math.min(bytes.length, start + pieces())
    // A copy that is wiped afterwards: what was lent must not be kept.
    const piece = Uint8Array.from(bytes.subarray(start, end))
    reader.push(piece)
    piece.fill(0x58)
    start = end
  }
  reader.end()
  return records
}

/** A small generator of its own, so that a failure names its seed. */
const random = (seed: number) => {
  let state = seed * 2654435761 + 1
  return (below: number) => {
    state = (Math.imul(state, 1103515245) + 12345) >>> 0
    return (state >>> 8) % below
  }
}

describe("CsvReader", () => {
  it("gives back what was written, however the text is cut into pieces", () => {
    for (let seed = 1; seed <= 1_500; seed++) {
      const next = random(seed)
      const alphabet = ["a", "bc", "é", " ", ",", "\n", "\r\n", '"', "'", "1"]
      const field = () => {
        const value = Array.from({ length: next(5) }, () => alphabet[next(alphabet.length)]).join("")
        const isQuoted = /[",\r\n]/.test(value) || next(4) === 0
        return { value, written: isQuoted ? `"${value.replaceAll('"', '""')}"` : value }
      }
      const rows = Array.from({ length: 1 + next(6) }, () => Array.from({ length: 1 + next(4) }, field))
      const end = next(2) === 0 ? "\n" : "\r\n"
      const lines = rows.map((row) => row.map(({ written }) => written).join(","))
      const text = lines.join(end) + (next(2) === 0 ? end : "")
      // An empty line is no record.
      const expected = rows.filter((_, row) => lines[row] !== "").map((row) => row.map(({ value }) => value))
      assert.deepStrictEqual(
        read(text, () => 1 + next(7)),
        expected,
        `seed ${seed}: ${JSON.stringify(text)}`
      )
      assert.deepStrictEqual(
        read(text, () => 1_000),
        expected,
        `seed ${seed} in one piece: ${JSON.stringify(text)}`
      )
    }
  })

  it("bears what is no proper CSV", () => {
    const whole = () => 1_000
    assert.deepStrictEqual(read('"open, and never closed\n1,2', whole), [["open, and never closed\n1,2"]])
    assert.deepStrictEqual(read('a"b,c\n', whole), [['a"b', "c"]])
    assert.deepStrictEqual(read('"a"b,c\n', whole), [["ab", "c"]])
    assert.deepStrictEqual(read("", whole), [])
    assert.deepStrictEqual(read("\n\n\r\n", whole), [])
    assert.deepStrictEqual(read(",\n", whole), [["", ""]])
  })

  it("cuts a field that has no end", () => {
    const [record] = read(`a,${"x".repeat(200_000)},b\n`, () => 10_000)
    assert.deepStrictEqual(
      record?.map((field) => field.length),
      [1, 64 * 1024, 1]
    )
  })
})
