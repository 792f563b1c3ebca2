/** What this process holds at an instant, and which processes carry a mark: for tests that look for what was left behind. */
import type { Metric } from "effect"
import { readdirSync, readFileSync, readlinkSync } from "node:fs"

/** Counts the fibers of whatever it is provided to. */
export const makeFiberCount = () => {
  let active = 0
  const metrics: Metric.FiberRuntimeMetricsService = {
    recordFiberStart: () => void active++,
    recordFiberEnd: () => void active--
  }
  return { metrics, active: () => active }
}

/** Open descriptors by what they are: `socket`, `pipe`, or the path of a file. */
export const openDescriptors = (): ReadonlyMap<string, number> => {
  const counts = new Map<string, number>()
  for (const fd of readdirSync("/proc/self/fd")) {
    let target: string
    try {
      target = readlinkSync(`/proc/self/fd/${fd}`).replace(/:\[\d+\]$/, "")
    } catch {
      continue
    }
    // The directory that is being read.
    if (/^\/proc\/\d+\/fd$/.test(target)) continue
    counts.set(target, (counts.get(target) ?? 0) + 1)
  }
  return counts
}

/** Threads of this process. */
export const threads = () => readdirSync("/proc/self/task").length

/** Processes whose environment has the text, besides this one. */
export const processesWith = (text: string): ReadonlyArray<string> =>
  readdirSync("/proc").flatMap((pid) => {
    if (!/^\d+$/.test(pid) || pid === String(process.pid)) return []
    try {
      if (!readFileSync(`/proc/${pid}/environ`, "latin1").includes(text)) return []
      return [`${pid}: ${readFileSync(`/proc/${pid}/cmdline`, "latin1").replaceAll("\0", " ")}`]
    } catch {
      return []
    }
  })
