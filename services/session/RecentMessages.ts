/**
 * Which messages were accepted lately, so that a repeated send is recognised: the last 1,000 ids, each kept as a
 * 53-bit fingerprint beside its sequence (16 bytes, where the id itself takes 80). Two different ids among them are
 * taken for one another once in 10^13 messages.
 */
import type { MessageId } from "./SessionId.ts"

export const REMEMBERED = 1_000

export interface RecentMessages {
  readonly fingerprints: ReadonlyArray<number>
  readonly sequences: ReadonlyArray<number>
}

export const empty: RecentMessages = { fingerprints: [], sequences: [] }

/** The `cyrb53` hash: two mixed 32-bit lanes, of which 53 bits fit a number exactly. */
const fingerprint = (id: string): number => {
  let a = 0xdeadbeef
  let b = 0x41c6ce57
  for (let i = 0; i < id.length; i++) {
    const unit = id.charCodeAt(i)
    a = Math.imul(a ^ unit, 2_654_435_761)
    b = Math.imul(b ^ unit, 1_597_334_677)
  }
  a = Math.imul(a ^ (a >>> 16), 2_246_822_507) ^ Math.imul(b ^ (b >>> 13), 3_266_489_909)
  b = Math.imul(b ^ (b >>> 16), 2_246_822_507) ^ Math.imul(a ^ (a >>> 13), 3_266_489_909)
  return 4_294_967_296 * (2_097_151 & b) + (a >>> 0)
}

/** Joined, not pushed: that would leave room for as many again, in every session that there is. */
const append = (values: ReadonlyArray<number>, value: number): ReadonlyArray<number> =>
  (values.length < REMEMBERED ? values : values.slice(1)).concat([value])

export const remember = (recent: RecentMessages, id: MessageId, sequence: number): RecentMessages => ({
  fingerprints: append(recent.fingerprints, fingerprint(id)),
  sequences: append(recent.sequences, sequence)
})

/** Sequence under which the message was accepted, if it is among those remembered. */
export const recall = (recent: RecentMessages, id: MessageId): number | undefined => {
  if (recent.fingerprints.length === 0) return undefined
  return recent.sequences[recent.fingerprints.lastIndexOf(fingerprint(id))]
}
