import { Brand, Effect, Schema } from "effect"
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

export const generateSessionId = Effect.map(Identifier.generate("ses"), Brand.nominal<SessionId>())
export const generateMessageId = Effect.map(Identifier.generate("msg"), Brand.nominal<MessageId>())
export const generateTurnId = Effect.map(Identifier.generate("turn"), Brand.nominal<TurnId>())
export const generateCallId = Effect.map(Identifier.generate("call"), Brand.nominal<CallId>())
