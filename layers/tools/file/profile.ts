/** One pass over one file: runs in a thread of its own, reads a mebibyte at a time and keeps nothing but counts. */
import { closeSync, constants, fstatSync, openSync, readSync } from "node:fs"
import type { FileProfile } from "../../../services/tools/FileProfile.ts"
import { ThreadFailure, type ThreadProgress } from "../ThreadBody.ts"
import { type Detected, detectEncoding, detectFormat, nameOf } from "./detect.ts"
import * as PatternSearch from "./PatternSearch.ts"
import * as tables from "./tables.ts"
import * as TextScanner from "./TextScanner.ts"

export interface Input {
  /** The file on this machine. */
  readonly file: string
  /** What the result calls it. */
  readonly path: string
  readonly pattern?: string | undefined
}

const pieceBytes = 1024 * 1024
const sampleBytes = 64 * 1024

const open = (file: string, path: string): number => {
  try {
    // A pipe would be waited for without this flag.
    return openSync(file, constants.O_RDONLY | constants.O_NONBLOCK)
  } catch (error) {
    const code = error instanceof Error && "code" in error ? error.code : undefined
    // A path with a NUL in it cannot exist.
    if (code === "ENOENT" || code === "ENOTDIR" || code === "ERR_INVALID_ARG_VALUE" || code === "ENAMETOOLONG") {
      throw new ThreadFailure("path_not_found", `${path} does not exist on the server; check the path`)
    }
    if (code === "ENXIO" || code === "EISDIR") throw notAFile(path)
    throw new ThreadFailure("path_not_readable", `${path} cannot be read by the server's user; check its permissions`)
  }
}

const notAFile = (path: string) => new ThreadFailure("not_a_file", `${path} is not a regular file; give a file to read`)

const lostFile = (path: string, error: unknown) =>
  new ThreadFailure(
    "path_not_readable",
    `${path} could not be read to its end (${error instanceof Error ? error.message : String(error)})`
  )

/** Turns UTF-16 into UTF-8 and leaves all else as it is. */
const transcoder = ({ transcoding }: Detected): ((bytes: Buffer, isLast: boolean) => Buffer) => {
  if (transcoding === "none") return (bytes) => bytes
  const decoder = new TextDecoder(transcoding)
  return (bytes, isLast) => Buffer.from(decoder.decode(bytes, { stream: !isLast }), "utf8")
}

export const profile = async ({ file, path, pattern }: Input, progress: ThreadProgress): Promise<FileProfile> => {
  // A pattern that cannot work is found out before anything is read.
  const search = pattern === undefined ? undefined : PatternSearch.make(pattern)
  const descriptor = open(file, path)
  try {
    const stat = fstatSync(descriptor)
    if (!stat.isFile()) throw notAFile(path)
    const buffer = Buffer.allocUnsafe(pieceBytes)
    let bytes = 0
    const read = (): Buffer => {
      try {
        // What is appended meanwhile belongs to another reading; files that tell no size are read to their end.
        const wanted = stat.size === 0 ? pieceBytes : Math.min(pieceBytes, stat.size - bytes)
        const length = wanted === 0 ? 0 : readSync(descriptor, buffer, 0, wanted, bytes)
        bytes += length
        return buffer.subarray(0, length)
      } catch (error) {
        throw lostFile(path, error)
      }
    }

    progress(0, "reading")
    let piece = read()
    const detected = detectEncoding(piece.subarray(0, sampleBytes))
    const convert = transcoder(detected)
    const isText = !detected.isBinary
    const scanner = TextScanner.make()
    let table: tables.TableReader | undefined
    let isFirst = true
    while (piece.length > 0) {
      let text = convert(isFirst && detected.transcoding === "none" ? piece.subarray(detected.bom) : piece, false)
      if (isFirst) {
        isFirst = false
        const sample = text.subarray(0, sampleBytes)
        const format = isText
          ? detectFormat(path, sample, bytes >= stat.size && sample.length === text.length)
          : { _tag: "Text" as const }
        if (format._tag === "Csv") table = tables.csv(format.delimiter, format.header)
        else if (format._tag === "Jsonl") table = tables.jsonl()
      }
      scanner.push(text)
      table?.push(text)
      search?.push(text)
      progress(stat.size === 0 ? 0 : (100 * bytes) / stat.size, "reading")
      piece = read()
      if (piece.length === 0) {
        text = convert(piece, true)
        scanner.push(text)
        table?.push(text)
        search?.push(text)
      }
    }

    const { isAscii, isUtf8, lines, longestLine, words } = scanner.end()
    const bom = detected.bom > 0
    const found = table?.end()
    return {
      path,
      bytes,
      lines,
      words,
      ...(longestLine !== undefined && { longestLine }),
      encoding: {
        name: detected.isBinary
          ? "binary"
          : detected.transcoding === "none"
            ? nameOf({ isAscii, isUtf8, bom })
            : detected.transcoding,
        bom
      },
      ...(found !== undefined && { table: found }),
      ...(search !== undefined && { matches: search.end() })
    }
  } finally {
    closeSync(descriptor)
  }
}
