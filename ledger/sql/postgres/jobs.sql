-- The statements of jobs that differ on Postgres.

-- name: read_accepted
-- The job just accepted, or the earlier one with the Idempotency-Key. Locked, because a lock is written to the log, so
-- that the commit waits for a standby. A transaction that writes nothing would not wait.
SELECT id, request_digest FROM jobs WHERE id = :job_id OR idempotency_key = :idempotency_key FOR KEY SHARE;

-- name: read_claimed
-- The job with its claim. Locked, as above: a repeated claim must wait until the standby has the first one. Or a
-- failover could undo the claim, and another worker would submit the job again.
WITH held AS (SELECT id FROM jobs WHERE id = :job_id FOR KEY SHARE)
SELECT * FROM job_rows WHERE id IN (SELECT id FROM held) ORDER BY position;
