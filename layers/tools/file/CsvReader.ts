/**
 * Records of a delimited text (RFC 4180) as they come: quoted fields, quotes doubled inside them, line ends inside them.
 * Works on bytes, and hands out fields as places in a buffer, so that most values never become strings.
 */

/** `bytes` is only lent. `column` counts from 0. */
export type OnField = (column: number, bytes: Uint8Array, start: number, end: number) => void

export interface CsvReader {
  readonly push: (bytes: Uint8Array) => void
  readonly end: () => void
}

const newline = 10
const carriageReturn = 13
const quote = 34

/** Longer fields are cut: only their beginning counts. */
const maxField = 64 * 1024

export const make = (delimiter: number, onField: OnField, onRecord: (fields: number) => void): CsvReader => {
  let column = 0
  /** Part of a field that the last piece ended in, or whose quotes had to be taken out. */
  const kept = Buffer.allocUnsafe(maxField)
  let keptLength = 0
  let isQuoted = false
  /** The last byte was a quote inside a quoted field: its end, or the first of two. */
  let atQuote = false
  let wasQuoted = false
  /** Where the quoted part of the kept field ends. */
  let quotedEnd = 0

  const special = new Uint8Array(256)
  special[delimiter] = 1
  special[newline] = 1

  const keep = (bytes: Uint8Array, start: number, end: number) => {
    const length = Math.min(end - start, maxField - keptLength)
    if (length > 0) {
      kept.set(bytes.subarray(start, start + length), keptLength)
      keptLength += length
    }
  }

  const emit = (bytes: Uint8Array, start: number, end: number) => {
    if (keptLength > 0) {
      keep(bytes, start, end)
      onField(column, kept, 0, keptLength)
      keptLength = 0
    } else onField(column, bytes, start, Math.min(end, start + maxField))
    column++
    wasQuoted = false
    quotedEnd = 0
  }

  /** A line end of two bytes that came in two pieces. */
  const dropCarriageReturn = () => {
    if (keptLength > quotedEnd && kept[keptLength - 1] === carriageReturn) keptLength--
  }

  const endRecord = () => {
    onRecord(column)
    column = 0
  }

  return {
    push: (bytes) => {
      const length = bytes.length
      let i = 0
      let start = 0
      while (i < length) {
        if (isQuoted) {
          if (atQuote) {
            atQuote = false
            if (bytes[i] === quote) {
              // Two quotes are one of the text.
              keep(bytes, i, i + 1)
              i++
              start = i
              continue
            }
            isQuoted = false
            quotedEnd = keptLength
            start = i
            continue
          }
          const next = bytes.indexOf(quote, i)
          if (next === -1) {
            keep(bytes, start, length)
            return
          }
          keep(bytes, start, next)
          atQuote = true
          i = next + 1
          start = i
          continue
        }
        const byte = bytes[i] ?? 0
        if (byte === quote && i === start && keptLength === 0 && !wasQuoted) {
          wasQuoted = true
          i++
          start = i
          while (i < length && bytes[i] !== quote) i++
          const after = bytes[i + 1]
          if (i + 1 < length && (after === delimiter || after === newline)) {
            // The usual quoted field, whole and without quotes inside, is handed out where it stands.
            emit(bytes, start, i)
            if (after === newline) endRecord()
            i += 2
            start = i
          } else {
            i = start
            isQuoted = true
          }
          continue
        }
        while (i < length && special[bytes[i] ?? 0] === 0) i++
        if (i === length) break
        if (bytes[i] === delimiter) emit(bytes, start, i)
        else {
          let end = i
          if (end === start) dropCarriageReturn()
          else if (bytes[end - 1] === carriageReturn) end--
          // An empty line is no record.
          if (column > 0 || end > start || keptLength > 0 || wasQuoted) {
            emit(bytes, start, end)
            endRecord()
          }
        }
        i++
        start = i
      }
      keep(bytes, start, length)
    },
    end: () => {
      if (!isQuoted) dropCarriageReturn()
      if (column > 0 || keptLength > 0 || wasQuoted) {
        emit(kept, 0, 0)
        endRecord()
      }
    }
  }
}
