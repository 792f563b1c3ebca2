/** Whose a task is and how urgent: all that its place in line depends on. */
import { Schema } from "effect"

/** 9 is served first. */
export const Priority = Schema.Int.check(
  Schema.isBetween({ minimum: 0, maximum: 9 }, { message: "a whole number from 0 to 9, 9 being the most urgent" })
)

export const defaultPriority = 5

export interface Ticket {
  /** Whose turns it takes, and whom quotas per session count it for: a session, or a session with one of its keys. */
  readonly session: string
  /** What quotas per key count by, such as the kind of agent; undefined for none. */
  readonly key: string | undefined
  /** 0 to 9, 9 first, among the tasks of its session. */
  readonly priority: number
  /** Turns in a row that its session gets where others get one. */
  readonly weight: number
}

/** Between a session and a key, where a session has turns of its own for each key. Ids have no spaces. */
const between = " "

/** Where the tasks of a session stand in line: all together, or those of each key apart from the others. */
export const lineOf = (session: string, key: string | undefined, apart: boolean): string =>
  apart && key !== undefined ? session + between + key : session

/** The session of it. */
export const sessionOf = (line: string): string => {
  const end = line.indexOf(between)
  return end === -1 ? line : line.slice(0, end)
}
