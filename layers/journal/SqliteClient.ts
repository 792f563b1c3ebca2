/**
 * Effect's `SqlClient` over `node:sqlite`, on its public API alone.
 *
 * One connection: statements and transactions take turns on it. Each call runs to its end on the caller's thread, so
 * statements stay short, and a query inside a running `stream` would wait for itself: page instead.
 */
import { Array as Arr, Context, Effect, Layer, Semaphore, Stream } from "effect"
import { Reactivity } from "effect/reactivity"
import { SqlClient, type SqlConnection, type SqlError, Statement } from "effect/sql"
import type { SQLInputValue, StatementSync } from "node:sqlite"
import * as Sqlite from "./Sqlite.ts"

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

export const make = Effect.fnUntraced(function* (sqlite: Sqlite.Sqlite) {
  const { database } = sqlite
  const attempt = <A>(operation: string, run: () => A) =>
    Effect.try({ try: run, catch: (cause) => Sqlite.toSqlError(operation, cause) })

  const run =
    <A>(operation: string, isArrays: boolean, use: (statement: StatementSync, params: Array<SQLInputValue>) => A) =>
    (text: string, params: ReadonlyArray<unknown>, isPrepared = true): Effect.Effect<A, SqlError.SqlError> =>
      Effect.withFiber((fiber) =>
        attempt(operation, () => {
          const statement = isPrepared ? sqlite.prepare(text) : database.prepare(text)
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

export const layer = (options: Sqlite.Options) =>
  Layer.effect(SqlClient.SqlClient, Effect.flatMap(Sqlite.open(options), make)).pipe(Layer.provide(Reactivity.layer))
