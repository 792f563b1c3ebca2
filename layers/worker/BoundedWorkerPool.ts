/**
 * `WorkerPool` as a bounded semaphore with a fair queue, durable in the journal.
 *
 * The state lives with the layer; the fibers that work on it are the child `pool` of `Workers`, and each running worker
 * is a child of `ToolExecutors`. When the layer closes, the workers are interrupted without an end: they go on after the
 * next start.
 */
import { Clock, Deferred, type Duration, Effect, Layer, Option } from "effect"
import * as Topic from "../../services/events/Topic.ts"
import { EventLoop } from "../../services/health/EventLoop.ts"
import { Registry } from "../../services/registry/Registry.ts"
import { ToolExecutors, Workers } from "../../services/supervision/Places.ts"
import { InvalidInput } from "../../services/InvalidInput.ts"
import { Tools } from "../../services/tools/Tools.ts"
import { defaultPool, milliseconds, type Pools, resolvePools } from "../../services/worker/PoolLimits.ts"
import type { PoolStatus } from "../../services/worker/PoolStatus.ts"
import { defaultPriority } from "../../services/worker/Ticket.ts"
import { makeWorkerIds, type WorkerId } from "../../services/worker/WorkerId.ts"
import { type Admission, type Task, WorkerEnded, WorkerNotFound, WorkerPool } from "../../services/worker/WorkerPool.ts"
import * as FindWorkers from "./FindWorkers.ts"
import * as MinuteQuotas from "./MinuteQuotas.ts"
import * as PoolControl from "./PoolControl.ts"
import { dispatcher, expirer, herald, reclaimer } from "./PoolFibers.ts"
import { scaler } from "./PoolScaler.ts"
import { PoolState } from "./PoolState.ts"
import * as ProcessLoad from "./ProcessLoad.ts"
import { decodeSummary, recover } from "./RecoverWorkers.ts"
import * as RunWorker from "./RunWorker.ts"
import { settler } from "./Settler.ts"
import * as WorkerRecords from "./WorkerRecords.ts"

export interface Options {
  /** Workers of the pool `tools` that may run at a time (default 3). */
  readonly permits?: number | undefined
  /** Tasks that may wait there (default 50). */
  readonly capacity?: number | undefined
  /** How long a task may wait there before it fails without having started (default 30 seconds). */
  readonly patience?: Duration.Input | undefined
  /** Further pools by name, and whatever else is to be said of `tools`. */
  readonly pools?: Pools | undefined
  /** How long a tool may take to stop before its worker ends without it (default 10 seconds). */
  readonly grace?: Duration.Input | undefined
  /** How long a caller may hold a place before the pool looks whether it was forgotten (default 10 seconds). */
  readonly lease?: Duration.Input | undefined
  /** What the autoscaler sees of the process (default: its processors and its event loop). */
  readonly processLoad?: ProcessLoad.ProcessLoad | undefined
}

const childId = "pool"

