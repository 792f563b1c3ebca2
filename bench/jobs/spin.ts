/** A job that keeps a processor busy for about so many milliseconds of an idle machine: the same work for whoever runs it. */

/** Rounds in about a millisecond. */
const rounds = 200_000

export const spin = (milliseconds: number): number => {
  let value = 1
  for (let round = 0; round < milliseconds * rounds; round++) value = (Math.imul(value, 48_271) ^ round) | 0
  return value
}

/** As piscina wants it. */
export default spin
