/**
 * A day in the life of a session, as messages that are programs: the rounds of calls that the model asks for, one after
 * the other, before it answers. Which tool is called under which key tells what may become of the call.
 */
import type { Asked, Reply } from "./ModelServer.ts"
import { calls, lastSaid, says } from "./ModelServer.ts"

export type Call = readonly [tool: string, args: Readonly<Record<string, unknown>>]
export type Program = ReadonlyArray<ReadonlyArray<Call>>

export const textOf = (program: Program): string => JSON.stringify(program)

/** Long enough that a few of them do not fit in what the model is shown. */
const PADDING = 1_500

const task = (program: Program): Call => ["delegate", { task: textOf(program) }]

/** How each message's turn is to end. */
export interface Said {
  readonly id: string
  readonly program: Program
  readonly outcome: "completed" | "cancelled" | "failed"
  /** Sent once the message before it is in its tool `hold`. */
  readonly whenBusy?: "interrupt" | "rollback"
}

const say = (id: string, program: Program, outcome: Said["outcome"] = "completed"): Said => ({ id, program, outcome })

/** Calls of all kinds at once. */
const parallel = (id: string): Program => [
  [
    ["fast_again", { key: `${id}.a` }],
    ["heavy_once", { key: `${id}.b` }],
    ["fast_once", { key: `${id}.c` }],
    ["heavy_again", { key: `${id}.d`, pad: PADDING }],
    ["asked_once", { key: `${id}.e` }]
  ],
  [["fast_again", { key: `${id}.f`, pad: PADDING }]]
]

export const day: ReadonlyArray<Said> = [
  say("parallel", parallel("parallel")),
  say("permissions", [
    [
      ["asked_fast", { key: "permissions.a" }],
      ["asked_once", { key: "permissions.no", deny: true }],
      ["asked_again", { key: "permissions.c" }]
    ]
  ]),
  say("agents", [
    [
      task([[["asked_once", { key: "agents.a" }]]]),
      task([
        [
          ["fast_once", { key: "agents.b" }],
          ["heavy_again", { key: "agents.c" }]
        ]
      ])
    ]
  ]),
  say("mcp", [
    [
      ["noting__once", { key: "mcp.a" }],
      ["noting__again", { key: "mcp.b" }]
    ]
  ]),
  say("held", [[["fast_again", { key: "held.a" }]], [["hold", { key: "hold.held" }]]], "cancelled"),
  { ...say("instead", [[["fast_once", { key: "instead.a" }]]]), whenBusy: "interrupt" },
  say(
    "undone",
    [
      [
        ["fast_once", { key: "undone.a" }],
        ["hold", { key: "hold.undone" }]
      ]
    ],
    "cancelled"
  ),
  { ...say("rather", [[["heavy_once", { key: "rather.a" }]]]), whenBusy: "rollback" },
  say(
    "endless",
    Array.from({ length: 9 }, (_, n) => [["fast_again", { key: `endless.${n}` }] as const]),
    "failed"
  ),
  say("stopped", [[["hold", { key: "hold.stopped" }], task([[["hold", { key: "hold.below" }]]])]], "cancelled"),
  say("long", [
    [["fast_again", { key: "long.a", pad: PADDING }]],
    [["fast_again", { key: "long.b", pad: PADDING }]],
    [["fast_again", { key: "long.c", pad: PADDING }]],
    [["fast_again", { key: "long.d", pad: PADDING }]]
  ]),
  // After this one it goes to sleep, and the last one wakes it.
  say("tired", [[["heavy_again", { key: "tired.a" }]]]),
  say("awake", parallel("awake"))
]

export const last = "awake"

/** Rounds of calls that a turn may make. */
export const STEPS = 5

/** What a tool is idempotent by: it may run again if a crash cut it off. */
export const isIdempotent = (tool: string): boolean => tool.endsWith("again") || tool === "hold"

/**
 * The model of it, which goes by the conversation alone, and is strict: each call has its result right after it, in the
 * order of the calls, a result never changes once it was shown, and no result comes twice.
 */
export const strictModel = () => {
  const violations: Array<string> = []
  /** What was shown of a call, by its id. */
  const shown = new Map<string, string>()
  let requests = 0
  let summaries = 0

  const look = ({ body: { messages } }: Asked): void => {
    const seen = new Set<string>()
    let due: ReadonlyArray<string> = []
    for (const { content, role, tool_call_id: id = "", tool_calls: wanted } of messages) {
      if (role === "tool") {
        const [next, ...rest] = due
        if (next !== id) violations.push(`a result of ${id} where that of ${next ?? "nothing"} was due`)
        due = rest
        const text = String(content)
        const before = shown.get(id)
        const isDropped = text.includes("left out to save room")
        if (before !== undefined && before !== text && !isDropped) {
          violations.push(`${id} was ${before} first and then ${text}`)
        }
        if (!isDropped) shown.set(id, text)
        continue
      }
      if (due.length > 0) violations.push(`orphan calls: ${due.join()}`)
      due = (wanted ?? []).map(({ id }) => id)
      for (const id of due) {
        if (seen.has(id)) violations.push(`${id} is asked for twice`)
        seen.add(id)
      }
    }
    if (due.length > 0) violations.push(`orphan calls at the end: ${due.join()}`)
  }

  const script = (asked: Asked): Reply => {
    requests++
    look(asked)
    const { messages } = asked.body
    const at = messages.findLastIndex(({ role }) => role === "user")
    const text = lastSaid(asked)
    if (text.includes("Sum up the conversation")) {
      summaries++
      return says("All went as it should.")
    }
    let program: Program
    try {
      program = JSON.parse(text) as Program
    } catch {
      violations.push(`asked about no program: ${text.slice(0, 300)}`)
      return says("?")
    }
    const round = messages.slice(at).filter(({ role }) => role === "assistant").length
    const wanted = program[round]
    return wanted === undefined
      ? says("Done", ".")
      : calls(...wanted.map(([tool, args]) => [tool, JSON.stringify(args)] as const))
  }

  return { script, violations, requests: () => requests, summaries: () => summaries }
}
