-- Statements of the SQLite queue.  ?N are their parameters in order; a list is a JSON array of numbers.
-- `picked` is a temporary table of message numbers: see sqlite_change.

-- name: queued-among
SELECT id FROM message WHERE id IN (SELECT value FROM json_each(?1))

-- name: key-known
SELECT message FROM key WHERE key = ?1 AND until > ?2

-- name: key-remember
INSERT INTO key (key, message, until) VALUES (?1, ?2, ?3)
ON CONFLICT (key) DO UPDATE SET message = excluded.message, until = excluded.until

-- name: key-forget
DELETE FROM key WHERE until <= ?1

-- name: hop-find
SELECT id, failures > 0 OR suspended IS NOT NULL FROM next_hop
WHERE transport = ?1 AND next_hop = ?2 AND helo = ?3 AND via = ?4

-- name: hop-trouble
SELECT failures, suspended, suspended_until FROM next_hop WHERE id = ?1

-- name: hop-insert
INSERT INTO next_hop (transport, next_hop, helo, via) VALUES (?1, ?2, ?3, ?4)

-- name: hop-learn
UPDATE next_hop SET failures = ?2, not_before = ?3, last = ?4 WHERE id = ?1

-- A damaged text is more than every number, and less than no text: it counts as no time.
-- name: hop-refresh
UPDATE next_hop SET ready = CASE
  WHEN ?2 IS NULL OR probe_owner IS NOT NULL THEN NULL
  WHEN suspended IS NULL THEN max(?2, iif(not_before < '', not_before, 0))
  ELSE max(?2, iif(not_before < '', not_before, 0), suspended_until) END
WHERE id = ?1 AND ready IS NOT CASE
  WHEN ?2 IS NULL OR probe_owner IS NOT NULL THEN NULL
  WHEN suspended IS NULL THEN max(?2, iif(not_before < '', not_before, 0))
  ELSE max(?2, iif(not_before < '', not_before, 0), suspended_until) END

-- name: hop-probe
UPDATE next_hop SET probe_owner = ?2, probe_token = ?3 WHERE id = ?1

-- name: hop-probe-over
UPDATE next_hop SET probe_owner = NULL, probe_token = NULL
WHERE id = ?1 AND probe_owner = ?2 AND probe_token = ?3

-- name: hops-probed-by
UPDATE next_hop SET probe_owner = NULL, probe_token = NULL WHERE probe_owner = ?1 RETURNING id

-- name: hops-ready
SELECT id, transport, next_hop, helo, via, failures, not_before, last, suspended, suspended_until,
  probe_owner IS NOT NULL
FROM next_hop WHERE ready <= ?1 ORDER BY ready

-- name: hop
SELECT transport, next_hop, helo, via, failures, not_before, last, suspended, suspended_until,
  probe_owner IS NOT NULL
FROM next_hop WHERE id = ?1

-- name: hops-known
SELECT transport, next_hop, helo, via, failures, not_before, last, suspended, suspended_until
FROM next_hop ORDER BY next_hop, transport, helo, via

-- name: hop-suspend
UPDATE next_hop SET suspended = ?2, suspended_until = ?3 WHERE id = ?1

-- name: hop-resume
UPDATE next_hop SET suspended = NULL, suspended_until = NULL WHERE id = ?1

-- name: hops-suspension-over
UPDATE next_hop SET suspended = NULL, suspended_until = NULL
WHERE suspended IS NOT NULL AND suspended_until <= ?1

-- name: hops-in-trouble
SELECT transport, next_hop, helo, via, failures, not_before, last, suspended, suspended_until
FROM next_hop WHERE failures > 0 OR suspended IS NOT NULL ORDER BY next_hop, transport, helo, via

-- name: hops-unblock
UPDATE next_hop SET not_before = 0
WHERE id IN (SELECT hop FROM recipient WHERE message IN (SELECT id FROM picked))

-- Where none waits (state 0), `ready` is NULL: only the others are looked at.
-- name: hops-in-use
SELECT DISTINCT hop FROM recipient WHERE state <> 0

