/** Whose a task is and how urgent: all that its place in line depends on. */
import { Schema } from "effect"

/** 9 is served first. */
export const Priority = Schema.Int.check(
  Schema.isBetween({ minimum: 0, maximum: 9 }, { message: "a whole number from 0 to 9, 9 being the most urgent" })
)

export const defaultPriority = 5

export interface Ticket {
  readonly session: string
  /** What quotas per key count by, such as the kind of agent; undefined for none. */
  readonly key: string | undefined
  /** 0 to 9, 9 first, among the tasks of its session. */
  readonly priority: number
  /** Turns in a row that its session gets where others get one. */
  readonly weight: number
}
