/**
 * A permission that a tool call waits for: what a person is shown, and what the answer is bound to.
 *
 * The answer must name the hash over session, person, tool and exact arguments that was shown. So it is good for that
 * one call and for nothing else: not for other arguments, another session, another person, or a second time.
 */
import { Effect, Schema } from "effect"
import { Digest } from "effect/crypto"
import * as Identifier from "../Identifier.ts"
import { CallId, SessionId } from "../session/SessionId.ts"
import { ToolClass } from "../tools/ToolClass.ts"

export const PermissionId = Identifier.schema("perm").pipe(Schema.brand("PermissionId"))
export type PermissionId = typeof PermissionId.Type

export const generatePermissionId = Effect.map(Identifier.generate("perm"), (id) => PermissionId.make(id))

/** Milliseconds that a person has to answer; after that the answer is no. */
export const EXPIRY = 300_000

export const permissionFields = {
  permissionId: PermissionId,
  callId: CallId,
  tool: Schema.String,
  /** Exactly what the tool will be run with. */
  args: Schema.Json,
  classes: Schema.Array(ToolClass),
  /** Unix time in milliseconds: from then on the answer is no. */
  expiresAt: Schema.Int,
  /** Over session, person, permission, tool and arguments. */
  hash: Schema.String,
  /** Of a sub-agent's: the sub-sessions from this session down to the one that asks. */
  path: Schema.optionalKey(Schema.Array(SessionId))
}

/** One that waits for its answer. */
export const Permission = Schema.Struct(permissionFields)
export type Permission = typeof Permission.Type

export const PermissionAnswer = Schema.Literals(["allow", "deny"])
export type PermissionAnswer = typeof PermissionAnswer.Type

/** SHA-256, as hexadecimal digits. */
export const hashOf = (
  person: string,
  sessionId: SessionId,
  { args, callId, permissionId, tool }: Pick<Permission, "permissionId" | "callId" | "tool" | "args">
): Effect.Effect<string> =>
  Digest.Digest.use((digest) =>
    digest.digestHex(
      Digest.sha256,
      new TextEncoder().encode(JSON.stringify([person, sessionId, permissionId, callId, tool, args]))
    )
  ).pipe(Effect.provide(Digest.layerWebCrypto), Effect.orDie)

export class PermissionNotFound extends Schema.TaggedError<PermissionNotFound>()("PermissionNotFound", {
  sessionId: SessionId,
  permissionId: PermissionId
}) {
  override get message() {
    return `session ${this.sessionId} asks for no permission ${this.permissionId}; see "espalier session permissions ${this.sessionId}"`
  }
}

/** Nobody answered in time, and so the answer was no. */
export class PermissionExpired extends Schema.TaggedError<PermissionExpired>()("PermissionExpired", {
  permissionId: PermissionId
}) {
  override get message() {
    return `permission ${this.permissionId} was not answered in time, which counts as no; ask the session to try again`
  }
}

/** The answer is for something else than what is asked: other arguments, or another person. */
export class PermissionMismatch extends Schema.TaggedError<PermissionMismatch>()("PermissionMismatch", {
  permissionId: PermissionId
}) {
  override get message() {
    return `that is not what permission ${this.permissionId} asks for, or not of you; look at it again before you answer`
  }
}

/** An answer counts once. */
export class PermissionAlreadyResolved extends Schema.TaggedError<PermissionAlreadyResolved>()(
  "PermissionAlreadyResolved",
  {
    permissionId: PermissionId
  }
) {
  override get message() {
    return `permission ${this.permissionId} has been answered, and an answer counts once`
  }
}
