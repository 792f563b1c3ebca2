import { assert, describe, it } from "@effect/vitest"
import { type Rpc, RpcSchema } from "effect/rpc"
import { Schema } from "effect"
import { readFileSync } from "node:fs"
import { codeOf, errorCodes } from "../../services/gateway/ErrorCodes.ts"
import { GatewayRpcs } from "../../services/gateway/GatewayRpcs.ts"

const all = Object.entries(errorCodes)

/** Tags of the errors that an operation may answer with. */
const tagsOf = (rpc: Rpc.AnyWithProps): ReadonlyArray<string> => {
  const schema = RpcSchema.isStreamSchema(rpc.successSchema) ? rpc.successSchema.error : rpc.errorSchema
  const document = JSON.stringify(Schema.toJsonSchemaDocument(Schema.toCodecJson(schema)))
  return [...document.matchAll(/"_tag":\{"type":"string","(?:enum":\[|const":)"(\w+)"/g)].map(
    (match) => match[1] as string
  )
}

describe("error codes", () => {
  it("every error that an operation may answer with has a code", () => {
    for (const rpc of GatewayRpcs.requests.values()) {
      const tags = tagsOf(rpc)
      assert.includeMembers([...tags], ["InvalidInput", "InternalError"], rpc._tag)
      for (const tag of tags) assert.property(errorCodes, tag)
    }
  })

  it("no two errors share a code or an exit status, and no status has another meaning to a shell", () => {
    assert.strictEqual(new Set(all.map(([, { code }]) => code)).size, all.length)
    assert.strictEqual(new Set(all.map(([, { exit }]) => exit)).size, all.length)
    for (const [, { exit }] of all) assert.isTrue((exit >= 50 && exit <= 125) || (exit > 192 && exit <= 255))
  })

  it("an error that is not in the table counts as internal", () => {
    assert.strictEqual(codeOf(new Error("surprise")), errorCodes.InternalError)
    assert.strictEqual(codeOf({ _tag: "toString" }), errorCodes.InternalError)
  })

  it("docs/errors.md lists every code as it is", () => {
    const page = readFileSync(new URL("../../docs/errors.md", import.meta.url), "utf8")
    for (const [tag, { code, exit, http, meaning }] of all) {
      assert.include(page, `| ${tag} | \`${code}\` | ${exit} | ${http} | ${meaning} |`)
    }
    assert.strictEqual(page.match(/^\| \w+ \| `/gm)?.length, all.length)
  })
})
