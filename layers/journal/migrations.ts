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
  ],
  [
    /*
     * `earliest` is the sequence of the oldest event that is left. `owner` and `label` are what listings find by;
     * streams without them are in no index. `crc` covers all that a row says (see `Checksums.ts`): SQLite notices a
     * page without sense, but not a character that has become another one. Rows of before have none.
     */
    `ALTER TABLE streams ADD COLUMN earliest INTEGER NOT NULL DEFAULT 1`,
    `ALTER TABLE streams ADD COLUMN owner TEXT`,
    `ALTER TABLE streams ADD COLUMN label TEXT`,
    `ALTER TABLE streams ADD COLUMN crc INTEGER`,
    `ALTER TABLE events ADD COLUMN crc INTEGER`,
    `ALTER TABLE chunks ADD COLUMN crc INTEGER`,
    `UPDATE streams SET
       owner = json_extract(summary, '$.sessionId'),
       label = CASE WHEN open = 0 THEN json_extract(summary, '$.status') END
       WHERE name LIKE 'worker:%'`,
    `CREATE INDEX streams_owner ON streams (owner, name) WHERE owner IS NOT NULL`,
    `CREATE INDEX streams_label ON streams (label, name) WHERE label IS NOT NULL`,
    /* The state of a stream's writer after an event, and the lowest sequence that it still needs. */
    `CREATE TABLE snapshots (
      stream INTEGER PRIMARY KEY,
      sequence INTEGER NOT NULL,
      version INTEGER NOT NULL,
      needs INTEGER NOT NULL,
      state TEXT NOT NULL,
      crc INTEGER NOT NULL
    ) STRICT`,
    /* Large values of events, each kept once; `parts` tells which events have it. */
    `CREATE TABLE blobs (id INTEGER PRIMARY KEY, hash TEXT NOT NULL UNIQUE, body TEXT NOT NULL) STRICT`,
    `CREATE TABLE parts (
      "offset" INTEGER NOT NULL,
      blob INTEGER NOT NULL,
      PRIMARY KEY ("offset", blob)
    ) STRICT, WITHOUT ROWID`,
    `CREATE INDEX parts_blob ON parts (blob)`
  ]
]

/** Offsets in a chunk. Part of the schema: it cannot change without a step. */
export const CHUNK = 32

/** Marks a file as ours ("espl"), so that another program's database is not taken for an old one of ours. */
export const APPLICATION_ID = 0x6573706c
