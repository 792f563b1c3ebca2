/**
 * Whether a history of concurrent operations could have happened one after the other (Wing and Gong's search, with Lowe's
 * memory of what was tried): each operation at some instant between its call and its return, and each with the result
 * that the model has for it there.
 */

export interface Operation<Input, Output> {
  readonly client: number
  readonly input: Input
  readonly output: Output
  /** Instants of one clock, all different. */
  readonly called: number
  readonly returned: number
}

export interface Model<State, Input, Output> {
  readonly initial: State
  /** The state after the operation; `undefined` if it cannot have this result in that state. */
  readonly step: (state: State, input: Input, output: Output) => State | undefined
  readonly nameOf: (state: State) => string
}

/** The operations in an order in which they could have happened; `undefined` if there is none. */
export const linearization = <State, Input, Output>(
  history: ReadonlyArray<Operation<Input, Output>>,
  { initial, nameOf, step }: Model<State, Input, Output>
): ReadonlyArray<Operation<Input, Output>> | undefined => {
  const operations = Array.from(history).sort((one, other) => one.called - other.called)
  const hopeless = new Set<string>()
  const order: Array<Operation<Input, Output>> = []

  const search = (done: bigint, state: State): boolean => {
    if (order.length === operations.length) return true
    const here = `${done}:${nameOf(state)}`
    if (hopeless.has(here)) return false
    // Only one that was called before any that is left has returned can be the next.
    let firstReturn = Number.POSITIVE_INFINITY
    for (const [at, { called, returned }] of operations.entries()) {
      if (called > firstReturn) break
      if ((done & (1n << BigInt(at))) === 0n) firstReturn = Math.min(firstReturn, returned)
    }
    for (const [at, operation] of operations.entries()) {
      if (operation.called > firstReturn) break
      const bit = 1n << BigInt(at)
      if ((done & bit) !== 0n) continue
      const next = step(state, operation.input, operation.output)
      if (next === undefined) continue
      order.push(operation)
      if (search(done | bit, next)) return true
      order.pop()
    }
    hopeless.add(here)
    return false
  }

  return search(0n, initial) ? order : undefined
}

/** Notes each operation's call and return. */
export class History<Input, Output> {
  readonly operations: Array<Operation<Input, Output>> = []
  #clock = 0

  call(client: number, input: Input): (output: Output) => void {
    const called = ++this.#clock
    return (output) => {
      this.operations.push({ client, input, output, called, returned: ++this.#clock })
    }
  }
}
