/** Lets the benchmark ask a server in a process of its own how much CPU it has used: a line in, microseconds out. */
export const announce = (port: number): void => {
  process.stdout.write(`${port}\n`)
  process.stdin.setEncoding("utf8").on("data", () => {
    const { system, user } = process.cpuUsage()
    process.stdout.write(`${system + user}\n`)
  })
  process.stdin.on("end", () => process.exit(0))
}

/** What a baseline answers: what our gateway answered, so that all have the same to send. */
export const answer = JSON.parse(process.argv[2] ?? "{}") as object
