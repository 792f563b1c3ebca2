/**
 * About how many characters an event is as JSON, without making it: so that what goes over a connection goes in pieces
 * of a bounded size. Numbers and names count little, texts what they are.
 */
export const weigh = (value: unknown): number => {
  if (typeof value === "string") return value.length + 2
  if (typeof value !== "object" || value === null) return 8
  let sum = 2
  if (Array.isArray(value)) {
    for (const item of value) sum += 1 + weigh(item)
    return sum
  }
  for (const [name, item] of Object.entries(value)) sum += name.length + 4 + weigh(item)
  return sum
}

/** The same values, in order, in lists that weigh no more than `most`, or hold a single value. */
export const inPieces = <A>(values: ReadonlyArray<A>, most: number): Array<readonly [A, ...Array<A>]> => {
  const pieces: Array<readonly [A, ...Array<A>]> = []
  let current: [A, ...Array<A>] | undefined
  let weight = 0
  for (const value of values) {
    const its = weigh(value)
    if (current !== undefined && weight + its <= most) {
      current.push(value)
      weight += its
    } else {
      pieces.push((current = [value]))
      weight = its
    }
  }
  return pieces
}
