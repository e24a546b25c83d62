-- The statements of the queue that differ on Postgres, where transactions are concurrent.

-- name: enqueue
-- One row for each kind and subject, due at the earlier of the two times. A leased row is not changed. A due row is not
-- locked either: ON CONFLICT DO UPDATE would lock it even if its WHERE is false, and so serialize all callbacks whose
-- events go to the same endpoint.
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
-- Lease due tasks, longest due first. Concurrent fetches take different rows without waiting.
UPDATE work SET lease = :lease, due_at = :until
WHERE kind = :kind
  AND subject = ANY (ARRAY (SELECT subject FROM work WHERE kind = :kind AND due_at <= :now ORDER BY due_at LIMIT :limit
                            FOR NO KEY UPDATE SKIP LOCKED))
RETURNING subject, tries;

-- name: renew_lease
-- Extend the lease, if it still holds. A locked row is skipped, because waiting for it could be a deadlock: one
-- transaction renews many leases.
UPDATE work SET due_at = :until
WHERE kind = :kind
  AND subject = ANY (ARRAY (SELECT subject FROM work WHERE kind = :kind AND subject = :subject AND lease = :lease
                            FOR NO KEY UPDATE SKIP LOCKED));

-- name: release_contended_endpoint
-- Before release_endpoint, which cannot see deliveries of uncommitted transactions. Such a transaction holds a key
-- share lock on the endpoint, by the foreign key or by replay_delivery. If there is one, the endpoint is due now.
-- Otherwise the endpoint is locked here, so that the next such transaction waits for this one and then enqueues the
-- endpoint.
WITH locked AS (SELECT id FROM endpoints WHERE id = :subject FOR UPDATE SKIP LOCKED)
UPDATE work SET lease = NULL, tries = 0, due_at = :now
WHERE kind = 'deliver' AND subject = :subject AND lease = :lease
  AND NOT EXISTS (SELECT 1 FROM locked) AND EXISTS (SELECT 1 FROM endpoints WHERE id = :subject);
