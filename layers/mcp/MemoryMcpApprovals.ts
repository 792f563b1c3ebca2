/** `McpApprovals` that go with the process. */
import { Effect, Layer } from "effect"
import { McpApprovals } from "../../services/mcp/McpApprovals.ts"
import type { Approved } from "../../services/mcp/planApproval.ts"

const make = Effect.sync(() => {
  const servers = new Map<string, Approved>()
  return McpApprovals.of({
    load: Effect.sync(() => new Map(servers)),
    save: (server, approved) => Effect.sync(() => void servers.set(server, approved))
  })
})

export const layer = Layer.effect(McpApprovals, make)
