/** Keeps the last bytes of an output. */
export const makeTail = (limit: number) => {
  let kept: Array<Uint8Array> = []
  let size = 0
  return {
    add: (chunk: Uint8Array) => {
      kept.push(chunk)
      size += chunk.length
      if (size > limit * 2) {
        kept = [Buffer.from(Buffer.concat(kept).subarray(-limit))]
        size = limit
      }
    },
    text: () => Buffer.concat(kept).subarray(-limit).toString("utf8")
  }
}
