/**
 * Crashes a part of the running tree on purpose, to prove that it comes back. Refused unless the runtime was started
 * for that: nobody should find it by accident.
 */
import { Context, type Effect, Schema } from "effect"
import type { ChildNotFound } from "./Supervisor.ts"

/** This runtime was not started for it. Nothing was done. */
export class ChaosRefused extends Schema.TaggedError<ChaosRefused>()("ChaosRefused", {}) {
  override get message() {
    return "this server crashes nothing on purpose; start it with ESPALIER_CHAOS=1 for that"
  }
}

export class Chaos extends Context.Service<
  Chaos,
  {
    /** `path`: ids from the root, joined by "/", as in the tree. Returns before the child has ended. */
    readonly kill: (path: string) => Effect.Effect<void, ChaosRefused | ChildNotFound>
  }
>()("espalier/supervision/Chaos") {}
