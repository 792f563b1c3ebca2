/**
 * Lets calls to the model begin, in trees of sessions whose tokens or money are limited: side by side as long as there
 * is room for all of them, and one by one near the limit, in the order in which they came.
 *
 * Only whoever is in front of the line decides, so nobody else takes the room that it has found. A place is held from
 * the beginning of a call until what it took is in the state of its session; nothing of this outlives the process.
 */
import { Clock, Effect } from "effect"
import type { ModelAnswer } from "../../services/model/ModelAnswer.ts"
import type { Price } from "../../services/model/Usage.ts"
import * as Budget from "../../services/session/Budget.ts"
import * as Reservation from "../../services/session/Reservation.ts"
import type { SessionId } from "../../services/session/SessionId.ts"
import type { LiveSession } from "./LiveSession.ts"
import { TurnFailed } from "./ModelRound.ts"
import type { Others } from "./SubSessions.ts"
import { accountsOf, rootOf } from "./treeBudget.ts"

/** One that waits. */
interface Ticket {
  wake: (() => void) | undefined
}

interface Tree {
  readonly underway: Set<Reservation.Size>
  readonly line: Set<Ticket>
  /** Calls that have ended. */
  ends: number
  seen: Reservation.Seen
}

/** Told what the call took, as soon as that is known. */
export type Count = (answer: ModelAnswer | undefined) => void

type Payer = Pick<LiveSession, "state">

const isInFront = ({ line }: Tree, ticket: Ticket): boolean => {
  const [front] = line
  return front === ticket
}

const wakeFront = ({ line }: Tree): void => {
  const [front] = line
  front?.wake?.()
}

/** Returns when it is in front, and when so many calls have not ended any more. */
const change = (tree: Tree, ticket: Ticket, ends: number | undefined): Effect.Effect<void> =>
  Effect.callback((resume) => {
    const look = () => {
      if (!isInFront(tree, ticket) || tree.ends === ends) return
      ticket.wake = undefined
      resume(Effect.void)
    }
    ticket.wake = look
    look()
  })

export const make = (
  others: Pick<Others, "find" | "stateOf">,
  server: Budget.Limits,
  prices: ReadonlyArray<Price> = []
) => {
  const trees = new Map<SessionId, Tree>()

  const treeOf = (root: SessionId): Tree => {
    let tree = trees.get(root)
    if (tree === undefined) {
      tree = { underway: new Set(), line: new Set(), ends: 0, seen: Reservation.unseen }
      trees.set(root, tree)
    }
    return tree
  }

  /** What was learned is kept while the session above all is in memory. */
  const forget = (root: SessionId): void => {
    const tree = trees.get(root)
    if (tree !== undefined && tree.underway.size + tree.line.size === 0) trees.delete(root)
  }

  const tidy = (root: SessionId): void => {
    if (others.find(root) === undefined) forget(root)
  }

  /** Waits in line for room. */
  const wait = Effect.fnUntraced(function* (
    tree: Tree,
    ticket: Ticket,
    payer: Payer,
    size: Reservation.Size
  ): Effect.fn.Return<void, TurnFailed> {
    let ends: number | undefined
    while (true) {
      yield* change(tree, ticket, ends)
      ends = tree.ends
      // Before the accounts are read: a call that ends meanwhile counts twice rather than not at all.
      const underway = Array.from(tree.underway)
      const accounts = yield* accountsOf(others, server, payer, yield* Clock.currentTimeMillis)
      for (const { account, limits } of accounts) {
        const failure = Budget.exceeded(limits, account)
        if (failure !== undefined) return yield* Effect.fail(new TurnFailed(failure.code, failure.message))
      }
      if (Reservation.mayBegin(accounts, tree.seen, underway, size, prices)) return
    }
  })

  /** Makes a call at the session's expense. It ends with what it took being counted there. */
  const afford = <A, E, R>(
    payer: Payer,
    size: () => Reservation.Size,
    call: (count: Count) => Effect.Effect<A, E, R>
  ): Effect.Effect<A, E | TurnFailed, R> =>
    Effect.suspend((): Effect.Effect<A, E | TurnFailed, R> => {
      // Sub-sessions have the limits of those above them.
      const { limits = {} } = payer.state
      if (!Budget.isMetered(server) && !Budget.isMetered(limits)) return call(() => undefined)
      const own = size()
      return Effect.uninterruptibleMask((restore) =>
        Effect.flatMap(restore(rootOf(others, payer.state)), (root) => {
          const tree = treeOf(root)
          const ticket: Ticket = { wake: undefined }
          tree.line.add(ticket)
          const leave = Effect.sync(() => {
            tree.line.delete(ticket)
            wakeFront(tree)
            tidy(root)
          })
          const end = Effect.sync(() => {
            tree.underway.delete(own)
            tree.ends++
            wakeFront(tree)
            tidy(root)
          })
          const begun = restore(wait(tree, ticket, payer, own)).pipe(
            Effect.map(() => tree.underway.add(own)),
            Effect.ensuring(leave)
          )
          const count: Count = (answer) => {
            tree.seen = Reservation.see(tree.seen, own, Budget.spendingOf(answer?.usage))
          }
          return Effect.andThen(begun, Effect.ensuring(restore(call(count)), end))
        })
      )
    })

  return { afford, forget, size: () => trees.size }
}

export type Reservations = ReturnType<typeof make>
