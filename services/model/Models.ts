/** Which models answer, and what they cost. */
import { Context } from "effect"
import type { Price } from "./Usage.ts"

/** Names of the models that answer: the first, and those that stand in for it. None while no model is configured. */
export const Models = Context.Reference<ReadonlyArray<string>>("espalier/model/Models", { defaultValue: () => [] })

/** Of those of them that have one. */
export const Prices = Context.Reference<ReadonlyArray<Price>>("espalier/model/Prices", { defaultValue: () => [] })
