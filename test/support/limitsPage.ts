/** `docs/limits.md`, made from the limits that are in force. */
import { Duration } from "effect"
import { maxCalls, maxCallsPerPrincipal } from "../../layers/gateway/Gate.ts"
import { maxFrameSize } from "../../layers/gateway/Frames.ts"
import { maxCallsPerConnection, maxStreamsPerConnection } from "../../layers/gateway/Guard.ts"
import { defaultKeys } from "../../layers/limits/BoundedRateLimiterStore.ts"
import { names } from "../../layers/limits/PersistenceBreakers.ts"
import { samplingBudget } from "../../layers/mcp/Asked.ts"
import { maxMessage } from "../../layers/mcp/Messages.ts"
import { queue } from "../../layers/mcp/StdioTransport.ts"
import { MAX_CALLS } from "../../layers/session/PlanCall.ts"
import { STICKY_KEYS } from "../../layers/registry/RegistryRouter.ts"
import { maxResult } from "../../layers/worker/RunWorker.ts"
import { defaultCapacity, maxCapacity } from "../../services/events/Subscription.ts"
import { defaultLimits, hardUnread, softUnread } from "../../services/gateway/ConnectionLimits.ts"
import { AUDIENCE, MAX_AUDIENCE } from "../../services/registry/AgentMessage.ts"
import { defaults as budget } from "../../services/session/Budget.ts"
import { limits as results } from "../../services/mcp/callResult.ts"
import { limits as definitions } from "../../services/mcp/ToolDefinition.ts"
import { MAILBOX_CAPACITY } from "../../services/session/decide.ts"
import { EXPIRY } from "../../services/permission/Permission.ts"
import { limits as forms } from "../../services/question/Form.ts"
import { EXPIRY as questionExpiry, MAX_OPEN, MAX_TEXT } from "../../services/question/Question.ts"
import { MAX_ATTACHMENTS, MAX_CHARACTERS } from "../../services/session/MessageAttachment.ts"
import { DEADLINE, IDLE_LIMIT, MAX_LIVE } from "../../services/session/SubSession.ts"
import { MAX_NAMES } from "../../services/session/presenceOf.ts"
import type { Settings } from "../../src/server/Settings.ts"

export interface Limit {
  readonly what: string
  readonly byDefault: string
  /** Of the environment. */
  readonly setting?: string
  /** Values that it takes at its ends, and ones beyond them. */
  readonly takes?: readonly [string, string]
  readonly refuses?: ReadonlyArray<string>
  /** Of `Embedded.layer` or `Server.layer`. */
  readonly option?: string
  readonly beyond: string
  /** Error that says so, by its tag. */
  readonly error?: string
  /** Failure that says so, by its code. */
  readonly failure?: string
  readonly metric?: string
}

const count = (value: number) => value.toLocaleString("en")
const bytes = (value: number) => (value >= 1024 * 1024 ? `${value / 1024 / 1024} MiB` : `${value / 1024} KiB`)
const time = (value: Duration.Input) => Duration.format(Duration.fromInputUnsafe(value))
const connection = (name: keyof typeof defaultLimits) => ({
  byDefault: name === "connections" || name === "perAddress" ? count(defaultLimits[name]) : time(defaultLimits[name]),
  option: `limits.${name}`
})
const times = (lowest: string, highest: string) => ({ takes: [lowest, highest] as const })

