/**
 * CRC-32 over what a stored row says, so that a flipped bit is an error and never another answer. It guards against
 * worn disks and torn pages, not against people.
 */
import { crc32 } from "node:zlib"

const spread = (value: number) => Math.imul(value, 0x9e3779b1)

/** Numbers start the sum and texts are summed: a change of one number or one text always changes it. */
export const ofEvent = (stream: number, sequence: number, at: number, event: string): number =>
  crc32(event, (spread(stream) ^ sequence ^ spread(Math.trunc(at / 4_294_967_296)) ^ at) >>> 0)

export const ofChunk = (stream: number, number: number, offsets: string): number =>
  crc32(offsets, (spread(stream) ^ number) >>> 0)

export interface Head {
  readonly id: number
  readonly stream: string
  readonly sequence: number
  readonly earliest: number
  readonly open: boolean
  readonly tail: string
  readonly summary: string
  readonly owner: string | undefined
  readonly label: string | undefined
}

export const ofHead = ({ earliest, id, label, open, owner, sequence, stream, summary, tail }: Head): number =>
  crc32(
    `${sequence} ${earliest} ${open ? 1 : 0} ${tail}\n${owner ?? ""}\n${label ?? ""}\n${stream}\n${summary}`,
    id >>> 0
  )

export const ofSnapshot = (stream: number, sequence: number, version: number, needs: number, state: string): number =>
  crc32(`${sequence} ${version} ${needs}\n${state}`, stream >>> 0)
