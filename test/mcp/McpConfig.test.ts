import { assert, describe, it } from "@effect/vitest"
import { Duration, Result } from "effect"
import { expand, fromDeclarations, fromText } from "../../services/mcp/McpConfig.ts"
import { forSession } from "../../services/mcp/sessionVariables.ts"
import { SessionId } from "../../services/session/SessionId.ts"

const environment = (name: string) => ({ HOME: "/home/ada", TOKEN: "s3cret", EMPTY: "" })[name]

const read = (declared: unknown) => fromDeclarations(declared, environment)

const issuesOf = (declared: unknown) =>
  Result.match(read(declared), {
    onFailure: (issues) => issues.map(({ message, path }) => `${path}: ${message}`),
    onSuccess: () => []
  })

describe("McpConfig", () => {
  it("reads the format that people have, and leaves keys of other programs alone", () => {
    const text = JSON.stringify({
      mcpServers: {
        filesystem: {
          command: "npx",
          args: ["-y", "@modelcontextprotocol/server-filesystem", "${HOME}/notes"],
          env: { LEVEL: "${LEVEL:-info}" },
          disabled: false,
          autoApprove: ["read_file"]
        },
        docs: { type: "http", url: "https://example.com/mcp", headers: { Authorization: "Bearer ${TOKEN}" } }
      },
      somethingElse: 1
    })
    assert.deepStrictEqual(Result.getOrThrow(fromText(text, environment)), [
      {
        name: "filesystem",
        transport: {
          type: "stdio",
          command: "npx",
          args: ["-y", "@modelcontextprotocol/server-filesystem", "/home/ada/notes"],
          env: { LEVEL: "info" },
          cwd: undefined
        },
        grants: {}
      },
      {
        name: "docs",
        transport: { type: "http", url: "https://example.com/mcp", headers: { Authorization: "Bearer s3cret" } },
        grants: {}
      }
    ])
  })

  it("expands what stands for the environment, and takes the default where a variable is not set or empty", () => {
    assert.deepStrictEqual(
      expand("${HOME}/a ${NONE:-b} ${EMPTY:-c} $HOME ${NONE:-}", environment),
      Result.succeed("/home/ada/a b c $HOME ")
    )
    assert.deepStrictEqual(expand("${EMPTY}", environment), Result.succeed(""))
  })

  it("tells every place that is wrong, with what to do", () => {
    const issues = issuesOf({
      a: { command: "" },
      b: { url: "https://example.com" },
      c: { type: "sse", url: "https://example.com" },
      d: { command: "x", args: "--flag" },
      e: { command: "x", env: { KEY: "${MISSING}" } },
      f: { command: "x", espalier: { alow: ["read"] } },
      g: { type: "http", url: "ftp://example.com" },
      h: "npx server",
      "!!": { command: "x" },
      i: { command: "x", espalier: { deadline: "soon" } }
    })
    for (const wanted of [
      /^mcpServers\.a\.command: /,
      /^mcpServers\.b\.type: .*"type": "http"/,
      /^mcpServers\.c\.type: .*withdrawn/,
      /^mcpServers\.d\.args: /,
      /^mcpServers\.e\.env\.KEY: the environment variable MISSING is not set/,
      /^mcpServers\.f\.espalier\.alow: there is no such setting/,
      /^mcpServers\.g\.url: a http or https address/,
      /^mcpServers\.h: a server is an object/,
      /^mcpServers\.!!: a server's name/,
      /^mcpServers\.i\.espalier\.deadline: a time like/
    ]) {
      assert.isTrue(
        issues.some((issue) => wanted.test(issue)),
        `${String(wanted)} in ${issues.join("\n")}`
      )
    }
  })

  it("refuses two servers whose tools would have the same names", () => {
    assert.match(issuesOf({ "a b": { command: "x" }, "a.b": { command: "y" } })[0] ?? "", /rename one/)
  })

  it("takes grants and limits from the operator alone", () => {
    const [server] = Result.getOrThrow(
      read({ a: { command: "x", espalier: { allow: ["r"], deadline: "30 seconds" } } })
    )
    assert.deepStrictEqual(server?.grants.allow, ["r"])
    assert.strictEqual(Duration.toMillis(server?.grants.deadline ?? Duration.zero), 30_000)
  })

  it("leaves what is of a session for later, in the places where it may stand", () => {
    const declared = {
      command: "x",
      args: ["${ESPALIER_SESSION_DIRECTORY}", "${ESPALIER_SESSION_ID:-nobody}", "${HOME}"],
      env: { WHO: "<${ESPALIER_SESSION_ID}>" }
    }
    const [server] = Result.getOrThrow(read({ a: { ...declared, espalier: { scope: "session" } } }))
    const transport = server?.transport ?? assert.fail("it was not read")
    const id = SessionId.make("ses_1")
    assert.deepStrictEqual(Result.getOrThrow(forSession(transport, { id, directory: "/work" })), {
      type: "stdio",
      command: "x",
      args: ["/work", "ses_1", "/home/ada"],
      env: { WHO: "<ses_1>" },
      cwd: "/work"
    })
    assert.deepInclude(Result.getOrThrow(forSession(transport, { id: undefined, directory: "/empty" })), {
      args: ["/empty", "nobody", "/home/ada"],
      cwd: "/empty"
    })
    assert.match(
      JSON.stringify(forSession(transport, { id, directory: undefined })),
      /this session has none; start one with a directory/
    )
    assert.match(issuesOf({ a: declared }).join(), /a\.args\.0: .*give it "scope": "session" below espalier/)
    const elsewhere = { command: "${ESPALIER_SESSION_ID}", espalier: { scope: "session" } }
    assert.match(issuesOf({ args: elsewhere }).join(), /args\.command: .*may stand in args, env, cwd, headers/)
  })

  it("says what is wrong with a file that is no configuration", () => {
    assert.match(JSON.stringify(fromText("{", environment)), /not JSON/)
    assert.match(JSON.stringify(fromText("{}", environment)), /no \\"mcpServers\\"/)
  })
})
