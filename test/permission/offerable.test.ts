import { assert, describe, it } from "@effect/vitest"
import { Duration, Effect } from "effect"
import { offerable } from "../../services/permission/offerable.ts"
import type { PermissionRule } from "../../services/permission/Rules.ts"
import type { Tool } from "../../services/tools/Tool.ts"
import type { ToolClass } from "../../services/tools/ToolClass.ts"

const tool = (name: string, classes: ReadonlyArray<ToolClass>, mayTouchLess = false): Tool => ({
  name,
  description: "",
  parameters: {},
  annotations: {
    weight: "fast",
    idempotent: false,
    classes,
    needsPermission: false,
    deadline: Duration.seconds(1),
    hardCap: Duration.seconds(1)
  },
  ...(mayTouchLess ? { classesOf: () => ["read"] } : {}),
  check: () => Effect.succeed([]),
  run: () => Effect.succeed(null)
})

const names = (rules: ReadonlyArray<PermissionRule>) =>
  offerable(
    [
      tool("files__read", ["read"]),
      tool("files__write", ["write"]),
      tool("shell", ["read", "exec"], true),
      tool("plain", [])
    ],
    rules
  ).map(({ name }) => name)

describe("offerable", () => {
  it("leaves out what is denied whatever the arguments, and nothing else", () => {
    assert.deepStrictEqual(names([]), ["files__read", "files__write", "shell", "plain"])
    assert.deepStrictEqual(names([{ tool: "files__*", decision: "deny" }]), ["shell", "plain"])
    assert.deepStrictEqual(names([{ class: "write", decision: "deny" }]), ["files__read", "shell", "plain"])
    // It may also only read.
    assert.deepStrictEqual(names([{ class: "exec", decision: "deny" }]), [
      "files__read",
      "files__write",
      "shell",
      "plain"
    ])
    assert.deepStrictEqual(names([{ decision: "deny" }]), [])
    assert.deepStrictEqual(names([{ tool: "shell", decision: "ask" }]).length, 4)
  })
})
