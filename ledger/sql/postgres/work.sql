-- The statements of the queue that differ on Postgres, where transactions are concurrent.

-- name: enqueue
-- One row for each kind and subject, due at the earlier of the wanted times. A leased row is not changed. A row that is
-- due is not even locked: ON CONFLICT DO UPDATE would lock it until the commit, even if its WHERE is false, and so
-- serialise all callbacks whose events go to the same endpoint.
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
-- Lease what is due, longest due first. Concurrent fetches take different rows, and none waits.
UPDATE work SET lease = :lease, due_at = :until
WHERE kind = :kind
  AND subject = ANY (ARRAY (SELECT subject FROM work WHERE kind = :kind AND due_at <= :now ORDER BY due_at LIMIT :limit
                            FOR NO KEY UPDATE SKIP LOCKED))
RETURNING subject, tries;

-- name: renew_lease
-- Extend the lease, if it still holds. A locked row is skipped: many leases are renewed in one transaction, which must
-- not wait for another that waits for it.
UPDATE work SET due_at = :until
WHERE kind = :kind
  AND subject = ANY (ARRAY (SELECT subject FROM work WHERE kind = :kind AND subject = :subject AND lease = :lease
                            FOR NO KEY UPDATE SKIP LOCKED));

-- name: release_contended_endpoint
-- Before release_endpoint, which cannot see deliveries of transactions that have not committed. A transaction that
-- inserts a delivery holds a key share lock on its endpoint until it commits (the foreign key's, or replay_delivery's
-- own). If there is one, the endpoint is due now. If there is none, the endpoint is locked here, so that the next
-- transaction that inserts a delivery waits for this one and enqueues it again.
WITH locked AS (SELECT id FROM endpoints WHERE id = :subject FOR UPDATE SKIP LOCKED)
UPDATE work SET lease = NULL, tries = 0, due_at = :now
WHERE kind = 'deliver' AND subject = :subject AND lease = :lease
  AND NOT EXISTS (SELECT 1 FROM locked) AND EXISTS (SELECT 1 FROM endpoints WHERE id = :subject);
