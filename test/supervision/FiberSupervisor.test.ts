import { describe } from "@effect/vitest"
import * as FiberSupervisor from "../../layers/supervision/FiberSupervisor.ts"
import { supervisorContract } from "../contracts/Supervisor.ts"

describe("FiberSupervisor", () => {
  supervisorContract(FiberSupervisor.layer)
})
