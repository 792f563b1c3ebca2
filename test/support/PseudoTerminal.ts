/** The command line on a terminal of a given size, and what stands on its screen. Needs Python, for its `pty`. */
import { Effect } from "effect"
import { type ChildProcess, spawn, spawnSync } from "node:child_process"
import { once } from "node:events"
import { fileURLToPath } from "node:url"

export const isAvailable = spawnSync("python3", ["-c", "import pty"]).status === 0

/** Runs its arguments on a terminal: what is typed comes in, what is shown goes out, and the exit status is theirs. */
const driver = `
import fcntl, os, pty, select, struct, sys, termios
rows, columns = int(sys.argv[1]), int(sys.argv[2])
child, terminal = pty.fork()
if child == 0:
    fcntl.ioctl(0, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))
    os.execv(sys.argv[3], sys.argv[3:])
typed = [0]
while True:
    ready, _, _ = select.select([terminal] + typed, [], [])
    if 0 in ready:
        text = os.read(0, 1024)
        if text: os.write(terminal, text)
        else: typed = []
    if terminal in ready:
        try: text = os.read(terminal, 65536)
        except OSError: break
        if not text: break
        os.write(1, text)
sys.exit(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) % 256)
`

export class PseudoTerminal {
  output = ""
  readonly process: ChildProcess
  readonly status: Promise<number | null>
  readonly rows: number
  readonly columns: number

  constructor(rows: number, columns: number, url: string, args: ReadonlyArray<string>) {
    this.rows = rows
    this.columns = columns
    const entry = fileURLToPath(new URL("../../src/cli/espalier.ts", import.meta.url))
    this.process = spawn("python3", ["-c", driver, `${rows}`, `${columns}`, process.execPath, entry, ...args], {
      env: { PATH: process.env["PATH"], TERM: "xterm-256color", ESPALIER_URL: url },
      stdio: ["pipe", "pipe", "inherit"]
    })
    this.process.stdout?.on("data", (data) => (this.output += String(data)))
    this.status = once(this.process, "close").then(([status]) => status as number | null)
  }

  /** What stands on the screen now. */
  get screen(): Screen {
    return new Screen(this.rows, this.output, this.columns)
  }

  type(text: string): void {
    this.process.stdin?.write(text)
  }

  /** Returns once what stands on the screen holds. */
  async until(holds: (screen: Screen) => boolean): Promise<Screen> {
    for (;;) {
      const { screen } = this
      if (holds(screen)) return screen
      const { stdout } = this.process
      const more =
        stdout === null ? "end" : await Promise.race([once(stdout, "data"), this.status.then(() => "end" as const)])
      if (more === "end") throw new Error(`it ended before that: ${JSON.stringify(this.output)}`)
    }
  }
}

export const open = (
  size: { readonly rows: number; readonly columns: number },
  url: string,
  ...args: ReadonlyArray<string>
) =>
  Effect.acquireRelease(
    Effect.sync(() => new PseudoTerminal(size.rows, size.columns, url, args)),
    (terminal) =>
      Effect.promise(() => {
        terminal.process.kill("SIGKILL")
        return terminal.status
      })
  )

/** What a terminal makes of the sequences that we use; any other is an error. */
export class Screen {
  lines: Array<string> = [""]
  isCursorShown = true
  wraps = true
  takesPastes = false
  /** How far up the cursor has gone at a time. */
  readonly climbs: Array<number> = []
  private row = 0
  private column = 0
  private readonly columns: number

  /** Without a width, lines are as long as they like. */
  constructor(rows: number, output: string, columns = Number.POSITIVE_INFINITY) {
    this.columns = columns
    for (const [token] of output.matchAll(/\u001b\[\??([\d;]*)[A-Za-z]|[\r\n]|[^\u001b\r\n]+/g)) this.take(token)
    // What has scrolled off the top is out of sight, and out of reach.
    this.lines = this.lines.slice(-rows)
  }

  private take(token: string): void {
    const climb = /^\u001b\[(\d+)A$/.exec(token)
    if (climb !== null) {
      this.climbs.push(Number(climb[1]))
      this.row -= Number(climb[1])
      return
    }
    const column = /^\u001b\[(\d+)G$/.exec(token)
    if (column !== null) {
      this.column = Number(column[1]) - 1
      return
    }
    switch (token) {
      case "\r":
        this.column = 0
        return
      case "\n":
        this.row++
        this.lines[this.row] ??= ""
        return
      case "\u001b[K":
        this.lines[this.row] = this.text.slice(0, this.column)
        return
      case "\u001b[J":
      case "\u001b[0J":
        this.lines.length = this.row + 1
        this.lines[this.row] = this.text.slice(0, this.column)
        return
      case "\u001b[?25l":
      case "\u001b[?25h":
        this.isCursorShown = token.endsWith("h")
        return
      case "\u001b[?2004h":
      case "\u001b[?2004l":
        this.takesPastes = token.endsWith("h")
        return
      case "\u001b[?7l":
      case "\u001b[?7h":
        this.wraps = token.endsWith("h")
        return
      default:
        if (token.startsWith("\u001b") && !token.endsWith("m")) throw new Error(`unknown: ${JSON.stringify(token)}`)
        if (token.startsWith("\u001b")) return
        this.write(token)
    }
  }

  private write(text: string): void {
    // A row that is full is left with the next character, and no sooner.
    if (this.wraps && this.column >= this.columns) {
      this.row++
      this.column = 0
      this.lines[this.row] ??= ""
    }
    const here = this.wraps ? text.slice(0, this.columns - this.column) : text
    this.lines[this.row] =
      this.text.slice(0, this.column).padEnd(this.column) + here + this.text.slice(this.column + here.length)
    this.column += here.length
    if (here.length < text.length) this.write(text.slice(here.length))
  }

  private get text(): string {
    return this.lines[this.row] ?? ""
  }
}
