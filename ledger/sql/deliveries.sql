-- Deliveries: one event for one endpoint, and its attempts.

-- name: insert_attempt
INSERT INTO attempts (delivery_id, number, at, status, latency_ms, error, response)
SELECT id, attempts + 1, :at, :status, :latency_ms, :error, :response FROM deliveries WHERE id = :delivery_id;

-- name: count_attempt
UPDATE deliveries SET attempts = attempts + 1 WHERE id = :delivery_id;

-- name: amend_attempt
-- The attempt that was counted as failed before it was made has ended.
UPDATE attempts SET status = :status, latency_ms = :latency_ms, error = :error, response = :response
WHERE delivery_id = :delivery_id AND number = (SELECT attempts FROM deliveries WHERE id = :delivery_id);

-- name: delete_attempt
-- The attempt that was counted before it was made was not made.
DELETE FROM attempts
WHERE delivery_id = :delivery_id AND number = (SELECT attempts FROM deliveries WHERE id = :delivery_id);

-- name: discount_attempt
UPDATE deliveries SET attempts = attempts - 1, failures = failures - 1, due_at = :due_at
WHERE id = :delivery_id AND state = 'pending';

-- name: settle_delivery
-- pending -> delivered, dead or discarded.
UPDATE deliveries SET state = :state, due_at = NULL, finalized_at = :now, reason = :reason
WHERE id = :delivery_id AND state = 'pending'
RETURNING id;

-- name: reschedule_delivery
-- Still pending; the next attempt is at :due_at.
UPDATE deliveries SET due_at = :due_at, failures = failures + 1 WHERE id = :delivery_id AND state = 'pending';

-- name: reschedule_counted_delivery
-- As above, when the attempt was counted before it was made.
UPDATE deliveries SET due_at = :due_at WHERE id = :delivery_id AND state = 'pending';

-- name: replay_delivery
-- :was -> pending, under the same id, unless the endpoint was removed.
UPDATE deliveries SET state = 'pending', due_at = :now, failures = 0, finalized_at = NULL, reason = NULL
WHERE id = :delivery_id AND state = :was
  AND NOT EXISTS (SELECT 1 FROM endpoints WHERE id = :endpoint_id AND removed_at IS NOT NULL)
RETURNING endpoint_id;

-- name: enable_endpoint
-- A replay also enables an endpoint that answered 410.
UPDATE endpoints SET disabled_at = NULL, disabled_reason = NULL
WHERE id = :endpoint_id AND disabled_at IS NOT NULL
  AND EXISTS (SELECT 1 FROM deliveries WHERE endpoint_id = :endpoint_id AND state = 'pending' AND due_at = :now);

-- name: read_due_deliveries
-- Everything that the next attempts need, longest due first: each delivery with its endpoint, its event and, if the
-- subject is a job, the job with its outputs. A large job has no `input`: it is read by itself when there is room.
-- No rows while the endpoint is paused. Without the view job_rows, because SQLite would materialize all of it for a
-- LEFT JOIN.
SELECT d.id AS delivery_id, d.attempts, d.failures, d.sequence, d.endpoint_id,
       e.url AS endpoint_url, e.secrets, e.schedule, e.max_concurrency, e.rate_per_second, e.timeout_ms,
       e.disabled_reason, e.removed_at,
       v.subject, v.type AS event_type, v.at AS event_at, v.data, t.subject AS subject_kind,
       j.*,
       CASE WHEN o.position > 1 THEN NULL ELSE COALESCE(i.short_input, i.input) END AS input,
       CASE WHEN o.position > 1 THEN NULL ELSE i.metadata END AS metadata,
       o.position, o.url, o.content_type, o.file_name, o.file_size, o.width, o.height
FROM (SELECT * FROM deliveries
      WHERE endpoint_id = :endpoint_id AND state = 'pending' AND due_at <= :now
      ORDER BY due_at LIMIT :limit) AS d
JOIN endpoints AS e ON e.id = d.endpoint_id AND e.paused_at IS NULL
JOIN events AS v ON v.subject = d.subject AND v.sequence = d.sequence
JOIN event_types AS t ON t.type = v.type
LEFT JOIN jobs AS j ON j.id = d.subject
LEFT JOIN inputs AS i ON i.job_id = j.id AND length(COALESCE(i.short_input, i.input)) + length(i.metadata) <= 8192
    AND NOT EXISTS (SELECT 1 FROM outputs WHERE job_id = j.id AND position = 17)
LEFT JOIN outputs AS o ON o.job_id = i.job_id
ORDER BY d.due_at, d.id, o.position;

-- name: read_delivery
SELECT id, subject, sequence, endpoint_id, state, attempts, created_at, due_at, finalized_at, reason
FROM deliveries WHERE id = :delivery_id;

-- name: list_deliveries
-- A page of deliveries, newest first, before the cursor. At most :scan are read, or a filter that matches few would
-- read all of them; the next page begins at `end_of_deliveries`.
SELECT id, subject, sequence, endpoint_id, state, attempts, created_at, due_at, finalized_at, reason
FROM (SELECT * FROM deliveries WHERE id < :before ORDER BY id DESC LIMIT :scan) AS scanned
WHERE (CAST(:state AS TEXT) IS NULL OR state = :state)
  AND (CAST(:endpoint_id AS TEXT) IS NULL OR endpoint_id = :endpoint_id)
  AND created_at >= :since AND created_at < :until
ORDER BY id DESC LIMIT :limit;

-- name: end_of_deliveries
-- Where such a page ends; no row if it is the last one.
SELECT id FROM deliveries WHERE id < :before ORDER BY id DESC LIMIT 1 OFFSET :scan - 1;

-- name: list_dead_deliveries
-- The state is a literal, because a partial index cannot be used with a parameter.
SELECT id, subject, sequence, endpoint_id, state, attempts, created_at, due_at, finalized_at, reason
FROM deliveries
WHERE state = 'dead' AND id < :before
  AND (CAST(:endpoint_id AS TEXT) IS NULL OR endpoint_id = :endpoint_id)
  AND created_at >= :since AND created_at < :until
ORDER BY id DESC LIMIT :limit;

-- name: list_discarded_deliveries
SELECT id, subject, sequence, endpoint_id, state, attempts, created_at, due_at, finalized_at, reason
FROM deliveries
WHERE state = 'discarded' AND id < :before
  AND (CAST(:endpoint_id AS TEXT) IS NULL OR endpoint_id = :endpoint_id)
  AND created_at >= :since AND created_at < :until
ORDER BY id DESC LIMIT :limit;

-- name: list_deliveries_of_subject
SELECT id, subject, sequence, endpoint_id, state, attempts, created_at, due_at, finalized_at, reason
FROM deliveries
WHERE id >= 'msg_' || :subject || '_' AND id < 'msg_' || :subject || '`' AND subject = :subject
ORDER BY sequence, endpoint_id;

-- name: count_deliveries_needing_attention
-- Dead and discarded deliveries, and those of paused endpoints. CROSS JOIN, or SQLite would read every pending one.
SELECT 'dead' AS state, count(*) AS number FROM deliveries WHERE state = 'dead'
UNION ALL
SELECT 'discarded' AS state, count(*) AS number FROM deliveries WHERE state = 'discarded'
UNION ALL
SELECT 'paused' AS state, count(*) AS number
FROM endpoints AS e CROSS JOIN deliveries AS d
WHERE e.paused_at IS NOT NULL AND d.endpoint_id = e.id AND d.state = 'pending';

-- name: list_attempts
SELECT number, at, status, latency_ms, error, response FROM attempts WHERE delivery_id = :delivery_id ORDER BY number;
