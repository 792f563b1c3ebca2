/**
 * Identifiers: a prefix that names the kind, 48 bits of time so that ids sort by age, and 128 random bits so that
 * nobody guesses one.
 */
import { Clock, Effect, Schema } from "effect"
import { SecureRandom } from "effect/crypto"
import * as Hex from "effect/encoding/Hex"

/** A schema for ids of one kind. Callers may choose their own id as long as it keeps the prefix. */
export const schema = (prefix: string) =>
  Schema.String.check(
    Schema.isPattern(new RegExp(`^${prefix}_[A-Za-z0-9_-]{1,64}$`), {
      message: `an id that starts with "${prefix}_" and goes on with 1 to 64 letters, digits, "-" or "_"`
    })
  )

const hex = (value: number, digits: number): string => value.toString(16).padStart(digits, "0")

const BYTES = 16

/** Drawn for many ids at once, since asking for some costs more than the bytes do. Each is used once. */
let drawn: Uint8Array = new Uint8Array()
let next = 0

const random = (): string => {
  if (next === drawn.length) {
    drawn = SecureRandom.randomBytesUnsafe(64 * BYTES)
    next = 0
  }
  return Hex.encode(drawn.subarray(next, (next += BYTES)))
}

/** A fresh id, for example `ses_019a8f3c5b2e…`. */
export const generate = (prefix: string): Effect.Effect<string> =>
  Effect.map(Clock.currentTimeMillis, (now) => `${prefix}_${hex(now, 12)}${random()}`)

/** Ids for one maker that also sort by age within a millisecond, and whatever the clock does. */
export const inOrder = (prefix: string): Effect.Effect<string> => {
  let time = 0
  let count = 0
  return Effect.map(Clock.currentTimeMillis, (now) => {
    count++
    if (now > time || count > 0xffff) {
      time = Math.max(now, time + 1)
      count = 0
    }
    return `${prefix}_${hex(time, 12)}${hex(count, 4)}${random()}`
  })
}
