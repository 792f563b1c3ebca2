/** Lines of a text that comes in pieces. A line is handed out without its end, and only up to a limit. */

/** Longest part of a line that is handed out. */
export const maxLine = 1024 * 1024

/** `bytes` is only lent. `isCut`: the line is longer than what is given. */
export type OnLine = (bytes: Buffer, isCut: boolean) => void

export const make = (onLine: OnLine) => {
  let kept = Buffer.allocUnsafe(64 * 1024)
  let keptLength = 0
  let isCut = false

  const keep = (bytes: Buffer) => {
    const length = Math.min(bytes.length, maxLine - keptLength)
    if (length < bytes.length) isCut = true
    if (keptLength + length > kept.length) {
      const larger = Buffer.allocUnsafe(Math.min(maxLine, Math.max(keptLength + length, kept.length * 2)))
      larger.set(kept.subarray(0, keptLength))
      kept = larger
    }
    kept.set(bytes.subarray(0, length), keptLength)
    keptLength += length
  }

  const give = (line: Buffer) => {
    const end = line.at(-1) === 13 ? line.length - 1 : line.length
    onLine(end > maxLine ? line.subarray(0, maxLine) : line.subarray(0, end), isCut || end > maxLine)
    keptLength = 0
    isCut = false
  }

  return {
    push: (bytes: Buffer): void => {
      let start = 0
      for (let end = bytes.indexOf(10); end !== -1; end = bytes.indexOf(10, start)) {
        if (keptLength > 0 || isCut) {
          keep(bytes.subarray(start, end))
          give(kept.subarray(0, keptLength))
        } else give(bytes.subarray(start, end))
        start = end + 1
      }
      if (start < bytes.length) keep(bytes.subarray(start))
    },
    end: (): void => {
      if (keptLength > 0) give(kept.subarray(0, keptLength))
    }
  }
}
