/** Longest lists that the result of an analysis carries. What goes beyond is counted, never silently dropped. */
export const languages = 150
export const largestFiles = 20
export const manifests = 200
export const dependencies = 500
export const examples = 10
export const reportCharacters = 48_000
/** Longest path, name or version as a result shows it. */
export const textCharacters = 300