export const sections = (settings: Settings): Readonly<Record<string, ReadonlyArray<Limit>>> => ({
  Connections: [
    { what: "connections of a server", ...connection("connections"), beyond: "503 `too_many_connections`" },
    { what: "connections of an address", ...connection("perAddress"), beyond: "503 `too_many_connections`" },
    { what: "a message, or the body of a request", byDefault: bytes(maxFrameSize), beyond: "closed with 1009, or 413" },
    {
      what: "calls a second of a connection, on average; twice as many at once",
      byDefault: count(settings.limits.callsPerSecond),
      setting: "ESPALIER_CALLS_PER_SECOND",
      ...times("1", "1000000"),
      refuses: ["0", "1000001", "many"],
      option: "limits.callsPerSecond",
      beyond: "read more slowly",
      metric: "espalier_rate_limited_total"
    },
    {
      what: "calls under way of a connection",
      byDefault: count(maxCallsPerConnection),
      beyond: "refused",
      error: "Overloaded"
    },
    {
      what: "subscriptions among them",
      byDefault: count(maxStreamsPerConnection),
      beyond: "refused",
      error: "Overloaded"
    },
    {
      what: "calls under way of a principal (an address), subscriptions aside",
      byDefault: count(maxCallsPerPrincipal),
      beyond: "refused",
      error: "Overloaded"
    },
    { what: "calls under way of a server", byDefault: count(maxCalls), beyond: "refused", error: "Overloaded" },
    { what: "bytes on their way to a peer", byDefault: bytes(softUnread), beyond: "whatever has more for it waits" },
    { what: "one answer", byDefault: bytes(hardUnread), beyond: "refused", error: "InvalidInput" },
    { what: "a peer that does not read what was sent", ...connection("unread"), beyond: "closed" },
    { what: "a silent peer: asked whether it is there", ...connection("ping"), beyond: "a ping" },
    { what: "a silent peer: given up", ...connection("silence"), beyond: "closed" },
    { what: "a connection with nothing under way", ...connection("idle"), beyond: "closed" },
    { what: "a connection's age, give or take a tenth", ...connection("age"), beyond: "closed" }
  ],
  Sessions: [
    {
      what: "sessions in memory",
      byDefault: "100,000",
      option: "sessions",
      beyond: "refused",
      error: "TooManySessions"
    },
    {
      what: "messages that wait in a session",
      byDefault: count(MAILBOX_CAPACITY),
      beyond: "refused",
      error: "MailboxFull"
    },
    { what: "a message", byDefault: "262,144 characters", beyond: "refused", error: "InvalidInput" },
    {
      what: "attachments of a message",
      byDefault: `${MAX_ATTACHMENTS}, of ${count(MAX_CHARACTERS)} characters in all`,
      beyond: "refused",
      error: "InvalidInput"
    },
    {
      what: "a conversation as a model is shown it",
      byDefault: `${count(settings.contextTokens)} tokens`,
      setting: "ESPALIER_CONTEXT_TOKENS",
      takes: ["1000", "10000000"],
      refuses: ["999", "10000001"],
      option: "contextTokens",
      beyond: "the oldest results of tools are left out, then the turns before are summed up"
    },
    {
      what: "a call that waits for permission",
      byDefault: time(EXPIRY),
      beyond: "denied",
      failure: "permission_expired"
    },
    {
      what: "an idle session in memory",
      byDefault: time(settings.hibernateAfter),
      setting: "ESPALIER_HIBERNATE_AFTER",
      option: "hibernateAfter",
      beyond: "it hibernates until it is spoken to"
    },
    {
      what: "sub-sessions of a session at a time",
      byDefault: count(MAX_LIVE),
      beyond: "refused",
      error: "TooManySubSessions",
      failure: "too_many_sub_sessions"
    },
    {
      what: "a sub-session's life",
      byDefault: time(DEADLINE),
      option: "parent.deadline",
      beyond: "it is stopped",
      failure: "deadline_exceeded"
    },
    { what: "an idle sub-session", byDefault: time(IDLE_LIMIT), option: "parent.idleLimit", beyond: "it is stopped" },
    {
      what: "rounds of tool calls in a turn",
      byDefault: count(settings.budget.steps ?? budget.steps),
      setting: "ESPALIER_STEPS",
      ...times("0", "10000"),
      refuses: ["-1", "10001"],
      option: "budget.steps",
      beyond: "the turn fails",
      failure: "too_many_steps"
    },
    {
      what: "sub-sessions below a session, one below the other",
      byDefault: count(settings.budget.depth ?? budget.depth),
      setting: "ESPALIER_DEPTH",
      ...times("0", "10"),
      refuses: ["-1", "11"],
      option: "budget.depth",
      beyond: "refused"
    },
    ...(["turn", "session"] as const).flatMap((of): ReadonlyArray<Limit> => {
      const upper = of.toUpperCase()
      return [
        {
          what: `tokens of a ${of}`,
          byDefault: "no limit",
          setting: `ESPALIER_${upper}_TOKENS`,
          takes: ["1", "1000000"],
          refuses: ["0"],
          option: `budget.${of}Tokens`,
          beyond: "the turn fails",
          failure: "token_budget_exceeded"
        },
        {
          what: `cost of a ${of}, in the currency of the model's prices`,
          byDefault: "no limit",
          setting: `ESPALIER_${upper}_COST`,
          refuses: ["0", "-1"],
          option: `budget.${of}Cost`,
          beyond: "the turn fails",
          failure: "cost_budget_exceeded"
        },
        {
          what: `time of a ${of}`,
          byDefault: "no limit",
          setting: `ESPALIER_${upper}_TIME`,
          refuses: ["soon"],
          option: `budget.${of}Time`,
          beyond: "the turn fails",
          failure: "time_budget_exceeded"
        }
      ]
    }),
    {
      what: "requests a minute to a provider of models",
      byDefault: settings.modelRate === undefined ? "as many as it takes" : count(settings.modelRate.limit),
      setting: "ESPALIER_MODEL_CALLS_PER_MINUTE",
      ...times("1", "1000000"),
      refuses: ["0", "1000001", "-1"],
      option: "modelRate",
      beyond: "they wait their turn",
      metric: "espalier_rate_limited_total"
    },
    { what: "tool calls of a round", byDefault: count(MAX_CALLS), beyond: "refused", failure: "too_many_calls" }
  ],
  Tools: [
    {
      what: "calls a minute of a session, of all tools",
      byDefault: settings.toolRate === undefined ? "as many as it likes" : count(settings.toolRate.limit),
      setting: "ESPALIER_TOOL_CALLS_PER_MINUTE",
      ...times("1", "1000000"),
      refuses: ["0", "1000001", "-1"],
      option: "toolRate",
      beyond: "refused",
      error: "RateLimited",
      failure: "rate_limited",
      metric: "espalier_rate_limited_total"
    },
    {
      what: "calls of a session, of one tool",
      byDefault: "as many as it likes",
      option: "the tool's `rate`",
      beyond: "refused",
      error: "RateLimited",
      failure: "rate_limited",
      metric: "espalier_rate_limited_total"
    },
    {
      what: "failures in a row of a dependency",
      byDefault: count(settings.breakers.failures),
      setting: "ESPALIER_BREAKER_FAILURES",
      ...times("1", "1000"),
      refuses: ["0", "1001"],
      option: "breakers.failures",
      beyond: "not called for a while",
      error: "BreakerOpen",
      failure: "breaker_open",
      metric: "espalier_breaker_refused_total"
    },
    {
      what: "that while, the first time",
      byDefault: time(settings.breakers.openFor),
      setting: "ESPALIER_BREAKER_OPEN",
      ...times("10 millis", "1 day"),
      refuses: ["9 millis", "2 days", "soon"],
      option: "breakers.openFor",
      beyond: "one call is let through to try",
      metric: "espalier_breaker_transitions_total"
    },
    {
      what: "that while, at most",
      byDefault: time(settings.breakers.openAtMost),
      setting: "ESPALIER_BREAKER_OPEN_MAX",
      ...times("10 millis", "1 day"),
      refuses: ["9 millis", "2 days"],
      option: "breakers.openAtMost",
      beyond: "it grows no more"
    },
    { what: "a result", byDefault: bytes(maxResult), beyond: "the call fails", failure: "result_too_large" },
    {
      what: "silence of a running tool",
      byDefault: time("300 seconds"),
      option: "the tool's `deadline`",
      beyond: "it is stopped",
      failure: "deadline_exceeded"
    },
    {
      what: "a tool's run",
      byDefault: time("1 hour"),
      option: "the tool's `hardCap`",
      beyond: "it is stopped",
      failure: "hard_cap_exceeded"
    },
    { what: "a child process that was asked to stop", byDefault: time("1 second"), beyond: "it is killed" },
    { what: "output kept of a child process", byDefault: bytes(64 * 1024), option: "`keep`", beyond: "the oldest goes" }
  ],
  "MCP servers": [
    {
      what: "a message of a server",
      byDefault: bytes(maxMessage),
      beyond: "its call fails, or the connection is lost"
    },
    {
      what: "what a server has not read yet",
      byDefault: `${count(queue.messages)} messages, ${bytes(queue.bytes)}`,
      beyond: "the call is not sent",
      failure: "mcp_server_busy"
    },
    {
      what: "calls under way, a quarter of them for one server",
      byDefault: count(settings.mcp.permits),
      setting: "ESPALIER_MCP_PERMITS",
      ...times("1", "256"),
      refuses: ["0", "257"],
      option: "mcp.permits",
      beyond: "they wait, in the pool `mcp`"
    },
    {
      what: "calls that wait, a quarter of them for one server",
      byDefault: count(settings.mcp.queue),
      setting: "ESPALIER_MCP_QUEUE",
      ...times("0", "100000"),
      refuses: ["-1", "100001"],
      option: "mcp.queue",
      beyond: "refused",
      error: "QuotaExceeded",
      failure: "quota_exceeded"
    },
    {
      what: "servers of sessions that run, all together",
      byDefault: count(settings.mcp.instances),
      setting: "ESPALIER_MCP_INSTANCES",
      ...times("1", "10000"),
      refuses: ["0", "10001"],
      option: "mcp.instances",
      beyond: "the call that would begin one fails",
      failure: "mcp_too_many_instances"
    },
    {
      what: "what a server of a session may have nothing to do",
      byDefault: time("30 minutes"),
      option: "`idle` of its declaration",
      beyond: "it is stopped, and begins again with the next call"
    },
    { what: "tools of a server", byDefault: count(definitions.tools), beyond: "left out, and counted" },
    { what: "a tool's description", byDefault: `${count(definitions.description)} characters`, beyond: "cut" },
    { what: "a tool's schema", byDefault: bytes(definitions.schema), beyond: "the tool is refused" },
    { what: "text of a result", byDefault: bytes(results.text), beyond: "cut" },
    { what: "images and sounds of a result", byDefault: bytes(results.media), beyond: "left out" },
    {
      what: "requests of a server to the model, a minute",
      byDefault: count(samplingBudget.perMinute),
      beyond: "refused"
    },
    { what: "characters of one", byDefault: count(samplingBudget.characters), beyond: "refused" },
    {
      what: "tokens of its answer",
      byDefault: `as many as it asks for, ${count(samplingBudget.tokens)} at most`,
      beyond: "cut, and said so"
    },
    { what: "questions that wait in a session", byDefault: count(MAX_OPEN), beyond: "declined" },
    { what: "a question that waits for its answer", byDefault: time(questionExpiry), beyond: "cancelled" },
    {
      what: "the form of a question",
      byDefault: `${count(forms.fields)} fields, ${count(forms.options)} choices of one, ${count(forms.characters)} characters`,
      beyond: "declined"
    },
    {
      what: "a text of an answer",
      byDefault: `${count(MAX_TEXT)} characters`,
      beyond: "refused",
      error: "InvalidInput"
    }
  ],
  Pools: [
    {
      what: "workers that run",
      byDefault: count(settings.permits),
      setting: "ESPALIER_PERMITS",
      ...times("1", "256"),
      refuses: ["0", "257"],
      option: "permits",
      beyond: "they wait"
    },
    {
      what: "tasks that wait",
      byDefault: count(settings.queue),
      setting: "ESPALIER_QUEUE",
      ...times("0", "100000"),
      refuses: ["-1", "100001"],
      option: "queue",
      beyond: "refused",
      error: "PoolSaturated",
      failure: "pool_saturated"
    },
    {
      what: "a task's wait",
      byDefault: time(settings.patience),
      setting: "ESPALIER_PATIENCE",
      refuses: ["soon"],
      option: "patience",
      beyond: "it fails without having started",
      failure: "queue_timeout"
    },
    {
      what: "tasks of a session or a key: running, waiting, a minute",
      byDefault: "no limit",
      setting: "ESPALIER_POOLS",
      option: "pools",
      beyond: "they wait, or are refused",
      error: "QuotaExceeded"
    }
  ],
  Agents: [
    {
      what: "agents that a broadcast reaches",
      byDefault: `${count(AUDIENCE)}, and ${count(MAX_AUDIENCE)} when asked for`,
      beyond: "the oldest are reached"
    },
    { what: "tags of a session, and its capabilities", byDefault: count(MAX_NAMES), beyond: "the first are taken" },
    { what: "keys whose agent a sticky route remembers", byDefault: count(STICKY_KEYS), beyond: "hashed anew" }
  ],
  Events: [
    { what: "a subscriber's queue", byDefault: count(defaultCapacity), beyond: "what its policy says" },
    { what: "the longest it may ask for", byDefault: count(maxCapacity), beyond: "refused", error: "InvalidInput" }
  ],
  "The limits themselves": [
    {
      what: "buckets of rate limits that are not full",
      byDefault: count(defaultKeys),
      beyond: "new keys are refused until one is",
      error: "RateLimited"
    },
    { what: "names with a circuit breaker", byDefault: count(names), beyond: "called without one" }
  ]
})

