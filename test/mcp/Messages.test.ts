import { assert, describe, it } from "@effect/vitest"
import { maxMessage, Messages } from "../../layers/mcp/Messages.ts"

const reading = () => {
  const seen = { messages: [] as Array<object>, strays: [] as Array<string>, broken: [] as Array<string> }
  const messages = new Messages({
    onMessage: (message) => void seen.messages.push(message),
    onStray: (line) => void seen.strays.push(line),
    onBroken: (reason) => void seen.broken.push(reason)
  })
  return { ...seen, push: (text: string) => messages.push(Buffer.from(text)) }
}

const ping = '{"jsonrpc":"2.0","id":1,"method":"ping"}'

describe("Messages", () => {
  it("reads messages whole, wherever the pipe cuts them", () => {
    const text = `${ping}\r\n\n{"jsonrpc":"2.0","method":"nötiß"}\n`
    const bytes = Buffer.from(text)
    for (let at = 0; at < bytes.length; at++) {
      const messages: Array<object> = []
      const reader = new Messages({
        onMessage: (message) => void messages.push(message),
        onStray: assert.fail,
        onBroken: assert.fail
      })
      reader.push(bytes.subarray(0, at))
      reader.push(bytes.subarray(at))
      assert.deepStrictEqual(messages, [
        { jsonrpc: "2.0", id: 1, method: "ping" },
        { jsonrpc: "2.0", method: "nötiß" }
      ])
    }
  })

  it("passes over what a program logs to its standard output", () => {
    const { broken, messages, push, strays } = reading()
    push(`listening...\n{ not: 'json' }\n{"level":30,"msg":"hi"}\n[]\n42\n${ping}\n`)
    assert.strictEqual(strays.length, 5)
    assert.strictEqual(messages.length, 1)
    assert.deepStrictEqual(broken, [])
  })

  it("takes a message that is cut off for the end of the connection", () => {
    const { broken, push } = reading()
    push('{"result":{"content":[{"ty\n')
    assert.strictEqual(broken.length, 1)
  })

  it("holds no more of a message than the cap, and fails only the call whose answer it is", () => {
    for (const [head, tail] of [
      ['{"jsonrpc":"2.0","id":7,"result":{"a":"', '"}}\n'],
      ['{"id":7,"jsonrpc":"2.0","result":{"a":"', '"}}\n'],
      ['{"result":{"a":"', '"},"jsonrpc":"2.0","id":7}\n']
    ] as const) {
      const { broken, messages, push } = reading()
      push(head)
      for (let sent = 0; sent <= maxMessage; sent += 65_536) push("x".repeat(65_536))
      push(tail + ping + "\n")
      assert.deepInclude(messages[0], { id: 7 })
      assert.match(JSON.stringify(messages[0]), /larger than 4 MiB/)
      assert.deepInclude(messages[1], { method: "ping" })
      assert.deepStrictEqual(broken, [])
    }
  })

  it("gives up on a message beyond the cap that belongs to nobody", () => {
    const { broken, push } = reading()
    push("x".repeat(maxMessage + 1))
    assert.deepStrictEqual(broken, [])
    push("\n")
    assert.match(broken[0] ?? "", /larger than 4 MiB/)
  })
})
