import { Clock, Console, Effect, Option, Schema } from "effect"
import { Argument, Command, Flag } from "effect/cli"
import { NamedPool, PoolStatus } from "../../services/worker/PoolStatus.ts"
import { defaultPool, maxPermits } from "../../services/worker/PoolLimits.ts"
import type * as Client from "../client.ts"
import { UsageError } from "./Failure.ts"
import { given } from "./given.ts"
import * as LiveText from "./LiveText.ts"
import * as Output from "./Output.ts"
import * as PoolView from "./PoolView.ts"
import { root, withClient } from "./Root.ts"
import * as Terminal from "./Terminal.ts"

/** How often a watched status is asked for. */
const interval = "1 second"

/** Once a second: in place on a terminal, a line of JSON each, or, in a pipe, whenever it has changed. */
const watch = Effect.fnUntraced(function* (espalier: Client.Operation) {
  const { json } = yield* root
  const isLive = Terminal.isTerminal("stdout") && !json
  const draw = isLive ? yield* LiveText.make : (text: string) => Console.log(text)
  const encode = Schema.encodeEffect(Schema.toCodecJson(PoolStatus))
  let last = ""
  while (true) {
    const status = yield* espalier.PoolStatus()
    const now = yield* Clock.currentTimeMillis
    const text = json ? JSON.stringify(yield* Effect.orDie(encode(status))) : PoolView.render(status, now)
    if (isLive || text !== last) yield* draw(json || isLive ? text : `${text}\n`)
    last = text
    yield* Effect.sleep(interval)
  }
}, Effect.scoped)

const status = Command.make(
  "status",
  {
    isWatched: Flag.Boolean("watch").pipe(
      Flag.withAlias("w"),
      Flag.withDescription("Show it again and again until Ctrl-C: in place on a terminal"),
      Flag.withDefault(false)
    )
  },
  ({ isWatched }) =>
    withClient((espalier) =>
      isWatched
        ? watch(espalier)
        : Effect.gen(function* () {
            const status = yield* espalier.PoolStatus()
            const now = yield* Clock.currentTimeMillis
            yield* Output.print(PoolStatus, status, (status) => PoolView.render(status, now))
          })
    )
).pipe(Command.withDescription("What the pools run and hold, whose it is, and how their sizes have changed"))

const name = Argument.String("pool").pipe(
  Argument.withDescription(`Which one: "espalier pool status" lists them (default ${defaultPool})`),
  Argument.withDefault(defaultPool)
)

const print = (pool: NamedPool) => Output.print(NamedPool, pool, PoolView.describe)

const permits = (name: string, description: string) =>
  Flag.Int(name).pipe(
    Flag.withSchema(Schema.Int.check(Schema.isBetween({ minimum: 1, maximum: maxPermits }))),
    Flag.withDescription(description),
    Flag.optional
  )

const resize = Command.make(
  "resize",
  {
    pool: name,
    permits: permits("permits", "Workers that run at a time"),
    min: permits("min", "It scales itself down to this many"),
    max: permits("max", "It scales itself up to this many")
  },
  ({ pool, ...size }) =>
    Effect.gen(function* () {
      if (Object.values(size).every(Option.isNone)) {
        return yield* new UsageError({ message: "name a size: --permits, --min or --max" })
      }
      return yield* withClient((espalier) => Effect.flatMap(espalier.ResizePool({ pool, ...given(size) }), print))
    })
).pipe(
  Command.withDescription("Change a pool's size until the server stops; what runs beyond it goes on to its end"),
  Command.withExamples([
    { command: "espalier pool resize --permits 8", description: "Eight tools at a time" },
    { command: "espalier pool resize cpu --min 2 --max 8", description: "Let the pool cpu scale itself" }
  ])
)

const pause = Command.make("pause", { pool: name }, ({ pool }) =>
  withClient((espalier) => Effect.flatMap(espalier.PausePool({ pool }), print))
).pipe(Command.withDescription("Start nothing more on a pool; what runs goes on, what comes waits"))

const resume = Command.make("resume", { pool: name }, ({ pool }) =>
  withClient((espalier) => Effect.flatMap(espalier.ResumePool({ pool }), print))
).pipe(Command.withDescription("End a pause or a drain"))

const drain = Command.make("drain", { pool: name }, ({ pool }) =>
  withClient((espalier) => Effect.flatMap(espalier.DrainPool({ pool }), print))
).pipe(Command.withDescription("Take nothing more on a pool, and run what it has"))

export const pool = Command.make("pool").pipe(
  Command.withDescription("The pools that heavy tools run on"),
  Command.withSubcommands([status, resize, pause, resume, drain])
)
