/**
 * The durable, ordered log of everything that is more than a passing event.
 *
 * Events live in streams named by their topic, each with one writer at a time that numbers its events from 1. An
 * append is atomic over all its streams and answers only once it is safe against power loss; appends that arrive
 * together share one sync. Each stream has a head: the writer's own summary of it, so that listings and recovery
 * cost as much as what they find, never as much as what is stored. It may have a snapshot: its writer's state at some
 * sequence, so that a long stream is not replayed from its beginning.
 *
 * What is old can be let go of, oldest first: events that a snapshot stands for, and streams whose writer is done with
 * them. Never what the writer or a reader that holds the stream still needs.
 */
import { Context, type Effect, type Scope } from "effect"
import type { DurableEvent, Recorded } from "../events/RuntimeEvent.ts"
import type { Topic } from "../events/Topic.ts"
import type { StorageError } from "./StorageError.ts"

/** A writer's state, from which its stream can be replayed instead of from the beginning. */
export interface SnapshotState {
  /** Which form of state it is. A reader that does not know it replays the events. */
  readonly version: number
  /** JSON text of the writer's own making. */
  readonly state: string
  /** Lowest sequence that the writer may still read, now or later. Events below may be compacted. */
  readonly needs: number
}

export interface Snapshot extends SnapshotState {
  /** The state is that after this event. */
  readonly sequence: number
}

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
  /** What the stream belongs to: of a worker, its session. Listings find by it. Taken from the stream's first append. */
  readonly owner?: string | undefined
  /** A word that listings find by, replaced with each append: how a worker has ended. */
  readonly label?: string | undefined
  /** State as of `after`, the last event that the writer knows to be durable, in place of an older snapshot. */
  readonly snapshot?: SnapshotState | undefined
}

export interface StreamHead {
  readonly stream: Topic
  readonly sequence: number
  /** Sequence of the oldest event that is left: 1, unless the stream was compacted. */
  readonly earliest: number
  readonly open: boolean
  readonly summary: string
  readonly owner?: string | undefined
  readonly label?: string | undefined
}

export interface ReadOptions {
  readonly stream: Topic
  /** Events with a sequence above this. */
  readonly after: number
  /** At most this many (default 1,000). */
  readonly limit?: number | undefined
  /**
   * Enough once so many characters of stored text were read (default: never), so that a page of large events stays
   * small. A journal that has its events in memory anyway need not look.
   */
  readonly size?: number | undefined
}

export interface HeadsOptions {
  /** Streams whose name starts with this: `session:`. */
  readonly prefix: string
  /** Only streams with unfinished business. */
  readonly open?: boolean | undefined
  /** Only streams of this owner. */
  readonly owner?: string | undefined
  /** Only streams with this label. */
  readonly label?: string | undefined
  /** Only streams that come after this one in the order asked for: the last of the page before. */
  readonly before?: Topic | undefined
  /** Default `newest first`. */
  readonly order?: "newest first" | "oldest first" | undefined
  readonly limit: number
}

export interface CompactOptions {
  readonly stream: Topic
  readonly before: number
}

export interface RemoveOptions {
  readonly stream: Topic
  /** Its last sequence, as whoever decided to remove it has seen it. */
  readonly sequence: number
}

export class Journal extends Context.Service<
  Journal,
  {
    /** All or nothing; durable when it returns. The events come back with sequence and time, ready to be published. */
    readonly append: (appends: ReadonlyArray<Append>) => Effect.Effect<ReadonlyArray<Recorded>, StorageError>
    /** In sequence order. Of a compacted stream, from the earliest event that is left. */
    readonly read: (options: ReadOptions) => Effect.Effect<ReadonlyArray<Recorded>, StorageError>
    readonly head: (stream: Topic) => Effect.Effect<StreamHead | undefined, StorageError>
    /** By stream name, last first: with ids that begin with time, the newest come first. Damaged ones are left out, and logged. */
    readonly heads: (options: HeadsOptions) => Effect.Effect<ReadonlyArray<StreamHead>, StorageError>
    readonly snapshot: (stream: Topic) => Effect.Effect<Snapshot | undefined, StorageError>
    /** Until its scope closes, no event of the stream from `from()` on is let go of: for readers on their way through it. */
    readonly hold: (stream: Topic, from: () => number) => Effect.Effect<void, never, Scope.Scope>
    /**
     * Lets go of a stream's events below `before`, as far as a snapshot stands for them and nobody needs them, in
     * blocks that the journal finds convenient. Answers with the earliest that is left.
     */
    readonly compact: (options: CompactOptions) => Effect.Effect<number, StorageError>
    /**
     * Lets go of a whole stream whose writer is done with it. False, and nothing has changed, when it is open, was
     * written to since `sequence`, or is held.
     */
    readonly remove: (options: RemoveOptions) => Effect.Effect<boolean, StorageError>
  }
>()("espalier/journal/Journal") {}
