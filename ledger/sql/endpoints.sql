-- Endpoints: where notifications go. While a setting is absent, pending deliveries wait.

-- name: put_settings_endpoint
-- The endpoint of NOTIFY_URL, at every start. Pending deliveries go to a changed URL, and an endpoint that answered 410
-- is enabled, because the setting is newer. A pause for another reason continues.
INSERT INTO endpoints (id, url, source, created_at) VALUES (:endpoint_id, :url, 'settings', :now)
ON CONFLICT (id) DO UPDATE
SET url = excluded.url, removed_at = NULL, disabled_at = NULL, disabled_reason = NULL,
    paused_at = CASE WHEN endpoints.paused_reason = :reason THEN NULL ELSE endpoints.paused_at END,
    paused_reason = CASE WHEN endpoints.paused_reason = :reason THEN NULL ELSE endpoints.paused_reason END;

-- name: pause_endpoint
UPDATE endpoints SET paused_at = COALESCE(paused_at, :now), paused_reason = :reason
WHERE id = :endpoint_id AND removed_at IS NULL;

-- name: pause_unsigned_endpoints
-- NOTIFY_SECRET is not set: only endpoints with their own secrets can receive notifications.
UPDATE endpoints SET paused_at = :now, paused_reason = :reason
WHERE secrets IS NULL AND paused_at IS NULL AND removed_at IS NULL;

-- name: resume_unsigned_endpoints
-- NOTIFY_SECRET is set again.
UPDATE endpoints SET paused_at = NULL, paused_reason = NULL
WHERE paused_at IS NOT NULL AND paused_reason = :reason
RETURNING id;

-- name: remove_endpoint
-- It receives no more events.
UPDATE endpoints SET removed_at = :now, paused_at = NULL, paused_reason = NULL
WHERE id = :endpoint_id AND removed_at IS NULL;

-- name: discard_deliveries
-- pending -> discarded, of a removed endpoint.
UPDATE deliveries SET state = 'discarded', due_at = NULL, finalized_at = :now, reason = :reason
WHERE endpoint_id = :endpoint_id AND state = 'pending'
RETURNING id;

-- name: disable_endpoint
-- It answered 410 Gone.
UPDATE endpoints
SET disabled_at = :now, disabled_reason = :reason, last_sequence = last_sequence + 1, last_transition = :transition
WHERE id = :endpoint_id AND disabled_at IS NULL
RETURNING id;

-- name: count_paused_deliveries
-- The deliveries of paused endpoints, by the reason. CROSS JOIN, or SQLite would read every pending one.
SELECT e.paused_reason AS reason, count(*) AS number
FROM endpoints AS e CROSS JOIN deliveries AS d
WHERE e.paused_at IS NOT NULL AND d.endpoint_id = e.id AND d.state = 'pending'
GROUP BY e.paused_reason;
