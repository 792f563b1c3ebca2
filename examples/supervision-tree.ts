/** A whole tree as one value: nested supervisors stand among the children, and a fault travels up until a restart cures it. */
import { NodeRuntime } from "@effect/platform-node"
import { Console, Effect, Stream } from "effect"
import * as FiberSupervisor from "espalier/layers/supervision/FiberSupervisor"
import { type ChildSpec, dynamicSupervisor, supervisor } from "espalier/services/supervision/ChildSpec"
import type { TreeNode } from "espalier/services/supervision/SupervisionTree"
import { Supervisor } from "espalier/services/supervision/Supervisor"
import { watchTree } from "espalier/services/supervision/watchTree"

const part = (id: string): ChildSpec => ({ id, start: Effect.succeed(Effect.never) })

const app = {
  id: "app",
  strategy: "rest_for_one",
  children: [
    part("database"),
    supervisor({
      id: "web",
      strategy: "one_for_all",
      intensity: 1,
      children: [part("listener"), dynamicSupervisor({ id: "connections", maxChildren: 1_000 })]
    }),
    part("metrics")
  ]
} as const

const show = (node: TreeNode, indent = ""): string =>
  [
    `${indent}${node.id}: ${node.state}${node.restarts > 0 ? `, restarted ${node.restarts} times` : ""}`,
    ...node.children.map((child) => show(child, `${indent}  `))
  ].join("\n")

const program = Effect.gen(function* () {
  const top = yield* (yield* Supervisor).start(app)
  const web = yield* top.getSupervisor("web")
  const connections = yield* web.getSupervisor("connections")
  yield* connections.startChild(part("visitor"))
  yield* Effect.forkScoped(Stream.runForEach(watchTree(top.tree), (node) => Console.log(`${show(node)}\n`)))
  yield* Effect.sleep("250 millis")
  yield* Console.log("the listener crashes: all of the web begins again\n")
  yield* web.crashChild("listener")
  yield* Effect.sleep("250 millis")
  yield* Console.log(
    "and once more, which is one too many for it: so the app starts the web again, and what stands on it\n"
  )
  yield* web.crashChild("listener")
  yield* Effect.sleep("250 millis")
})

program.pipe(Effect.scoped, Effect.provide(FiberSupervisor.layer), NodeRuntime.runMain)
