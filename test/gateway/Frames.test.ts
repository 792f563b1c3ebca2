import { assert, describe, it } from "@effect/vitest"
import * as Frames from "../../layers/gateway/Frames.ts"

const parse = (text: string) => Frames.serialization.makeUnsafe().decode(text) as ReadonlyArray<Frames.ClientFrame>
const call = (payload: string) => `{"_tag":"Request","id":1,"tag":"RunTool","payload":${payload}}`
const nested = (depth: number) => `${"[".repeat(depth)}${"]".repeat(depth)}`

describe("frames", () => {
  it("a call is rebuilt from the fields that it has, without its headers", () => {
    assert.deepStrictEqual(
      parse(
        `{"_tag":"Request","id":"a","tag":"PoolStatus","headers":[["authorization","x"]],"discard":true,"extra":1}\n`
      ),
      [{ _tag: "Request", id: "a", tag: "PoolStatus", payload: null, headers: [] }]
    )
  })

  it("a line that cannot be read costs that line only, and keeps the id of its call where there is one", () => {
    const frames = parse(`nonsense\n{"_tag":"Ping"}\n\n{"_tag":"Request","id":7}\n{"_tag":"Request","id":{}}`)
    assert.deepStrictEqual(
      frames.map((frame) => [frame._tag, "id" in frame ? frame.id : undefined]),
      [
        ["Malformed", undefined],
        ["Ping", undefined],
        ["Malformed", 7],
        ["Malformed", undefined]
      ]
    )
  })

  it("what nests deeper than 128 is refused before anything walks down it; brackets in text do not count", () => {
    assert.strictEqual(parse(call(nested(127)))[0]?._tag, "Request")
    assert.deepInclude(parse(call(nested(128)))[0], { _tag: "Malformed", reason: "nested deeper than 128" })
    assert.strictEqual(parse(call(nested(400_000)))[0]?._tag, "Malformed")
    assert.strictEqual(parse(call(JSON.stringify(`\\"${"[".repeat(1_000)}`)))[0]?._tag, "Request")
  })

  it("more than 1 MiB is not even looked at", () => {
    assert.throws(() => parse(" ".repeat(Frames.maxFrameSize + 1)))
  })
})
