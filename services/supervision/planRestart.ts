/**
 * What a supervisor does when a child has ended: a pure decision from who ended and how, the supervisor's flags, the
 * restarts it has done lately and the time. The layer asks, then obeys.
 *
 * The rules are OTP's (stdlib, `supervisor`): a permanent child is restarted however it ended, a transient one only
 * after a crash, a temporary one never; restarts are counted before they are done, and one more than `intensity`
 * within `period` is one too many.
 */
import type { RestartType, Strategy, SupervisorFlags } from "./ChildSpec.ts"
import type { ExitReason } from "./SupervisionEvent.ts"

/** A child as the decision sees it. */
export interface Member {
  readonly id: string
  readonly restart: RestartType
  readonly significant: boolean
  /** Running, or about to be. */
  readonly isAlive: boolean
}

/** Instants of the restarts within the period, oldest first, in milliseconds of a clock that never goes back. */
export type RestartHistory = ReadonlyArray<number>

export interface Limits {
  readonly intensity: number
  /** Milliseconds. */
  readonly period: number
}

export type Plan =
  /** It stays down. `forget`: its spec goes too. `shutDown`: it was significant, and the supervisor ends with it. */
  | { readonly _tag: "Leave"; readonly forget: boolean; readonly shutDown: boolean }
  /** Stop these in this order (temporary ones for good), then start those in that order. */
  | {
      readonly _tag: "Restart"
      readonly stop: ReadonlyArray<string>
      readonly start: ReadonlyArray<string>
      readonly history: RestartHistory
    }
  /** One restart too many. */
  | { readonly _tag: "GiveUp"; readonly restarts: number }

/** The restarts still in the period at `now`. As in OTP, one that is exactly a period old still counts. */
export const recentRestarts = (history: RestartHistory, now: number, period: number): RestartHistory => {
  const first = history.findIndex((instant) => instant >= now - period)
  return first === 0 ? history : first === -1 ? [] : history.slice(first)
}

const affected = (strategy: Strategy, id: string, members: ReadonlyArray<Member>): ReadonlyArray<Member> => {
  if (strategy === "one_for_all") return members
  const index = members.findIndex((member) => member.id === id)
  return strategy === "rest_for_one" ? members.slice(index) : members.slice(index, index + 1)
}

/**
 * A child is to be started again, after a crash or because starting it has just failed. `members` are the
 * supervisor's children in start order; under `one_for_one` the child alone is enough.
 */
export const planRestart = (
  child: { readonly id: string },
  members: ReadonlyArray<Member>,
  strategy: Strategy,
  limits: Limits,
  history: RestartHistory,
  now: number
): Plan => {
  const recent = [...recentRestarts(history, now, limits.period), now]
  if (recent.length > limits.intensity) return { _tag: "GiveUp", restarts: recent.length - 1 }
  const group = affected(strategy, child.id, members)
  return {
    _tag: "Restart",
    stop: group
      .filter((member) => member.id !== child.id)
      .map((member) => member.id)
      .toReversed(),
    start: group.filter((member) => member.restart !== "temporary").map((member) => member.id),
    history: recent
  }
}

const isCrash = (reason: ExitReason): boolean => reason._tag === "Failed" || reason._tag === "Killed"

/** Whether a child that ended so is to be started again. */
export const wantsRestart = (restart: RestartType, reason: ExitReason): boolean =>
  restart === "permanent" || (restart === "transient" && isCrash(reason))

/** A child has ended and stays down: whether the supervisor goes with it. `others` are its siblings. */
export const planLeave = (
  child: Pick<Member, "restart" | "significant">,
  others: ReadonlyArray<Member>,
  autoShutdown: NonNullable<SupervisorFlags["autoShutdown"]>
): Plan => ({
  _tag: "Leave",
  forget: child.restart === "temporary",
  shutDown:
    child.significant &&
    (autoShutdown === "any_significant" ||
      (autoShutdown === "all_significant" && !others.some((other) => other.significant && other.isAlive)))
})

/** A child has ended by itself. */
export const planExit = (
  child: Member,
  reason: ExitReason,
  members: ReadonlyArray<Member>,
  flags: { readonly strategy: Strategy; readonly autoShutdown: NonNullable<SupervisorFlags["autoShutdown"]> } & Limits,
  history: RestartHistory,
  now: number
): Plan =>
  wantsRestart(child.restart, reason)
    ? planRestart(child, members, flags.strategy, flags, history, now)
    : planLeave(
        child,
        members.filter((member) => member.id !== child.id),
        flags.autoShutdown
      )