-- name: hops-idle
SELECT id FROM next_hop WHERE ready IS NULL AND failures = 0 AND suspended IS NULL AND probe_owner IS NULL

-- name: hops-forget
DELETE FROM next_hop WHERE id IN (SELECT value FROM json_each(?1))

-- name: hops-still-idle
SELECT value FROM json_each(?1) WHERE value NOT IN (SELECT hop FROM recipient)
AND value IN (SELECT id FROM next_hop WHERE failures = 0 AND suspended IS NULL)

-- name: recipients-up-to
SELECT count(*) FROM (SELECT 1 FROM recipient LIMIT ?1)

-- name: data-version
PRAGMA data_version

-- name: owner-until
SELECT until FROM owner WHERE id = ?1

-- name: owner-renew
INSERT INTO owner (id, until, runs, receives) VALUES (?1, ?2, ?3, ?4)
ON CONFLICT (id) DO UPDATE SET until = excluded.until, runs = excluded.runs, receives = excluded.receives

-- name: owners-other
SELECT id, until FROM owner WHERE id <> ?1

-- name: owners-live
SELECT id, runs, receives FROM owner WHERE id <> ?1 AND until >= ?2

-- name: owner-runs
SELECT runs FROM owner WHERE id = ?1

-- name: owner-marks
SELECT token, max(mark) FROM recipient INDEXED BY recipient_marked
WHERE owner = ?1 AND mark IS NOT NULL GROUP BY token

-- name: owner-remove
DELETE FROM owner WHERE id = ?1

-- name: owner-claims
SELECT message, hop, token, number, suspect, mark FROM recipient WHERE state = 1 AND owner = ?1
ORDER BY message, hop, token, number

-- name: recipient-suspect
UPDATE recipient SET state = CASE WHEN ?3 THEN 2 ELSE 3 END, owner = NULL, token = NULL, suspect = 1,
  attempts = attempts + 1, mark = NULL, last_action = 'delayed', last_scope = 'transaction',
  last_reply = ?4, last_mta = '', last_at = ?5, last_uncertain = 1
WHERE message = ?1 AND number = ?2

-- name: message-strike
UPDATE message SET strikes = strikes + 1, hold = CASE WHEN strikes + 1 >= 3 THEN coalesce(hold, ?2) ELSE hold END
WHERE id = ?1

-- name: message-acquit
UPDATE message SET strikes = 0 WHERE id = ?1 AND strikes > 0
AND NOT EXISTS (SELECT 1 FROM recipient WHERE message = ?1 AND suspect = 1)

-- name: suspect-out
SELECT 1 FROM recipient INDEXED BY recipient_suspect WHERE suspect = 1 AND state = 1 LIMIT 1

-- name: suspects
SELECT message, hop, next_attempt, deadline FROM recipient INDEXED BY recipient_suspect
WHERE suspect = 1 AND state = 3 ORDER BY next_attempt, message

-- name: suspects-at-hops
SELECT hop, min(next_attempt), min(deadline) FROM recipient INDEXED BY recipient_suspect
WHERE suspect = 1 AND state = 3 GROUP BY hop

-- name: claimed-of
SELECT number, hop, mark, suspect, state FROM recipient WHERE message = ?1 AND owner = ?2 AND token = ?3

-- name: claim-delete
DELETE FROM recipient WHERE message = ?1 AND owner = ?2 AND token = ?3

-- name: claimed-delete
DELETE FROM recipient WHERE message IN (SELECT value FROM json_each(?1)) AND owner = ?2
AND token IN (SELECT value FROM json_each(?3))

-- name: recipient-delete
DELETE FROM recipient WHERE message = ?1 AND number = ?2

-- name: recipient-postpone
UPDATE recipient SET state = CASE WHEN ?3 THEN 2 ELSE 0 END, owner = NULL, token = NULL, mark = NULL,
  suspect = 0, next_attempt = ?4
WHERE message = ?1 AND number = ?2

