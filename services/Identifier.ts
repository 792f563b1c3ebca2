/**
 * Identifiers: a prefix that names the kind, 48 bits of time so that ids sort by age, and 128 random bits so that
 * nobody guesses one.
 */
import { Clock, Effect, Schema } from "effect"
import { SecureRandom } from "effect/crypto"

/** A schema for ids of one kind. Callers may choose their own id as long as it keeps the prefix. */
export const schema = (prefix: string) =>
  Schema.String.check(
    Schema.isPattern(new RegExp(`^${prefix}_[A-Za-z0-9_-]{1,64}$`), {
      message: `an id that starts with "${prefix}_" and goes on with 1 to 64 letters, digits, "-" or "_"`
    })
  )

/** A fresh id, for example `ses_019a8f3c5b2e…`. */
export const generate = (prefix: string): Effect.Effect<string> =>
  Effect.map(Clock.currentTimeMillis, (now) => {
    const time = now.toString(16).padStart(12, "0")
    const random = Array.from(SecureRandom.randomBytesUnsafe(16), (byte) => byte.toString(16).padStart(2, "0")).join("")
    return `${prefix}_${time}${random}`
  })
