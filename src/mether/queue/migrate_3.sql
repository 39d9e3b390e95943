-- The SQLite queue from version 3 to version 4, inside a transaction.  Next hops are known by one name more, so
-- their table is made anew, its numbers kept.
ALTER TABLE message ADD COLUMN listener TEXT NOT NULL DEFAULT '';
CREATE TABLE next_hop_4 (
  id INTEGER PRIMARY KEY AUTOINCREMENT,
  transport TEXT NOT NULL,
  next_hop TEXT NOT NULL,
  helo TEXT NOT NULL,
  via TEXT NOT NULL DEFAULT '',
  ready REAL,
  failures INTEGER NOT NULL DEFAULT 0,
  not_before REAL NOT NULL DEFAULT 0,
  last TEXT NOT NULL DEFAULT '',
  suspended TEXT,
  suspended_until REAL,
  probe_owner INTEGER,
  probe_token INTEGER,
  UNIQUE (transport, next_hop, helo, via)
);
INSERT INTO next_hop_4 (id, transport, next_hop, helo, ready, failures, not_before, last, suspended,
  suspended_until, probe_owner, probe_token)
SELECT id, transport, next_hop, helo, ready, failures, not_before, last, suspended,
  suspended_until, probe_owner, probe_token FROM next_hop;
DELETE FROM sqlite_sequence WHERE name = 'next_hop_4';
INSERT INTO sqlite_sequence (name, seq) SELECT 'next_hop_4', seq FROM sqlite_sequence WHERE name = 'next_hop';
DROP TABLE next_hop;
ALTER TABLE next_hop_4 RENAME TO next_hop;
CREATE INDEX next_hop_ready ON next_hop (ready) WHERE ready IS NOT NULL;
CREATE INDEX next_hop_trouble ON next_hop (id) WHERE failures > 0 OR suspended IS NOT NULL;
