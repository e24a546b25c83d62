-- What of the queue SQLite says otherwise than Postgres: there is one writer, so that nothing is locked by anybody
-- else, and one
-- process, so that at its start no lease is anybody's.

-- name: enqueue
-- One row for each kind and subject, due at the earlier of the times asked for. What is leased is left alone.
INSERT INTO work (kind, subject, due_at)
@wanted
ON CONFLICT (kind, subject) DO UPDATE SET due_at = excluded.due_at
WHERE work.lease IS NULL AND work.due_at > excluded.due_at
RETURNING subject;

-- name: fetch_work
-- Lease what is due, oldest first.
UPDATE work SET lease = :lease, due_at = :until
WHERE (kind, subject) IN (SELECT kind, subject FROM work WHERE kind = :kind AND due_at <= :now ORDER BY due_at
    LIMIT :limit)
RETURNING subject, tries;

-- name: renew_lease
-- The lease lasts longer, if it is still ours.
UPDATE work SET due_at = :until WHERE kind = :kind AND subject = :subject AND lease = :lease;

-- name: release_contended_endpoint
-- Nothing: no other transaction can be making deliveries.

-- name: end_leases
-- At start, when no other process can hold a lease.
UPDATE work SET lease = NULL, due_at = :now WHERE lease IS NOT NULL;

-- name: end_claims
-- At start, when no other process can hold a claim: whatever was on the wire is nobody's now.
UPDATE jobs SET claimed_until = :now WHERE state = 'submitting' AND claimed_until > :now;
