/**
 * A token bucket, without a clock: whoever has it says what time it is. It changes in place, for those who ask it often.
 */
export interface TokenBucket {
  tokens: number
  /** Up to when its gains are counted in. */
  countedTo: number
  size: number
  /** Milliseconds in which it gains a token. */
  gap: number
}

export const full = (size: number, gap: number, now: number): TokenBucket => ({
  tokens: size,
  countedTo: now,
  size,
  gap
})

/** A full bucket gains nothing, not even a part of a token. */
const cap = (bucket: TokenBucket, now: number): void => {
  if (bucket.tokens < bucket.size) return
  bucket.tokens = bucket.size
  bucket.countedTo = now
}

/** Counts in what it has gained. */
export const refresh = (bucket: TokenBucket, now: number): void => {
  // A hair more, so that who comes exactly when told is not turned away for a rounding error.
  const gained = Math.floor((now - bucket.countedTo) / bucket.gap + 1e-6)
  if (gained > 0) {
    bucket.tokens += gained
    bucket.countedTo += gained * bucket.gap
  }
  cap(bucket, now)
}

/** A limit that was changed holds from now on; of a token that is half gained, half is gained. */
export const resize = (bucket: TokenBucket, size: number, gap: number, now: number): void => {
  if (gap !== bucket.gap) bucket.countedTo = now - ((now - bucket.countedTo) / bucket.gap) * gap
  bucket.gap = gap
  bucket.size = size
  cap(bucket, now)
}

/** Milliseconds until one that was refreshed now will hold so many. */
export const wait = (bucket: TokenBucket, tokens: number, now: number): number =>
  (tokens - bucket.tokens) * bucket.gap - (now - bucket.countedTo)

/** Takes a token: 0 when there was one, otherwise the milliseconds after which there will be. */
export const take = (bucket: TokenBucket, now: number): number => {
  refresh(bucket, now)
  if (bucket.tokens < 1) return Math.max(1, Math.ceil(wait(bucket, 1, now)))
  bucket.tokens--
  return 0
}
