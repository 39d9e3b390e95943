-- The SQLite queue from version 2 to version 3, inside a transaction.
DROP INDEX recipient_suspect;
CREATE INDEX recipient_suspect ON recipient (state, next_attempt, message, hop, deadline) WHERE suspect = 1;
CREATE INDEX recipient_marked ON recipient (owner) WHERE mark IS NOT NULL;
ALTER TABLE owner ADD COLUMN runs INTEGER NOT NULL DEFAULT 1;
ALTER TABLE owner ADD COLUMN receives INTEGER NOT NULL DEFAULT 0;
CREATE TABLE transcript (
  message INTEGER NOT NULL,
  hop INTEGER NOT NULL,
  attempt INTEGER NOT NULL,
  said TEXT NOT NULL,
  PRIMARY KEY (message, hop)
) WITHOUT ROWID;
CREATE TABLE total (
  id INTEGER PRIMARY KEY CHECK (id = 1),
  queued INTEGER NOT NULL,
  done INTEGER NOT NULL,
  failed INTEGER NOT NULL,
  delayed INTEGER NOT NULL
);
INSERT INTO total VALUES (1, 0, 0, 0, 0);
