-- Outcomes: the one way a job ends. Each statement after settle_job acts only if settle_job was the one that moved the
-- job.

-- name: settle_job
-- any open state -> completed, failed, canceled or expired. First writer wins.
-- A provider's report settles only the job whose request it is: another request id is believed only while ours is
-- unknown or the job was submitted again, and never when it belongs to another job. What came of it is read off the
-- receipt.
UPDATE jobs
SET state = :state, finalized_at = :now, claimed_until = NULL, source = :source, fingerprint = :fingerprint,
    processing_time_ms = :processing_time_ms, warning = :warning,
    error_fault = :error_fault, error_code = :error_code, error_message = :error_message,
        error_retryable = :error_retryable,
    last_sequence = last_sequence + 1, last_transition = :move
WHERE id = :job_id AND provider = :provider AND finalized_at IS NULL
  AND (provider_request_id = :request_id OR provider_request_id IS NULL OR :request_id IS NULL OR submissions > 1)
  AND NOT EXISTS (SELECT 1 FROM jobs AS other
                  WHERE other.provider = :provider AND other.provider_request_id = :request_id AND other.id <> :job_id);

-- name: set_request_id
-- The report that settled the job brought a request id that we did not have, or another one. Apart from settle_job,
-- because
-- naming the column there would write its index anew for every job that ends.
UPDATE jobs SET provider_request_id = :request_id, submitted_at = COALESCE(submitted_at, :now)
WHERE id = :job_id AND last_transition = :move AND (provider_request_id IS NULL OR provider_request_id <> :request_id);

-- name: settle_claimed_job
-- submitting -> failed: the provider refused the request. Only by whoever claimed it.
UPDATE jobs
SET state = :state, finalized_at = :now, claimed_until = NULL, source = NULL, fingerprint = :fingerprint,
    submissions = submissions - 1,
    error_fault = :error_fault, error_code = :error_code, error_message = :error_message,
        error_retryable = :error_retryable,
    last_sequence = last_sequence + 1, last_transition = :move
WHERE id = :job_id AND state = 'submitting' AND last_transition = :claim
RETURNING id;

-- name: cancel_accepted_job
-- accepted or waiting -> canceled: nobody has asked the provider, so nothing is running and nothing is billed.
UPDATE jobs
SET state = :state, finalized_at = :now, fingerprint = :fingerprint, last_sequence = last_sequence + 1,
    last_transition = :move
WHERE id = :job_id AND state IN ('accepted', 'waiting')
RETURNING id;

-- name: expire_job
-- unconfirmed or submitted -> expired: nobody answered in the time allowed. A job that moved since it was read stays.
UPDATE jobs
SET state = :state, finalized_at = :now, fingerprint = :fingerprint,
    error_fault = :error_fault, error_code = :error_code, error_message = :error_message,
        error_retryable = :error_retryable,
    last_sequence = last_sequence + 1, last_transition = :move
WHERE id = :job_id AND state IN ('unconfirmed', 'submitted') AND last_transition = :claim
RETURNING id;

-- name: insert_output
INSERT INTO outputs (job_id, position, url, content_type, file_name, file_size, width, height)
SELECT id, :position, :url, :content_type, :file_name, :file_size, :width, :height
FROM jobs WHERE id = :job_id AND last_transition = :move;

-- name: insert_event
-- The arrow just taken, numbered within its job. Asked for again, because the answer was lost, it is there already.
INSERT INTO events (job_id, sequence, type, at)
SELECT id, last_sequence, :event, :now FROM jobs WHERE id = :job_id AND last_transition = :move
ON CONFLICT (job_id, sequence) DO NOTHING;

-- name: fan_out
-- One delivery for every endpoint that hears of this job. A disabled endpoint's is born dead: visible, and replayable.
-- The id is made of what the delivery is, so it is the same however often anybody asks.
INSERT INTO deliveries (id, job_id, sequence, endpoint_id, state, created_at, due_at, finalized_at, reason)
SELECT 'msg_' || substr(j.id, 5) || '_' || j.last_sequence || '_' || substr(e.id, 4), j.id, j.last_sequence, e.id,
       CASE WHEN e.disabled_at IS NULL THEN 'pending' ELSE 'dead' END, :now,
       CASE WHEN e.disabled_at IS NULL THEN :now END,
       CASE WHEN e.disabled_at IS NULL THEN NULL ELSE :now END, e.disabled_reason
FROM jobs AS j
CROSS JOIN (SELECT id, disabled_at, disabled_reason FROM endpoints WHERE scope = 'all' AND removed_at IS NULL
            UNION ALL
            SELECT told.id, told.disabled_at, told.disabled_reason
            FROM subscriptions AS s JOIN endpoints AS told ON told.id = s.endpoint_id
            WHERE s.job_id = :job_id AND told.removed_at IS NULL) AS e
WHERE j.id = :job_id AND j.last_transition = :move
ON CONFLICT (id) DO NOTHING
RETURNING endpoint_id;

-- name: insert_receipt
-- Keep what was verified, and what came of it. A report under a request id that we do not know of this job is a
-- conflict:
-- the provider may have taken the job although it said no. A report of another job's request is not kept: no row comes
-- back.
INSERT INTO receipts (id, job_id, provider, source, request_id, result, headers, body, received_at)
SELECT :move, :job_id, :provider, :source, :request_id,
       CASE WHEN j.id IS NULL THEN 'orphan'
            WHEN j.provider_request_id <> :request_id AND j.submissions < 2 THEN 'conflict'
            WHEN j.finalized_at IS NULL THEN 'pending'
            WHEN j.last_transition = :move THEN 'recorded'
            WHEN j.fingerprint = :fingerprint OR :fingerprint IS NULL THEN 'duplicate'
            ELSE 'conflict' END,
       :headers, :body, :now
FROM (SELECT 1) AS one LEFT JOIN jobs AS j ON j.id = :job_id
WHERE j.id IS NULL OR j.last_transition = :move
   OR (j.provider = :provider
       AND NOT EXISTS (SELECT 1 FROM jobs AS other
                       WHERE other.provider = :provider AND other.provider_request_id = :request_id
                           AND other.id <> :job_id))
RETURNING result;

-- name: list_receipts
SELECT id, job_id, provider, source, request_id, result, headers, body, received_at
FROM receipts WHERE job_id = :job_id ORDER BY id;

-- name: count_receipts_needing_attention
-- Conflicts and orphans: verified reports that changed nothing, for an operator to see.
SELECT result, count(*) AS number FROM receipts WHERE result IN ('conflict', 'orphan') GROUP BY result;