-- name: recipient-move
UPDATE recipient SET hop = ?3 WHERE message = ?1 AND number = ?2

-- name: recipient-mark
UPDATE recipient SET mark = ?3 WHERE message = ?1 AND number = ?2

-- name: recipient-moved
UPDATE recipient SET hop = ?3, pinned = 1, next_attempt =
  max(?4, coalesce((SELECT CASE WHEN json_valid(more) THEN json_extract(more, '$.release') END
                    FROM message WHERE id = ?1), 0))
WHERE message = ?1 AND number = ?2

-- What a person asked for while the claim was out: from now on there, and pinned.
-- name: recipient-obey
UPDATE recipient SET hop = ?3, pinned = 1, next_attempt = min(next_attempt, ?4) WHERE message = ?1 AND number = ?2

-- name: recipient-defer
UPDATE recipient SET state = CASE WHEN ?3 THEN 2 ELSE 0 END, owner = NULL, token = NULL, mark = NULL,
  suspect = 0, next_attempt = ?4, attempts = attempts + 1, last_action = ?5, last_scope = ?6, last_reply = ?7,
  last_mta = ?8, last_at = ?9, last_uncertain = ?10
WHERE message = ?1 AND number = ?2

-- name: recipient-return
UPDATE recipient SET state = CASE WHEN ?3 THEN 2 WHEN suspect THEN 3 ELSE 0 END, owner = NULL, token = NULL,
  mark = NULL
WHERE message = ?1 AND number = ?2

-- name: message-hold
UPDATE message SET hold = ?2 WHERE id = ?1

-- What cannot be understood is held, whatever else is to be done with it.
-- name: damaged-hold
UPDATE message SET hold = CASE WHEN typeof(hold) = 'text' THEN hold ELSE ?2 END WHERE id = ?1

-- name: damaged-recipients
UPDATE recipient SET owner = CASE WHEN state = 1 AND owner <> ?2 THEN owner END,
  token = CASE WHEN state = 1 AND owner <> ?2 THEN token END,
  state = CASE WHEN state = 1 AND owner <> ?2 THEN 1 ELSE 2 END
WHERE message = ?1 AND (state <> 1 OR owner <> ?2 OR token = ?3) RETURNING hop

-- name: damaged-times
SELECT DISTINCT message FROM recipient
WHERE state <> 2 AND (typeof(next_attempt) NOT IN ('real', 'integer') OR typeof(deadline) NOT IN ('real', 'integer')
  OR typeof(priority) <> 'integer' OR priority NOT BETWEEN -9 AND 9 OR state NOT IN (0, 1, 3))
AND NOT (state = 1 AND owner IN (SELECT id FROM owner))

-- name: hops-ids
SELECT id FROM next_hop

-- name: hop-forgotten
UPDATE next_hop SET failures = 0, not_before = 0, last = '', suspended = NULL, suspended_until = NULL,
  probe_owner = NULL, probe_token = NULL
WHERE id = ?1

-- name: message-held
SELECT hold FROM message WHERE id = ?1

-- name: message-warned
UPDATE message SET warn_at = ?2 WHERE id = ?1

-- name: recipients-warned
UPDATE recipient SET warned = 1 WHERE message = ?1 AND number IN (SELECT value FROM json_each(?2))

-- name: recipient-unwarned
SELECT 1 FROM recipient WHERE message = ?1 AND warned = 0 LIMIT 1

-- name: recipients-unwarned
UPDATE recipient SET warned = 0 WHERE message = ?1

-- name: recipient-deadlines
UPDATE recipient SET deadline =
  (SELECT max(CASE WHEN recipient.warned THEN expires ELSE min(expires, coalesce(warn_at, expires)) END,
              coalesce(CASE WHEN json_valid(more) THEN json_extract(more, '$.release') END, 0))
   FROM message WHERE id = ?1)
WHERE message = ?1

-- name: recipients-held
UPDATE recipient SET state = 2 WHERE message = ?1 AND state IN (0, 3)

