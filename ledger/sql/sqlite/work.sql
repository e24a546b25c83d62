-- The work queue on SQLite: one row for each thing to be done, leased while somebody does it. On Postgres, where Procrastinate
-- keeps what is due, this is said otherwise: ledger/sql/postgres/work.sql.

-- name: enqueue_job_work
-- Work on the job that just moved.
INSERT INTO work (kind, subject, due_at)
SELECT :kind, id, :due_at FROM jobs WHERE id = :job_id AND last_transition = :transition
ON CONFLICT (kind, subject) DO UPDATE SET due_at = excluded.due_at, lease = NULL, tries = 0;

-- name: poll_now
-- Look now: the provider says it is finished but the result has to be fetched.
INSERT INTO work (kind, subject, due_at)
SELECT 'poll', id, :now FROM jobs WHERE id = :job_id AND state = 'submitted' AND provider_request_id = :request_id
ON CONFLICT (kind, subject) DO UPDATE SET due_at = excluded.due_at, lease = NULL;

-- name: enqueue_deliveries
-- The endpoint of every delivery that fan_out just made. A worker that has the endpoint sees them itself.
INSERT INTO work (kind, subject, due_at)
SELECT 'deliver', endpoint_id, :now FROM listeners
WHERE subject = :subject
  AND sequence = (SELECT last_sequence FROM subjects WHERE id = :subject AND last_transition = :transition)
  AND disabled_at IS NULL AND paused_at IS NULL
ON CONFLICT (kind, subject) DO UPDATE SET due_at = excluded.due_at
WHERE work.lease IS NULL AND work.due_at > excluded.due_at;

-- name: enqueue_paused_endpoints
-- Before endpoints that were paused for this reason go on: those with something pending.
INSERT INTO work (kind, subject, due_at)
SELECT 'deliver', id, :now FROM endpoints AS e
WHERE paused_at IS NOT NULL AND paused_reason = :reason
  AND EXISTS (SELECT 1 FROM deliveries WHERE endpoint_id = e.id AND state = 'pending')
ON CONFLICT (kind, subject) DO UPDATE SET due_at = excluded.due_at
WHERE work.lease IS NULL AND work.due_at > excluded.due_at;

-- name: enqueue_delivery
INSERT INTO work (kind, subject, due_at)
SELECT 'deliver', d.endpoint_id, :now FROM deliveries AS d JOIN endpoints AS e ON e.id = d.endpoint_id
WHERE d.id = :delivery_id AND d.state = 'pending' AND e.paused_at IS NULL
ON CONFLICT (kind, subject) DO UPDATE SET due_at = excluded.due_at
WHERE work.lease IS NULL AND work.due_at > excluded.due_at;

-- name: release_endpoint
-- The worker lets the endpoint go: due when its next delivery is, if the lease is still ours. What is overdue already
-- comes due now, behind the endpoints that have waited meanwhile.
UPDATE work
SET lease = NULL, tries = 0,
    due_at = (SELECT CASE WHEN min(due_at) > :now THEN min(due_at) ELSE :now END
              FROM deliveries WHERE endpoint_id = :subject AND state = 'pending')
WHERE kind = 'deliver' AND subject = :subject AND lease = :lease
  AND EXISTS (SELECT 1 FROM deliveries WHERE endpoint_id = :subject AND state = 'pending')
  AND NOT EXISTS (SELECT 1 FROM endpoints WHERE id = :subject AND paused_at IS NOT NULL);

-- name: fetch_work
-- Lease what is due, oldest first. The lease's end is its next due time.
UPDATE work SET lease = :lease, due_at = :until
WHERE (kind, subject) IN (SELECT kind, subject FROM work WHERE kind = :kind AND due_at <= :now ORDER BY due_at LIMIT :limit)
RETURNING subject, tries;

-- name: next_due
SELECT min(due_at) AS due_at FROM work WHERE kind = :kind;

-- name: finish_work
-- Done, if the lease is still ours.
DELETE FROM work WHERE kind = :kind AND subject = :subject AND lease = :lease;

-- name: reschedule_work
-- Later, if the lease is still ours. Waiting is not failing: `failed` is 0 for what merely takes its time, and that
-- ends a row of failures.
UPDATE work SET due_at = :due_at, lease = NULL, tries = CASE :failed WHEN 1 THEN tries + 1 ELSE 0 END
WHERE kind = :kind AND subject = :subject AND lease = :lease;

-- name: end_leases
-- At start, when no other process can hold a lease.
UPDATE work SET lease = NULL, due_at = :now WHERE lease IS NOT NULL;

-- name: end_claims
-- At start, when no other process can hold a claim: whatever was on the wire is nobody's now.
UPDATE jobs SET claimed_until = :now WHERE state = 'submitting' AND claimed_until > :now;
