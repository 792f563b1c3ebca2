/** Entry of a thread of ours that does the job. */
import { runTask } from "../../layers/tools/ThreadBody.ts"
import { spin } from "./spin.ts"

await runTask((milliseconds: number) => Promise.resolve(spin(milliseconds)))
