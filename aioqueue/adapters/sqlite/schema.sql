-- The tables of aioqueue, version 1 (PRAGMA user_version). Moments are Unix seconds.

-- What waits and what is held. seq is the order of acceptance and never used twice; taken counts
-- how often the message was handed out, so (seq, taken) is a receipt.
CREATE TABLE IF NOT EXISTS messages (
  seq INTEGER PRIMARY KEY AUTOINCREMENT,
  id TEXT NOT NULL,
  attempt INTEGER NOT NULL,
  hop INTEGER NOT NULL,
  queue TEXT NOT NULL,
  priority INTEGER NOT NULL,
  state INTEGER NOT NULL, -- 0 delayed, 1 ready, 2 held, 3 ready and a suspect
  due REAL NOT NULL,
  owner TEXT,
  taken INTEGER NOT NULL DEFAULT 0,
  losses INTEGER NOT NULL,
  first_seen REAL,
  name TEXT NOT NULL,
  tracked INTEGER NOT NULL,
  eta REAL,
  delay REAL NOT NULL,
  sent REAL NOT NULL,
  body BLOB NOT NULL
);
CREATE UNIQUE INDEX IF NOT EXISTS messages_copy ON messages (id, attempt, hop);
-- One index a state: what a query costs does not grow with the messages of another. They hold the
-- state too, or SQLite would look at every row to see it.
CREATE INDEX IF NOT EXISTS messages_delayed ON messages (queue, state, due) WHERE state = 0;
CREATE INDEX IF NOT EXISTS messages_ready ON messages (queue, state, priority DESC) WHERE state = 1;
CREATE INDEX IF NOT EXISTS messages_suspect ON messages (queue, state, priority DESC) WHERE state = 3;
CREATE INDEX IF NOT EXISTS messages_held ON messages (owner, state, losses, queue) WHERE state = 2;

-- The records. Shown until one moment, kept until a later one where it is the commit record of
-- two stores; look is when upkeep has to see to the row.
CREATE TABLE IF NOT EXISTS tasks (
  id TEXT PRIMARY KEY,
  name TEXT NOT NULL,
  queue TEXT NOT NULL,
  state TEXT NOT NULL,
  attempt INTEGER NOT NULL,
  losses INTEGER NOT NULL,
  sent REAL,
  started REAL,
  finished REAL,
  due REAL,
  worker TEXT,
  owner TEXT,
  forgotten INTEGER NOT NULL,
  shown REAL NOT NULL,
  kept REAL NOT NULL,
  dead TEXT,
  error BLOB,
  value BLOB,
  released BLOB,
  look REAL NOT NULL
) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS tasks_look ON tasks (look);

CREATE TABLE IF NOT EXISTS leases (
  owner TEXT PRIMARY KEY,
  until REAL NOT NULL,
  seconds REAL NOT NULL
) WITHOUT ROWID;

CREATE TABLE IF NOT EXISTS dead (
  seq INTEGER PRIMARY KEY,
  id TEXT NOT NULL,
  name TEXT NOT NULL,
  queue TEXT NOT NULL,
  attempt INTEGER NOT NULL,
  reason TEXT NOT NULL,
  at REAL NOT NULL,
  body BLOB NOT NULL
);
CREATE INDEX IF NOT EXISTS dead_queue ON dead (queue);
CREATE INDEX IF NOT EXISTS dead_at ON dead (at);

CREATE TABLE IF NOT EXISTS store (
  key TEXT PRIMARY KEY,
  value BLOB NOT NULL,
  until REAL
) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS store_until ON store (until) WHERE until IS NOT NULL;
