// A runtime among tools that throw where no fiber catches it: whoever runs this sees it answer all the same, and end.
import { Effect, Layer, References, Schema } from "effect"
import { EventEmitter } from "node:events"
import { SessionManager } from "../../services/session/SessionManager.ts"
import { Root } from "../../services/supervision/Places.ts"
import type { TreeNode } from "../../services/supervision/SupervisionTree.ts"
import * as Tool from "../../services/tools/Tool.ts"
import * as Runtime from "../../src/server/Runtime.ts"
import * as uncaught from "../../src/server/uncaught.ts"

const careless: Readonly<Record<string, () => void>> = {
  timer: () =>
    void setTimeout(() => {
      throw new Error("in a timer")
    }, 1),
  microtask: () =>
    queueMicrotask(() => {
      throw new Error("in a microtask")
    }),
  immediate: () =>
    void setImmediate(() => {
      throw new Error("in an immediate")
    }),
  emitter: () => process.nextTick(() => new EventEmitter().emit("error", new Error("of an emitter"))),
  rejection: () => void Promise.reject(new Error("of a promise")),
  overflow: () =>
    void setImmediate(function deeper(): number {
      return 1 + deeper()
    })
}

const tools = Object.entries(careless).flatMap(([name, act]) =>
  (["fast", "heavy"] as const).map((weight) =>
    Tool.make({
      name: `${name}_${weight}`,
      description: "throws where nobody catches it",
      weight,
      parameters: Schema.Struct({}),
      result: Schema.String,
      run: () => Effect.andThen(Effect.sync(act), Effect.delay(Effect.succeed("done"), "5 millis"))
    })
  )
)

const restartsOf = (node: TreeNode): number =>
  node.restarts + node.children.reduce((sum, child) => sum + restartsOf(child), 0)

await Effect.runPromise(
  Effect.gen(function* () {
    const manager = yield* SessionManager
    const { id } = yield* manager.start({})
    let results = 0
    for (const name of Object.keys(careless)) {
      for (let time = 0; time < 20; time++) {
        const run = yield* manager.runTool({ sessionId: id, tool: `${name}_fast`, args: {} })
        if ("result" in run && run.result === "done") results++
        yield* manager.runTool({ sessionId: id, tool: `${name}_heavy`, args: {} })
      }
    }
    yield* Effect.sleep("500 millis")
    const restarts = restartsOf(yield* (yield* Root).tree)
    process.stdout.write(`${results} results, ${restarts} restarts\n`)
  }).pipe(
    Effect.provide(
      Layer.provideMerge(Layer.effectDiscard(uncaught.contain), Runtime.layerMemory({ permits: 8, queue: 500, tools }))
    ),
    Effect.provideService(References.MinimumLogLevel, process.argv[2] === "loud" ? "Error" : "None")
  )
)
