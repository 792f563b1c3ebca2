/**
 * Names of what can be subscribed to. A topic is also the name of the journal's stream with the same events, so
 * replay and live delivery speak of the same sequence numbers.
 */
import { Brand, Schema } from "effect"
import type { SessionId } from "../session/SessionId.ts"
import type { WorkerId } from "../worker/WorkerId.ts"

export const Topic = Schema.String.check(
  Schema.isPattern(
    /^(session:ses_[A-Za-z0-9_-]{1,64}|worker:wrk_[A-Za-z0-9_-]{1,64}|system:(agents|maintenance|health|pool|mcp))$/,
    {
      message:
        "a topic: session:<id>, worker:<id>, system:agents, system:maintenance, system:health, system:pool or system:mcp"
    }
  )
).pipe(Schema.brand("Topic"))
export type Topic = typeof Topic.Type

/** All topics of a kind, for those who watch over a whole server: what happens from now on, in order for each topic. */
export const Wildcard = Schema.Literals(["session:*", "worker:*"])
export type Wildcard = typeof Wildcard.Type

/** What a subscription may name. */
export const Subject = Schema.Union([Topic, Wildcard])
export type Subject = typeof Subject.Type

/** Of what is one already: an id was checked where it came in, or was made here. */
const known = Brand.nominal<Topic>()

export const ofSession = (id: SessionId): Topic => known(`session:${id}`)
export const ofWorker = (id: WorkerId): Topic => known(`worker:${id}`)
export const agents = Topic.make("system:agents")
export const maintenance = Topic.make("system:maintenance")
export const health = Topic.make("system:health")
export const pool = Topic.make("system:pool")
export const mcp = Topic.make("system:mcp")

/** System topics live in a bounded window of memory; all others are in the journal. */
export const isDurable = (topic: Topic): boolean => !topic.startsWith("system:")

export const isWildcard = (subject: Subject): subject is Wildcard => subject === "session:*" || subject === "worker:*"

/** The wildcard that a topic falls under; system topics fall under none. */
export const wildcardOf = (topic: Topic): Wildcard | undefined =>
  topic.startsWith("session:") ? "session:*" : topic.startsWith("worker:") ? "worker:*" : undefined
