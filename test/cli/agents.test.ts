import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import { errorCodes } from "../../services/gateway/ErrorCodes.ts"
import { mainOf } from "../../services/registry/Agent.ts"
import { SessionId } from "../../services/session/SessionId.ts"
import * as Client from "../../src/client.ts"
import { espalier, server, start } from "../support/CommandLine.ts"

const ses = (name: string) => SessionId.make(`ses_${name}`)

describe("espalier agents", () => {
  it.live("lists by what agents are and can do, watches, and sends to one, to one of those that fit, and to all", () =>
    Effect.gen(function* () {
      const running = yield* server()
      const run = (...args: ReadonlyArray<string>) => espalier(running, ...args)
      const client = yield* Client.make({ url: running.url })
      const green = (capabilities: string) => ({ capabilities, tags: "green" })
      yield* client.StartSession({ sessionId: ses("a"), metadata: green("search,review") })
      yield* client.StartSession({ sessionId: ses("b"), metadata: green("search") })
      const table = run("agents", "--capability", "search", "--capability", "review", "--order", "load", "--limit", "5")
      assert.match((yield* table).stdout, /^SESSION +ROLE +STATUS +LOAD[^\n]*\nses_a[^\n]*search, review\n$/)

      const watch = yield* start(running, "agents", "--watch", "--json", "--tag", "green")
      yield* Effect.promise(() => watch.until("stdout", /"Snapshot".*ses_a.*ses_b/))

      const routed = run(
        "agents",
        "send",
        "find",
        "--capability",
        "search",
        "--sticky",
        "k",
        "--from",
        "ses_b",
        "--json"
      )
      assert.deepStrictEqual(JSON.parse((yield* routed).stdout).outcome, { _tag: "Delivered", sequence: 2 })
      const [message] = yield* client.GetMessages({ sessionId: ses("a") })
      assert.deepStrictEqual(message?._tag === "UserMessage" ? message.from : undefined, mainOf(ses("b")))

      yield* client.StopSession({ sessionId: ses("b") })
      yield* Effect.promise(() => watch.until("stdout", /"AgentRemoved".*ses_b/))
      const [all, ended, nobody, wrong] = yield* Effect.all(
        [
          run("agents", "send", "all of you", "--all", "--tag", "green"),
          run("agents", "send", "hello", "--to", "ses_b/main/0"),
          run("agents", "send", "up", "--capability", "fly", "--json"),
          run("agents", "send", "hello", "--to", "Ada")
        ],
        { concurrency: 2 }
      )
      assert.match(all.stdout, /^AGENT.*\nses_a\/main\/0 .*delivered as event/)
      assert.strictEqual(ended.status, errorCodes.MessageNotDelivered.exit)
      assert.include(ended.stderr, "it has ended")
      assert.strictEqual(nobody.status, errorCodes.NoAgentAvailable.exit)
      assert.strictEqual(JSON.parse(nobody.stderr).error.code, "no_agent_available")
      assert.strictEqual(wrong.status, errorCodes.UsageError.exit)
    })
  )
})
