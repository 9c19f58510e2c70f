-- The tables of aioqueue, version 2 (PRAGMA user_version). Moments are Unix seconds.

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
  moved BLOB, -- what the workflow released by it
  plan TEXT, -- the workflow that runs in its place
  joined TEXT, -- the join whose values are its value
  look REAL NOT NULL
) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS tasks_look ON tasks (look);

-- Attempts that have ended and were not the last, as long as there is a record; without an error they were lost.
CREATE TABLE IF NOT EXISTS attempts (
  seq INTEGER PRIMARY KEY,
  id TEXT NOT NULL,
  number INTEGER NOT NULL,
  error BLOB,
  worker TEXT,
  started REAL,
  ended REAL NOT NULL,
  next_at REAL
);
CREATE INDEX IF NOT EXISTS attempts_task ON attempts (id, seq);

-- What runs have told, as long as there is a record; of those of one task, the run by attempt, losses and started.
-- written: notes of its run with this one; values_yet, bytes_yet: values of the task, and their bytes, with this one.
CREATE TABLE IF NOT EXISTS log (
  id TEXT NOT NULL,
  number INTEGER NOT NULL,
  attempt INTEGER NOT NULL,
  losses INTEGER NOT NULL,
  started INTEGER NOT NULL, -- milliseconds
  at REAL NOT NULL,
  is_value INTEGER NOT NULL,
  written INTEGER NOT NULL,
  values_yet INTEGER NOT NULL,
  bytes_yet INTEGER NOT NULL,
  data BLOB NOT NULL,
  PRIMARY KEY (id, number)
) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS log_progress ON log (id, number) WHERE is_value = 0;

-- Unique keys and the tasks that claimed them last; whether one has its key still its record tells.
CREATE TABLE IF NOT EXISTS uniques (
  key TEXT PRIMARY KEY,
  id TEXT NOT NULL,
  until_done INTEGER NOT NULL,
  until REAL NOT NULL, -- after it the task has it no more
  latest REAL NOT NULL -- the task is due then, however often it was put off
) WITHOUT ROWID;

CREATE TABLE IF NOT EXISTS leases (
  owner TEXT PRIMARY KEY,
  until REAL NOT NULL,
  seconds REAL NOT NULL
) WITHOUT ROWID;

-- Queues of which nothing is handed out.
CREATE TABLE IF NOT EXISTS paused (queue TEXT PRIMARY KEY) WITHOUT ROWID;

-- What the limits of tasks hold: one row a message. kind 0 has a slot under a receipt, (seq, taken), and is none
-- any more once it is not held under that; 1 is parked until a slot is free; 2 has a turn; 3 is the turn of a
-- message that is gone, for who asks next. at: since when, or until when it is put off. most: slots of its scope.
-- scope: of turns, after the names of the rates.
CREATE TABLE IF NOT EXISTS limited (
  seq INTEGER PRIMARY KEY,
  scope TEXT NOT NULL,
  kind INTEGER NOT NULL,
  taken INTEGER NOT NULL,
  at REAL NOT NULL,
  most INTEGER
);
CREATE INDEX IF NOT EXISTS limited_scope ON limited (scope, kind, at);
CREATE INDEX IF NOT EXISTS limited_kind ON limited (kind, at);
CREATE INDEX IF NOT EXISTS limited_parked ON limited (scope) WHERE kind = 1;

-- Of each rate, when the next start is due by its pace.
CREATE TABLE IF NOT EXISTS rates (
  scope TEXT NOT NULL,
  name TEXT NOT NULL,
  mark REAL NOT NULL,
  PRIMARY KEY (scope, name)
) WITHOUT ROWID;

-- seq is never used twice, as it is the key by which a letter is dropped.
CREATE TABLE IF NOT EXISTS dead (
  seq INTEGER PRIMARY KEY AUTOINCREMENT,
  id TEXT NOT NULL,
  name TEXT NOT NULL,
  queue TEXT NOT NULL,
  priority INTEGER NOT NULL,
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

-- Workflows. Shown at least until one moment, kept until another; one that runs in place of a node is
-- kept as long as the outermost around it, its home, and has no moments of its own.
CREATE TABLE IF NOT EXISTS flows (
  id TEXT PRIMARY KEY,
  kept REAL,
  shown REAL,
  home TEXT,
  task TEXT, -- in whose place it runs
  digest TEXT, -- of its pages
  keepers TEXT, -- who kept some of them, if they have one
  result TEXT, -- this and the next two from its opening
  root TEXT,
  outline BLOB
) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS flows_kept ON flows (kept);
CREATE INDEX IF NOT EXISTS flows_home ON flows (home) WHERE home IS NOT NULL;

-- Their nodes; number 0 and above. An OPEN message stands here too, with a negative number, while it
-- is on its way.
CREATE TABLE IF NOT EXISTS nodes (
  id TEXT PRIMARY KEY,
  flow TEXT NOT NULL,
  number INTEGER NOT NULL,
  stage INTEGER NOT NULL, -- 0 waits, 1 released, 2 ended, 3 ended and was not released
  into_join TEXT,
  into_number INTEGER,
  scope TEXT,
  queues TEXT, -- those of its range, where it is the last node of a long one
  message BLOB -- until it has ended
) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS nodes_flow ON nodes (flow, number);
CREATE INDEX IF NOT EXISTS nodes_released ON nodes (flow) WHERE stage = 1;

-- joined counts the members there are, so that none of them costs a look at the others; both change
-- in one transaction.
CREATE TABLE IF NOT EXISTS joins (
  id TEXT PRIMARY KEY,
  flow TEXT NOT NULL,
  size INTEGER NOT NULL,
  single INTEGER NOT NULL,
  then_first INTEGER NOT NULL,
  then_count INTEGER NOT NULL,
  into_join TEXT,
  into_number INTEGER,
  shown INTEGER NOT NULL,
  frees TEXT,
  scope TEXT,
  task TEXT, -- the one that succeeds with it
  joined INTEGER NOT NULL,
  freed INTEGER NOT NULL -- 0 is read, 1 to be emptied, 2 emptied
) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS joins_flow ON joins (flow);
CREATE INDEX IF NOT EXISTS joins_freed ON joins (freed) WHERE freed = 1;

CREATE TABLE IF NOT EXISTS members (
  join_id TEXT NOT NULL,
  number INTEGER NOT NULL,
  kind TEXT NOT NULL,
  data BLOB NOT NULL,
  PRIMARY KEY (join_id, number)
) WITHOUT ROWID;

CREATE TABLE IF NOT EXISTS scopes (
  id TEXT PRIMARY KEY,
  flow TEXT NOT NULL,
  fails TEXT,
  then_first INTEGER NOT NULL,
  then_count INTEGER NOT NULL,
  into_join TEXT,
  into_number INTEGER,
  around TEXT,
  task TEXT, -- the one that fails with it
  first INTEGER, -- number of the first node inside it
  hangs TEXT, -- the join or scope that calls all of it
  closed REAL, -- when
  cancelled REAL, -- when it was, with all in it
  error BLOB -- it was closed with, for who is told, or takes it
) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS scopes_flow ON scopes (flow);
CREATE INDEX IF NOT EXISTS scopes_cancelled ON scopes (cancelled) WHERE cancelled IS NOT NULL;