-- name: messages-finished
DELETE FROM message WHERE id IN (SELECT value FROM json_each(?1))
AND NOT EXISTS (SELECT 1 FROM recipient WHERE recipient.message = message.id)

-- name: contents-delete
DELETE FROM content WHERE id IN (SELECT value FROM json_each(?1))

-- name: attempts-delete
DELETE FROM attempt WHERE message IN (SELECT value FROM json_each(?1))

-- name: attempt-next
SELECT coalesce(max(number), 0) + 1 FROM attempt WHERE message = ?1 AND typeof(number) = 'integer'

-- name: attempt-insert
INSERT INTO attempt VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16)

-- name: attempts-old
DELETE FROM attempt WHERE message = ?1 AND number <= ?2

-- name: transcripts-old
DELETE FROM transcript WHERE message = ?1 AND attempt <= ?2

-- name: transcript-forget
DELETE FROM transcript WHERE message = ?1 AND hop = ?2

-- name: transcript-keep
INSERT INTO transcript (message, hop, attempt, said) VALUES (?1, ?2, ?3, ?4)

-- name: transcripts-delete
DELETE FROM transcript WHERE message IN (SELECT value FROM json_each(?1))

-- name: attempts
SELECT a.number, a.recipient, a.transport, a.next_hop, a.helo, a.started, a.seconds, a.mta, a.uncertain,
  a.action, a.scope, a.reply, a.remote_mta, a.at, a.outcome_uncertain, t.said
FROM attempt AS a LEFT JOIN transcript AS t ON t.message = a.message AND t.attempt = a.number
WHERE a.message = ?1 ORDER BY a.number, a.recipient

-- name: due-by-deadline
SELECT deadline, message, number, hop, next_attempt FROM recipient INDEXED BY recipient_deadline
WHERE state = 0 AND deadline <= ?1 AND (deadline, message, number) > (?2, ?3, ?4)
ORDER BY deadline, message, number LIMIT ?5

-- One seek: (hop, priority) is fixed, and next_attempt is the next column of the index, in whose order the rows
-- come.  What waits at other priorities, or is not due yet, is not looked at.
-- name: due-at-hop
SELECT message FROM recipient INDEXED BY recipient_due
WHERE hop = ?1 AND state = 0 AND priority = ?2 AND next_attempt <= ?3 ORDER BY next_attempt

-- The next priority present at a next hop below ?2, and the earliest of what waits at one: a seek each.
-- name: priority-below
SELECT max(priority) FROM recipient INDEXED BY recipient_due WHERE hop = ?1 AND state = 0 AND priority < ?2

-- name: first-at-hop
SELECT min(next_attempt) FROM recipient INDEXED BY recipient_due WHERE hop = ?1 AND state = 0 AND priority = ?2

-- name: hops-like
SELECT id, next_hop FROM next_hop WHERE instr(lower(next_hop), ?1)

-- The index from its end: the highest priority first, and there what would have waited longest.
-- name: hop-waiting
SELECT DISTINCT r.message FROM recipient AS r INDEXED BY recipient_due
WHERE r.hop = ?1 AND r.state = 0
AND NOT EXISTS (SELECT 1 FROM message AS m WHERE m.id = r.message
  AND CASE WHEN json_valid(m.more) THEN json_extract(m.more, '$.release') > ?2 END)
ORDER BY r.priority DESC, r.next_attempt DESC LIMIT ?3

-- name: hop-start
UPDATE recipient SET next_attempt = ?2
WHERE message IN (SELECT value FROM json_each(?3)) AND hop = ?1 AND state = 0 AND next_attempt > ?2

-- name: hop-unblock
UPDATE next_hop SET not_before = 0 WHERE id = ?1

-- name: next-ready
SELECT min(ready) FROM next_hop WHERE ready IS NOT NULL

-- name: next-deadline
SELECT min(deadline) FROM recipient INDEXED BY recipient_deadline WHERE state = 0

