/** A live registration as the registry keeps it. */
import type { Effect } from "effect"
import type { Agent } from "../../services/registry/Agent.ts"
import type { Receive } from "../../services/registry/AgentMessage.ts"
import type { RegistrationLost } from "../../services/registry/Registry.ts"

export interface Entry {
  /** A value: a change puts another one in its place. */
  agent: Agent
  readonly receive: Receive | undefined
  readonly stop: Effect.Effect<void> | undefined
  /** Somebody has asked it to stop, and waits for it. */
  isStopping: boolean
  /** Set once it is gone. */
  gone: RegistrationLost["reason"] | "ended" | undefined
  /** Who wants to know when it is gone. */
  waiting: Array<() => void> | undefined
}

export const make = (agent: Agent, { receive, stop }: Partial<Pick<Entry, "receive" | "stop">> = {}): Entry => ({
  agent,
  receive,
  stop,
  isStopping: false,
  gone: undefined,
  waiting: undefined
})
