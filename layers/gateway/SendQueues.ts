/**
 * What the system holds of each connection because the other side has not acknowledged it. A program cannot ask that of
 * a socket here, but Linux lists it; elsewhere nothing is known, and the system's own patience decides.
 */
import { Effect } from "effect"
import { readFile } from "node:fs/promises"
import { type Socket, SocketAddress } from "node:net"

export type SendQueues = ReadonlyMap<string, number>

const keyOf = (localPort: number, address: string, port: number) => `${localPort} ${address} ${port}`

/** Addresses are listed as words of four bytes, each as this machine has it in memory: the last byte first. */
const addressOf = (hex: string): string => {
  const bytes = (hex.match(/.{8}/g) ?? []).flatMap((word) =>
    [6, 4, 2, 0].map((at) => Number.parseInt(word.slice(at, at + 2), 16))
  )
  if (bytes.length === 4) return bytes.join(".")
  const groups = Array.from({ length: 8 }, (_, at) =>
    ((bytes[2 * at] ?? 0) * 256 + (bytes[2 * at + 1] ?? 0)).toString(16)
  )
  return new SocketAddress({ family: "ipv6", address: groups.join(":") }).address
}

const portOf = (place: string) => Number.parseInt(place.slice(place.indexOf(":") + 1), 16)

/** Those of the listing that hold anything. */
export const parse = (listing: string): SendQueues => {
  const queues = new Map<string, number>()
  for (const line of listing.split("\n").slice(1)) {
    const [, local, remote, , held] = line.trim().split(/\s+/)
    if (local === undefined || remote === undefined || held === undefined || held.startsWith("00000000:")) continue
    const bytes = Number.parseInt(held, 16)
    queues.set(keyOf(portOf(local), addressOf(remote.slice(0, remote.indexOf(":"))), portOf(remote)), bytes)
  }
  return queues
}

const listed = (path: string) =>
  Effect.tryPromise(() => readFile(path, "utf8")).pipe(
    Effect.map(parse),
    Effect.orElseSucceed((): SendQueues => new Map())
  )

export const read: Effect.Effect<SendQueues> = Effect.map(
  Effect.all([listed("/proc/net/tcp"), listed("/proc/net/tcp6")]),
  ([four, six]) => new Map([...four, ...six])
)

/** Bytes that the system holds for the peer of this connection. */
export const heldFor = (queues: SendQueues, { localPort = 0, remoteAddress = "", remotePort = 0 }: Socket): number =>
  queues.get(keyOf(localPort, remoteAddress, remotePort)) ?? 0
