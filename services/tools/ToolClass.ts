/**
 * What a tool touches. `read`: looks at what is there. `write`: changes it. `exec`: runs programs. `network`: speaks to
 * other machines. `secret`: sees what must not be seen by others.
 */
import { Schema } from "effect"

export const ToolClass = Schema.Literals(["read", "write", "exec", "network", "secret"])
export type ToolClass = typeof ToolClass.Type
