import { assert, describe, it } from "@effect/vitest"
import { Result } from "effect"
import { check, type Field, fieldsOf, limits, read, wants } from "../../services/question/Form.ts"

const choices = [
  { const: "hero-1", title: "Superman" },
  { const: "hero-2", title: "Green Lantern" }
]

/** All that a server may ask for, as the official test server asks for it. */
const properties = {
  name: { type: "string", title: "String", description: "Your full, legal name", minLength: 2, maxLength: 5 },
  agree: { type: "boolean", description: "Agree to the terms" },
  email: { type: "string", format: "email" },
  homepage: { type: "string", format: "uri" },
  born: { type: "string", format: "date" },
  at: { type: "string", format: "date-time" },
  count: { type: "integer", minimum: 1, maximum: 100, default: 42 },
  share: { type: "number", minimum: 0 },
  friend: { type: "string", enum: ["Monica", "Rachel"], default: "Monica" },
  pet: { type: "string", enum: ["pet-1", "pet-2"], enumNames: ["Cats", "Dogs"] },
  hero: { type: "string", oneOf: choices },
  heroes: { type: "array", minItems: 1, maxItems: 1, items: { anyOf: choices } },
  tools: { type: "array", items: { type: "string", enum: ["saw", "axe"] }, default: ["saw"] }
}

const fields = fieldsOf({ type: "object", properties, required: ["name", "count"] }) ?? []

const field = (name: string): Field => fields.find((field) => field.name === name) ?? assert.fail(name)

const typed = (name: string, text: string) => Result.getOrElse(read(field(name), text), (reason) => `no: ${reason}`)

describe("the form of a question", () => {
  it("has the server's fields in the server's order, with what each is called and whether it is needed", () => {
    assert.deepStrictEqual(
      fields.map(({ name }) => name),
      Object.keys(properties)
    )
    assert.deepInclude(field("name"), { title: "String", description: "Your full, legal name", isRequired: true })
    assert.deepInclude(field("email"), { title: "email", description: "", isRequired: false })
    assert.deepInclude(field("pet"), {
      kind: "choice",
      options: [
        { value: "pet-1", title: "Cats" },
        { value: "pet-2", title: "Dogs" }
      ]
    })
  })

  it("is none where the schema is nested, is too large to be shown, or needs what it does not ask for", () => {
    const nested = { type: "object", properties: { a: { type: "object", properties: {} } } }
    const many = Object.fromEntries(Array.from({ length: limits.fields + 1 }, (_, i) => [`f${i}`, { type: "boolean" }]))
    const long = { a: { type: "string", description: "x".repeat(limits.characters) } }
    const wide = { a: { type: "string", enum: Array.from({ length: limits.options + 1 }, (_, i) => `${i}`) } }
    assert.isUndefined(fieldsOf(nested))
    for (const properties of [many, long, wide]) assert.isUndefined(fieldsOf({ type: "object", properties }))
    assert.isUndefined(fieldsOf({ type: "object", properties: {}, required: ["a"] }))
    assert.isUndefined(fieldsOf({ type: "array" }))
    assert.deepStrictEqual(fieldsOf({ type: "object", properties: {} }), [])
  })

  it("takes what fits it, and names each value that does not", () => {
    assert.deepStrictEqual(check(fields, { name: "Ann" }), [])
    assert.deepStrictEqual(
      check(fields, {
        name: "Ann",
        agree: false,
        email: "ann@example.com",
        homepage: "https://example.com",
        born: "2024-02-29",
        at: "2024-02-29T10:00:00+02:00",
        count: 1,
        share: 0.5,
        friend: "Rachel",
        pet: "pet-2",
        hero: "hero-1",
        heroes: ["hero-2"],
        tools: []
      }),
      []
    )
    const wrong = {
      name: "Annabel",
      agree: "yes",
      email: "ann@@example.com",
      homepage: "example",
      born: "2023-02-29",
      at: "2024-02-29",
      count: 1.5,
      share: -1,
      friend: "Gunther",
      pet: "Cats",
      hero: 1,
      heroes: ["hero-1", "hero-2"],
      tools: ["gun"]
    }
    assert.deepStrictEqual(
      check(fields, wrong).map(({ path }) => path),
      Object.keys(wrong)
    )
    assert.deepStrictEqual(check(fields, {}), [{ path: "name", message: "it is required" }])
    assert.deepStrictEqual(check(fields, { name: "Ann", toString: "x" }), [
      { path: "toString", message: "nothing of that name is asked for" }
    ])
  })

  it("is strict with what could pass for something else", () => {
    for (const email of ["", "@", "a@b", "a b@c.d", "a@b..c", "a@.b", "@b.c", "a@b.c@d.e"]) {
      assert.lengthOf(check(fields, { name: "Ann", email }), 1, email)
    }
    for (const born of ["2023-2-1", "2023-13-01", "2023-00-10", "2023-04-31", "20230401", "2023-04-01T00:00:00Z"]) {
      assert.lengthOf(check(fields, { name: "Ann", born }), 1, born)
    }
    for (const at of ["2023-04-31T00:00:00Z", "2023-04-01T25:00:00Z", "2023-04-01T00:00:00", "2023-04-01 00:00:00Z"]) {
      assert.lengthOf(check(fields, { name: "Ann", at }), 1, at)
    }
  })

  it("reads what a person types", () => {
    assert.strictEqual(typed("name", "Ann"), "Ann")
    assert.strictEqual(typed("agree", "Y"), true)
    assert.strictEqual(typed("agree", "no"), false)
    assert.strictEqual(typed("count", " 7 "), 7)
    assert.strictEqual(typed("hero", "2"), "hero-2")
    assert.strictEqual(typed("hero", "superman"), "hero-1")
    assert.strictEqual(typed("friend", "Rachel"), "Rachel")
    assert.deepStrictEqual(typed("tools", "axe, 1"), ["axe", "saw"])
    assert.deepStrictEqual(typed("tools", ""), [])
    for (const [name, text] of [
      ["count", "many"],
      ["count", ""],
      ["count", "101"],
      ["agree", "perhaps"],
      ["hero", "3"],
      ["heroes", ""]
    ] as const) {
      assert.strictEqual(typed(name, text), `no: it has to be ${wants(field(name))}`)
    }
  })

  it("takes no longer for what is made to be slow", () => {
    const email = "a@".repeat(4_000)
    const started = performance.now()
    for (let i = 0; i < 100; i++) check(fields, { email: `x@${"a.".repeat(4_900)}`, homepage: email, at: email })
    assert.isBelow(performance.now() - started, 2_000)
  })
})
