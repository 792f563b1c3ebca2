/**
 * Who a call comes from. The edge sets it for what it lets in; where nobody has to say who they are, everybody is
 * `local`.
 */
import { Context } from "effect"

export const LOCAL = "local"

export const Person = Context.Reference<string>("espalier/access/Person", { defaultValue: () => LOCAL })
