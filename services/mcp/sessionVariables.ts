/** What stands for a session in the declaration of a server that each session has one of. */
import { Result } from "effect"
import type { SessionId } from "../session/SessionId.ts"
import type { McpTransport } from "./McpConfig.ts"

const names = ["ESPALIER_SESSION_ID", "ESPALIER_SESSION_DIRECTORY"] as const

export const isSessionVariable = (name: string): boolean => names.some((one) => one === name)

/** Where they may stand. Not in what is run or whom it speaks to. */
export const places = ["args", "env", "cwd", "headers"] as const

export interface Whose {
  readonly id: SessionId
  readonly directory: string | undefined
}

/** For one that is only looked at: a directory with nothing in it. A default comes before that. */
export interface Nobody {
  readonly id: undefined
  readonly directory: string
}

const variable = /\$\{(ESPALIER_SESSION_(?:ID|DIRECTORY))(?::-([^}]*))?\}/g

/** The transport as it is for the session, or why there is none: a sentence. */
export const forSession = (transport: McpTransport, whose: Whose | Nobody): Result.Result<McpTransport, string> => {
  let isMissing = false
  const valueOf = (name: string): string | undefined =>
    name === "ESPALIER_SESSION_ID" ? (whose.id ?? "none") : whose.directory
  const expand = (text: string): string =>
    text.replace(variable, (_, name: string, otherwise?: string) => {
      const value = whose.id === undefined ? (otherwise ?? valueOf(name)) : (valueOf(name) ?? otherwise)
      isMissing ||= value === undefined
      return value ?? ""
    })
  const expandAll = (texts: Readonly<Record<string, string>>) =>
    Object.fromEntries(Object.entries(texts).map(([name, text]) => [name, expand(text)]))
  const expanded: McpTransport =
    transport.type === "http"
      ? { ...transport, headers: expandAll(transport.headers) }
      : {
          ...transport,
          args: transport.args.map(expand),
          env: expandAll(transport.env),
          cwd: transport.cwd === undefined ? whose.directory : expand(transport.cwd)
        }
  return isMissing
    ? Result.fail("it works in the directory of its session, and this session has none; start one with a directory")
    : Result.succeed(expanded)
}
