-- Jobs until they are submitted. How they end is in outcomes.sql.

-- name: insert_provider
-- A registered provider: jobs and receipts refer to it.
INSERT INTO providers (name) VALUES (:name) ON CONFLICT (name) DO NOTHING;

-- name: insert_job
-- (nothing) -> accepted. Does nothing if the Idempotency-Key exists.
INSERT INTO jobs (id, provider, model, state, idempotency_key, request_digest, created_at, last_sequence,
                  last_transition)
VALUES (:job_id, :provider, :model, 'accepted', :idempotency_key, :request_digest, :now, 1, :transition)
ON CONFLICT (idempotency_key) WHERE idempotency_key IS NOT NULL DO NOTHING;

-- name: insert_input
INSERT INTO inputs (job_id, metadata, short_input, input)
SELECT id, :metadata, :short_input, :input FROM jobs WHERE id = :job_id AND last_transition = :transition;

-- name: insert_job_endpoint
-- A `notify` URL is one endpoint, shared by every job that names it.
INSERT INTO endpoints (id, url, source, created_at)
SELECT :endpoint_id, :url, 'job', :now FROM jobs WHERE id = :job_id AND last_transition = :transition
ON CONFLICT (url) WHERE source = 'job' DO NOTHING;

-- name: enable_job_endpoint
-- A job that names a disabled endpoint enables it. Not in the insert, which would lock the row for every other job.
UPDATE endpoints SET disabled_at = NULL, disabled_reason = NULL
WHERE url = :url AND source = 'job' AND disabled_at IS NOT NULL
  AND EXISTS (SELECT 1 FROM jobs WHERE id = :job_id AND last_transition = :transition);

-- name: subscribe_job_endpoint
INSERT INTO subscriptions (job_id, endpoint_id)
SELECT j.id, e.id FROM jobs AS j JOIN endpoints AS e ON e.url = :url AND e.source = 'job'
WHERE j.id = :job_id AND j.last_transition = :transition;

-- name: read_accepted
-- The job just accepted, or the earlier one with the Idempotency-Key.
SELECT id, request_digest FROM jobs WHERE id = :job_id
UNION ALL
SELECT id, request_digest FROM jobs WHERE idempotency_key = :idempotency_key AND id <> :job_id;

-- name: expire_claim
-- submitting -> unconfirmed: the claim has ended.
UPDATE jobs
SET state = 'unconfirmed', claimed_until = NULL, unconfirmed_at = :now, error_fault = :error_fault,
    error_code = :error_code, error_message = :error_message, error_retryable = :error_retryable,
    last_sequence = last_sequence + 1, last_transition = :expiry
WHERE id = :job_id AND state = 'submitting' AND claimed_until <= :now
RETURNING id;

-- name: claim_submission
-- accepted -> submitting. The statements that end the claim have its id in their conditions.
UPDATE jobs
SET state = 'submitting', claimed_until = :until, submissions = submissions + 1, last_transition = :transition
WHERE id = :job_id AND state = 'accepted'
RETURNING id;

-- name: claim_resubmission
-- unconfirmed -> submitting, only if RESUBMIT_UNCONFIRMED allows it and its time has passed. At most :most_submissions,
-- because each may be billed.
UPDATE jobs
SET state = 'submitting', claimed_until = :until, submissions = submissions + 1, last_transition = :transition
WHERE id = :job_id AND state = 'unconfirmed' AND unconfirmed_at <= :unconfirmed_before
  AND submissions < :most_submissions
RETURNING id;

-- name: confirm_submission
-- submitting, unconfirmed or accepted -> submitted: the provider has it. A request id of another job changes nothing.
UPDATE jobs
SET state = 'submitted', provider_request_id = :request_id, submitted_at = :now, claimed_until = NULL,
    status_url = :status_url, response_url = :response_url, cancel_url = :cancel_url,
    error_fault = NULL, error_code = NULL, error_message = NULL, error_retryable = NULL,
    last_sequence = last_sequence + 1, last_transition = :transition
WHERE id = :job_id AND provider = :provider AND state IN ('submitting', 'unconfirmed', 'accepted')
  AND NOT EXISTS (SELECT 1 FROM jobs AS other
                  WHERE other.provider = :provider AND other.provider_request_id = :request_id AND other.id <> :job_id)
RETURNING id;

-- name: return_to_accepted
-- submitting -> accepted, with the reason: the provider refused it for now, or was not reached. Only with the claim. A
-- resubmission becomes unconfirmed instead, because its first request may still be running.
UPDATE jobs
SET state = CASE WHEN submissions > 1 THEN 'unconfirmed' ELSE 'accepted' END, claimed_until = NULL,
    submissions = submissions - 1, server_errors = server_errors + :server_errors, error_fault = :error_fault,
    error_code = :error_code, error_message = :error_message, error_retryable = :error_retryable,
    last_transition = :transition
