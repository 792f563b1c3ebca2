/**
 * `SessionDesk` for the sessions of this process. Calls that a crash has cut off may be run again before their sessions
 * are back, so whoever comes early waits a little.
 */
import { Effect, Latch, Layer } from "effect"
import { type SessionClerk, SessionDesk } from "../../services/session/SessionDesk.ts"

/** For somebody to attend. */
const patience = "10 seconds"

const nobody: SessionClerk = {
  ask: () => Effect.succeed({ action: "decline" }),
  charge: () => Effect.fail("no session is there that this could be done for")
}

export const make = Effect.sync(() => {
  let clerk = nobody
  const attended = Latch.makeUnsafe(false)
  const present = Effect.map(Effect.timeoutOption(attended.await, patience), () => clerk)
  return SessionDesk.of({
    ask: (question) => Effect.flatMap(present, ({ ask }) => ask(question)),
    charge: (charge, work) => Effect.flatMap(present, (clerk) => clerk.charge(charge, work)),
    attend: (comes) =>
      Effect.acquireRelease(
        Effect.sync(() => {
          clerk = comes
          attended.openUnsafe()
        }),
        () =>
          Effect.sync(() => {
            if (clerk !== comes) return
            clerk = nobody
            attended.closeUnsafe()
          })
      )
  })
})

export const layer = Layer.effect(SessionDesk, make)
