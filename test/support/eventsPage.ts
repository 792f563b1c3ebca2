/** `docs/events.md`, made from the schemas and the catalogue of their meanings. */
import { Schema } from "effect"
import { deliveries, type Entry, events } from "../../services/events/EventCatalogue.ts"
import { Delivery } from "../../services/events/RuntimeEvent.ts"
import { HealthEvent } from "../../services/health/HealthEvent.ts"
import { BreakerEvent } from "../../services/limits/BreakerEvent.ts"
import { PoolEvent } from "../../services/worker/PoolEvent.ts"
import { MaintenanceEvent } from "../../services/maintenance/MaintenanceEvent.ts"
import { McpEvent } from "../../services/mcp/McpEvent.ts"
import { SessionDelta, SessionEvent } from "../../services/session/SessionEvent.ts"
import { SupervisionEvent } from "../../services/supervision/SupervisionEvent.ts"
import { WorkerEvent } from "../../services/worker/WorkerEvent.ts"

interface Json {
  readonly $ref?: string
  readonly type?: string
  readonly enum?: ReadonlyArray<unknown>
  readonly anyOf?: ReadonlyArray<Json>
  readonly items?: Json
  readonly properties?: Readonly<Record<string, Json>>
  readonly required?: ReadonlyArray<string>
  readonly additionalProperties?: boolean | Json
}

/** A JSON schema in a word or two. */
const typeOf = (schema: Json): string => {
  if (schema.$ref !== undefined) return schema.$ref.slice(schema.$ref.lastIndexOf("/") + 1)
  if (schema.anyOf !== undefined) return schema.anyOf.map(typeOf).join(" or ")
  if (schema.enum !== undefined) return schema.enum.map((value) => JSON.stringify(value)).join(" or ")
  if (schema.type === "array") return `list of ${schema.items === undefined ? "JSON" : typeOf(schema.items)}`
  if (schema.type === "object" && schema.properties !== undefined) {
    const tag = schema.properties["_tag"]?.enum?.[0]
    const fields = Object.entries(schema.properties)
      .filter(([name]) => name !== "_tag")
      .map(([name, field]) => `${name}: ${typeOf(field)}`)
      .join(", ")
    return typeof tag === "string" ? (fields === "" ? tag : `${tag} { ${fields} }`) : `{ ${fields} }`
  }
  if (schema.type === "object") {
    return typeof schema.additionalProperties === "object"
      ? `record of ${typeOf(schema.additionalProperties)}`
      : "object"
  }
  return schema.type ?? "JSON"
}

const cell = (text: string) => text.replaceAll("|", "\\|")

const section = (tag: string, schema: Schema.Top, entry: Entry<never>): string => {
  const { schema: json } = Schema.toJsonSchemaDocument(schema) as unknown as { readonly schema: Json }
  const meanings: Readonly<Record<string, string>> = entry.fields
  const rows = Object.entries(json.properties ?? {}).flatMap(([name, field]) => {
    if (name === "_tag") return []
    // Events are told one by one below.
    const type = name === "event" ? "an event" : typeOf(field)
    const optional = json.required?.includes(name) === true ? "" : ", or absent"
    return [`| \`${name}\` | ${cell(type)}${optional} | ${cell(meanings[name] ?? "")} |`]
  })
  const table = rows.length === 0 ? [] : ["", "| field | type | |", "| --- | --- | --- |", ...rows]
  return [`### ${tag}`, "", `${entry.when} Told by ${entry.by}.`, ...table].join("\n")
}

const group = (
  title: string,
  cases: Readonly<Record<string, Schema.Top>>,
  entries: Readonly<Record<string, Entry<never>>>
): string =>
  [
    `## ${title}`,
    ...Object.entries(cases).map(([tag, schema]) => section(tag, schema, entries[tag] as Entry<never>))
  ].join("\n\n")