const tell = ({ beyond, error, failure }: Limit) => {
  const codes = [...(error === undefined ? [] : [error]), ...(failure === undefined ? [] : [failure])]
  return codes.length === 0 ? beyond : `${beyond}: ${codes.map((code) => `\`${code}\``).join(", ")}`
}

const setBy = ({ option, setting }: Limit) =>
  [
    setting === undefined ? "" : `\`${setting}\``,
    option === undefined ? "" : option.includes("`") ? option : `\`${option}\``
  ]
    .filter((name) => name !== "")
    .join(", ")

const table = (limits: ReadonlyArray<Limit>) =>
  [
    "| what | by default | set by | beyond it | metric |",
    "| --- | --- | --- | --- | --- |",
    ...limits.map(
      (limit) =>
        `| ${limit.what} | ${limit.byDefault} | ${setBy(limit)} | ${tell(limit)} | ${limit.metric === undefined ? "" : `\`${limit.metric}\``} |`
    )
  ].join("\n")

const intro = `# Limits

<!-- Made from the code by test/limits/docs.test.ts: "npx vitest run --config test/vitest.config.ts test/limits/docs.test.ts -u" writes it anew. -->

Nothing here is unbounded: what is asked for beyond a limit waits for a known time, is refused with an error that says what
to do, or makes room by a rule. A refusal has changed nothing. Names in capitals are set in the environment, the others are
options of \`Embedded.layer\` and \`Server.layer\`. Codes and exit statuses are in \`docs/errors.md\`.`

const more = `## Rate limits

A token bucket for each limit and key: \`limit\` tokens in each \`per\`, saved up to \`burst\`. In any time t no more than
burst + limit / per × t is granted, to however many ask at once. A refusal takes nothing and says after how many milliseconds
the same would be granted (\`retryAfter\`); what costs more than a full bucket is refused without that. Time is monotonic, so
nobody gains by a clock that is put back or forward. A full bucket is forgotten when there is need of its place.

\`\`\`ts
import { Effect } from "effect"
import { RateLimits } from "espalier"

const asked = RateLimits.use((limits) =>
  limits.take({ name: "model:mine", limit: 100_000, per: "1 minute" }, { key: "ses_1", cost: 1_200 })
)
\`\`\`

## Circuit breakers

One for each dependency, by name: \`tool:name\`, \`mcp:server\` (or \`mcp:server:session\`), \`model:provider\`. After some failures in a row it opens and
calls are refused at once with \`BreakerOpen\`, which says when to try again. Then exactly one call is let through: if it
succeeds the breaker closes, if it fails the breaker is open for twice as long, up to a cap; or for as long as the dependency
asked for. Interruptions and errors that say nothing of the dependency (bad input, a rate limit) count neither way: of a tool
only that it broke counts, unless the tool says otherwise with \`isUnwell\`. A call that began before a change of state counts no
more.

\`espalier breakers\` (RPC \`ListBreakers\`) lists them. Each change is an event on \`system:health\`: \`BreakerOpened\`,
\`BreakerHalfOpened\`, \`BreakerClosed\`. A guard can do something else in place of a refusal:

\`\`\`ts
import { Effect } from "effect"
import { Breakers } from "espalier"

declare const ask: Effect.Effect<string, { readonly status: number }>
const answer = Breakers.use((breakers) =>
  breakers.guard("model:mine", ask, {
    isFailure: ({ status }) => status >= 500,
    fallback: ({ retryAfter }) => Effect.succeed(\`not now; in \${retryAfter} ms\`)
  })
)
\`\`\`

## What is not limited yet

How many sessions one client has, and how many bytes it stores: there is no telling clients apart but by their address. Where
that matters, put the limit on whoever calls, or lower \`sessions\`.`

export const render = (settings: Settings): string =>
  `${[
    intro,
    ...Object.entries(sections(settings)).map(([title, limits]) => `## ${title}\n\n${table(limits)}`),
    more
  ].join("\n\n")}\n`
