import { assert, describe, it } from "@effect/vitest"
import { Schema } from "effect"
import { rulesFor } from "../../services/permission/Approval.ts"
import {
  decidePermission,
  fitsPattern,
  type PermissionDecision,
  type PermissionQuestion,
  PermissionRule
} from "../../services/permission/Rules.ts"
import { ToolClass } from "../../services/tools/ToolClass.ts"

const ask = (classes: ReadonlyArray<ToolClass>, tool = "files_write", needsPermission = false): PermissionQuestion => ({
  tool,
  classes,
  needsPermission
})
const rank: Readonly<Record<PermissionDecision, number>> = { allow: 0, ask: 1, deny: 2 }

describe("permission rules", () => {
  it("allow reading and ask for all else, unless a rule says otherwise", () => {
    assert.strictEqual(decidePermission(ask(["read"]), [], "attended"), "allow")
    for (const name of ["write", "exec", "network", "secret"] as const) {
      assert.strictEqual(decidePermission(ask([name]), [], "attended"), "ask")
      assert.strictEqual(decidePermission(ask(["read", name]), [], "attended"), "ask")
      assert.strictEqual(decidePermission(ask([name]), [{ class: name, decision: "allow" }], "attended"), "allow")
    }
    assert.strictEqual(decidePermission(ask(["read"], "guarded", true), [], "attended"), "ask")
    assert.strictEqual(decidePermission(ask([], "plain"), [], "attended"), "allow")
    assert.strictEqual(decidePermission(ask([], "plain", true), [], "attended"), "ask")
  })

  it("put deny before ask before allow, in whichever order they stand", () => {
    const rules: ReadonlyArray<PermissionRule> = [{ decision: "allow" }, { tool: "files_*", decision: "deny" }]
    assert.strictEqual(decidePermission(ask(["write"]), rules, "attended"), "deny")
    assert.strictEqual(decidePermission(ask(["write"]), rules.toReversed(), "attended"), "deny")
    assert.strictEqual(decidePermission(ask(["write"], "shell"), rules, "attended"), "allow")
    assert.strictEqual(
      decidePermission(ask(["write"]), [{ decision: "allow" }, { class: "write", decision: "ask" }], "attended"),
      "ask"
    )
  })

  it("take what one class is allowed for no leave for another", () => {
    const rules: ReadonlyArray<PermissionRule> = [{ class: "write", decision: "allow" }]
    assert.strictEqual(decidePermission(ask(["write", "network"]), rules, "attended"), "ask")
  })

  it("know names by patterns, and are not slowed down by hostile ones", () => {
    for (const [pattern, name] of [
      ["*", ""],
      ["*", "anything"],
      ["files_*", "files_write"],
      ["*_write", "files_write"],
      ["f*_*e", "files_write"],
      ["files_write", "files_write"]
    ] as const) {
      assert.isTrue(fitsPattern(pattern, name), `${pattern} ${name}`)
    }
    for (const [pattern, name] of [
      ["", "x"],
      ["files", "files_write"],
      ["write*", "files_write"],
      ["a.c", "abc"],
      ["*x", "files_write"]
    ] as const) {
      assert.isFalse(fitsPattern(pattern, name), `${pattern} ${name}`)
    }
    assert.isFalse(fitsPattern("*a".repeat(100), `${"a".repeat(99)}${"b".repeat(100_000)}`))
  })

  const Rule = PermissionRule.mapFields((fields) => ({
    ...fields,
    tool: Schema.optionalKey(Schema.Literals(["*", "files_*", "shell", "files_write"]))
  }))
  const Rules = Schema.Array(Rule).check(Schema.isMaxLength(6))
  const Question = Schema.Struct({
    tool: Schema.Literals(["files_write", "files_read", "shell"]),
    classes: Schema.Array(ToolClass).check(Schema.isMaxLength(4)),
    needsPermission: Schema.Boolean
  })
  const Mode = Schema.Literals(["attended", "unattended"])

  it.prop(
    "never widen by a rule that denies or asks",
    [Question, Rules, Rule, Mode],
    ([question, rules, rule, mode]) => {
      const before = rank[decidePermission(question, rules, mode)]
      const after = (decision: PermissionDecision) =>
        rank[decidePermission(question, [...rules, { ...rule, decision }], mode)]
      assert.isAtLeast(after("deny"), before)
      assert.isAtLeast(after("deny"), after("ask"))
      assert.isAtLeast(after("ask"), after("allow"))
    }
  )

  it.prop(
    "that a person has remembered open no more than the tool that was shown, for what it touched",
    [Question, Question, Rules],
    ([shown, question, rules]) => {
      const more = [...rules, ...rulesFor(shown)]
      const before = decidePermission(question, rules, "attended")
      const after = decidePermission(question, more, "attended")
      if (before === "deny") assert.strictEqual(after, "deny")
      if (before === "allow" || after !== "allow") return
      assert.strictEqual(question.tool, shown.tool)
      assert.includeMembers(
        [...shown.classes],
        question.classes.filter(
          (name) => decidePermission({ ...question, classes: [name] }, rules, "attended") !== "allow"
        )
      )
    },
    { arbitrary: { runs: 2_000 } }
  )

  it.prop("do not depend on their order", [Question, Rules, Mode], ([question, rules, mode]) => {
    assert.strictEqual(decidePermission(question, rules.toReversed(), mode), decidePermission(question, rules, mode))
  })

  it.prop("are stricter where nobody can be asked, and never ask there", [Question, Rules], ([question, rules]) => {
    const attended = decidePermission(question, rules, "attended")
    const unattended = decidePermission(question, rules, "unattended")
    assert.isAtLeast(rank[unattended], rank[attended])
    assert.notStrictEqual(unattended, "ask")
    assert.strictEqual(unattended === "allow", attended === "allow")
  })

  it.prop("are stricter for a call that touches more", [Question, Rules, ToolClass], ([question, rules, more]) => {
    if (question.classes.length === 0) return
    const wider = { ...question, classes: [...question.classes, more] }
    assert.isAtLeast(
      rank[decidePermission(wider, rules, "attended")],
      rank[decidePermission(question, rules, "attended")]
    )
  })
})
