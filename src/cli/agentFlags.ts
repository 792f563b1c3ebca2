/** Which agents are meant: the flags of every command that asks the registry. */
import { Flag } from "effect/cli"
import { AgentStatus } from "../../services/registry/Agent.ts"
import { SessionId } from "../../services/session/SessionId.ts"

const several = (name: string, description: string) =>
  Flag.String(name).pipe(Flag.withDescription(description), Flag.between(0, 20))

export const agentFlags = {
  session: Flag.String("session").pipe(
    Flag.withSchema(SessionId),
    Flag.withDescription("Of this session"),
    Flag.optional
  ),
  role: Flag.String("role").pipe(Flag.withDescription("With this role"), Flag.optional),
  tag: several("tag", "With this tag; given more than once, with all of them"),
  capability: several("capability", "With this capability; given more than once, with all of them"),
  status: Flag.Literals("status", AgentStatus.literals).pipe(Flag.withDescription("In this status"), Flag.optional),
  metadata: Flag.KeyValuePair("label").pipe(
    Flag.withDescription("With this label, name=value; may be given more than once"),
    Flag.optional
  )
}
