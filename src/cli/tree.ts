import { Clock, Console, Effect, Schema, Stream } from "effect"
import { Argument, Command, Flag } from "effect/cli"
import { TreeNode } from "../../services/supervision/SupervisionTree.ts"
import type * as Client from "../client.ts"
import * as LiveText from "./LiveText.ts"
import * as Output from "./Output.ts"
import { root, withClient } from "./Root.ts"
import * as Terminal from "./Terminal.ts"
import { aged, render } from "./TreeView.ts"

/** A snapshot after the other: one line of JSON each, or the whole tree with an empty line after it. */
const follow = Effect.fnUntraced(function* (espalier: Client.Operation) {
  const { json } = yield* root
  const encode = Schema.encodeEffect(Schema.toCodecJson(TreeNode))
  const show = (node: TreeNode) =>
    json
      ? Effect.flatMap(Effect.orDie(encode(node)), (encoded) => Console.log(JSON.stringify(encoded)))
      : Console.log(`${render(node)}\n`)
  yield* Stream.runForEach(espalier.WatchTree(), show)
})

/** The newest snapshot in place, its ages going on in between. */
const redraw = Effect.fnUntraced(function* (espalier: Client.Operation) {
  const draw = yield* LiveText.make
  let newest: { readonly node: TreeNode; readonly at: number } | undefined
  const show = Effect.flatMap(Clock.currentTimeMillis, (now) =>
    newest === undefined ? Effect.void : draw(render(aged(newest.node, Math.max(0, now - newest.at))))
  )
  const take = (node: TreeNode) =>
    Effect.flatMap(Clock.currentTimeMillis, (at) => {
      newest = { node, at }
      return show
    })
  yield* Effect.raceFirst(
    Stream.runForEach(espalier.WatchTree(), take),
    Effect.forever(Effect.andThen(Effect.sleep("1 second"), show))
  )
}, Effect.scoped)

export const tree = Command.make(
  "tree",
  {
    watch: Flag.Boolean("watch").pipe(
      Flag.withAlias("w"),
      Flag.withDescription("Show it again whenever it changes, until Ctrl-C: in place on a terminal"),
      Flag.withDefault(false)
    )
  },
  ({ watch }) =>
    withClient((espalier) =>
      Effect.gen(function* () {
        if (!watch) return yield* Output.print(TreeNode, yield* espalier.SupervisionTree(), render)
        const { json } = yield* root
        return yield* Terminal.isTerminal("stdout") && !json ? redraw(espalier) : follow(espalier)
      })
    )
).pipe(
  Command.withDescription("The supervision tree as it runs: strategy or restart type, state, age, restarts, what waits")
)

export const kill = Command.make(
  "kill",
  {
    path: Argument.String("path").pipe(
      Argument.withDescription('Ids from the root, joined by "/": espalier/workers/pool')
    )
  },
  ({ path }) =>
    Effect.andThen(
      withClient((espalier) => espalier.KillChild({ path })),
      Output.say(`${path} was crashed; "espalier tree" shows what became of it`)
    )
).pipe(
  Command.withDescription("Crash a part of the tree, to see it come back; the server must run with ESPALIER_CHAOS=1")
)
