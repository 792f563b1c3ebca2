/**
 * One connection of `node:sqlite`. Every call runs to its end on the caller's thread and throws what SQLite says, so
 * what is done in one go is seen by nobody half done.
 */
import { Effect } from "effect"
import { SqlError } from "effect/sql"
import { DatabaseSync, type SQLInputValue, type SQLOutputValue, type StatementSync } from "node:sqlite"

export interface Options {
  /** A `file:` address may carry SQLite's own parameters. */
  readonly filename: string | URL
  /** Never writes, not even to bring the file up to date after a crash. */
  readonly isReadOnly?: boolean | undefined
}

export type Row = Readonly<Record<string, SQLOutputValue>>

/** Statements kept prepared. The journal has a few dozen. */
const PREPARED = 200

/** How long a lock of another process is waited for, in milliseconds: everything else waits too, so not for long. */
const PATIENCE = 250

export class Sqlite {
  readonly database: DatabaseSync
  readonly #prepared = new Map<string, StatementSync>()

  constructor({ filename, isReadOnly = false }: Options) {
    this.database = new DatabaseSync(filename, { timeout: PATIENCE, readOnly: isReadOnly })
  }

  prepare(text: string): StatementSync {
    const found = this.#prepared.get(text)
    if (found !== undefined) return found
    const [oldest] = this.#prepared.keys()
    if (oldest !== undefined && this.#prepared.size >= PREPARED) this.#prepared.delete(oldest)
    const statement = this.database.prepare(text)
    this.#prepared.set(text, statement)
    return statement
  }

  all(text: string, ...params: ReadonlyArray<SQLInputValue>): ReadonlyArray<Row> {
    return this.prepare(text).all(...params)
  }

  get(text: string, ...params: ReadonlyArray<SQLInputValue>): Row | undefined {
    return this.prepare(text).get(...params)
  }

  run(text: string, ...params: ReadonlyArray<SQLInputValue>): void {
    this.prepare(text).run(...params)
  }

  /** All or nothing, and on disk when it returns. */
  transact<A>(work: () => A): A {
    this.run("BEGIN IMMEDIATE")
    try {
      const result = work()
      this.run("COMMIT")
      return result
    } catch (cause) {
      // Some failures have rolled it back already.
      if (this.database.isTransaction) this.run("ROLLBACK")
      throw cause
    }
  }
}

/** The value of an integer column. Tables are strict: another type means a damaged row. */
export const int = (value: SQLOutputValue | undefined): number => (typeof value === "number" ? value : Number.NaN)

/** The value of a text column; not there when it is null. */
export const text = (value: SQLOutputValue | undefined): string | undefined =>
  typeof value === "string" ? value : undefined

/** SQLite's own code of what went wrong, with its extension: https://www.sqlite.org/rescode.html */
export const codeOf = (cause: unknown): number | undefined =>
  cause instanceof Error && "errcode" in cause && typeof cause.errcode === "number" ? cause.errcode : undefined

export const toSqlError = (operation: string, cause: unknown) => {
  // Effect reads SQLite's code where other drivers put it.
  if (cause instanceof Error && "errcode" in cause) Object.assign(cause, { errno: cause.errcode })
  const message = `${operation}: ${cause instanceof Error ? cause.message : String(cause)}`
  return new SqlError.SqlError({ reason: SqlError.classifySqliteError(cause, { message, operation }) })
}

/** Open until the scope closes. */
export const open = (options: Options) =>
  Effect.acquireRelease(
    Effect.try({ try: () => new Sqlite(options), catch: (cause) => toSqlError("open", cause) }),
    ({ database }) => Effect.sync(() => database.close())
  )
