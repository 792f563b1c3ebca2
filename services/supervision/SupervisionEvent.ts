/** Life-cycle of supervised children, published on `system:agents`. `path` is the child's place in the tree. */
import { Schema } from "effect"

/** Why a child is no longer running. Only `failed` counts as a crash (OTP: any reason but normal, shutdown). */
export const ExitReason = Schema.TaggedUnion({
  /** Its effect ended by itself. */
  Normal: {},
  /** Its supervisor or a person asked it to stop. */
  Shutdown: {},
  /** It ignored the request to stop until its shutdown time was over, or was to be killed at once. */
  Killed: {},
  /** It failed or died. */
  Failed: { message: Schema.String }
})
export type ExitReason = typeof ExitReason.Type

const child = { path: Schema.String }

/** Every event has its reason, so that a wanted stop is never mistaken for a crash. */
export const SupervisionEvent = Schema.TaggedUnion({
  /** `spec`: it is named by its supervisor's spec. `call`: somebody asked for it. */
  ChildStarted: { ...child, reason: Schema.Literals(["spec", "call"]) },
  /** It ended by itself. */
  ChildExited: { ...child, reason: ExitReason },
  /**
   * `attempt` counts the restarts in the current window. `delay` is the pause before it, in milliseconds. `reason` is
   * how its last life ended: `Shutdown` for one that was stopped because another had crashed.
   */
  ChildRestarted: { ...child, attempt: Schema.Int, delay: Schema.Int, reason: ExitReason },
  /**
   * A start of it failed, for the `reason` given; nothing of it is left running. `attempt` is 0 for a first start, and
   * otherwise that of the restart, which is tried again unless its supervisor gives up.
   */
  ChildNotStarted: { ...child, attempt: Schema.Int, reason: ExitReason },
  /** Its supervisor stopped it: `Shutdown`, unless it had to be given up (`Killed`) or broke on its way out (`Failed`). */
  ChildTerminated: { ...child, reason: ExitReason },
  /**
   * More restarts than its intensity allows: the supervisor at `path` stops its children and itself. Where restarts
   * are counted per child, `path` is that child, and it alone stays down. `reason` is the end that was one too many.
   */
  SupervisorGaveUp: { ...child, restarts: Schema.Int, reason: ExitReason }
})
export type SupervisionEvent = typeof SupervisionEvent.Type
