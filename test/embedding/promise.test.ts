import { assert, describe, it } from "@effect/vitest"
import { Effect, Stream } from "effect"
import { Espalier } from "../../src/promise.ts"
import { eventually } from "../support/eventually.ts"
import { layer as scripted, says } from "../support/ScriptedModel.ts"
import { temporaryDirectory } from "../support/temporaryDirectory.ts"

describe("espalier/promise", () => {
  it("opens, answers, tells what was said, and closes with its block", async () => {
    let isClosed = false
    {
      await using espalier = await Espalier.open({ model: scripted(() => says("one ", "two")) })
      const session = await espalier.session({ title: "promised" })
      const pieces: Array<string> = []
      assert.strictEqual(await session.ask("go", { onText: (piece) => void pieces.push(piece) }), "one two")
      assert.strictEqual(pieces.join(""), "one two")
      assert.deepStrictEqual(
        (await session.messages()).map(({ _tag }) => _tag),
        ["UserMessage", "AssistantMessage"]
      )
      const seen: Array<string> = []
      for await (const delivery of session.events()) {
        if (delivery._tag === "Event") seen.push(delivery.event._tag)
        if (seen.at(-1) === "TurnEnded") break
      }
      assert.deepStrictEqual(seen, ["SessionStarted", "MessageReceived", "TurnStarted", "MessageSettled", "TurnEnded"])
      await session.stop()
      const error: unknown = await session.ask("more").catch((error: unknown) => error)
      assert.propertyVal(error, "_tag", "SessionHasEnded")
      isClosed = true
    }
    assert.isTrue(isClosed)
  })

  it("an aborted question cancels its turn, and is rejected with the signal's reason", async () => {
    const espalier = await Espalier.open({
      model: scripted(() => Stream.concat(Stream.fromIterable(says("so far").slice(0, 2)), Stream.never))
    })
    try {
      const session = await espalier.session()
      const aborting = new AbortController()
      const asked = session.ask("go", {
        signal: aborting.signal,
        onText: () => aborting.abort(new Error("no longer wanted"))
      })
      const error: unknown = await asked.catch((error: unknown) => error)
      assert.propertyVal(error, "message", "no longer wanted")
      await Effect.runPromise(
        eventually("the turn is cancelled", () => true).pipe(Effect.andThen(Effect.sleep("100 millis")))
      )
      const last = (await session.messages()).at(-1)
      assert.deepInclude(last, { _tag: "AssistantMessage", text: "so far", partial: true })
      const early: unknown = await session.ask("go", { signal: aborting.signal }).catch((error: unknown) => error)
      assert.propertyVal(early, "message", "no longer wanted")
    } finally {
      await espalier.close()
    }
  })

  it("keeps what it did in a directory, and takes a session up by its id", async () => {
    await Effect.runPromise(
      Effect.scoped(
        Effect.flatMap(temporaryDirectory, (dataDirectory) =>
          Effect.promise(async () => {
            const first = await Espalier.open({ dataDirectory, model: scripted(() => says("first")) })
            const { id } = await first.session({ id: "ses_kept" })
            await (await first.session({ id })).ask("one")
            await first.close()
            const second = await Espalier.open({ dataDirectory, model: scripted(() => says("second")) })
            const session = await second.session({ id })
            assert.strictEqual(await session.ask("two"), "second")
            assert.strictEqual((await session.messages()).length, 4)
            const error: unknown = await second.session({ id: "not an id" }).catch((error: unknown) => error)
            assert.propertyVal(error, "_tag", "InvalidInput")
            await second.close()
          })
        )
      )
    )
  })
})
