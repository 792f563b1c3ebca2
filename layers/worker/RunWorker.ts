/**
 * The life of one running worker, from its permit to its end.
 *
 * The worker's fiber watches over the tool rather than being it: the tool runs in a fiber of its own below the same
 * scope, so that a deadline and a cancel can stop it, wait for its finalizers and then write how it ended. A tool that
 * cannot be stopped is waited for during `grace`; then the worker ends and its permit is free, while the child stays
 * visible in the tree until its last fiber is gone. When the process stops, all of it is interrupted and nothing is
 * written.
 */
import { Cause, Deferred, Effect, Exit, Fiber, type Schema, Scope } from "effect"
import type { Failure } from "../../services/Failure.ts"
import * as Identifier from "../../services/Identifier.ts"
import type { Registry } from "../../services/registry/Registry.ts"
import type { ChildSpec } from "../../services/supervision/ChildSpec.ts"
import { type Tool, ToolCall, type ToolFailure } from "../../services/tools/Tool.ts"
import type { Tools } from "../../services/tools/Tools.ts"
import { jsonSize } from "../../services/worker/jsonSize.ts"
import * as Failures from "../../services/worker/WorkerFailures.ts"
import type { End, Entry } from "./PoolEntry.ts"
import type { PoolState } from "./PoolState.ts"
import { makeScribe, progressEvent } from "./Scribe.ts"
import { type Events, patiently, type WorkerRecords } from "./WorkerRecords.ts"

export interface Surroundings {
  readonly state: PoolState
  readonly records: WorkerRecords
  readonly tools: Tools["Service"]
  readonly registry: Registry["Service"]
  /** Milliseconds that a tool may take to stop. */
  readonly grace: number
}

/** Longest result, in bytes of JSON: it is journaled and sent to whoever asks for it. */
export const maxResult = 512 * 1024

/** What of its progress is not journaled yet goes with the end. */
const lastWords = (entry: Entry, end: End): Events => {
  const [first, ...rest] = entry.reports.take().map(progressEvent)
  return first === undefined ? [end] : [first, ...rest, end]
}

const failed = (failure: Failure): End => ({ _tag: "WorkerFailed", failure })

