/** MCP servers whose tools are not there, which somebody who has declared them expects. */
import { Effect } from "effect"
import type { McpServer } from "../../services/mcp/McpServer.ts"
import type * as Client from "../client.ts"
import type { Screen } from "./Screen.ts"
import * as Terminal from "./Terminal.ts"

const stateOf = ({ lastError, name, state }: McpServer): string => {
  const why = lastError === undefined ? "" : `: ${Terminal.plain(lastError).replace(/\.$/, "")}`
  return state === "connecting" && why === ""
    ? `MCP server ${name} is starting`
    : `MCP server ${name} is not there${why}; its tools are missing until it is`
}

/** Says which are not ready. */
export const show = (espalier: Client.Operation, screen: Screen) =>
  Effect.flatMap(espalier.McpServers(), (servers) =>
    Effect.forEach(
      servers.filter(({ state }) => state !== "ready"),
      (server) => screen.note(stateOf(server)),
      { discard: true }
    )
  )
