/**
 * What tools really did, in a file that no crash takes back. A line is a key and a name for the run that no other run
 * has, so a result tells which run it came from.
 */
import { closeSync, fsyncSync, openSync, readFileSync, writeSync } from "node:fs"

export class Ledger {
  readonly #file: number
  #runs = 0

  constructor(path: string) {
    this.#file = openSync(path, "a")
  }

  /** Notes a run, and answers with what is noted of it. */
  note(key: string): string {
    const line = `${key} ${process.pid}.${++this.#runs}`
    writeSync(this.#file, `${line}\n`)
    fsyncSync(this.#file)
    return line
  }

  close(): void {
    closeSync(this.#file)
  }
}

/** The runs of each key, in their order. */
export const readLedger = (path: string): ReadonlyMap<string, ReadonlyArray<string>> => {
  const runs = new Map<string, Array<string>>()
  for (const line of readFileSync(path, "utf8").split("\n")) {
    const [key] = line.split(" ")
    if (key === undefined || key === "") continue
    runs.set(key, [...(runs.get(key) ?? []), line])
  }
  return runs
}
