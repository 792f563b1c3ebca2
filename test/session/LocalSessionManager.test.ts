import { describe } from "@effect/vitest"
import { Layer } from "effect"
import { sessionManagerContract } from "../contracts/SessionManager.ts"
import { layerDurable, layerProcess } from "../support/SessionWorld.ts"

describe("LocalSessionManager", () => {
  sessionManagerContract(Layer.provideMerge(layerProcess(), layerDurable))
})
