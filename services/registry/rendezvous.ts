/**
 * Rendezvous hashing: for a key, each agent draws a number, and the highest has it. When an agent comes or goes, only the
 * keys that it wins or had move.
 */
import { type Agent, nameOf } from "./Agent.ts"

/** FNV-1a of both, finished so that every bit of either moves every bit of the number. */
const draw = (key: string, name: string): number => {
  let hash = 0x811c9dc5
  for (let at = 0; at < key.length; at++) hash = Math.imul(hash ^ key.charCodeAt(at), 0x01000193)
  hash = Math.imul(hash ^ 0xff, 0x01000193)
  for (let at = 0; at < name.length; at++) hash = Math.imul(hash ^ name.charCodeAt(at), 0x01000193)
  hash = Math.imul(hash ^ (hash >>> 16), 0x85ebca6b)
  hash = Math.imul(hash ^ (hash >>> 13), 0xc2b2ae35)
  return (hash ^ (hash >>> 16)) >>> 0
}

export const rendezvous = (key: string, agents: ReadonlyArray<Agent>): Agent | undefined => {
  let winner: Agent | undefined
  let highest = -1
  for (const agent of agents) {
    const number = draw(key, nameOf(agent.key))
    if (number > highest) {
      winner = agent
      highest = number
    }
  }
  return winner
}
