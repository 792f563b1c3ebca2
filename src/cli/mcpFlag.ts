/** `--mcp a,b`: which of the declared MCP servers a new session sees. */
import { Option } from "effect"
import { Flag } from "effect/cli"

/** Names are taken apart at commas; nothing at all stands for none of them. */
export const mcpFlag = Flag.String("mcp").pipe(
  Flag.withDescription(
    'MCP servers that a new session sees, as "files,memory"; "" for none (default: all that are declared)'
  ),
  Flag.map((names) =>
    names
      .split(",")
      .map((name) => name.trim())
      .filter((name) => name !== "")
  ),
  Flag.optional
)

/** For `StartSession`. */
export const seenBy = (mcp: Option.Option<ReadonlyArray<string>>) =>
  Option.match(mcp, { onNone: () => undefined, onSome: (mcpServers) => ({ mcpServers }) })
