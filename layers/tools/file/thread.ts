/** Entry of the thread that reads a large file. */
import { runTask } from "../ThreadBody.ts"
import { profile } from "./profile.ts"

await runTask(profile)
