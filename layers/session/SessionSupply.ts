/**
 * The sessions that are in memory: found by id, started once however many ask for one at the same time, and let go
 * of when they end.
 *
 * A session that crashes more often than its supervisor allows is given up on: its turn ends as failed, those who
 * waited for it are told, and its next use starts it afresh from its journal, with a fresh count of crashes. When the
 * supervisor itself went down, and all sessions with it, each of them comes back.
 */
import { Clock, Deferred, Effect, Exit, Predicate, Schedule, type Scope } from "effect"
import * as Topic from "../../services/events/Topic.ts"
import type { Price } from "../../services/model/Usage.ts"
import type { SessionEvent } from "../../services/session/SessionEvent.ts"
import type { SessionId } from "../../services/session/SessionId.ts"
import {
  SessionHasEnded,
  SessionInterrupted,
  SessionNotFound,
  TooManySessions
} from "../../services/session/SessionManager.ts"
import { fold, type SessionState } from "../../services/session/SessionState.ts"
import { type SupervisorRef, SupervisorStopped } from "../../services/supervision/Supervisor.ts"
import * as Asleep from "./Asleep.ts"
import { IdleList } from "./IdleList.ts"
import * as Places from "./SessionPlaces.ts"
import * as Reservations from "./Reservations.ts"
import * as LiveSession from "./LiveSession.ts"
import type { Unavailable } from "./Unavailable.ts"
import * as SessionDuties from "./SessionDuties.ts"
import * as SessionProcess from "./SessionProcess.ts"
import type { Others } from "./SubSessions.ts"
import { appendOf, load } from "./SessionStore.ts"

/** How long a caller waits for a session, or the supervisor of all, that is being restarted. */
const COMEBACK = "5 seconds"
/** How long it waits for one that is being started: there may be thousands in front of it. */
const START = "30 seconds"
/** Sessions that are brought back at the same time, while others are being served. */
const CONCURRENCY = 16

/** Whether a start that failed for this may go well another time. */
const isPassing = (cause: unknown): boolean => Predicate.isTagged(cause, "StorageUnavailable")

export interface Options extends Omit<
  SessionProcess.Services,
  "onDown" | "onGivenUp" | "onIdle" | "asleep" | "others" | "reservations"
> {
  readonly sessions: SupervisorRef
  readonly prices: ReadonlyArray<Price>
  /** Sessions in memory at the same time. */
  readonly limit: number
  /** Milliseconds that a session is idle before it leaves memory. */
  readonly hibernateAfter: number
  readonly scope: Scope.Scope
}

