-- The SQLite queue from version 1 to version 2, inside a transaction.
ALTER TABLE message ADD COLUMN more TEXT;
ALTER TABLE recipient ADD COLUMN priority INTEGER NOT NULL DEFAULT 0;
ALTER TABLE recipient ADD COLUMN warned INTEGER NOT NULL DEFAULT 0;
DROP INDEX recipient_due;
UPDATE recipient SET priority = (SELECT priority FROM message WHERE id = recipient.message)
WHERE message IN (SELECT id FROM message WHERE priority <> 0);
CREATE INDEX recipient_due ON recipient (hop, priority, next_attempt) WHERE state = 0;
