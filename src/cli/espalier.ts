#!/usr/bin/env node
import { enableCompileCache } from "node:module"

// A command is over soon: what it spends on reading its own code counts.
enableCompileCache()
const { run } = await import("./run.ts")
run(process.argv.slice(2))
