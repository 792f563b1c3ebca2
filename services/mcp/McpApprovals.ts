/** What has been approved of each MCP server, kept over restarts of the runtime. */
import { Context, type Effect } from "effect"
import type { StorageError } from "../journal/StorageError.ts"
import type { Approved } from "./planApproval.ts"

export class McpApprovals extends Context.Service<
  McpApprovals,
  {
    /** By server. */
    readonly load: Effect.Effect<ReadonlyMap<string, Approved>, StorageError>
    /** Durable when it returns; all or nothing. */
    readonly save: (server: string, approved: Approved) => Effect.Effect<void, StorageError>
  }
>()("espalier/mcp/McpApprovals") {}