WHERE id = :job_id AND state = 'submitting' AND last_transition = :claim
RETURNING id;

-- name: hold_job
-- An accepted job says why it waits: its provider refuses our account.
UPDATE jobs
SET error_fault = :error_fault, error_code = :error_code, error_message = :error_message,
    error_retryable = :error_retryable
WHERE id = :job_id AND state = 'accepted' AND (error_message IS NULL OR error_message <> :error_message);

-- name: count_held_jobs
SELECT count(*) AS number FROM jobs WHERE state = 'accepted' AND error_code = 'account_refused';

-- name: mark_unconfirmed
-- submitting -> unconfirmed, with the reason: the request may have been sent, and no response was read. Only with the
-- claim.
UPDATE jobs
SET state = 'unconfirmed', claimed_until = NULL, unconfirmed_at = :now, error_fault = :error_fault,
    error_code = :error_code, error_message = :error_message, error_retryable = :error_retryable,
    last_sequence = last_sequence + 1, last_transition = :transition
WHERE id = :job_id AND state = 'submitting' AND last_transition = :claim
RETURNING id;

-- name: mark_restored
-- accepted or submitting -> unconfirmed, a page of them: the database is a copy from a backup, and what happened since
-- the backup is not known. The job may have been submitted.
UPDATE jobs
SET state = 'unconfirmed', claimed_until = NULL, unconfirmed_at = :now, error_fault = :error_fault,
    error_code = :error_code, error_message = :error_message, error_retryable = :error_retryable,
    submissions = CASE WHEN state = 'accepted' THEN submissions + 1 ELSE submissions END,
    last_sequence = last_sequence + 1, last_transition = :transition
WHERE id IN (SELECT id FROM jobs WHERE state IN ('accepted', 'submitting') LIMIT :limit)
  AND state IN ('accepted', 'submitting')
RETURNING id;

-- name: newest_job
SELECT created_at FROM jobs WHERE id = (SELECT max(id) FROM jobs);

-- name: read_job
-- One job with its outputs, a row for each output.
SELECT * FROM job_rows WHERE id = :job_id ORDER BY position;

-- name: read_claimed
-- The same with the whole input, for the worker that claims the job.
SELECT j.*, i.input AS whole_input FROM job_rows AS j JOIN inputs AS i ON i.job_id = j.id
WHERE j.id = :job_id ORDER BY j.position;

-- name: read_input
SELECT input FROM inputs WHERE job_id = :job_id;

-- name: list_jobs
-- A page of jobs, newest first, before the cursor.
SELECT j.*
FROM (SELECT id FROM jobs WHERE id < :before ORDER BY id DESC LIMIT :limit) AS page JOIN job_rows AS j ON j.id = page.id
ORDER BY j.id DESC, j.position;

-- name: list_jobs_by_state
-- Each step selects the next newest job from the newest of each provider, because the index has the provider before the
-- id. Another index would be written at every transition.
WITH RECURSIVE page (id, number) AS (
    SELECT max(newest.id), 1
    FROM (SELECT (SELECT j.id FROM jobs AS j WHERE j.state = :state AND j.provider = p.name AND j.id < :before
                  ORDER BY j.id DESC LIMIT 1) AS id
          FROM providers AS p) AS newest
    UNION ALL
    SELECT (SELECT max(newest.id)
            FROM (SELECT (SELECT j.id FROM jobs AS j WHERE j.state = :state AND j.provider = p.name AND j.id < page.id
                          ORDER BY j.id DESC LIMIT 1) AS id
                  FROM providers AS p) AS newest), page.number + 1
    FROM page WHERE page.id IS NOT NULL AND page.number < :limit
)
SELECT j.* FROM page JOIN job_rows AS j ON j.id = page.id
ORDER BY j.id DESC, j.position;

-- name: list_jobs_by_provider
SELECT j.*
FROM (SELECT id FROM jobs WHERE provider = :provider AND id < :before ORDER BY id DESC LIMIT :limit) AS page
JOIN job_rows AS j ON j.id = page.id
ORDER BY j.id DESC, j.position;

-- name: list_jobs_by_provider_and_state
SELECT j.*
FROM (SELECT id FROM jobs WHERE provider = :provider AND state = :state AND id < :before
      ORDER BY id DESC LIMIT :limit) AS page
JOIN job_rows AS j ON j.id = page.id
ORDER BY j.id DESC, j.position;
