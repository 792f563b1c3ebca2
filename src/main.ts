/** The bundled entrypoint, `npm start`: the whole runtime on this machine, with no key and no other service. */
import { enableCompileCache } from "node:module"

enableCompileCache()
const { run } = await import("./cli/run.ts")
run(["serve", ...process.argv.slice(2)])
