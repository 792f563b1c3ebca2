/**
 * The durable, ordered log of everything that is more than a passing event.
 *
 * Events live in streams named by their topic, each with one writer at a time that numbers its events from 1. An
 * append is atomic over all its streams and answers only once it is safe against power loss; appends that arrive
 * together share one sync. Each stream has a head: the writer's own summary of it, so that listings and recovery
 * cost as much as what they find, never as much as what is stored.
 */
import { Context, type Effect } from "effect"
import type { DurableEvent, Recorded } from "../events/RuntimeEvent.ts"
import type { Topic } from "../events/Topic.ts"
import type { StorageError } from "./StorageError.ts"

/** The next events of one stream. */
export interface Append {
  readonly stream: Topic
  /** Sequence of the last event the writer knows of; 0 for a new stream. A mismatch is a defect: a second writer. */
  readonly after: number
  readonly events: readonly [DurableEvent, ...Array<DurableEvent>]
  /** Whether the stream has unfinished business that recovery must look at. */
  readonly open: boolean
  /** What listings show: JSON text of the writer's own making, replaced with each append. */
  readonly summary: string
}

export interface StreamHead {
  readonly stream: Topic
  readonly sequence: number
  readonly open: boolean
  readonly summary: string
}

export interface ReadOptions {
  readonly stream: Topic
  /** Events with a sequence above this. */
  readonly after: number
  /** At most this many (default 1,000). */
  readonly limit?: number | undefined
}

export interface HeadsOptions {
  /** Streams whose name starts with this: `session:`. */
  readonly prefix: string
  /** Only streams with unfinished business. */
  readonly open?: boolean | undefined
  /** Only streams before (newest first) this one: the last of the page before. */
  readonly before?: Topic | undefined
  readonly limit: number
}

export class Journal extends Context.Service<
  Journal,
  {
    /** All or nothing; durable when it returns. The events come back with sequence and time, ready to be published. */
    readonly append: (appends: ReadonlyArray<Append>) => Effect.Effect<ReadonlyArray<Recorded>, StorageError>
    /** In sequence order. */
    readonly read: (options: ReadOptions) => Effect.Effect<ReadonlyArray<Recorded>, StorageError>
    readonly head: (stream: Topic) => Effect.Effect<StreamHead | undefined, StorageError>
    /** By stream name, last first: with ids that begin with time, the newest come first. */
    readonly heads: (options: HeadsOptions) => Effect.Effect<ReadonlyArray<StreamHead>, StorageError>
  }
>()("espalier/journal/Journal") {}
