/** What each event means, who tells it and when: the words of `docs/events.md`, which is made from this and the schemas. */
import type { Delivery, RuntimeEvent } from "./RuntimeEvent.ts"

type Fields<Event> = Omit<Event, "_tag">

export interface Entry<Event> {
  readonly when: string
  /** Which part of the runtime tells it. */
  readonly by: string
  readonly fields: { readonly [Name in keyof Required<Fields<Event>>]: string }
}

type Catalogue<All extends { readonly _tag: string }> = {
  readonly [Tag in All["_tag"]]: Entry<Extract<All, { readonly _tag: Tag }>>
}

const session = "the session"
const pool = "the worker pool"
const supervisor = "the child's supervisor"
const path = "the child's place in the tree, ids joined by `/`"
const turn = "the turn"
const mcp = "the keeper of MCP servers"
const server = "its name in the configuration"
const breaker = "the dependency's circuit breaker"
const dependency = "name of the dependency: `tool:name`, `mcp:server` (or `mcp:server:session`), `model:provider`"
const answer = "on the first event that a model's answer led to: the model, its usage, what travels back to it"

const sessionOfServer = "whose it is, where each session has its own"

export const events: Catalogue<RuntimeEvent> = {
  SessionStarted: {
    when: "A session was created: always the first event of its topic.",
    by: session,
    fields: {
      title: "for people",
      agentType: "the declared kind of agent",
      metadata: "labels of the caller's own",
      owner: "the person it belongs to; absent where nobody has to say who they are",
      permissions: "what it may do without asking, and whether somebody is there to be asked",
      whenBusy: "what becomes of a message that comes while it is busy, unless the message says so",
      limits: "what it and each of its turns may use up, within the server's own limits",
      directory: "where it works; its `AGENTS.md` is told to the model",
      mcpServers: "the MCP servers that it sees, by their names; absent for all that are declared",
      parent: "of a sub-session: where it hangs, and how long it may live"
    }
  },
  SessionUpdated: {
    when: "Its title or its labels were changed.",
    by: session,
    fields: { title: "the new title, when it changed", metadata: "all labels, when they changed" }
  },
  MessageReceived: {
    when: "A message was accepted, a user's or another agent's: from here on it is never lost and is answered exactly once.",
    by: session,
    fields: {
      messageId: "the caller's id of it, or one made for it",
      text: "the message",
      supersedes:
        "the running turn is cancelled for it, and it comes next; with `rollback` that turn is rolled back too",
      from: "the agent that sent it; absent when a person did",
      attachments: "texts and pictures that came with it"
    }
  },
  TurnStarted: {
    when: "The session began to answer a message.",
    by: session,
    fields: { turnId: turn, messageId: "the message that it answers" }
  },
  ToolCallRequested: {
    when: "A tool call was decided on, before anything of it runs.",
    by: session,
    fields: {
      callId: "the call",
      turnId: "the turn that asked for it; absent when a person did",
      workerId: "the worker that runs it; absent for a fast tool",
      tool: "name of the tool",
      args: "its arguments",
      answer
    }
  },
  PermissionRequested: {
    when: "A tool call waits until a person has allowed it. Journaled, so it waits over a restart.",
    by: session,
    fields: {
      permissionId: "what an answer names",
      callId: "the call",
      tool: "name of the tool",
      args: "exactly what it will be run with",
      classes: "what the call touches",
      expiresAt: "Unix time in milliseconds; unanswered by then, the answer is no",
      hash: "what the answer is bound to: it covers session, person, tool and arguments",
      path: "of a sub-agent's: the sub-sessions from this one down to the one that asks"
    }
  },
  PermissionResolved: {
    when: "A permission was answered, or is no longer waited for: exactly once for each `PermissionRequested`.",
    by: session,
    fields: {
      permissionId: "the permission",
      callId: "the call",
      decision: "whether the call may run",
      how: "`expired`: nobody answered in time; `withdrawn`: the turn or the session ended",
      by: "the person who answered",
      path: "of a sub-agent's: as it was asked",
      allowed: "rules that the person added, so as not to be asked again"
    }
  },
  QuestionAsked: {
    when: "An MCP server asks the session's person something while a tool of it runs. It ends with the process that it was asked in.",
    by: session,
    fields: {
      questionId: "what an answer names",
      server: "name of the MCP server",
      message: "the question, in the server's words",
      schema: "JSON Schema of the answer: an object of texts, numbers, yes or no, and choices",
      expiresAt: "Unix time in milliseconds; unanswered by then, the server hears that it was cancelled",
      path: "of a sub-agent's: the sub-sessions from this one down to the one that asks"
    }
  },
  QuestionSettled: {
    when: "A question was answered, or is no longer asked: exactly once for each `QuestionAsked`. What was answered is the server's alone and is kept nowhere.",
    by: session,
    fields: {
      questionId: "the question",
      action:
        "what the person did; `expired`: nobody answered in time; `withdrawn`: the call, the turn, the session, the server or the process that asked it is gone",
      by: "the person who answered",
      path: "of a sub-agent's: as it was asked"
    }
  },
  TextSampled: {
    when: "The model completed a text for an MCP server while a tool of it ran for the session: it counts for the session's budget.",
    by: session,
    fields: { server: "name of the MCP server", answer: "the model and its usage" }
  },
  SubSessionStarted: {
    when: "A session below this one has begun, in one append with its own first event.",
    by: session,
    fields: {
      sessionId: "the sub-session: its topic tells what it does",
      index: "its number below this session: in the registry it is `{ session, sub, index }`",
      agentType: "its type of agent",
      callId: "the call that it is the outcome of; absent when it was started from outside"
    }
  },
  SubSessionEnded: {
    when: "A sub-session has come to its outcome, or to its end: exactly once for each `SubSessionStarted`.",
    by: session,
    fields: { sessionId: "the sub-session", spent: "tokens and money that it used" }
  },
  ToolCallQueued: {
    when: "A heavy call that had to be allowed first is on the pool now.",
    by: session,
    fields: { callId: "the call", workerId: "the worker that runs it" }
  },
  ToolCallSettled: {
    when: "A tool call ended: once for each `ToolCallRequested`, by recovery if need be.",
    by: session,
    fields: { callId: "the call", outcome: "its result, its failure, or that it was cancelled or cut off by a crash" }
  },
  MessageSettled: {
    when: "The assistant's message of a model round is complete: it stands for all `TextDelta`s before it.",
    by: session,
    fields: {
      turnId: turn,
      messageId: "the assistant's message",
      text: "all of it",
      partial: "a cancel or a failure cut it off",
      answer
    }
  },
  ContextCompacted: {
    when: "The conversation was made to fit what the model may be shown. The journal keeps all of it.",
    by: "the turn",
    fields: {
      turnId: turn,
      upTo: "the last sequence that it goes for",
      dropped: "results of tools that are shown no longer",
      summary: "stands for all up to there, when that was summed up",
      answer
    }
  },
  TurnRolledBack: {
    when: "A message with `rollback` took the turn's place: it is no part of the conversation any more, what it did stays done. Its `TurnEnded` follows.",
    by: session,
    fields: { turnId: turn }
  },
  TurnEnded: {
    when: "A turn is over: exactly once for each `TurnStarted`, by recovery if need be.",
    by: session,
    fields: { turnId: turn, outcome: "how it ended", failure: "why, when it failed", answer }
  },
  SessionEnded: {
    when: "The session was stopped: exactly once, and always the last event of its topic.",
    by: session,
    fields: { reason: "why, in the words of whoever stopped it" }
  },
  TextDelta: {
    when: "The model said a piece of its answer. Passing: it has no sequence, is never replayed, and may be missed.",
    by: "the turn, while it streams",
    fields: {
      turnId: turn,
      text: "the piece",
      from: "characters of its message before it: more than were heard when pieces were missed, 0 when it is begun anew"
    }
  },
  SessionHibernated: {
    when: "It was idle for long enough to leave memory; its next message wakes it. Passing.",
    by: session,
    fields: {}
  },
  SessionWoken: {
    when: "It is back in memory. Passing.",
    by: session,
    fields: {}
  },
  WorkerQueued: {
    when: "Heavy work was accepted, in one append with the session's `ToolCallRequested`: always the first of its topic.",
    by: pool,
    fields: {
      workerId: "the worker",
      sessionId: "the session it works for",
      callId: "the session's call",
      tool: "name of the tool",
      args: "its arguments",
      idempotent: "it may be run again when a crash cut it off",
      limits: "how long it may be silent and run, in milliseconds",
      pool: "the pool that it runs on",
      priority: "0 to 9, 9 first, among the tasks of its session",
      key: "what quotas per key count it by: the session's agent type"
    }
  },
  WorkerStarted: {
    when: "It got a place in the pool and runs.",
    by: pool,
    fields: { attempt: "counts from 1; above 1 the process died while it ran" }
  },
  WorkerProgress: {
    when: "Its tool told how far it is.",
    by: pool,
    fields: { percent: "0 to 100, never falls", stage: "what it is at" }
  },
  WorkerCompleted: {
    when: "It ended well. Exactly one of completed, failed and cancelled is the last event of its topic.",
    by: pool,
    fields: { result: "what the tool made" }
  },
  WorkerFailed: {
    when: "It failed, outstayed a limit, or a crash cut off what may not be run twice. Last of its topic.",
    by: "the worker pool, or its recovery",
    fields: { failure: "a stable code and a sentence" }
  },
  WorkerCancelled: {
    when: "Somebody cancelled it, or stopped its session. Last of its topic.",
    by: pool,
    fields: { reason: "who or why" }
  },
  ChildStarted: {
    when: "A supervised child runs.",
    by: supervisor,
    fields: { path, reason: "`spec` when its supervisor's spec names it, `call` when somebody asked for it" }
  },
  ChildExited: {
    when: "A child ended by itself, well or by a crash.",
    by: supervisor,
    fields: { path, reason: "how it ended" }
  },
  ChildRestarted: {
    when: "A child that had ended runs again.",
    by: supervisor,
    fields: {
      path,
      attempt: "restarts in the current window",
      delay: "milliseconds waited before",
      reason: "how its last life ended"
    }
  },
  ChildNotStarted: {
    when: "A start of a child failed, the first one or that of a restart.",
    by: supervisor,
    fields: { path, attempt: "that of the restart; 0 for a first start", reason: "why it failed" }
  },
  ChildTerminated: {
    when: "A child was stopped by its supervisor.",
    by: supervisor,
    fields: { path, reason: "`Shutdown`, `Killed` when it had to be given up, `Failed` when it broke on its way out" }
  },
  SupervisorGaveUp: {
    when: "More restarts were needed than its intensity allows.",
    by: "the supervisor itself",
    fields: {
      path: "the supervisor, or the one child that stays down",
      restarts: "restarts in the window",
      reason: "the end that was one too many"
    }
  },
  HealthSampled: {
    when: "Every few seconds.",
    by: "the monitor",
    fields: {
      eventLoopDelay: "how late timers ran since the last sample, in milliseconds",
      rss: "memory of the process, in bytes",
      heapUsed: "JavaScript heap in use, in bytes",
      running: "workers that run",
      queued: "workers that wait",
      agents: "agents that are alive"
    }
  },
  MaintenanceRan: {
    when: "Upkeep has done a round.",
    by: "upkeep",
    fields: {
      removedDirectories: "left-over working directories removed",
      removedWorkers: "old workers removed",
      removedSessions: "old sessions removed",
      removedEvents: "old events of sessions removed",
      took: "milliseconds"
    }
  },
  BreakerOpened: {
    when: "A dependency failed several times in a row, or in the call that was to try it: calls are refused for a while.",
    by: breaker,
    fields: {
      breaker: dependency,
      retryAfter: "milliseconds until a call is let through",
      openings: "in a row, without a lasting recovery in between"
    }
  },
  BreakerHalfOpened: {
    when: "A breaker was open for its time: one call is let through to try the dependency.",
    by: breaker,
    fields: { breaker: dependency }
  },
  BreakerClosed: { when: "The dependency answers again.", by: breaker, fields: { breaker: dependency } },
  MaintenanceFailed: {
    when: "A round of upkeep could not be finished; it is tried again.",
    by: "upkeep",
    fields: { message: "what stood in the way" }
  },
  PoolResized: {
    when: "A pool got more or fewer permits.",
    by: pool,
    fields: {
      pool: "its name",
      from: "permits before",
      to: "permits now",
      by: "an operator, the pool itself, or its warm-up after the start",
      reason: "why, in words"
    }
  },
  PoolPaused: { when: "A pool starts nothing more, and what comes waits.", by: pool, fields: { pool: "its name" } },
  PoolResumed: { when: "A pool that was paused or drained goes on.", by: pool, fields: { pool: "its name" } },
  PoolDraining: {
    when: "A pool takes nothing more, and ends what it has.",
    by: pool,
    fields: { pool: "its name", running: "tasks that run", queued: "tasks that wait" }
  },
  PoolDrained: { when: "A pool that is drained has nothing left.", by: pool, fields: { pool: "its name" } },
  McpServerReady: {
    when: "An MCP server answers, and its tools can be called.",
    by: mcp,
    fields: {
      server,
      session: sessionOfServer,
      protocol: "the version of MCP that was agreed on",
      tools: "tools that may be used"
    }
  },
  McpServerDown: {
    when: "The connection to an MCP server was lost; it is started again.",
    by: mcp,
    fields: { server, session: sessionOfServer, reason: "why, in a sentence" }
  },
  McpServerBroken: {
    when: "An MCP server was lost more often than its intensity allows, and is left alone for a while.",
    by: mcp,
    fields: {
      server,
      session: sessionOfServer,
      reason: "why it was lost the last time",
      retryIn: "milliseconds until it is tried again"
    }
  },
  McpServerStopped: {
    when: "What a session had of an MCP server has been stopped; its next call begins another.",
    by: mcp,
    fields: {
      server,
      session: "whose it was",
      reason: "the session has ended or hibernated, or had nothing for it to do"
    }
  },
  McpToolsBlocked: {
    when: "Tools of an MCP server are not as they were approved. They cannot be called until they are approved.",
    by: mcp,
    fields: { server, tools: "their names on the server, the first 20" }
  },
  McpToolsApproved: {
    when: "Somebody approved tools that were blocked.",
    by: mcp,
    fields: { server, tools: "their names on the server, the first 20" }
  }
}

const at = "Unix time in milliseconds: for people, order is told by `sequence` alone"

export const deliveries: Catalogue<Delivery> = {
  Event: {
    when: "An event of the topic's sequence.",
    by: "the event bus",
    fields: { topic: "the topic", sequence: "counts the topic's events from 1 without a gap", at, event: "the event" }
  },
  Ephemeral: {
    when: "A passing event. Never replayed, not told when it is skipped.",
    by: "the event bus",
    fields: { topic: "the topic", after: "the last sequence that it follows", at, event: "the event" }
  },
  Lagged: {
    when: "The subscriber's policy skipped events, or a system topic no longer keeps them.",
    by: "the event bus",
    fields: {
      topic: "the topic, or the wildcard",
      from: "first sequence skipped; of a wildcard a position in this subscription",
      to: "last sequence skipped",
      count: "how many"
    }
  },
  Snapshot: {
    when: 'First of a subscription with `expired: "snapshot"` whose `from` is no longer kept: it stands for all events up to its sequence.',
    by: "the event bus",
    fields: {
      topic: "the topic",
      sequence: "the event that the state is that after; the next one follows",
      earliest: "the oldest event that is still kept",
      session: "the session's state, as `GetSession` tells it"
    }
  }
}
