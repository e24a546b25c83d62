-- What of the queue Postgres says otherwise than SQLite, because many transactions are at work there at the same time.

-- name: enqueue
-- One row for each kind and subject, due at the earlier of the times asked for. What is leased is left alone. A row
-- that is due
-- is not even locked: ON CONFLICT DO UPDATE would lock it to the commit, whatever its WHERE says, and with it every
-- callback
-- that is delivered to the same endpoint.
WITH wanted AS (
@wanted
), hastened AS (
    UPDATE work SET due_at = wanted.due_at FROM wanted
    WHERE work.kind = wanted.kind COLLATE "C" AND work.subject = wanted.subject COLLATE "C"
      AND work.lease IS NULL AND work.due_at > wanted.due_at
    RETURNING work.subject
), added AS (
    INSERT INTO work (kind, subject, due_at) SELECT kind, subject, due_at FROM wanted ORDER BY kind, subject
    ON CONFLICT (kind, subject) DO NOTHING
    RETURNING subject
)
SELECT subject FROM hastened UNION ALL SELECT subject FROM added;

-- name: fetch_work
-- Lease what is due, oldest first. Processes that fetch at the same time take different rows, and none waits.
UPDATE work SET lease = :lease, due_at = :until
WHERE kind = :kind
  AND subject = ANY (ARRAY (SELECT subject FROM work WHERE kind = :kind AND due_at <= :now ORDER BY due_at LIMIT :limit
                            FOR NO KEY UPDATE SKIP LOCKED))
RETURNING subject, tries;

-- name: renew_lease
-- The lease lasts longer, if it is still ours. What another transaction is changing is left to it: many are renewed in
-- one
-- transaction, which must not wait for one that waits for it.
UPDATE work SET due_at = :until
WHERE kind = :kind
  AND subject = ANY (ARRAY (SELECT subject FROM work WHERE kind = :kind AND subject = :subject AND lease = :lease
                            FOR NO KEY UPDATE SKIP LOCKED));

-- name: release_contended_endpoint
-- Before release_endpoint: deliveries that are not committed yet cannot be seen, and nobody would be left to make them.
-- Whoever
-- makes a delivery holds a key share lock on its endpoint to the commit (the foreign key's, or replay_delivery's own).
-- If anybody does,
-- the endpoint is due now; if not, it is locked, so that whoever makes the next delivery waits for us and enqueues it
-- anew.
WITH locked AS (SELECT id FROM endpoints WHERE id = :subject FOR UPDATE SKIP LOCKED)
UPDATE work SET lease = NULL, tries = 0, due_at = :now
WHERE kind = 'deliver' AND subject = :subject AND lease = :lease
  AND NOT EXISTS (SELECT 1 FROM locked) AND EXISTS (SELECT 1 FROM endpoints WHERE id = :subject);
