import { assert, describe, it } from "@effect/vitest"
import { Effect, Exit, Layer, Scope } from "effect"
import * as MemoryRegistry from "../../layers/registry/MemoryRegistry.ts"
import * as FiberSupervisor from "../../layers/supervision/FiberSupervisor.ts"
import * as RuntimeTree from "../../layers/supervision/RuntimeTree.ts"
import { Registry } from "../../services/registry/Registry.ts"
import { Foundation } from "../../services/supervision/Places.ts"
import { enter, key, registryContract } from "../contracts/Registry.ts"

const RegistryLayer = MemoryRegistry.layer.pipe(
  Layer.provideMerge(RuntimeTree.layer),
  Layer.provide(FiberSupervisor.layer)
)

describe("MemoryRegistry", () => {
  registryContract(RegistryLayer)

  it.effect("comes back with everybody who is alive when it is started again", () =>
    Effect.gen(function* () {
      const registry = yield* Registry
      const foundation = yield* Foundation
      const scopes: Array<Scope.Closeable> = []
      for (let index = 0; index < 10_000; index++) scopes.push(yield* enter({ key: key(`s${index}`), tags: ["t"] }))
      yield* foundation.terminateChild("registry")
      for (const scope of scopes.splice(0, 5_000)) yield* Scope.close(scope, Exit.void)
      yield* foundation.restartChild("registry")
      assert.strictEqual(yield* registry.count, 5_000)
      assert.strictEqual((yield* registry.find({ tag: "t", limit: 1 }))[0]?.key.session, "ses_s5000")
      for (const scope of scopes) yield* Scope.close(scope, Exit.void)
      assert.strictEqual(yield* registry.count, 0)
    }).pipe(Effect.provide(RegistryLayer))
  )
})
