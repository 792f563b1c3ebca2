/**
 * The steps that bring a journal's file from one schema to the next. The number of steps taken is the file's
 * `user_version`. A step that was released is never edited: a change is a new step.
 */
export const migrations: ReadonlyArray<ReadonlyArray<string>> = [
  [
    /*
     * A stream with its head. `open` has an index of the open ones only, so that recovery costs what it finds.
     * `tail` lists the offsets of the events since the last full chunk, separated by commas.
     */
    `CREATE TABLE streams (
      id INTEGER PRIMARY KEY,
      name TEXT NOT NULL UNIQUE,
      sequence INTEGER NOT NULL,
      open INTEGER NOT NULL,
      tail TEXT NOT NULL,
      summary TEXT NOT NULL
    ) STRICT`,
    `CREATE INDEX streams_open ON streams (name) WHERE open = 1`,
    /*
     * The offsets of a stream's events by thirty-two: chunk 0 has those of the sequences 1 to 32. This is the index
     * by stream, at a thirty-second of the writes: an index with an entry for each event made a commit of 1,000
     * sessions write 1,000 pages, and fell from 170,000 to 60,000 events per second as it grew.
     */
    `CREATE TABLE chunks (
      stream INTEGER NOT NULL,
      number INTEGER NOT NULL,
      offsets TEXT NOT NULL,
      PRIMARY KEY (stream, number)
    ) STRICT, WITHOUT ROWID`,
    /*
     * The events of all streams in the order they were written in; "offset" is their place in it. Clustered by stream
     * instead, they were written at a fifth of the speed.
     */
    `CREATE TABLE events (
      "offset" INTEGER PRIMARY KEY,
      stream INTEGER NOT NULL,
      sequence INTEGER NOT NULL,
      at INTEGER NOT NULL,
      event TEXT NOT NULL
    ) STRICT`
  ]
]

/** Offsets in a chunk. Part of the schema: it cannot change without a step. */
export const CHUNK = 32

/** Marks a file as ours ("espl"), so that another program's database is not taken for an old one of ours. */
export const APPLICATION_ID = 0x6573706c
