-- Deliveries: who is told, what was tried, what came of it.

-- name: put_settings_endpoint
-- The endpoint that NOTIFY_URL names, at every start. What was pending for an old URL goes to the new one, and an
-- endpoint that had said 410 is asked again: the setting is the operator's word, and newer.
INSERT INTO endpoints (id, url, scope, created_at) VALUES (:endpoint_id, :url, 'all', :now)
ON CONFLICT (id) DO UPDATE SET url = excluded.url, removed_at = NULL, disabled_at = NULL, disabled_reason = NULL;

-- name: remove_settings_endpoint
-- NOTIFY_URL is unset: nobody is told any more, and what is pending is discarded when it comes due.
UPDATE endpoints SET removed_at = :now WHERE id = :endpoint_id AND removed_at IS NULL;

-- name: read_due_deliveries
-- Everything that the next POSTs to an endpoint need, the longest due first: each delivery with where it goes, its
-- event,
-- its job and the job's outputs.
SELECT d.id AS delivery_id, d.attempts, d.failures, d.sequence, d.endpoint_id,
       e.url AS endpoint_url, e.disabled_reason, e.removed_at,
       v.type AS event_type, v.at AS event_at,
       j.*
FROM (SELECT * FROM deliveries
      WHERE endpoint_id = :endpoint_id AND state = 'pending' AND due_at <= :now
      ORDER BY due_at LIMIT :limit) AS d
JOIN endpoints AS e ON e.id = d.endpoint_id
JOIN events AS v ON v.job_id = d.job_id AND v.sequence = d.sequence
JOIN job_rows AS j ON j.id = d.job_id
ORDER BY d.due_at, d.id, j.position;

-- name: read_delivery
SELECT id, job_id, sequence, endpoint_id, state, attempts, created_at, finalized_at, reason
FROM deliveries WHERE id = :delivery_id;

-- name: insert_attempt
INSERT INTO attempts (delivery_id, number, at, status, latency_ms, error, response)
SELECT id, attempts + 1, :at, :status, :latency_ms, :error, :response FROM deliveries WHERE id = :delivery_id;

-- name: count_attempt
UPDATE deliveries SET attempts = attempts + 1 WHERE id = :delivery_id;

-- name: settle_delivery
-- pending -> delivered, dead or discarded.
UPDATE deliveries SET state = :state, due_at = NULL, finalized_at = :now, reason = :reason
WHERE id = :delivery_id AND state = 'pending'
RETURNING id;

-- name: reschedule_delivery
-- Still pending, the next attempt at :due_at.
UPDATE deliveries SET due_at = :due_at, failures = failures + 1 WHERE id = :delivery_id AND state = 'pending';

-- name: disable_endpoint
-- 410 Gone: it asked not to be told again.
UPDATE endpoints SET disabled_at = :now, disabled_reason = :reason
WHERE id = (SELECT endpoint_id FROM deliveries WHERE id = :delivery_id) AND disabled_at IS NULL;

-- name: replay_delivery
-- dead -> pending: an operator asks for it again, under the same id.
UPDATE deliveries SET state = 'pending', due_at = :now, failures = 0, finalized_at = NULL, reason = NULL
WHERE id = :delivery_id AND state = 'dead'
RETURNING endpoint_id;

-- name: enable_endpoint
-- Replaying is asking the endpoint again, also one that had said 410.
UPDATE endpoints SET disabled_at = NULL, disabled_reason = NULL
WHERE id = (SELECT endpoint_id FROM deliveries WHERE id = :delivery_id AND state = 'pending')
    AND disabled_at IS NOT NULL;

-- name: list_dead_deliveries
-- The state is written out, because a partial index answers no parameter.
SELECT id, job_id, sequence, endpoint_id, state, attempts, created_at, finalized_at, reason
FROM deliveries WHERE state = 'dead' AND id < :before ORDER BY id DESC LIMIT :limit;

-- name: list_discarded_deliveries
SELECT id, job_id, sequence, endpoint_id, state, attempts, created_at, finalized_at, reason
FROM deliveries WHERE state = 'discarded' AND id < :before ORDER BY id DESC LIMIT :limit;

-- name: count_deliveries_needing_attention
SELECT 'dead' AS state, count(*) AS number FROM deliveries WHERE state = 'dead'
UNION ALL
SELECT 'discarded' AS state, count(*) AS number FROM deliveries WHERE state = 'discarded';

-- name: list_deliveries_of_job
SELECT id, job_id, sequence, endpoint_id, state, attempts, created_at, finalized_at, reason
FROM deliveries
WHERE id >= 'msg_' || substr(:job_id, 5) || '_' AND id < 'msg_' || substr(:job_id, 5) || '`' AND job_id = :job_id
ORDER BY sequence, endpoint_id;

-- name: list_attempts
SELECT number, at, status, latency_ms, error, response FROM attempts WHERE delivery_id = :delivery_id ORDER BY number;
