/** A session with a toolkit and a model of one's own: the model asks for the weather and tells what it hears. */
import { NodeRuntime } from "@effect/platform-node"
import { Console, Effect, Layer, Schema, Stream } from "effect"
import { LanguageModel, type Response, Tool, Toolkit } from "effect/ai"
import { ask, Embedded, SessionManager } from "espalier"

const Weather = Tool.make("weather", {
  description: "The weather of a city",
  parameters: Schema.Struct({ city: Schema.String }),
  success: Schema.Struct({ sky: Schema.String, celsius: Schema.Int })
})
const Tools = Toolkit.make(Weather)
const Handlers = Tools.toLayer({ weather: ({ city }) => Effect.succeed({ sky: `blue over ${city}`, celsius: 21 }) })

const tokens = { uncached: 0, total: 0, cacheRead: 0, cacheWrite: 0 }
const usage = { inputTokens: tokens, outputTokens: { total: 0, text: 0, reasoning: 0 } }
const finish = { type: "finish", reason: "stop", usage, response: undefined } as const
const answer = ({ prompt }: LanguageModel.ProviderOptions): ReadonlyArray<Response.StreamPartEncoded> => {
  const last = JSON.stringify(prompt.content.at(-1)?.content)
  const [, sky] = /"sky":"([^"]*)"/.exec(last) ?? []
  return sky === undefined
    ? [{ type: "tool-call", id: "1", name: "weather", params: { city: "Bern" } }, finish]
    : [{ type: "text-delta", id: "1", delta: sky }, finish]
}
const streamText = (options: LanguageModel.ProviderOptions) => Stream.fromIterable(answer(options))
const Model = Layer.effect(
  LanguageModel.LanguageModel,
  LanguageModel.make({ streamText, generateText: () => Effect.succeed([]) })
)

const program = Effect.gen(function* () {
  const sessions = yield* SessionManager
  const session = yield* sessions.start({ title: "weather" })
  yield* Console.log(yield* ask(session.id, "How is the weather in Bern?"))
})
const Runtime = Embedded.layerMemory({ model: Model, toolkits: [Embedded.toolkit(Tools, Handlers)] })
program.pipe(Effect.provide(Runtime), NodeRuntime.runMain)
