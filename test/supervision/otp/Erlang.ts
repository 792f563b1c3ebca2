/** OTP's own supervisor, in one long-lived Erlang process that runs many programs at a time. */
import { type ChildProcess, execFileSync, spawn, spawnSync } from "node:child_process"
import { mkdtempSync, rmSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { createInterface } from "node:readline"
import { canonical, type Program, term } from "./Program.ts"

export const isInstalled = ["erl", "erlc"].every((program) => spawnSync("which", [program]).status === 0)

export interface Erlang {
  /** One line for each step. */
  readonly run: (program: Program) => Promise<ReadonlyArray<string>>
  readonly close: () => Promise<void>
}

/** Programs that this machine was too busy to run in time are run again. */
const attempts = 5

export const start = (): Erlang => {
  const folder = mkdtempSync(join(tmpdir(), "espalier-otp-"))
  const source = new URL("otp_driver.erl", import.meta.url).pathname
  execFileSync("erlc", ["-Wall", "-Werror", "-o", folder, source])
  const erl = spawn("erl", ["-noshell", "-pa", folder, "-s", "otp_driver", "main"], {
    stdio: ["pipe", "pipe", "inherit"]
  })
  const waiting = new Map<number, { readonly resolve: (lines: ReadonlyArray<string>) => void }>()
  let next = 0

  createInterface({ input: erl.stdout }).on("line", (line) => {
    const [number = "", ...lines] = line.split("\t")
    const waiter = waiting.get(Number(number))
    waiting.delete(Number(number))
    waiter?.resolve(lines)
  })

  const once = (program: Program): Promise<ReadonlyArray<string>> =>
    new Promise((resolve, reject) => {
      const number = next++
      // A program ends within its ticks and a moment; one that does not has found something to look at.
      const timer = setTimeout(() => {
        waiting.delete(number)
        reject(new Error(`Erlang did not answer: ${term(number, program)}`))
      }, 120_000)
      waiting.set(number, {
        resolve: (lines) => {
          clearTimeout(timer)
          resolve(lines)
        }
      })
      erl.stdin.write(`${term(number, program)}\n`)
    })

  const run = async (program: Program, left = attempts): Promise<ReadonlyArray<string>> => {
    const lines = await once(program)
    if (lines[0] !== "late") return lines.map(canonical)
    if (left === 1) throw new Error("this machine is too slow for Erlang to keep time")
    return run(program, left - 1)
  }

  return {
    run: (program) => run(program),
    close: async () => {
      erl.stdin.end()
      await ended(erl)
      rmSync(folder, { recursive: true, force: true })
    }
  }
}

const ended = (child: ChildProcess): Promise<void> =>
  new Promise((resolve) => {
    if (child.exitCode !== null) return resolve()
    child.once("exit", () => resolve())
  })
