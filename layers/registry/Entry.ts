/** A live registration as the registry keeps it, and what its owner holds of it: one object, since there are many. */
import { Effect } from "effect"
import type { Agent } from "../../services/registry/Agent.ts"
import type { Receive } from "../../services/registry/AgentMessage.ts"
import {
  type AgentHandle,
  type AgentUpdate,
  type Registration,
  RegistrationLost
} from "../../services/registry/Registry.ts"

/** The registry's side. */
export interface Keeper {
  readonly update: (entry: Entry, update: AgentUpdate) => void
  readonly drop: (entry: Entry, reason: RegistrationLost["reason"]) => void
}

export class Entry implements AgentHandle {
  /** A value: a change puts another one in its place. */
  agent: Agent
  readonly receive: Receive | undefined
  readonly stop: Effect.Effect<void> | undefined
  /** Somebody has asked it to stop, and waits for it. */
  isStopping = false
  /** Set once it is gone. */
  gone: RegistrationLost["reason"] | undefined
  /** Who wants to know when it is gone. */
  waiting: Array<() => void> | undefined
  readonly #keeper: Keeper

  constructor(agent: Agent, keeper: Keeper, { receive, stop }: Partial<Registration> = {}) {
    this.agent = agent
    this.receive = receive
    this.stop = stop
    this.gone = undefined
    this.waiting = undefined
    this.#keeper = keeper
  }

  update(update: AgentUpdate): Effect.Effect<void, RegistrationLost> {
    return Effect.suspend(() => {
      if (this.gone !== undefined) return Effect.fail(this.#loss)
      this.#keeper.update(this, update)
      return Effect.void
    })
  }

  get lost(): Effect.Effect<RegistrationLost> {
    return Effect.map(this.end, () => this.#loss)
  }

  get leave(): Effect.Effect<void> {
    return Effect.sync(() => this.#keeper.drop(this, "left"))
  }

  /** Returns when it is gone. */
  get end(): Effect.Effect<void> {
    return Effect.callback<void>((resume) => {
      if (this.gone !== undefined) {
        resume(Effect.void)
        return
      }
      const tell = () => resume(Effect.void)
      const waiting = (this.waiting ??= [])
      waiting.push(tell)
      return Effect.sync(() => {
        const at = waiting.indexOf(tell)
        if (at !== -1) waiting.splice(at, 1)
      })
    })
  }

  get #loss(): RegistrationLost {
    return new RegistrationLost({ key: this.agent.key, reason: this.gone ?? "left" })
  }
}