-- name: claim-due
UPDATE recipient SET state = 1, owner = ?3, token = ?4
WHERE message = ?1 AND hop = ?2 AND state = 0 AND (next_attempt <= ?5 OR deadline <= ?5)

-- name: claim-suspect
UPDATE recipient SET state = 1, owner = ?3, token = ?4 WHERE message = ?1 AND hop = ?2 AND state = 3

-- name: claim-any
UPDATE recipient SET state = 1, owner = ?3, token = ?4 WHERE message = ?1 AND hop = ?2
AND (state IN (0, 3) OR (?5 AND state = 2))

-- name: claim-number
UPDATE message SET claims = claims + 1 WHERE id = ?1 RETURNING claims

-- name: messages
SELECT id, sender, body, declared, smtputf8, requiretls, ret, envid, arrived, protocol, address, host, helo,
  login, trace, size, expires, warn_at, hold, priority, large, more, listener
FROM message WHERE id IN (SELECT value FROM json_each(?1)) ORDER BY id

-- name: claimed-recipients
SELECT message, number, path, orcpt, notify, token, attempts, next_attempt, suspect, last_action, last_scope,
  last_reply, last_mta, last_at, last_uncertain, pinned, warned
FROM recipient WHERE message IN (SELECT value FROM json_each(?1)) AND owner = ?2 AND token >= ?3
ORDER BY message, number

-- name: contents
SELECT id, data FROM content WHERE id IN (SELECT value FROM json_each(?1))

-- name: content
SELECT message.large, content.data FROM message LEFT JOIN content ON content.id = message.id
WHERE message.id = ?1

-- name: recipients
SELECT r.message, r.number, r.path, r.orcpt, r.notify, h.transport, h.next_hop, h.helo, h.via, r.attempts,
  r.next_attempt, r.owner, r.mark, r.pinned, r.suspect, r.warned, r.last_action, r.last_scope, r.last_reply, r.last_mta,
  r.last_at, r.last_uncertain
FROM recipient AS r LEFT JOIN next_hop AS h ON h.id = r.hop
WHERE r.message IN (SELECT value FROM json_each(?1)) ORDER BY r.message, r.number

-- name: change-hold
UPDATE message SET hold = ?1 WHERE id IN (SELECT id FROM picked)

-- name: change-hold-recipients
UPDATE recipient SET mark = CASE WHEN state = 1 THEN coalesce(mark, 'hold') END,
  state = CASE WHEN state = 1 THEN 1 ELSE 2 END
WHERE message IN (SELECT id FROM picked)

-- name: change-release
UPDATE message SET hold = NULL, strikes = 0
WHERE id IN (SELECT id FROM picked) AND (hold IS NOT NULL OR strikes > 0)

-- name: change-release-recipients
UPDATE recipient SET mark = CASE WHEN mark <> 'hold' THEN mark END,
  state = CASE WHEN state <> 2 THEN state WHEN suspect THEN 3 ELSE 0 END,
  last_uncertain = CASE WHEN state <> 2 THEN last_uncertain ELSE last_uncertain & ~1 END
WHERE message IN (SELECT id FROM picked) AND (state = 2 OR mark IS NOT NULL)

-- name: change-retry-recipients
UPDATE recipient SET next_attempt =
  max(?1, coalesce((SELECT CASE WHEN json_valid(more) THEN json_extract(more, '$.release') END
                    FROM message WHERE id = recipient.message), 0))
WHERE message IN (SELECT id FROM picked) AND state <> 1

-- name: recipients-advance
UPDATE recipient SET next_attempt = ?3 WHERE message = ?1 AND next_attempt > ?2 AND state <> 1 RETURNING hop

-- name: change-remove-recipients
DELETE FROM recipient WHERE message IN (SELECT id FROM picked) AND state <> 1

-- name: change-remove-claimed
UPDATE recipient SET mark = 'remove' WHERE message IN (SELECT id FROM picked) AND state = 1

-- What has recipients in hand stays.
-- name: change-remove-left
DELETE FROM picked WHERE EXISTS (SELECT 1 FROM recipient WHERE message = picked.id)

