-- Jobs: accepted, claimed, confirmed, put back, lost sight of. Their endings are in outcomes.sql.

-- name: insert_job
-- (nothing) -> accepted. An Idempotency-Key that is already there makes this do nothing.
INSERT INTO jobs (id, provider, model, state, idempotency_key, request_digest, created_at, last_sequence,
    last_transition)
VALUES (:job_id, :provider, :model, 'accepted', :idempotency_key, :request_digest, :now, 1, :move)
ON CONFLICT (idempotency_key) WHERE idempotency_key IS NOT NULL DO NOTHING;

-- name: insert_input
INSERT INTO inputs (job_id, input, metadata)
SELECT id, :input, :metadata FROM jobs WHERE id = :job_id AND last_transition = :move;

-- name: insert_job_endpoint
-- A `notify` URL is an endpoint of its own, shared by every job that names it.
INSERT INTO endpoints (id, url, scope, created_at)
SELECT :endpoint_id, :url, 'job', :now FROM jobs WHERE id = :job_id AND last_transition = :move
ON CONFLICT (id) DO NOTHING;

-- name: enable_job_endpoint
-- Naming an endpoint again enables it again. Apart from the insert, which would lock the row for everybody else who
-- names it.
UPDATE endpoints SET disabled_at = NULL, disabled_reason = NULL
WHERE id = :endpoint_id AND disabled_at IS NOT NULL AND EXISTS (SELECT 1 FROM jobs WHERE id = :job_id
    AND last_transition = :move);

-- name: subscribe_job_endpoint
INSERT INTO subscriptions (job_id, endpoint_id)
SELECT id, :endpoint_id FROM jobs WHERE id = :job_id AND last_transition = :move;

-- name: read_accepted
-- The job just accepted, or the one that had the Idempotency-Key before.
SELECT id, request_digest FROM jobs WHERE id = :job_id
UNION ALL
SELECT id, request_digest FROM jobs WHERE idempotency_key = :idempotency_key AND id <> :job_id;

-- name: expire_claim
-- submitting -> unconfirmed, when the lease of whoever was submitting is over.
UPDATE jobs
SET state = 'unconfirmed', claimed_until = NULL, unconfirmed_at = :now, last_sequence = last_sequence + 1,
    last_transition = :lost
WHERE id = :job_id AND state = 'submitting' AND claimed_until <= :now
RETURNING id;

-- name: claim_submission
-- accepted -> submitting: the claim. What ends it repeats `last_transition`.
UPDATE jobs
SET state = 'submitting', claimed_until = :until, submissions = submissions + 1, last_transition = :move
WHERE id = :job_id AND state = 'accepted'
RETURNING id;

-- name: claim_resubmission
-- unconfirmed -> submitting, only where RESUBMIT_UNCONFIRMED allows it and the time it names has passed. Once: a
-- provider that takes jobs and never answers must not be paid for more than two.
UPDATE jobs
SET state = 'submitting', claimed_until = :until, submissions = submissions + 1, last_transition = :move
WHERE id = :job_id AND state = 'unconfirmed' AND unconfirmed_at <= :unconfirmed_before AND submissions < 2
RETURNING id;

-- name: confirm_submission
-- submitting, unconfirmed or accepted -> submitted: the provider said it has it. A request of another job confirms
-- nothing.
UPDATE jobs
SET state = 'submitted', provider_request_id = :request_id, submitted_at = :now, claimed_until = NULL,
    status_url = :status_url, response_url = :response_url, cancel_url = :cancel_url,
    last_sequence = last_sequence + 1, last_transition = :move
WHERE id = :job_id AND provider = :provider AND state IN ('submitting', 'unconfirmed', 'accepted')
  AND NOT EXISTS (SELECT 1 FROM jobs AS other
                  WHERE other.provider = :provider AND other.provider_request_id = :request_id AND other.id <> :job_id)
RETURNING id;

-- name: return_to_accepted
-- submitting -> accepted: the provider did not take it, and said so, or was never reached. Only by whoever claimed it.
-- A resubmission goes back to unconfirmed instead: the request before it may still be running.
UPDATE jobs
SET state = CASE WHEN submissions > 1 THEN 'unconfirmed' ELSE 'accepted' END, claimed_until = NULL,
    submissions = submissions - 1, last_transition = :move
WHERE id = :job_id AND state = 'submitting' AND last_transition = :claim
RETURNING id;

-- name: mark_unconfirmed
-- submitting -> unconfirmed: the request left and no answer was read. Only by whoever claimed it.
UPDATE jobs
SET state = 'unconfirmed', claimed_until = NULL, unconfirmed_at = :now, last_sequence = last_sequence + 1,
    last_transition = :move
WHERE id = :job_id AND state = 'submitting' AND last_transition = :claim
RETURNING id;

-- name: read_job
-- One job with its outputs, a row for each output.
SELECT * FROM job_rows WHERE id = :job_id ORDER BY position;

-- name: read_claimed
-- The same, for who would submit it.
SELECT * FROM job_rows WHERE id = :job_id ORDER BY position;

-- name: list_jobs
-- A page of jobs, newest first, before the cursor.
SELECT j.* FROM (SELECT id FROM jobs WHERE id < :before ORDER BY id DESC LIMIT :limit) AS page
    JOIN job_rows AS j ON j.id = page.id
ORDER BY j.id DESC, j.position;

-- name: list_jobs_by_state
-- The newest of each provider, and of those the newest: the index has the provider before the id. `names` steps through
-- the index from provider to provider.
WITH RECURSIVE names (provider) AS (
    SELECT min(provider) FROM jobs WHERE state = :state
    UNION ALL
    SELECT (SELECT min(provider) FROM jobs WHERE state = :state AND provider > names.provider)
    FROM names WHERE names.provider IS NOT NULL
)
SELECT j.*
FROM (SELECT jobs.id
      FROM names JOIN jobs ON jobs.state = :state AND jobs.provider = names.provider AND jobs.id < :before
           AND jobs.id >= (SELECT min(newest.id)
                           FROM (SELECT id FROM jobs
                                 WHERE state = :state AND provider = names.provider AND id < :before
                                 ORDER BY id DESC LIMIT :limit) AS newest)
      ORDER BY jobs.id DESC LIMIT :limit) AS page
     JOIN job_rows AS j ON j.id = page.id
ORDER BY j.id DESC, j.position;

-- name: list_jobs_by_provider
SELECT j.* FROM (SELECT id FROM jobs WHERE provider = :provider AND id < :before ORDER BY id DESC LIMIT :limit)
    AS page JOIN job_rows AS j ON j.id = page.id
ORDER BY j.id DESC, j.position;

-- name: list_jobs_by_provider_and_state
SELECT j.* FROM (SELECT id FROM jobs WHERE provider = :provider AND state = :state AND id < :before ORDER BY id DESC
    LIMIT :limit) AS page JOIN job_rows AS j ON j.id = page.id
ORDER BY j.id DESC, j.position;

-- name: list_events
-- What happened to a job, in order, after the given sequence number.
SELECT job_id, sequence, type, at FROM events WHERE job_id = :job_id AND sequence > :after ORDER BY sequence;
