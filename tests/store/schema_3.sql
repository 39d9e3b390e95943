-- The SQLite queue, version 3 (migrate_N.sql leads from version N to the next).  Times are Unix seconds; ids are ident.decode() of the queue id.

CREATE TABLE message (
  id INTEGER PRIMARY KEY,
  sender TEXT NOT NULL,             -- the reverse-path, '' for the null one
  body TEXT NOT NULL,
  declared INTEGER,                 -- MAIL's SIZE
  smtputf8 INTEGER NOT NULL,
  requiretls INTEGER NOT NULL,
  ret TEXT,
  envid TEXT,
  arrived REAL NOT NULL,
  protocol TEXT NOT NULL,
  address TEXT NOT NULL,
  host TEXT NOT NULL,
  helo TEXT NOT NULL,
  login TEXT NOT NULL,
  trace BLOB NOT NULL,
  size INTEGER NOT NULL,
  expires REAL NOT NULL,
  warn_at REAL,
  hold TEXT,
  priority INTEGER NOT NULL,
  large INTEGER NOT NULL,           -- 1: the content lies in content/XX/ID, not in the table content
  claims INTEGER NOT NULL,          -- claims ever taken: numbers the settlements
  strikes INTEGER NOT NULL DEFAULT 0,
  more TEXT                         -- what few messages have, as a JSON object: auth, by, hold, release; or NULL
);

-- Apart from message, so that listing a million messages touches none of it.
CREATE TABLE content (
  id INTEGER PRIMARY KEY,
  data BLOB NOT NULL
);

-- state: 0 waiting, 1 claimed, 2 held, 3 waiting and suspect.  The indexes cover only what waits: a
-- message that goes straight through is inserted claimed and deleted when settled, and touches none.
CREATE TABLE recipient (
  message INTEGER NOT NULL,
  number INTEGER NOT NULL,
  path TEXT NOT NULL,
  orcpt TEXT,
  notify TEXT,
  hop INTEGER NOT NULL,
  pinned INTEGER NOT NULL,
  state INTEGER NOT NULL,
  next_attempt REAL NOT NULL,
  deadline REAL NOT NULL,           -- the earlier of the message's expiry and, unless warned, its warning
  owner INTEGER,
  token INTEGER,
  attempts INTEGER NOT NULL DEFAULT 0,
  suspect INTEGER NOT NULL DEFAULT 0,
  mark TEXT,
  last_action TEXT,
  last_scope TEXT,
  last_reply TEXT,
  last_mta TEXT,
  last_at REAL,
  last_uncertain INTEGER,           -- 1: it may have been delivered; 2: not last_mta said this, we did
  priority INTEGER NOT NULL DEFAULT 0, -- the message's
  warned INTEGER NOT NULL DEFAULT 0,   -- 1: the sender was told of its delay
  PRIMARY KEY (message, number)
) WITHOUT ROWID;
-- By priority, so that what is due at one of them is found by one seek, however many wait at another.
CREATE INDEX recipient_due ON recipient (hop, priority, next_attempt) WHERE state = 0;
CREATE INDEX recipient_deadline ON recipient (deadline) WHERE state = 0;
-- With all that is asked of suspects: a death may leave a thousand of them, which are tried one by one.
CREATE INDEX recipient_suspect ON recipient (state, next_attempt, message, hop, deadline) WHERE suspect = 1;
-- What a person asked for while a claim is out, for its owner to find.
CREATE INDEX recipient_marked ON recipient (owner) WHERE mark IS NOT NULL;

-- ready: when the earliest waiting recipient may be tried, with backing off, suspension and a probe that
-- is out taken into account; NULL when there is nothing to try.
CREATE TABLE next_hop (
  id INTEGER PRIMARY KEY AUTOINCREMENT,
  transport TEXT NOT NULL,
  next_hop TEXT NOT NULL,
  helo TEXT NOT NULL,
  ready REAL,
  failures INTEGER NOT NULL DEFAULT 0,
  not_before REAL NOT NULL DEFAULT 0,
  last TEXT NOT NULL DEFAULT '',
  suspended TEXT,
  suspended_until REAL,
  probe_owner INTEGER,
  probe_token INTEGER,
  UNIQUE (transport, next_hop, helo)
);
CREATE INDEX next_hop_ready ON next_hop (ready) WHERE ready IS NOT NULL;
CREATE INDEX next_hop_trouble ON next_hop (id) WHERE failures > 0 OR suspended IS NOT NULL;

-- One row for each recipient of an attempt.
CREATE TABLE attempt (
  message INTEGER NOT NULL,
  number INTEGER NOT NULL,
  recipient INTEGER NOT NULL,
  transport TEXT NOT NULL,
  next_hop TEXT NOT NULL,
  helo TEXT NOT NULL,
  started REAL NOT NULL,
  seconds REAL NOT NULL,
  mta TEXT NOT NULL,
  uncertain INTEGER NOT NULL,
  action TEXT NOT NULL,
  scope TEXT NOT NULL,
  reply TEXT NOT NULL,
  remote_mta TEXT NOT NULL,
  at REAL NOT NULL,
  outcome_uncertain INTEGER NOT NULL, -- as last_uncertain
  PRIMARY KEY (message, number, recipient)
) WITHOUT ROWID;

CREATE TABLE owner (
  id INTEGER PRIMARY KEY,
  until REAL NOT NULL,
  runs INTEGER NOT NULL DEFAULT 1,     -- 1: it takes claims
  receives INTEGER NOT NULL DEFAULT 0  -- 1: it accepts mail
);

-- What was said in the last attempt of a message at a next hop; `attempt` is that one's number.
CREATE TABLE transcript (
  message INTEGER NOT NULL,
  hop INTEGER NOT NULL,
  attempt INTEGER NOT NULL,
  said TEXT NOT NULL,
  PRIMARY KEY (message, hop)
) WITHOUT ROWID;

-- Running totals since the queue was made, or became one of version 3: one row.
CREATE TABLE total (
  id INTEGER PRIMARY KEY CHECK (id = 1),
  queued INTEGER NOT NULL,
  done INTEGER NOT NULL,
  failed INTEGER NOT NULL,
  delayed INTEGER NOT NULL
);
INSERT INTO total VALUES (1, 0, 0, 0, 0);

CREATE TABLE key (
  key TEXT PRIMARY KEY,
  message INTEGER NOT NULL,
  until REAL NOT NULL
) WITHOUT ROWID;
CREATE INDEX key_until ON key (until);