const intro = `# Events

<!-- Made from the schemas by test/events/docs.test.ts: "npx vitest run --config test/vitest.config.ts test/events/docs.test.ts -u" writes it anew. -->

Everything that happens is an event of a topic, and a topic can be read from any of its sequence numbers:

| topic | what it tells | kept |
| --- | --- | --- |
| \`session:<id>\` | a session, from its first message to its end | in the journal |
| \`worker:<id>\` | one heavy tool call | in the journal |
| \`system:agents\` | what the supervisors do | the newest 1,000 of this process |
| \`system:health\` | what the monitor measures, and which dependencies are not called | the newest 1,000 of this process |
| \`system:maintenance\` | what upkeep has done | the newest 1,000 of this process |
| \`system:pool\` | sizes of the pools, and what is done to them | the newest 1,000 of this process |
| \`system:mcp\` | MCP servers and their tools | the newest 1,000 of this process |
| \`session:*\`, \`worker:*\` | all sessions, all workers: what happens from now on, in order for each | not at all |

They are read with \`Subscribe\` (RPC), \`follow\` of \`espalier/client\` (which goes on by itself after a broken connection),
\`GET /events/{topic}\` (server-sent events, with \`Last-Event-ID\`), \`espalier events TOPIC\`, or \`EventBus.subscribe\` in the
same process. All take \`from\` (first sequence wanted), \`capacity\` (length of the reader's own queue, default 1,024),
\`label\` (who this is) and \`policy\`, which says what a full queue means:

| policy | a full queue |
| --- | --- |
| \`catchup\` (default) | the reader goes back to the journal until it has caught up; nothing is lost |
| \`backpressure\` | the publisher waits, for five seconds at most; then the reader is cut off. Not for system topics and wildcards |
| \`sliding\` (default of wildcards) | the oldest waiting events go |
| \`dropping\` | the newest events go, but for the topic's last one |
| \`disconnect\` | the subscription ends, once what waited has been handed out |

The past is always read whole and at the reader's own pace; the policy rules from then on. Skipped events show as one
\`Lagged\`. A subscription that is cut off ends with \`SubscriptionCut\`, which names the last sequence. \`espalier events --stats\`
and \`TopicStats\` tell who listens and how far behind: for each reader delivered + lost + pending = published, exactly. The
metrics \`espalier_events_subscribers\`, \`_queue_depth\`, \`_lag_max\`, \`_delivered_total\` and \`_lost_total\` tell the same in sums,
with the label \`topic\`: \`session\`, \`worker\`, a wildcard, or a system topic.

A cursor older than what is kept is refused with \`CursorExpired\`. It names the earliest sequence that is left and, of a
session, carries a snapshot: the state as \`GetSession\` tells it, after the event \`snapshot.sequence\`. Read from
\`snapshot.sequence + 1\` to make the present of it, or from \`earliest\` to have all that is left. With \`expired: "snapshot"\`
(default \`fail\`) the subscription begins with that state by itself, as a \`Snapshot\`, and goes on after it; a topic without
snapshots begins with its oldest event, after one \`Lagged\`. A browser's \`EventSource\` cannot see why it was refused, so
\`GET /events/{topic}?expired=snapshot\` is for those: a reader that comes back too late with its \`Last-Event-ID\` begins anew.

Wildcards carry no \`TextDelta\`: who watches over all sessions wants to see what they do, not each word of it as it is
said, which is some hundred times as much. \`MessageSettled\` has the whole text; subscribe to one session for its words.

Within a topic events come in the order of their sequence. Every turn, worker and session has exactly one terminal event;
that of a worker or a session is the last of its topic.`

export const render = (): string =>
  `${[
    intro,
    group("What a subscriber receives", Delivery.cases, deliveries),
    group("Sessions: `session:<id>`", { ...SessionEvent.cases, ...SessionDelta.cases }, events),
    group("Workers: `worker:<id>`", WorkerEvent.cases, events),
    group("Supervision: `system:agents`", SupervisionEvent.cases, events),
    group("Health: `system:health`", { ...HealthEvent.cases, ...BreakerEvent.cases }, events),
    group("Upkeep: `system:maintenance`", MaintenanceEvent.cases, events),
    group("Pools: `system:pool`", PoolEvent.cases, events),
    group("MCP servers: `system:mcp`", McpEvent.cases, events)
  ].join("\n\n")}\n`
