-- The statements of the queue that differ from Postgres: SQLite has one writer, so there are no locks of other
-- transactions, and one process, so no lease is held when it starts.

-- name: enqueue
-- One row for each kind and subject, due at the earlier of the two times. A leased row is not changed.
INSERT INTO work (kind, subject, due_at)
@wanted
ON CONFLICT (kind, subject) DO UPDATE SET due_at = excluded.due_at
WHERE work.lease IS NULL AND work.due_at > excluded.due_at
RETURNING subject;

-- name: enqueue_deliveries
-- As in ../work.sql, but without RETURNING, for which SQLite creates a table at every callback. Only whether a row
-- changed is used.
INSERT INTO work (kind, subject, due_at)
SELECT 'deliver' AS kind, endpoint_id, :now
FROM listeners
WHERE subject = :subject AND transition = :transition AND disabled_at IS NULL AND paused_at IS NULL
ON CONFLICT (kind, subject) DO UPDATE SET due_at = excluded.due_at
WHERE work.lease IS NULL AND work.due_at > excluded.due_at;

-- name: fetch_work
-- Lease due tasks, longest due first.
UPDATE work SET lease = :lease, due_at = :until
WHERE (kind, subject) IN (SELECT kind, subject FROM work WHERE kind = :kind AND due_at <= :now
                          ORDER BY due_at LIMIT :limit)
RETURNING subject, tries;

-- name: renew_lease
-- Extend the lease, if it still holds.
UPDATE work SET due_at = :until WHERE kind = :kind AND subject = :subject AND lease = :lease;

-- name: release_contended_endpoint
-- Nothing: there are no concurrent transactions.

-- name: end_leases
-- At start: no other process can hold a lease.
UPDATE work SET lease = NULL, due_at = :now WHERE lease IS NOT NULL;

-- name: end_claims
-- At start: no other process can hold a claim.
UPDATE jobs SET claimed_until = :now WHERE state = 'submitting' AND claimed_until > :now;
