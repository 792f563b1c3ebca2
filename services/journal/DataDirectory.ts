/** The directory that holds everything a server keeps, for as long as the scope lives its alone. */
import { Context } from "effect"

export class DataDirectory extends Context.Service<DataDirectory, { readonly path: string }>()(
  "espalier/journal/DataDirectory"
) {}
