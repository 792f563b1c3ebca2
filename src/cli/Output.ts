/** What the commands print: results on stdout, everything else on stderr. */
import { Console, Effect, Schema } from "effect"
import { root } from "./Root.ts"
import * as Terminal from "./Terminal.ts"

/** Prints a value: as one JSON document in its encoded form when `--json` is given, otherwise as `text` shows it. */
export const print = <A, I>(schema: Schema.Codec<A, I>, value: A, text: (value: A) => string) =>
  Effect.gen(function* () {
    const { json } = yield* root
    const shown = json
      ? JSON.stringify(yield* Effect.orDie(Schema.encodeEffect(Schema.toCodecJson(schema))(value)), null, 2)
      : text(value)
    yield* Console.log(shown)
  })

/** A sentence for the person, not part of the result. */
export const say = (sentence: string) => Console.error(Terminal.dim(sentence, "stderr"))
