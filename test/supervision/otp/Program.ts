/**
 * Programs that run on OTP's supervisor and on ours alike: a tree, and steps that are done to it one after another.
 * They are plain data, so that fast-check can shrink them and a person can read what is left.
 */
import type { RestartType, Strategy } from "../../../services/supervision/ChildSpec.ts"

export interface Worker {
  readonly name: string
  /** What its first starts come to; all later ones succeed. */
  readonly starts: ReadonlyArray<"ok" | "no">
  /** Asked to stop it stops, hears nothing, or fails on its way out. */
  readonly stop: "obeys" | "deaf" | "breaks"
}

/** In milliseconds where it is a number. */
export type Patience = "default" | "infinity" | "brutal_kill" | number

export interface Child {
  readonly body: Worker | Sup | Dyn
  readonly restart: RestartType
  readonly shutdown: Patience
  readonly significant: boolean
}

export interface Sup {
  readonly name: string
  readonly strategy: Strategy
  readonly intensity: number
  /** Seconds. */
  readonly period: number
  readonly auto: "never" | "any_significant" | "all_significant"
  readonly children: ReadonlyArray<Child>
}

/** `simple_one_for_one`: its children are all alike, but for their names and their behaviour. */
export interface Dyn {
  readonly name: string
  readonly intensity: number
  readonly period: number
  readonly restart: RestartType
  readonly shutdown: Patience
}

export type ExitKind = "normal" | "shutdown" | "error" | "kill"

export type Call =
  | { readonly _tag: "start"; readonly sup: string; readonly child: Child | Worker }
  | { readonly _tag: "terminate" | "restart" | "delete" | "spec"; readonly sup: string; readonly name: string }

export type Exit = { readonly _tag: "exit"; readonly name: string; readonly reason: ExitKind }

export type Step =
  | Exit
  | Call
  | { readonly _tag: "tick" }
  /** Done while the supervisor is busy: it finds them all in its mailbox, in this order. */
  | { readonly _tag: "together"; readonly sup: string; readonly steps: ReadonlyArray<Exit | Call> }

export interface Program {
  readonly tree: Sup
  readonly steps: ReadonlyArray<Step>
}

/**
 * What a `tick` takes, in seconds. Windows are 2, 5 and 60 seconds long, so that a restart is always more than 1.1
 * seconds away from the edge of its window, where OTP's whole seconds and our exact instants could disagree.
 */
export const tick = 3.3
export const periods = [2, 5, 60]

export const isWorker = (body: Worker | Sup | Dyn): body is Worker => "starts" in body
export const isSup = (body: Worker | Sup | Dyn): body is Sup => "children" in body

// -- as an Erlang term ------------------------------------------------------------------------------------------------

const list = (items: ReadonlyArray<string>): string => `[${items.join(",")}]`
const tuple = (...items: ReadonlyArray<string | number | boolean>): string => `{${items.join(",")}}`

const workerTerm = ({ name, starts, stop }: Worker): string => tuple("worker", name, list(starts), stop)

const bodyTerm = (body: Worker | Sup | Dyn): string =>
  isWorker(body)
    ? workerTerm(body)
    : isSup(body)
      ? tuple(
          "sup",
          body.name,
          body.strategy,
          body.intensity,
          body.period,
          body.auto,
          list(body.children.map(childTerm))
        )
      : tuple("dyn", body.name, body.intensity, body.period, body.restart, body.shutdown)

const childTerm = ({ body, restart, shutdown, significant }: Child): string =>
  tuple("child", bodyTerm(body), restart, shutdown, significant)

const stepTerm = (step: Step): string => {
  switch (step._tag) {
    case "exit":
      return tuple("exit", step.name, step.reason)
    case "start":
      return tuple("start", step.sup, "body" in step.child ? childTerm(step.child) : workerTerm(step.child))
    case "tick":
      return "tick"
    case "together":
      return tuple("together", step.sup, list(step.steps.map(stepTerm)))
    default:
      return tuple(step._tag, step.sup, step.name)
  }
}

export const term = (number: number, { steps, tree }: Program): string =>
  `${tuple(number, bodyTerm(tree), list(steps.map(stepTerm)))}.`

// -- for a person -----------------------------------------------------------------------------------------------------

const words = (...items: ReadonlyArray<string | false>): string => items.filter((item) => item !== false).join(" ")

const workerText = ({ name, starts, stop }: Worker): string =>
  words(name, starts.includes("no") && `starts:${starts.join(",")}`, stop !== "obeys" && stop)

const childLines = ({ body, restart, shutdown, significant }: Child, indent: string): ReadonlyArray<string> => {
  const own = words(restart, shutdown !== "default" && `shutdown ${shutdown}`, significant && "significant")
  if (isWorker(body)) return [`${indent}${workerText(body)} ${own}`]
  const [first = "", ...rest] = supLines(body, indent)
  return [`${first}, itself ${own}`, ...rest]
}

const supLines = (sup: Sup | Dyn, indent: string): ReadonlyArray<string> =>
  isSup(sup)
    ? [
        `${indent}${sup.name}: ${words(sup.strategy, `${sup.intensity} in ${sup.period} s`, sup.auto !== "never" && sup.auto)}`,
        ...sup.children.flatMap((child) => childLines(child, `${indent}  `))
      ]
    : [
        `${indent}${sup.name}: dynamic ${sup.intensity} in ${sup.period} s, children ${sup.restart} shutdown ${sup.shutdown}`
      ]

export const stepText = (step: Step): string => {
  switch (step._tag) {
    case "exit":
      return `${step.name} exits: ${step.reason}`
    case "start": {
      const child = "body" in step.child ? childLines(step.child, "").join("; ") : workerText(step.child)
      return `${step.sup}.start ${child}`
    }
    case "tick":
      return `${tick} s pass`
    case "together":
      return `while ${step.sup} is busy: ${step.steps.map(stepText).join(", ")}`
    default:
      return `${step.sup}.${step._tag} ${step.name}`
  }
}

export const treeText = (tree: Sup): string => supLines(tree, "  ").join("\n")

// -- traces -----------------------------------------------------------------------------------------------------------

const isKilled = (event: string): boolean => event.endsWith(" killed")
/** Names of dynamic children end in a digit, and begin with their supervisor's. */
const dynamicOf = (event: string): string | undefined => /^-([a-z]+)\d/.exec(event)?.[1]

const isLoose = (event: string, other: string): boolean => {
  const group = dynamicOf(event)
  return (isKilled(event) && isKilled(other)) || (group !== undefined && group === dynamicOf(other))
}

/**
 * Puts in one order what has none: the ends of dynamic children that are stopped all at once, and the ends of the
 * killed, who in OTP cannot write for themselves and are missed only when somebody writes next. Each time the first by
 * name of those that could have come next, so that all lines which tell the same become one.
 */
export const canonical = (line: string): string => {
  const [result = "", events = "", states = ""] = line.split("|").map((part) => part.trim())
  const left = events.split(/ (?=[-+!])/)
  const sorted: Array<string> = []
  while (left.length > 0) {
    const [first = ""] = left
      .filter((event, at) => left.slice(0, at).every((other) => isLoose(event, other)))
      .toSorted()
    left.splice(left.indexOf(first), 1)
    sorted.push(first)
  }
  // A supervisor that has stopped knows no children, says ours; OTP's does not answer.
  const answers = result.replaceAll(/\bnot_found\b/g, "stopped")
  return [answers, sorted.join(" "), states].join(" | ")
}
