import { Effect, Schema } from "effect"
import * as Identifier from "../Identifier.ts"

export const SessionId = Identifier.schema("ses").pipe(Schema.brand("SessionId"))
export type SessionId = typeof SessionId.Type

export const MessageId = Identifier.schema("msg").pipe(Schema.brand("MessageId"))
export type MessageId = typeof MessageId.Type

export const TurnId = Identifier.schema("turn").pipe(Schema.brand("TurnId"))
export type TurnId = typeof TurnId.Type

/** One call of a tool, whether a turn or a person asked for it. */
export const CallId = Identifier.schema("call").pipe(Schema.brand("CallId"))
export type CallId = typeof CallId.Type

export const generateSessionId = Effect.map(Identifier.generate("ses"), (id) => SessionId.make(id))
export const generateMessageId = Effect.map(Identifier.generate("msg"), (id) => MessageId.make(id))
export const generateTurnId = Effect.map(Identifier.generate("turn"), (id) => TurnId.make(id))
export const generateCallId = Effect.map(Identifier.generate("call"), (id) => CallId.make(id))
