/** The pools as people read them: what each runs and holds, whose it is, and how its size has changed. */
import type { NamedPool, PoolStatus, ScalingStep } from "../../services/worker/PoolStatus.ts"
import * as Table from "./Table.ts"
import * as Terminal from "./Terminal.ts"

/** Changes of size that are shown, over all pools. */
const shownSteps = 8

/** How its permits may change by themselves. */
const range = ({ max, min, overflow }: NamedPool): string =>
  [min < max ? `${min}-${max}` : "", overflow > 0 ? `+${overflow}` : ""].filter((part) => part !== "").join(" ")

const styleOf = (text: string, { mode }: NamedPool): string =>
  mode === "open" ? Terminal.green(text) : Terminal.yellow(text)

const waits = ({ waits }: NamedPool): string => `${Terminal.duration(waits.p50)} / ${Terminal.duration(waits.p99)}`

const pools = (all: ReadonlyArray<NamedPool>): string =>
  Table.render(
    all,
    [
      { name: "POOL", value: ({ name }) => name },
      { name: "STATE", value: ({ mode }) => mode, style: styleOf },
      { name: "RUNNING", value: ({ permits, running }) => `${running} of ${permits}`, align: "right" },
      { name: "SCALES", value: (pool) => range(pool) || "-", align: "right" },
      { name: "QUEUED", value: ({ capacity, queued }) => `${queued} of ${capacity}`, align: "right" },
      { name: "WAIT p50/p99", value: waits, align: "right" },
      {
        name: "RUNS",
        value: ({ runTime }) => (runTime === undefined ? "-" : Terminal.duration(runTime)),
        align: "right"
      },
      { name: "DONE", value: ({ completed }) => String(completed), align: "right" },
      { name: "FAILED", value: ({ failed }) => String(failed), align: "right" },
      { name: "REFUSED", value: ({ refused }) => String(refused), align: "right" },
      { name: "TIMED OUT", value: ({ timedOut }) => String(timedOut), align: "right" },
      { name: "CANCELLED", value: ({ cancelled }) => String(cancelled), align: "right" }
    ],
    "there are no pools"
  )

const sessions = (all: ReadonlyArray<NamedPool>): string => {
  const rows = all.flatMap(({ name, sessions }) => sessions.map((session) => ({ name, ...session })))
  const hidden = all.reduce((sum, { sessionCount, sessions }) => sum + sessionCount - sessions.length, 0)
  if (rows.length === 0) return ""
  const table = Table.render(
    rows,
    [
      { name: "POOL", value: ({ name }) => name },
      { name: "RUNNING", value: ({ running }) => String(running), align: "right" },
      { name: "QUEUED", value: ({ queued }) => String(queued), align: "right" },
      { name: "SESSION", value: ({ sessionId }) => sessionId }
    ],
    ""
  )
  return `\n\n${table}${hidden > 0 ? `\n${Terminal.dim(`and ${hidden} more sessions`)}` : ""}`
}

const steps = (all: ReadonlyArray<NamedPool>, now: number): string => {
  const rows = all
    .flatMap(({ name, scaling }) => scaling.map((step): ScalingStep & { readonly name: string } => ({ name, ...step })))
    .sort((left, right) => right.at - left.at)
    .slice(0, shownSteps)
  if (rows.length === 0) return ""
  const table = Table.render(
    rows,
    [
      { name: "RESIZED", value: ({ at }) => `${Terminal.duration(Math.max(0, now - at))} ago`, align: "right" },
      { name: "POOL", value: ({ name }) => name },
      { name: "PERMITS", value: ({ from, to }) => `${from} -> ${to}`, align: "right" },
      { name: "BY", value: ({ by }) => by.replace("_", "-") },
      { name: "WHY", value: ({ reason }) => reason }
    ],
    ""
  )
  return `\n\n${table}`
}

export const render = ({ pools: all }: PoolStatus, now: number): string => pools(all) + sessions(all) + steps(all, now)

/** One pool, after something was done to it. */
export const describe = (pool: NamedPool): string => {
  const size = `${pool.permits} permit${pool.permits === 1 ? "" : "s"}${pool.min < pool.max ? `, scaling from ${pool.min} to ${pool.max}` : ""}`
  const held = `${pool.running} running, ${pool.queued} queued`
  const meaning =
    pool.mode === "paused"
      ? "paused: it starts nothing, and what waits may outwait its patience"
      : pool.mode === "draining"
        ? "draining: it takes nothing new and runs what it has"
        : "open"
  return `${pool.name} is ${meaning}; ${size}, ${held}`
}
