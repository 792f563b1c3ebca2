/**
 * How many different values there were: exact up to a thousand, and from then on estimated by HyperLogLog with 4,096
 * registers (standard error 1.04 / sqrt(4096) = 1.6 %). Seven kilobytes, whatever comes.
 */
const exactLimit = 1_000
const slots = 2_048
const registerBits = 12
const registers = 1 << registerBits

export interface DistinctCounter {
  /** The two halves of a value's hash. */
  readonly add: (high: number, low: number) => void
  readonly count: () => { readonly distinct: number; readonly isExact: boolean }
}

/** Spreads a hash's bits: the rows of a table have much in common. */
export const mix = (hash: number): number => {
  let mixed = hash ^ (hash >>> 16)
  mixed = Math.imul(mixed, 0x85ebca6b)
  mixed ^= mixed >>> 13
  mixed = Math.imul(mixed, 0xc2b2ae35)
  return (mixed ^ (mixed >>> 16)) >>> 0
}

export const make = (): DistinctCounter => {
  let seen: Uint32Array | undefined = new Uint32Array(slots * 2)
  let used = 0
  const ranks = new Uint8Array(registers)

  return {
    add: (high, low) => {
      const register = high >>> (32 - registerBits)
      const rank = Math.clz32(low) + 1
      if (rank > (ranks[register] ?? 0)) ranks[register] = rank
      if (seen === undefined) return
      // An empty slot is two zeros, so no value may be.
      const second = low === 0 ? 1 : low
      for (let slot = high & (slots - 1); ; slot = (slot + 1) & (slots - 1)) {
        const present = seen[slot * 2 + 1]
        if (present === 0) {
          seen[slot * 2] = high
          seen[slot * 2 + 1] = second
          if (++used > exactLimit) seen = undefined
          return
        }
        if (present === second && seen[slot * 2] === high) return
      }
    },
    count: () => {
      if (seen !== undefined) return { distinct: used, isExact: true }
      let sum = 0
      let zeros = 0
      for (const rank of ranks) {
        sum += 2 ** -rank
        if (rank === 0) zeros++
      }
      const raw = ((0.7213 / (1 + 1.079 / registers)) * registers * registers) / sum
      const estimate = raw <= 2.5 * registers && zeros > 0 ? registers * Math.log(registers / zeros) : raw
      return { distinct: Math.max(exactLimit + 1, Math.round(estimate)), isExact: false }
    }
  }
}
