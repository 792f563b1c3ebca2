/** A bucket that its owner keeps: at ten a second, twenty at once. */
import { assert, describe, it } from "@effect/vitest"
import * as TokenBucket from "../../services/limits/TokenBucket.ts"

const takeAll = (bucket: TokenBucket.TokenBucket, now: number): number => {
  let taken = 0
  while (TokenBucket.take(bucket, now) === 0) taken++
  return taken
}

describe("TokenBucket", () => {
  it("gives what it holds, then says when there will be more", () => {
    const bucket = TokenBucket.full(20, 100, 0)
    assert.strictEqual(takeAll(bucket, 0), 20)
    assert.strictEqual(TokenBucket.take(bucket, 30), 70)
    assert.strictEqual(TokenBucket.take(bucket, 99), 1)
    assert.strictEqual(TokenBucket.take(bucket, 100), 0)
    assert.strictEqual(TokenBucket.take(bucket, 100), 100)
  })

  it("grants no more in any time than its size and what it gained", () => {
    const bucket = TokenBucket.full(20, 100, 0)
    let taken = 0
    for (let now = 0; now <= 10_000; now += 7) {
      if (TokenBucket.take(bucket, now) === 0) taken++
      if (now % 500 === 0) taken += takeAll(bucket, now)
      assert.isAtMost(taken, 20 + now / 100)
    }
    assert.isAtLeast(taken, 20 + 99)
  })

  it("gains nothing while it is full, however long that is", () => {
    const bucket = TokenBucket.full(20, 100, 0)
    assert.strictEqual(TokenBucket.take(bucket, 3_600_050), 0)
    assert.strictEqual(takeAll(bucket, 3_600_050), 19)
    assert.strictEqual(TokenBucket.take(bucket, 3_600_100), 50)
  })

  it("says one millisecond at least, when it gains many in one", () => {
    const bucket = TokenBucket.full(1, 0.001, 0)
    assert.strictEqual(TokenBucket.take(bucket, 0), 0)
    assert.strictEqual(TokenBucket.take(bucket, 0), 1)
    assert.strictEqual(TokenBucket.take(bucket, 1), 0)
  })
})
