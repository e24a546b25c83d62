-- Outcomes: the one way in which a job ends. What follows settle_job changes nothing unless settle_job settled the job.

-- name: settle_job
-- any open state -> completed, failed, canceled or expired. The first report wins. A provider's report settles only the
-- job whose request it is: another request id is believed only while ours is unknown or the job was submitted again,
-- and never when it belongs to another job. The receipt has the result.
UPDATE jobs
SET state = :state, finalized_at = :now, claimed_until = NULL, source = :source, fingerprint = :fingerprint,
    processing_time_ms = :processing_time_ms, warning = :warning, error_fault = :error_fault, error_code = :error_code,
    error_message = :error_message, error_retryable = :error_retryable,
    last_sequence = last_sequence + 1, last_transition = :transition
WHERE id = :job_id AND provider = :provider AND finalized_at IS NULL
  AND (provider_request_id = :request_id OR provider_request_id IS NULL OR :request_id IS NULL OR submissions > 1)
  AND NOT EXISTS (SELECT 1 FROM jobs AS other
                  WHERE other.provider = :provider AND other.provider_request_id = :request_id AND other.id <> :job_id);

-- name: set_request_id
-- The report that settled the job has a request id that we did not have. Apart from settle_job, because naming the
-- column there would write its index again for every job that ends.
UPDATE jobs SET provider_request_id = :request_id, submitted_at = COALESCE(submitted_at, :now)
WHERE id = :job_id AND last_transition = :transition
  AND (provider_request_id IS NULL OR provider_request_id <> :request_id);

-- name: settle_claimed_job
-- submitting -> failed: the provider refused the request. Only by the claim's holder.
UPDATE jobs
SET state = :state, finalized_at = :now, claimed_until = NULL, source = NULL, fingerprint = :fingerprint,
    submissions = submissions - 1, error_fault = :error_fault, error_code = :error_code,
    error_message = :error_message, error_retryable = :error_retryable,
    last_sequence = last_sequence + 1, last_transition = :transition
WHERE id = :job_id AND state = 'submitting' AND last_transition = :claim
RETURNING id;

-- name: cancel_accepted_job
-- accepted or waiting -> canceled: no provider has been asked, so nothing is running and nothing is billed.
UPDATE jobs
SET state = :state, finalized_at = :now, fingerprint = :fingerprint, last_sequence = last_sequence + 1,
    last_transition = :transition
WHERE id = :job_id AND state IN ('accepted', 'waiting')
RETURNING id;

-- name: expire_job
-- unconfirmed or submitted -> expired: no outcome in the time allowed. A job that changed since it was read stays.
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
-- Keep the report, and what became of it. A report under a request id that is not known of this job is a conflict: the
-- provider may have taken the job although it said no. A report of another job's request is not kept: no row comes
-- back.
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

-- name: list_receipts
SELECT id, job_id, provider, source, request_id, result, headers, body, received_at
FROM receipts WHERE job_id = :job_id ORDER BY id;

-- name: count_receipts_needing_attention
-- The words of receipt_results that need attention, written out, because a partial index answers no parameter.
SELECT result, count(*) AS number FROM receipts WHERE result IN ('conflict', 'orphan') GROUP BY result;
