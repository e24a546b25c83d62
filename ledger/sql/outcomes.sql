-- Outcomes: how jobs end. The statements after settle_job change rows only if it ended the job.

-- name: settle_job
-- any open state -> completed, failed, canceled or expired, by the first report. The request id must be the job's.
-- Another one is accepted while the job has none or was submitted twice, if the report is certainly for our account.
-- Never one of another job.
UPDATE jobs
SET state = :state, finalized_at = :now, claimed_until = NULL, source = :source, fingerprint = :fingerprint,
    processing_time_ms = :processing_time_ms, warning = :warning, error_fault = :error_fault, error_code = :error_code,
    error_message = :error_message, error_retryable = :error_retryable,
    last_sequence = last_sequence + 1, last_transition = :transition
WHERE id = :job_id AND provider = :provider AND finalized_at IS NULL
  AND (provider_request_id = :request_id
       OR (:ours = 1 AND (provider_request_id IS NULL OR :request_id IS NULL OR submissions > 1)))
  AND NOT EXISTS (SELECT 1 FROM jobs AS other
                  WHERE other.provider = :provider AND other.provider_request_id = :request_id AND other.id <> :job_id);

-- name: set_request_id
-- The request id of the report that ended the job, if the job did not have it. Not in settle_job, which would then
-- write the index of this column for every job that ends.
UPDATE jobs SET provider_request_id = :request_id, submitted_at = COALESCE(submitted_at, :now)
WHERE id = :job_id AND last_transition = :transition
  AND (provider_request_id IS NULL OR provider_request_id <> :request_id);

-- name: settle_claimed_job
-- submitting -> failed: the provider refused the request. Only with the claim.
UPDATE jobs
SET state = :state, finalized_at = :now, claimed_until = NULL, source = NULL, fingerprint = :fingerprint,
    submissions = submissions - 1, error_fault = :error_fault, error_code = :error_code,
    error_message = :error_message, error_retryable = :error_retryable,
    last_sequence = last_sequence + 1, last_transition = :transition
WHERE id = :job_id AND state = 'submitting' AND last_transition = :claim
RETURNING id;

-- name: cancel_accepted_job
-- accepted or waiting -> canceled: nothing was sent to a provider.
UPDATE jobs
SET state = :state, finalized_at = :now, fingerprint = :fingerprint, error_fault = NULL, error_code = NULL,
    error_message = NULL, error_retryable = NULL, last_sequence = last_sequence + 1, last_transition = :transition
WHERE id = :job_id AND state IN ('accepted', 'waiting')
RETURNING id;

-- name: expire_job
-- unconfirmed or submitted -> expired: no outcome in time. Does nothing if the job changed since it was read.
UPDATE jobs
SET state = :state, finalized_at = :now, fingerprint = :fingerprint, error_fault = :error_fault,
    error_code = :error_code, error_message = :error_message, error_retryable = :error_retryable,
    last_sequence = last_sequence + 1, last_transition = :transition
WHERE id = :job_id AND state IN ('unconfirmed', 'submitted') AND last_transition = :last_transition
RETURNING id;

-- name: insert_output
INSERT INTO outputs (job_id, position, url, content_type, file_name, file_size, width, height)
SELECT id, :position, :url, :content_type, :file_name, :file_size, :width, :height
FROM jobs WHERE id = :job_id AND last_transition = :transition;

-- name: insert_receipt
-- The report, with the result of recording it. A request id that is not the job's is a conflict: the provider may have
-- taken the job twice. A report with the request id of another job is not kept, and no row is returned.
INSERT INTO receipts (id, job_id, provider, source, request_id, result, headers, body, received_at)
SELECT :transition, :job_id, :provider, :source, :request_id,
       CASE WHEN j.id IS NULL THEN 'orphan'
            WHEN j.provider_request_id <> :request_id AND j.submissions < 2 THEN 'conflict'
            WHEN j.finalized_at IS NULL THEN 'pending'
            WHEN j.last_transition = :transition THEN 'recorded'
            WHEN j.fingerprint = :fingerprint OR :fingerprint IS NULL THEN 'duplicate'
            ELSE 'conflict' END,
       :headers, :body, :now
FROM (SELECT 1) AS one LEFT JOIN jobs AS j ON j.id = :job_id
WHERE j.id IS NULL OR j.last_transition = :transition
   OR (j.provider = :provider
       AND NOT EXISTS (SELECT 1 FROM jobs AS other
                       WHERE other.provider = :provider AND other.provider_request_id = :request_id
                         AND other.id <> :job_id))
RETURNING result;

-- name: list_named_requests
-- The requests that pending callbacks of a job named, oldest first. Only a poll can show whether they are the job's.
SELECT request_id, min(id) AS first
FROM receipts
WHERE job_id = :job_id AND source = 'callback' AND result = 'pending' AND request_id IS NOT NULL
GROUP BY request_id ORDER BY first LIMIT :limit;

-- name: list_receipts
SELECT id, job_id, provider, source, request_id, result, headers, body, received_at
FROM receipts WHERE job_id = :job_id ORDER BY id;

-- name: count_receipts_needing_attention
-- The results that need attention are literals, because a partial index cannot be used with a parameter.
SELECT result, count(*) AS number FROM receipts WHERE result IN ('conflict', 'orphan') GROUP BY result;