export const make = (options: Options) => {
  const { bus, journal, limit, scope, sessions } = options
  const live = new Map<SessionId, LiveSession.LiveSession>()
  const starting = new Map<SessionId, Deferred.Deferred<LiveSession.LiveSession, Unavailable>>()
  /** Crashed, and not yet seen to be up again or given up on. */
  const down = new Set<LiveSession.LiveSession>()
  const places = Places.make(sessions)
  let wakeKeeper: (() => void) | undefined
  let isClosed = false

  const asleep = Asleep.make()
  const idle = new IdleList<LiveSession.LiveSession>(options.hibernateAfter)
  const others: Others = { reach: (id) => reach(id), find: (id) => live.get(id), stateOf: (id) => stateOf(id) }
  const reservations = Reservations.make(others, options.budget, options.prices)
  const process = SessionProcess.make(
    {
      ...options,
      others,
      reservations,
      asleep,
      onIdle: (session) => idle.add(session, options.clock.currentTimeMillisUnsafe()),
      onDown: (session) => {
        idle.delete(session)
        if (session.status === "hibernated") {
          if (live.get(session.id) === session) live.delete(session.id)
          retire(session)
        } else if (session.status === "gone") forget(session)
        else {
          down.add(session)
          wakeKeeper?.()
        }
      },
      onGivenUp: (session) => forget(session)
    },
    SessionDuties.make({ ...options, others, reservations })
  )

  /** Has the supervisor of its sub-sessions cleared away. */
  const retire = (session: LiveSession.LiveSession): void => {
    reservations.forget(session.id)
    if (places.retire(session.state)) wakeKeeper?.()
  }

  const forget = (session: LiveSession.LiveSession): void => {
    session.status = "gone"
    down.delete(session)
    if (live.get(session.id) === session) live.delete(session.id)
    retire(session)
    for (const resume of session.comeback?.splice(0) ?? []) resume()
  }

  /** Starts a child as soon as its supervisor is there, should it be about to be started again. */
  const startChild = (session: LiveSession.LiveSession) =>
    Effect.flatMap(places.of(session.state), (place) => place.startChild(process.spec(session))).pipe(
      Effect.retry({
        schedule: Schedule.max([Schedule.spaced("25 millis"), Schedule.during(COMEBACK)]),
        while: (error) => error._tag === "SupervisorStopped" && !isClosed
      }),
      Effect.timeoutOrElse({
        duration: START,
        orElse: () => Effect.fail(new SupervisorStopped({ id: sessions.path }))
      })
    )

  /** The same for one whose life before this may still be on its way out: it needs a few steps of other fibers. */
  const startFresh = (session: LiveSession.LiveSession, tries = 10_000): ReturnType<typeof startChild> =>
    Effect.catchTag(startChild(session), "ChildExists", (error) =>
      tries === 0 ? Effect.fail(error) : Effect.andThen(Effect.yieldNow, startFresh(session, tries - 1))
    )

  /** Starts a session again that its supervisor has lost with all its children; it does nothing for any other. */
  const revive = (session: LiveSession.LiveSession): Effect.Effect<void> =>
    Effect.matchEffect(
      Effect.flatMap(places.of(session.state), (place) => place.getChildSpec(session.id)),
      {
        onSuccess: () => Effect.void,
        onFailure: () =>
          session.status !== "down" || isClosed
            ? Effect.void
            : startChild(session).pipe(
                // Somebody else was faster.
                Effect.catchTag("ChildExists", () => Effect.void),
                Effect.catch((error) => {
                  // The next round tries once more, unless its journal cannot be read at all.
                  const isHopeless = error._tag === "ChildStartFailed" && !isPassing(error.cause)
                  return Effect.andThen(
                    Effect.logWarning(`session ${session.id} could not be started again`, error),
                    Effect.sync(() => {
                      if (isHopeless) forget(session)
                    })
                  )
                })
              )
      }
    )

  /** Puts a state into memory and starts its fiber. */
  const launch = Effect.fnUntraced(function* (
    state: SessionState
  ): Effect.fn.Return<LiveSession.LiveSession, SessionInterrupted | TooManySessions> {
    const session = LiveSession.make(state)
    yield* startFresh(session).pipe(
      Effect.catchTags({
        MaxChildren: ({ limit }) => Effect.fail(new TooManySessions({ limit })),
        ChildStartFailed: (error) => interrupted(state.id, error),
        ChildExists: (error) => interrupted(state.id, error),
        SupervisorStopped: () => Effect.fail(LiveSession.interrupted(session))
      })
    )
    // One that ended in the same instant has already been forgotten.
    if (session.status !== "gone") live.set(session.id, session)
    return session
  })

  const interrupted = (sessionId: SessionId, error: Error) =>
    Effect.andThen(
      Effect.logError(`session ${sessionId} could not be started`, error),
      Effect.fail(new SessionInterrupted({ sessionId }))
    )

  const startStored = Effect.fnUntraced(function* (sessionId: SessionId) {
    const state = yield* load(journal, sessionId)
    if (state === undefined) return yield* new SessionNotFound({ sessionId })
    if (state.isEnded) return yield* new SessionHasEnded({ sessionId })
    return yield* launch(state)
  })

  const startNew = Effect.fnUntraced(function* (sessionId: SessionId, event: SessionEvent) {
    const stored = yield* load(journal, sessionId)
    if (stored !== undefined) {
      return stored.isEnded ? yield* new SessionHasEnded({ sessionId }) : yield* launch(stored)
    }
    const topic = Topic.ofSession(sessionId)
    const planned = fold(undefined, { topic, sequence: 1, at: yield* Clock.currentTimeMillis, event })
    if (planned === undefined) return yield* Effect.die(new Error(`a session cannot begin with ${event._tag}`))
    const recorded = yield* journal.append([appendOf(planned, undefined, [event])])
    yield* bus.publish(recorded)
    const state = recorded.reduce<SessionState | undefined>(fold, undefined)
    return yield* launch(state ?? planned)
  })

  /** Whoever comes first starts it, on behalf of all and of nobody: it goes on when they go away. */
  const once = (
    id: SessionId,
    work: Effect.Effect<LiveSession.LiveSession, Unavailable>
  ): Effect.Effect<LiveSession.LiveSession, Unavailable> =>
    Effect.suspend(() => {
      const underway = starting.get(id)
      if (underway !== undefined) return Deferred.await(underway)
      if (isClosed) return Effect.fail(new SessionInterrupted({ sessionId: id }))
      if (live.size + starting.size >= limit) return Effect.fail(new TooManySessions({ limit }))
      const started = Deferred.makeUnsafe<LiveSession.LiveSession, Unavailable>()
      starting.set(id, started)
      return work.pipe(
        Effect.onExit((exit) =>
          Effect.sync(() => {
            starting.delete(id)
            const isCut = Exit.isFailure(exit) && Exit.hasInterrupts(exit)
            Deferred.doneUnsafe(started, isCut ? Effect.fail(new SessionInterrupted({ sessionId: id })) : exit)
          })
        ),
        Effect.ignoreCause,
        Effect.forkIn(scope),
        Effect.andThen(Deferred.await(started))
      )
    })

  /** Waits until a crashed session is up again; fails when it was given up on. */
  const comeback = (session: LiveSession.LiveSession): Effect.Effect<LiveSession.LiveSession, Unavailable> =>
    revive(session).pipe(
      Effect.andThen(
        Effect.callback<void>((resume) => {
          if (session.status !== "down") {
            resume(Effect.void)
            return
          }
          session.comeback ??= []
          session.comeback.push(() => resume(Effect.void))
        })
      ),
      Effect.timeoutOption(COMEBACK),
      Effect.flatMap(() =>
        session.status === "running" ? Effect.succeed(session) : Effect.fail(LiveSession.interrupted(session))
      )
    )

  /** The session, in memory and running. */
  const reach = (id: SessionId): Effect.Effect<LiveSession.LiveSession, Unavailable> =>
    Effect.suspend(() => {
      const found = live.get(id)
      // One that is on its way out of memory takes nothing any more.
      if (found === undefined || found.status === "hibernated") return once(id, startStored(id))
      if (found.state.isEnded) return Effect.fail(new SessionHasEnded({ sessionId: id }))
      return found.status === "running" ? Effect.succeed(found) : comeback(found)
    })

  const stateOf: Others["stateOf"] = (id) =>
    Effect.suspend(() => {
      const found = live.get(id)
      // Nothing can be done without storage, so that it is away is waited for.
      return found !== undefined
        ? Effect.succeed(found.state)
        : LiveSession.persist(Effect.catchTag(load(journal, id), "StorageCorrupt", () => Effect.undefined))
    }).pipe(Effect.orDie)

  /** The session of that id, made with this first event if there is none. */
  const begin = (id: SessionId, event: SessionEvent): Effect.Effect<LiveSession.LiveSession, Unavailable> =>
    Effect.suspend(() => (live.has(id) ? reach(id) : once(id, startNew(id, event))))

  /** Returns when some session is down, or there is something to clear away. For one fiber only. */
  const someDown: Effect.Effect<void> = Effect.callback((resume) => {
    if (down.size + places.retired() > 0) resume(Effect.void)
    else {
      wakeKeeper = () => {
        wakeKeeper = undefined
        resume(Effect.void)
      }
    }
  })

  /** Brings back the sessions that went down with their supervisor, for ever. */
  const keep: Effect.Effect<never> = someDown.pipe(
    // A restart takes no time when all is well: what is still down after this is worth a look.
    Effect.andThen(Effect.sleep("100 millis")),
    Effect.andThen(places.clear),
    Effect.andThen(
      Effect.suspend(() =>
        Effect.forEach(
          Array.from(down),
          (session) =>
            Effect.map(revive(session), () => {
              if (session.status !== "down") down.delete(session)
            }),
          { concurrency: CONCURRENCY, discard: true }
        )
      )
    ),
    Effect.forever
  )

  /** Lets the sessions leave memory that were idle for long enough, for ever. */
  const hibernate: Effect.Effect<never> = Effect.forever(
    Effect.flatMap(idle.due, (sessions) =>
      Effect.sync(() => {
        for (const session of sessions) LiveSession.hibernate(session)
      })
    )
  )

  /**
   * Does something with a session. One that leaves memory in the same instant has taken nothing, and so it is done with
   * its next life.
   */
  const use = <A, E>(
    id: SessionId,
    work: (session: LiveSession.LiveSession) => Effect.Effect<A, E | SessionInterrupted>
  ): Effect.Effect<A, E | Unavailable> =>
    Effect.flatMap(reach(id), (session) =>
      Effect.catchIf(
        work(session),
        (error): error is E & SessionInterrupted =>
          session.status === "hibernated" && Predicate.isTagged(error, "SessionInterrupted"),
        () => use(id, work)
      )
    )

  /** Makes the map agree with what the supervisor runs. */
  const reconcile = Effect.gen(function* () {
    const children = new Set((yield* sessions.whichChildren).map(({ id }) => id))
    for (const session of live.values()) {
      if (children.has(Places.idOf(session.state))) continue
      if (session.status === "down") down.add(session)
      else forget(session)
    }
  })

  /** Ends every fiber and leaves every session as it is, to be taken up again by the next start. */
  const close = Effect.suspend(() => {
    isClosed = true
    const children = new Set(Array.from(live.values(), ({ state }) => Places.idOf(state)))
    const ended = Effect.forEach(children, (id) => Effect.ignore(sessions.terminateChild(id)), {
      concurrency: 64,
      discard: true
    })
    return Effect.andThen(ended, asleep.close)
  })

  return {
    begin,
    close,
    hibernate,
    isAsleep: asleep.has,
    isClosing: () => isClosed,
    use,
    find: (id: SessionId) => live.get(id),
    keep,
    reach,
    reservations,
    stateOf,
    reconcile,
    size: () => live.size
  }
}

export type SessionSupply = ReturnType<typeof make>
