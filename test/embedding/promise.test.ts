import { assert, describe, it } from "@effect/vitest"
import { Effect, Layer, Stream } from "effect"
import * as PubSubEventBus from "../../layers/events/PubSubEventBus.ts"
import { EventBus } from "../../services/events/EventBus.ts"
import * as Topic from "../../services/events/Topic.ts"
import type { Permission } from "../../services/permission/Permission.ts"
import { Espalier } from "../../src/promise.ts"
import { eventually, inTime } from "../support/eventually.ts"
import { calls, layer as scripted, says } from "../support/ScriptedModel.ts"
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

  it("an aborted question that waits behind another leaves the other one's turn alone", async () => {
    const gate = Promise.withResolvers<void>()
    await using espalier = await Espalier.open({
      model: scripted(({ prompt }) =>
        JSON.stringify(prompt).includes("second")
          ? says("two")
          : Stream.unwrap(
              Effect.as(
                Effect.promise(() => gate.promise),
                Stream.fromIterable(says("one"))
              )
            )
      )
    })
    const session = await espalier.session()
    const first = session.ask("first")
    const started = session.events()
    for await (const delivery of started) {
      if (delivery._tag === "Event" && delivery.event._tag === "TurnStarted") break
    }
    const aborting = new AbortController()
    const second = session.ask("second", { signal: aborting.signal }).catch((error: unknown) => error)
    for await (const delivery of session.events()) {
      if (delivery._tag === "Event" && delivery.event._tag === "MessageReceived" && delivery.event.text === "second")
        break
    }
    aborting.abort("not now")
    assert.strictEqual(await second, "not now")
    gate.resolve()
    assert.strictEqual(await first, "one")
  })

  it("a signal that aborts before, in the middle or after changes nothing besides its own question", async () => {
    const unhandled: Array<unknown> = []
    const note = (reason: unknown) => void unhandled.push(reason)
    process.on("unhandledRejection", note)
    try {
      await using espalier = await Espalier.open({ model: scripted(() => says("fine")) })
      const session = await espalier.session()
      const before: unknown = await session.ask("never", { signal: AbortSignal.abort("early") }).catch((error) => error)
      assert.strictEqual(before, "early")
      const after = new AbortController()
      assert.strictEqual(await session.ask("one", { signal: after.signal }), "fine")
      after.abort()
      for (let turn = 0; turn < 20; turn++) {
        const during = new AbortController()
        const asked = session.ask("two", { signal: during.signal })
        for (let tick = 0; tick < turn; tick++) await Promise.resolve()
        during.abort("halfway")
        assert.strictEqual(await asked.catch((error: unknown) => error), "halfway")
      }
      assert.strictEqual(await session.ask("three"), "fine")
      const said = await session.messages()
      assert.isFalse(said.some((message) => message._tag === "UserMessage" && message.text === "never"))
    } finally {
      process.off("unhandledRejection", note)
    }
    assert.deepStrictEqual(unhandled, [])
  })

  it("events end with their loop, with a signal, and with the runtime, and leave no subscriber behind", async () => {
    let bus: EventBus["Service"] | undefined
    const eventBus = Layer.effect(
      EventBus,
      Effect.tap(PubSubEventBus.make(), (made) => Effect.sync(() => (bus = made)))
    )
    const espalier = await Espalier.open({ model: scripted(() => says("fine")), eventBus })
    const session = await espalier.session()
    const subscribers = async () => {
      const topics = await Effect.runPromise(
        bus?.stats({ topic: Topic.ofSession(session.id), limit: 10 }) ?? Effect.succeed([])
      )
      return topics.reduce((sum, { subscribers }) => sum + subscribers, 0)
    }
    const until = (count: number) =>
      Effect.runPromise(
        inTime(
          `${count} listen`,
          Effect.promise(async () => (await subscribers()) === count)
        )
      )
    for await (const delivery of session.events()) {
      assert.strictEqual(delivery._tag, "Event")
      assert.strictEqual(await subscribers(), 1)
      break
    }
    await until(0)
    const aborting = new AbortController()
    const listen = async (signal?: AbortSignal) => {
      const seen: Array<string> = []
      for await (const { _tag } of session.events({ signal })) {
        seen.push(_tag)
        if (signal !== undefined) aborting.abort(new Error("enough"))
      }
      return seen
    }
    const error: unknown = await listen(aborting.signal).catch((error: unknown) => error)
    assert.propertyVal(error, "message", "enough")
    await until(0)
    const open = listen()
    await until(1)
    await espalier.close()
    await espalier.close()
    assert.deepStrictEqual(await open, ["Event"])
    const late: unknown = await session.ask("more").catch((error: unknown) => error)
    assert.propertyVal(late, "_tag", "RuntimeClosed")
  })

  it("a question that is open when the runtime is closed is rejected, and its turn goes on at the next start", async () => {
    await Effect.runPromise(
      Effect.scoped(
        Effect.flatMap(temporaryDirectory, (dataDirectory) =>
          Effect.promise(async () => {
            const endless = scripted(() => Stream.concat(Stream.fromIterable(says("so far").slice(0, 2)), Stream.never))
            const first = await Espalier.open({ dataDirectory, model: endless })
            const session = await first.session()
            let closing: Promise<void> | undefined
            const asked = session.ask("go", { onText: () => void (closing ??= first.close()) })
            assert.propertyVal(await asked.catch((error: unknown) => error), "_tag", "RuntimeClosed")
            await closing
            await using second = await Espalier.open({ dataDirectory, model: scripted(() => says("all of it")) })
            const again = await second.session({ id: session.id })
            for await (const { _tag, ...delivery } of again.events()) {
              if (_tag === "Event" && "event" in delivery && delivery.event._tag === "TurnEnded") break
            }
            const [, answer] = await again.messages()
            assert.deepInclude(answer, { text: "all of it", partial: false })
          })
        )
      )
    )
  })

  it("asks about calls that have to be allowed, and takes an error for a no", async () => {
    const repository = { repoUrl: "https://127.0.0.1:9/x.git" }
    await using espalier = await Espalier.open({
      model: scripted(({ prompt }) =>
        JSON.stringify(prompt.content.at(-1)).includes("tool-result")
          ? says("told")
          : calls(["analyze_codebase", repository])
      )
    })
    const session = await espalier.session({ title: "careful" })
    const outcome = async () => {
      const last = (await session.messages()).findLast((message) => message._tag === "ToolMessage")
      return JSON.stringify(last?.outcome)
    }
    const asked: Array<unknown> = []
    const allow = (permission: Permission) => asked.push(permission.args) > 0
    assert.strictEqual(await session.ask("go", { onPermission: allow }), "told")
    assert.deepStrictEqual(asked, [repository])
    assert.notInclude(await outcome(), "permission_denied")
    assert.strictEqual(await session.ask("go", { onPermission: () => Promise.reject(new Error("who?")) }), "told")
    assert.include(await outcome(), "permission_denied")
    const alone = await espalier.session({ permissions: { mode: "unattended" } })
    assert.strictEqual(await alone.ask("go"), "told")
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