export const make = Effect.fnUntraced(function* (options: Options = {}) {
  const clock = yield* Clock.Clock
  const registry = yield* Registry
  const tools = yield* Tools
  const workers = yield* Workers
  const executors = yield* ToolExecutors
  const records = yield* WorkerRecords.make
  const { bus, journal } = records

  const { capacity, patience, permits } = options
  const { issues, pools } = resolvePools({
    ...options.pools,
    [defaultPool]: {
      ...(permits !== undefined && { permits }),
      ...(capacity !== undefined && { queue: capacity }),
      ...(patience !== undefined && { patience }),
      ...options.pools?.[defaultPool]
    }
  })
  if (issues.length > 0) return yield* Effect.die(new InvalidInput({ subject: "pools", issues }))
  const state = new PoolState({ pools, lease: milliseconds(options.lease ?? "10 seconds") }, clock)
  const grace = milliseconds(options.grace ?? "10 seconds")
  const minutes = yield* MinuteQuotas.make
  const childOf = RunWorker.make({ state, records, tools, registry, grace })
  const nextId = makeWorkerIds()
  const control = PoolControl.make(state)
  const { processLoad = Effect.provideService(ProcessLoad.make, EventLoop, yield* EventLoop) } = options
  const find = FindWorkers.make(state, journal)

  yield* recover(state, journal)

  // Released last to first: the pool starts nothing more, then what runs is interrupted.
  yield* Effect.addFinalizer(() =>
    Effect.suspend(() =>
      Effect.forEach(
        [...state.live.values()].filter(({ phase }) => phase === "running" || phase === "ending"),
        ({ id }) => Effect.ignore(executors.terminateChild(id)),
        { concurrency: "unbounded", discard: true }
      )
    )
  )
  yield* Effect.acquireRelease(
    // Fails only where the tree is wrong: two pools in one place, or a place that has stopped.
    Effect.orDie(
      workers.startChild({
        id: childId,
        start: Effect.succeed(
          Effect.all(
            [
              dispatcher(state, executors, childOf),
              settler(state, records),
              expirer(state),
              reclaimer(state, records),
              scaler(state, processLoad),
              herald(state, records)
            ],
            { concurrency: "unbounded", discard: true }
          )
        ),
        mailbox: Effect.sync(() => state.load.queued)
      })
    ),
    () =>
      Effect.sync(() => state.close()).pipe(
        Effect.andThen(workers.terminateChild(childId)),
        Effect.andThen(workers.deleteChild(childId)),
        Effect.ignore
      )
  )

  const admit = Effect.fnUntraced(function* (task: Task) {
    const { annotations, name: tool } = task.tool
    const { args, callId, priority = annotations.priority ?? defaultPriority, sessionId } = task
    const key = annotations.key ?? task.key
    const part = yield* control.part(annotations.pool ?? defaultPool)
    const ticket = state.ticketOf(part, { key, priority, sessionId })
    // Refused before anything is made of it: turning load away must cost next to nothing.
    const refusal = state.refuse(part, ticket)
    if (refusal !== undefined) return yield* refusal
    yield* minutes(part, ticket)
    const id = yield* nextId
    const topic = Topic.ofWorker(id)
    const { append, worker } = WorkerRecords.appendOf(
      topic,
      undefined,
      [
        {
          _tag: "WorkerQueued",
          workerId: id,
          sessionId,
          callId,
          tool,
          args,
          idempotent: annotations.idempotent,
          limits: { deadline: milliseconds(annotations.deadline), hardCap: milliseconds(annotations.hardCap) },
          pool: part.name,
          priority,
          ...(key !== undefined && { key })
        }
      ],
      clock.currentTimeMillisUnsafe()
    )
    const late = state.refuse(part, ticket)
    if (late !== undefined) return yield* late
    const entry = state.admit(part, ticket, worker, topic)
    const admission: Admission = {
      workerId: id,
      append,
      enqueue: Effect.sync(() => state.enqueue(entry)),
      release: Effect.sync(() => state.forget(entry))
    }
    return admission
  })

  const submit = Effect.fnUntraced(function* (task: Task) {
    const { append, enqueue, release, workerId } = yield* admit(task)
    yield* journal.append([append]).pipe(
      Effect.onError(() => release),
      Effect.tap((recorded) => bus.publish(recorded)),
      Effect.andThen(enqueue)
    )
    return workerId
  }, Effect.uninterruptible)

  /** Why a worker that is not live cannot be cancelled. */
  const explain = Effect.fnUntraced(function* (workerId: WorkerId) {
    const head = yield* journal.head(Topic.ofWorker(workerId))
    if (head === undefined) return yield* new WorkerNotFound({ workerId })
    const status = Option.match(decodeSummary(head.summary), {
      onNone: () => "unreadable",
      onSome: (summary) => summary.status
    })
    return yield* new WorkerEnded({ workerId, status })
  })

  const cancel = Effect.fnUntraced(function* (workerId: WorkerId, reason: string) {
    const entry = state.live.get(workerId) ?? state.admitted.get(workerId)
    if (entry === undefined) return yield* explain(workerId)
    if (entry.cancelled === undefined && entry.phase !== "ending") {
      entry.cancelled = reason
      if (state.leaveQueue(entry)) state.settle(entry, { _tag: "WorkerCancelled", reason })
      else yield* Deferred.succeed(entry.stop, reason)
    }
    const end = yield* Deferred.await(entry.ended)
    return end === "WorkerCancelled" ? undefined : yield* explain(workerId)
  })

  return WorkerPool.of({
    admit,
    submit,
    cancel,
    get: find.get,
    list: find.list,
    status: Effect.sync(() => {
      const now = state.now
      const main = state.main.status(now)
      const pools = Array.from(state.parts.values(), (part) => (part === state.main ? main : part.status(now)))
      return { ...countsOf(main), pools }
    }),
    load: Effect.sync(() => state.load),
    pause: control.pause,
    drain: control.drain,
    resume: control.resume,
    resize: control.resize
  })
})

/** What stands beside the list of pools. */
const countsOf = ({
  cancelled,
  capacity,
  completed,
  failed,
  patience,
  permits,
  queued,
  refused,
  running
}: PoolStatus["pools"][number]) => ({
  permits,
  running,
  queued,
  capacity,
  patience,
  completed,
  failed,
  cancelled,
  refused
})

export const layer = (options: Options = {}) => Layer.effect(WorkerPool, make(options))
