/** How the command line is called here: through npm in a clone, by its name when it is installed. */
export const command = process.env["npm_lifecycle_event"] === undefined ? "espalier" : "npm run -s espalier --"