-- name: change-remove-messages
DELETE FROM message WHERE id IN (SELECT id FROM picked)

-- name: change-remove-contents
DELETE FROM content WHERE id IN (SELECT id FROM picked)

-- name: change-remove-attempts
DELETE FROM attempt WHERE message IN (SELECT id FROM picked)

-- name: change-remove-transcripts
DELETE FROM transcript WHERE message IN (SELECT id FROM picked)

-- name: change-large
SELECT id FROM message WHERE id IN (SELECT id FROM picked) AND large

-- name: hops-of
SELECT DISTINCT hop FROM recipient WHERE message IN (SELECT id FROM picked)

-- name: total-add
UPDATE total SET queued = queued + ?1, done = done + ?2, failed = failed + ?3, delayed = delayed + ?4

-- name: totals
SELECT queued, done, failed, delayed FROM total

-- name: summary-messages
SELECT count(*), coalesce(sum(hold IS NULL), 0),
  min(CASE WHEN hold IS NOT NULL THEN NULL WHEN more IS NULL OR NOT json_valid(more) THEN arrived
      ELSE max(arrived, coalesce(CAST(json_extract(more, '$.release') AS REAL), 0)) END)
FROM message

-- Those that have a recipient which waits, not held, and was tried: a pass in the table's order.
-- name: summary-tried
SELECT count(*) FROM (SELECT DISTINCT message FROM recipient WHERE attempts > 0 AND state IN (0, 3))

-- What is in hand and not held, and how much of that `summary-tried` counted, too.
-- name: summary-active
SELECT count(*), coalesce(sum(EXISTS (
    SELECT 1 FROM recipient WHERE message = m.id AND attempts > 0 AND state IN (0, 3))), 0)
FROM (SELECT DISTINCT message FROM recipient WHERE state = 1) AS r CROSS JOIN message AS m ON m.id = r.message
WHERE m.hold IS NULL

-- Recipients at each next hop: those that wait out of their index, the others out of a pass over all.
-- name: shape-plain
SELECT hop, sum(recipients) FROM
  (SELECT hop, count(*) AS recipients FROM recipient INDEXED BY recipient_due WHERE state = 0 GROUP BY hop
   UNION ALL SELECT hop, count(*) FROM recipient WHERE state <> 0 GROUP BY hop)
GROUP BY hop

-- name: hops-names
SELECT id, transport, next_hop, helo, via FROM next_hop

-- name: queued-count
SELECT count(*) FROM message

-- name: indexes-of-what-waits
SELECT name, sql FROM sqlite_master WHERE type = 'index' AND name IN ('recipient_due', 'recipient_deadline')

-- name: check-orphans
SELECT message, number FROM recipient WHERE message NOT IN (SELECT id FROM message)

-- name: check-settled
SELECT id FROM message WHERE id NOT IN (SELECT message FROM recipient)

-- name: check-hops
SELECT message, number FROM recipient WHERE hop NOT IN (SELECT id FROM next_hop)

-- name: check-owners
SELECT message, number FROM recipient WHERE state = 1 AND owner NOT IN (SELECT id FROM owner)

-- name: check-content
SELECT id FROM message WHERE NOT large AND id NOT IN (SELECT id FROM content)

-- name: check-content-orphans
SELECT id FROM content WHERE id NOT IN (SELECT id FROM message)

-- name: check-large
SELECT id, size - length(trace) FROM message WHERE large ORDER BY id

-- name: check-short
SELECT m.id, length(c.data), m.size - length(m.trace) FROM message AS m JOIN content AS c USING (id)
WHERE NOT m.large AND length(c.data) <> m.size - length(m.trace)

-- name: check-ready
SELECT transport || ':' || next_hop FROM next_hop AS h WHERE ready IS NULL AND probe_owner IS NULL
AND (suspended IS NULL OR suspended_until IS NOT NULL)
AND EXISTS (SELECT 1 FROM recipient WHERE hop = h.id AND state = 0)
