/**
 * Effect's `SqlClient` over `node:sqlite`, on its public API alone.
 *
 * One connection: statements and transactions take turns on it. Each call runs to its end on the caller's thread, so
 * statements stay short, and a query inside a running `stream` would wait for itself: page instead.
 */
import { Array as Arr, Context, Effect, Layer, Semaphore, Stream } from "effect"
import { Reactivity } from "effect/reactivity"
import { SqlClient, type SqlConnection, SqlError, Statement } from "effect/sql"
import { DatabaseSync, type SQLInputValue, type StatementSync } from "node:sqlite"

export interface Options {
  /** A `file:` address may carry SQLite's own parameters. */
  readonly filename: string | URL
  /** Never writes, not even to bring the file up to date after a crash. */
  readonly isReadOnly?: boolean | undefined
}

/** Statements kept prepared. The journal has a few dozen. */
const PREPARED = 200

/** How long a lock of another process is waited for, in milliseconds: everything else waits too, so not for long. */
const PATIENCE = 250

/** SQLite's own code of what went wrong, with its extension: https://www.sqlite.org/rescode.html */
export const sqliteCode = (error: SqlError.SqlError): number | undefined => {
  const { cause } = error.reason
  return cause instanceof Error && "errcode" in cause && typeof cause.errcode === "number" ? cause.errcode : undefined
}

const toSqlError = (operation: string, cause: unknown) => {
  // Effect reads SQLite's code where other drivers put it.
  if (cause instanceof Error && "errcode" in cause) Object.assign(cause, { errno: cause.errcode })
  const message = `${operation}: ${cause instanceof Error ? cause.message : String(cause)}`
  return new SqlError.SqlError({ reason: SqlError.classifySqliteError(cause, { message, operation }) })
}

const bind = (value: unknown): SQLInputValue => {
  switch (typeof value) {
    case "string":
    case "number":
    case "bigint":
      return value
    case "boolean":
      return value ? 1 : 0
    case "undefined":
      return null
    default:
      if (value === null || value instanceof Uint8Array) return value
      if (value instanceof Date) return value.toISOString()
      throw new TypeError(`SQLite has no column for a value of type ${typeof value}`)
  }
}

export const make = Effect.fnUntraced(function* ({ filename, isReadOnly = false }: Options) {
  const attempt = <A>(operation: string, run: () => A) =>
    Effect.suspend(() => {
      try {
        return Effect.succeed(run())
      } catch (cause) {
        return Effect.fail(toSqlError(operation, cause))
      }
    })

  const database = yield* Effect.acquireRelease(
    attempt("open", () => new DatabaseSync(filename, { timeout: PATIENCE, readOnly: isReadOnly })),
    (database) => Effect.sync(() => database.close())
  )

  const prepared = new Map<string, StatementSync>()
  const prepare = (text: string): StatementSync => {
    const found = prepared.get(text)
    if (found !== undefined) return found
    const [oldest] = prepared.keys()
    if (oldest !== undefined && prepared.size >= PREPARED) prepared.delete(oldest)
    const statement = database.prepare(text)
    prepared.set(text, statement)
    return statement
  }

  const run =
    <A>(operation: string, isArrays: boolean, use: (statement: StatementSync, params: Array<SQLInputValue>) => A) =>
    (text: string, params: ReadonlyArray<unknown>, isPrepared = true): Effect.Effect<A, SqlError.SqlError> =>
      Effect.withFiber((fiber) =>
        attempt(operation, () => {
          const statement = isPrepared ? prepare(text) : database.prepare(text)
          statement.setReadBigInts(Context.get(fiber.context, SqlClient.SafeIntegers))
          statement.setReturnArrays(isArrays)
          return use(statement, params.map(bind))
        })
      )

  const rows = run("execute", false, (statement, params) => statement.all(...params))
  // Its rows are arrays then, which the types of `node:sqlite` do not tell.
  const values = run("execute", true, (statement, params) =>
    statement.all(...params).map((row: Iterable<unknown> | object) => (Array.isArray(row) ? row : Object.values(row)))
  )
  const raw = run("execute", false, (statement, params) =>
    statement.columns().length > 0 ? statement.all(...params) : statement.run(...params)
  )

  const connection: SqlConnection.Connection = {
    execute: (text, params, transform) =>
      transform === undefined ? rows(text, params) : Effect.map(rows(text, params), transform),
    executeUnprepared: (text, params, transform) =>
      transform === undefined ? rows(text, params, false) : Effect.map(rows(text, params, false), transform),
    executeRaw: (text, params) => raw(text, params),
    executeValues: (text, params) => values(text, params),
    executeValuesUnprepared: (text, params) => values(text, params, false),
    executeStream: (text, params, transform) =>
      Stream.suspend(() => {
        // A statement of its own: a prepared one could be started again while it is read.
        const found = Stream.fromIterableEffect(
          attempt("stream", () => database.prepare(text).iterate(...params.map(bind)))
        )
        return transform === undefined
          ? found
          : Stream.mapArray(found, (page) => {
              const transformed = transform(page)
              return Arr.isReadonlyArrayNonEmpty(transformed) ? transformed : page
            })
      })
  }

  return yield* SqlClient.make({
    ...SqlClient.makeSqliteAcquirers({
      connection: Effect.succeed(connection),
      semaphore: yield* Semaphore.make(1),
      isTransaction: () => database.isTransaction
    }),
    compiler: Statement.makeCompilerSqlite(),
    driver: "node:sqlite",
    beginTransaction: "BEGIN IMMEDIATE",
    prepareTransactionControls: true,
    spanAttributes: [["db.system.name", "sqlite"]]
  })
})

export const layer = (options: Options) =>
  Layer.effect(SqlClient.SqlClient, make(options)).pipe(Layer.provide(Reactivity.layer))
