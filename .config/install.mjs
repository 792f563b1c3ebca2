// Runs before every npm script, on whatever Node the machine has: installs what the lock file names and is not there yet.
import { execSync } from "node:child_process"
import { existsSync, readFileSync } from "node:fs"

const packages = (file) => JSON.parse(readFileSync(file, "utf8")).packages

const isInstalled = () => {
  const record = "node_modules/.package-lock.json"
  if (!existsSync(record) || !existsSync("node_modules/.bin/node")) return false
  const wanted = packages("package-lock.json")
  const found = packages(record)
  return Object.entries(wanted).every(
    ([path, { optional, version }]) => path === "" || optional || found[path]?.version === version
  )
}

if (existsSync("package-lock.json") && !isInstalled()) {
  console.error("Installing dependencies (once) …")
  // Not `npm ci`: it refuses a lock file that lacks the optional binaries of platforms other than those it was made on.
  execSync("npm install --no-save --no-audit --no-fund --loglevel=error", { stdio: ["ignore", 2, 2] })
}
