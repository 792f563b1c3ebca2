/**
 * What is thrown outside of every fiber: by a timer, by an emitter, by a promise that nobody waits for. It belongs to no
 * part of the tree, so no supervisor hears of it, and Node would end the process, with every session in it.
 *
 * It is logged and counted, and the server goes on: state changes only by events that are journaled, in fibers, which
 * such a callback has not touched.
 */
import { Effect, Metric } from "effect"

const uncaught = Metric.counter("espalier_uncaught_total", {
  description: "Errors thrown outside of every fiber",
  incremental: true
})

/** While the scope is open. For a process of our own: an embedding program decides for itself. */
export const contain = Effect.gen(function* () {
  const context = yield* Effect.context()
  const run = Effect.runForkWith(context)
  const onUncaught = (error: unknown, origin: NodeJS.UncaughtExceptionOrigin) => {
    uncaught.updateUnsafe(1, context)
    const what = origin === "unhandledRejection" ? "a promise that nobody waits for was rejected" : "a callback threw"
    run(Effect.logError(`${what}, outside of every part of the runtime, which goes on`, error))
  }
  yield* Effect.acquireRelease(
    Effect.sync(() => process.on("uncaughtException", onUncaught)),
    () => Effect.sync(() => process.off("uncaughtException", onUncaught))
  )
})
