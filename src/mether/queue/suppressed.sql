-- The suppression list.  ?N are the parameters in order; the columns of an address are always in this order:
-- domain, name, address, kind, status, reason, remote, note, source, since, last, times, until, active.

-- name: schema
CREATE TABLE address (
  domain TEXT NOT NULL,      -- lower case, A-labels
  name TEXT NOT NULL,        -- the local-part without quotes and case; '' for the whole domain
  address TEXT NOT NULL,     -- as it was written, but for the domain
  kind TEXT NOT NULL,
  status TEXT NOT NULL,
  reason TEXT NOT NULL,
  remote TEXT NOT NULL,
  note TEXT NOT NULL,
  source TEXT NOT NULL,      -- delivery, bounce, person, import
  since REAL NOT NULL,
  last REAL NOT NULL,
  times INTEGER NOT NULL,
  until REAL,                -- NULL: for ever
  active INTEGER NOT NULL,   -- 0: it has failed, but not often enough
  PRIMARY KEY (domain, name)
) STRICT, WITHOUT ROWID;
CREATE INDEX address_ends ON address (until) WHERE until IS NOT NULL;
CREATE INDEX address_learned ON address (last) WHERE source IN ('delivery', 'bounce');

-- name: find
SELECT * FROM address WHERE domain = ?1 AND name = ?2

-- The address itself goes before its domain.
-- name: stopping
SELECT * FROM address WHERE domain = ?1 AND name IN (?2, '') AND active AND (until IS NULL OR until > ?3)
ORDER BY name DESC LIMIT 1

-- name: any
SELECT EXISTS (SELECT 1 FROM address)

-- name: count
SELECT count(*) FROM address

-- name: page
SELECT * FROM address WHERE (domain, name) > (?1, ?2) ORDER BY domain, name LIMIT ?3

-- name: page-domain
SELECT * FROM address WHERE domain = ?1 AND name >= ?2 AND name IS NOT ?4 ORDER BY name LIMIT ?3

-- What is over, or was counted too long ago, counts no more.  An address that a person or a file put here stays
-- what it is.
-- name: record
INSERT INTO address VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?10, 1, ?11, ?12 <= 1)
ON CONFLICT (domain, name) DO UPDATE SET
  since = iif(until <= ?10, ?10, since),
  times = iif(until <= ?10, 1, times + 1),
  active = iif(source IN ('delivery', 'bounce'), iif(until <= ?10, 1, times + 1) >= ?12, iif(until <= ?10, 1 >= ?12, active)),
  kind = iif(source IN ('delivery', 'bounce') OR until <= ?10, ?4, kind),
  status = iif(source IN ('delivery', 'bounce') OR until <= ?10, ?5, status),
  reason = iif(source IN ('delivery', 'bounce') OR until <= ?10, ?6, reason),
  remote = iif(source IN ('delivery', 'bounce') OR until <= ?10, ?7, remote),
  note = iif(source IN ('delivery', 'bounce') OR until <= ?10, ?8, note),
  until = iif(source IN ('delivery', 'bounce') OR until <= ?10, ?11, until),
  source = iif(source IN ('delivery', 'bounce') OR until <= ?10, ?9, source),
  last = max(last, ?10)

-- name: put
INSERT INTO address VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, 1)
ON CONFLICT (domain, name) DO UPDATE SET
  address = ?3, kind = ?4, status = ?5, reason = ?6, remote = ?7, note = ?8, source = ?9,
  since = min(since, ?10), last = max(last, ?11), times = max(times, ?12), until = ?13, active = 1

-- What a file says shortens nothing, and does not speak against what a person said here.  What has not failed often
-- enough there (?14: 0, in a copy of a list) makes nothing of what is on the list here.
-- name: import
INSERT INTO address VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14)
ON CONFLICT (domain, name) DO UPDATE SET
  kind = iif(source = 'person' OR active > ?14, kind, ?4), status = iif(source = 'person' OR active > ?14, status, ?5),
  reason = iif(source = 'person' OR active > ?14, reason, ?6),
  remote = iif(source = 'person' OR active > ?14, remote, ?7),
  note = iif(source = 'person' OR active > ?14, note, ?8), source = iif(source = 'person' OR active > ?14, source, ?9),
  since = min(since, ?10), last = max(last, ?11), times = max(times, ?12),
  until = CASE
    WHEN active > ?14 THEN until
    WHEN active < ?14 THEN ?13
    WHEN until IS NULL OR ?13 IS NULL THEN NULL
    ELSE max(until, ?13) END,
  active = max(active, ?14)

-- name: forget
DELETE FROM address WHERE domain = ?1 AND name = ?2 AND source IN ('delivery', 'bounce')

-- name: remove
DELETE FROM address WHERE domain = ?1 AND name = ?2

-- name: expire
DELETE FROM address WHERE (domain, name) IN (
  SELECT domain, name FROM address WHERE until <= ?1 LIMIT ?2)

-- name: count-learned
SELECT count(*) FROM address WHERE source IN ('delivery', 'bounce')

-- name: trim-learned
DELETE FROM address WHERE (domain, name) IN (
  SELECT domain, name FROM address WHERE source IN ('delivery', 'bounce') ORDER BY last LIMIT ?1)
