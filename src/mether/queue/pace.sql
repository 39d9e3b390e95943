-- How many reports went to each reader in the hour that is on, and which wait for the next.  Times are Unix seconds.

-- name: schema
CREATE TABLE IF NOT EXISTS told (
  reader TEXT PRIMARY KEY,          -- an address, case folded
  until REAL NOT NULL,              -- when its hour is over
  count INTEGER NOT NULL
) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS told_until ON told (until);
CREATE TABLE IF NOT EXISTS waiting (
  ident TEXT PRIMARY KEY,           -- the report's queue id
  reader TEXT NOT NULL,
  at REAL NOT NULL                  -- when it may go
) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS waiting_reader ON waiting (reader, at);
CREATE INDEX IF NOT EXISTS waiting_at ON waiting (at);

-- name: count
-- One more in the hour that ends then; a row of an earlier hour begins anew.
INSERT INTO told VALUES (?1, ?2, 1)
ON CONFLICT (reader) DO UPDATE SET count = iif(until = ?2, count + 1, 1), until = ?2
RETURNING count;

-- name: counted
SELECT count FROM told WHERE reader = ?1 AND until = ?2;

-- name: latest
-- Whether any still wait for a reader, and until when.
SELECT max(at) FROM waiting WHERE reader = ?1 AND at > ?2 AND at <= ?3;

-- name: wait
INSERT INTO waiting VALUES (?1, ?2, ?3) ON CONFLICT (ident) DO UPDATE SET reader = ?2, at = ?3;

-- name: reader
SELECT reader FROM waiting WHERE ident = ?1;

-- name: waiting
SELECT ident FROM waiting WHERE reader = ?1 AND at <= ?2 ORDER BY at, ident LIMIT ?3;

-- name: waiting-all
SELECT ident, reader, at FROM waiting;

-- name: counts
SELECT reader, until, count FROM told;

-- name: add
INSERT INTO told VALUES (?1, ?2, ?3)
ON CONFLICT (reader) DO UPDATE SET count = iif(until = ?2, count, 0) + ?3, until = ?2;

-- name: forget
DELETE FROM waiting WHERE ident IN (SELECT value FROM json_each(?1));

-- name: told-old
DELETE FROM told WHERE until < ?1;

-- name: waiting-old
DELETE FROM waiting WHERE at < ?1;
