/** Entry of the thread that analyses a codebase. */
import { runTask } from "../ThreadBody.ts"
import { analyze } from "./analyze.ts"

await runTask(analyze)
