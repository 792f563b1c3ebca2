import { Option } from "effect"

type Given<A> = { readonly [Name in keyof A]?: A[Name] extends Option.Option<infer Value> ? Value : never }

/** The flags that were given, without those that were not. */
export const given = <A extends Readonly<Record<string, Option.Option<unknown>>>>(flags: A): Given<A> =>
  Object.fromEntries(
    Object.entries(flags).flatMap(([name, flag]) => (Option.isSome(flag) ? [[name, flag.value]] : []))
  ) as Given<A>
