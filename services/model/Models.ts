/** Names of the models that answer: the first, and those that stand in for it. None while no model is configured. */
import { Context } from "effect"

export const Models = Context.Reference<ReadonlyArray<string>>("espalier/model/Models", { defaultValue: () => [] })