export const make = ({ grace, records, registry, state, tools }: Surroundings) => {
  let started = 0

  /**
   * Tries until the journal takes it; `then` belongs to it, whatever stops the worker in between. The permit is held
   * meanwhile: nothing else could start either.
   */
  const persist = (entry: Entry, events: Events, then: () => void = () => undefined) =>
    Effect.suspend(() => records.record([{ entry, events }])).pipe(
      Effect.andThen(Effect.sync(then)),
      Effect.uninterruptible,
      Effect.tapError((error) =>
        Effect.andThen(
          Effect.sync(() => state.tellRefusal(entry, error)),
          Effect.logWarning(`worker ${entry.id} waits for the journal, which refuses to write`, error)
        )
      ),
      Effect.retry(patiently),
      // Refusals are retried for as long as it takes, so none is left.
      Effect.orDie
    )

  const judge = Effect.fnUntraced(function* (entry: Entry, exit: Exit.Exit<Schema.Json, ToolFailure>) {
    if (Exit.isSuccess(exit)) {
      return jsonSize(exit.value, maxResult) <= maxResult
        ? ({ _tag: "WorkerCompleted", result: exit.value } satisfies End)
        : failed(Failures.resultTooLarge(maxResult))
    }
    const failure = exit.cause.reasons.find(Cause.isFailReason)
    if (failure !== undefined) return failed(failure.error.failure)
    const errorId = yield* Identifier.generate("err")
    yield* Effect.annotateLogs(Effect.logError(`tool ${entry.worker.tool} broke off`, exit.cause), {
      errorId,
      workerId: entry.id,
      sessionId: entry.sessionId
    })
    return failed(Failures.internalError(errorId))
  })

  /** Returns when the tool has been silent for its deadline or has run for its hard cap. */
  const watch = Effect.fnUntraced(function* (entry: Entry, lastSign: () => number) {
    const { deadline, hardCap } = entry.worker.limits
    const cappedAt = state.now + hardCap
    while (true) {
      const now = state.now
      if (now >= cappedAt) return failed(Failures.hardCapExceeded(hardCap))
      if (now >= lastSign() + deadline) return failed(Failures.deadlineExceeded(deadline))
      yield* Effect.sleep(Math.min(cappedAt, lastSign() + deadline) - now)
    }
  })

  const cancellation = (entry: Entry) =>
    Effect.map(Deferred.await(entry.stop), (reason): End => ({ _tag: "WorkerCancelled", reason }))

  const runTool = Effect.fnUntraced(function* (entry: Entry, tool: Tool, scope: Scope.Scope) {
    let lastSign = state.now
    const scribe = makeScribe(state, entry, records)
    const writing = yield* Effect.forkIn(scribe.run, scope)
    const working = yield* tool.run(entry.worker.args).pipe(
      Effect.provideService(ToolCall, {
        sessionId: entry.sessionId,
        progress: (percent, stage) =>
          Effect.sync(() => {
            // A tool that was given up on may still speak.
            if (entry.phase !== "running") return
            lastSign = state.now
            scribe.note(percent, stage)
          })
      }),
      Effect.annotateLogs({ workerId: entry.id, sessionId: entry.sessionId }),
      Effect.forkIn(scope)
    )
    const end = yield* Effect.raceAllFirst([
      Effect.flatMap(Fiber.await(working), (exit) => judge(entry, exit)),
      watch(entry, () => lastSign),
      cancellation(entry)
    ])
    entry.phase = "ending"
    const isStopped = yield* Fiber.interrupt(working).pipe(
      Effect.as(true),
      Effect.timeoutOrElse({ duration: grace, orElse: () => Effect.succeed(false) })
    )
    yield* Fiber.interrupt(writing)
    return { end, isStopped }
  })

  const live = Effect.fnUntraced(function* (entry: Entry, scope: Scope.Scope) {
    const { worker } = entry
    if (worker.status === "running" && !worker.idempotent) return { end: failed(Failures.interrupted), isStopped: true }
    const found = yield* Effect.result(tools.get(worker.tool))
    if (found._tag === "Failure") {
      return { end: failed({ code: "tool_not_found", message: found.failure.message }), isStopped: true }
    }
    const cancelled = yield* Effect.raceFirst(
      Effect.as(persist(entry, [{ _tag: "WorkerStarted", attempt: worker.attempt + 1 }]), undefined),
      cancellation(entry)
    )
    return cancelled === undefined ? yield* runTool(entry, found.success, scope) : { end: cancelled, isStopped: true }
  })

  const body = (entry: Entry, scope: Scope.Scope) =>
    Effect.gen(function* () {
      const { end, isStopped } = yield* live(entry, scope)
      entry.phase = "ending"
      entry.decided = end
      yield* persist(entry, lastWords(entry, end), () => state.finish(entry, end))
      if (isStopped) return
      yield* Effect.logError(`worker ${entry.id} does not stop: its permit is free, its last fiber still runs`)
      state.tell(entry, end)
    }).pipe(
      // A broken invariant of the pool or the journal. The worker stays open in the journal, for recovery to look at.
      Effect.catchDefect((defect) =>
        Effect.andThen(
          Effect.sync(() => {
            entry.decided = failed(Failures.interrupted)
            state.finish(entry, entry.decided)
          }),
          Effect.logError(`worker ${entry.id} was lost to a defect of the pool`, defect)
        )
      )
    )

  /** The worker as a child of the tool executors. */
  return (entry: Entry): ChildSpec => ({
    id: entry.id,
    restart: "temporary",
    // The worker itself waits for its tool no longer than that.
    shutdown: grace,
    start: Effect.gen(function* () {
      const scope = yield* Effect.scope
      // Cancelled since it got its permit, or started already by a dispatcher that was killed before it knew.
      if (!state.begin(entry)) return Effect.void
      // Added first and so run last: when it tells of the end, everything of the worker is gone.
      yield* Scope.addFinalizer(
        scope,
        Effect.sync(() => {
          if (entry.phase !== "ended") state.abandon(entry)
          else if (entry.decided !== undefined) state.tell(entry, entry.decided)
        })
      )
      yield* registry.register({
        key: { session: entry.sessionId, role: "worker", index: started++ },
        tags: ["worker"],
        capabilities: [entry.worker.tool],
        status: "busy",
        metadata: { workerId: entry.id, tool: entry.worker.tool }
      })
      return body(entry, scope)
    }).pipe(Effect.uninterruptible)
  })
}
