/**
 * Which of the declared servers a session sees, as it was started with: all where nothing was said. What it does not see
 * is neither offered to its model nor run in it, whoever asks.
 */
import type { Tool } from "../tools/Tool.ts"

/** By name; absent for all. */
export type SeenServers = ReadonlyArray<string> | undefined

export const isSeen = ({ server }: Pick<Tool, "server">, seen: SeenServers): boolean =>
  server === undefined || seen === undefined || seen.includes(server)
