-- What of the jobs' statements must be said otherwise on Postgres.

-- name: read_accepted
-- The job just accepted, or the one that had the Idempotency-Key before. Locked, because a lock is written to the log:
-- of a transaction that writes nothing Postgres does not wait until a standby has it, nor what it has read.
SELECT id, request_digest FROM jobs WHERE id = :job_id OR idempotency_key = :idempotency_key FOR KEY SHARE;

-- name: read_claimed
-- The job, and whether it is ours to submit. Locked, as above: who asks again for a claim, because the first answer was
-- lost, must not have it before the standby does. A failover would take it back, and somebody else would submit and pay
-- once more.
WITH held AS (SELECT id FROM jobs WHERE id = :job_id FOR KEY SHARE)
SELECT j.*, i.input AS whole_input FROM job_rows AS j JOIN inputs AS i ON i.job_id = j.id
WHERE j.id IN (SELECT id FROM held) ORDER BY j.position;
