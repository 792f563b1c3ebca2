/** Longest lists and texts that the profile of a file carries. */
export const columns = 200
/** Keys beyond those are counted up to here. */
export const omittedCounted = 10_000
export const nameCharacters = 120
export const matches = 100
export const matchCharacters = 240
