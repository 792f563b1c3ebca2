/** What waits for a person's leave, and the answers to it. */
import { Clock, Effect, Option, Schema } from "effect"
import { Argument, Command, Flag } from "effect/cli"
import { Permission, PermissionAnswer, PermissionId } from "../../services/permission/Permission.ts"
import { visible, visibleJson } from "../../services/permission/visible.ts"
import { SessionId } from "../../services/session/SessionId.ts"
import type * as Client from "../client.ts"
import { UsageError } from "./Failure.ts"
import * as Output from "./Output.ts"
import { withClient } from "./Root.ts"
import * as Table from "./Table.ts"
import * as Terminal from "./Terminal.ts"

const sessionId = Argument.String("session").pipe(
  Argument.withSchema(SessionId),
  Argument.withDescription('A session\'s id; see "espalier session list"')
)

const permissionText = ({ args, classes, expiresAt, path = [], permissionId, tool }: Permission, now: number): string =>
  [
    Table.facts([
      ["permission", permissionId],
      ["tool", visible(tool)],
      ["arguments", visibleJson(args)],
      ["touches", classes.join(", ")],
      ["asked by", path.length === 0 ? "" : `sub-session ${path.join(" / ")}`],
      ["expires", `in ${Terminal.duration(Math.max(0, expiresAt - now))}`]
    ])
  ].join("\n")

export const permissions = Command.make("permissions", { sessionId }, ({ sessionId }) =>
  withClient((espalier) =>
    Effect.gen(function* () {
      const asked = yield* espalier.ListPermissions({ sessionId })
      const now = yield* Clock.currentTimeMillis
      yield* Output.print(Schema.Array(Permission), asked, (asked) =>
        asked.length === 0
          ? Terminal.dim("nothing waits for permission")
          : asked.map((permission) => permissionText(permission, now)).join("\n\n")
      )
    })
  )
).pipe(Command.withDescription("Tool calls that wait until a person has allowed them, with their exact arguments"))

const permission = Argument.String("permission").pipe(
  Argument.withSchema(PermissionId),
  Argument.withDescription('What is asked; see "espalier session permissions". Needed when more than one is'),
  Argument.optional
)

const hash = Flag.String("hash").pipe(
  Flag.withDescription("What was shown, for scripts: an answer to anything else is refused"),
  Flag.optional
)

const Resolved = Schema.Struct({ permissionId: PermissionId, decision: PermissionAnswer })

/** Answers what is asked now, and says exactly what that was. */
const resolve = Effect.fnUntraced(function* (
  espalier: Client.Operation,
  decision: PermissionAnswer,
  options: {
    readonly sessionId: SessionId
    readonly permission: Option.Option<PermissionId>
    readonly hash: Option.Option<string>
    readonly remember: boolean
  }
) {
  const { remember, sessionId } = options
  const asked = yield* espalier.ListPermissions({ sessionId })
  if (Option.isNone(options.permission) && asked.length > 1) {
    return yield* new UsageError({
      message: `${asked.length} calls wait for permission; name one: see "espalier session permissions ${sessionId}"`
    })
  }
  const wanted = Option.getOrUndefined(options.permission)
  const found = wanted === undefined ? asked[0] : asked.find(({ permissionId }) => permissionId === wanted)
  const permissionId = wanted ?? found?.permissionId
  if (permissionId === undefined) return yield* new UsageError({ message: "nothing waits for permission" })
  const hash = Option.getOrElse(options.hash, () => found?.hash ?? "")
  yield* espalier.ResolvePermission({ sessionId, permissionId, decision, hash, ...(remember ? { remember } : {}) })
  yield* Output.print(Resolved, { permissionId, decision }, () =>
    found === undefined
      ? `${decision === "allow" ? "allowed" : "denied"} ${permissionId}`
      : `${decision === "allow" ? "allowed" : "denied"} ${visible(found.tool)} ${visibleJson(found.args)}`
  )
})

export const approve = Command.make(
  "approve",
  {
    sessionId,
    permission,
    hash,
    remember: Flag.Boolean("remember").pipe(
      Flag.withDescription("Do not ask again in this session for this tool and what it touches"),
      Flag.withDefault(false)
    )
  },
  (options) => withClient((espalier) => resolve(espalier, "allow", options))
).pipe(Command.withDescription("Allow a tool call that waits for permission"))

export const deny = Command.make("deny", { sessionId, permission, hash }, (options) =>
  withClient((espalier) => resolve(espalier, "deny", { ...options, remember: false }))
).pipe(Command.withDescription("Deny a tool call that waits for permission; the model is told"))
