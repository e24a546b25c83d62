-- The statements of deliveries that differ on Postgres.

-- name: replay_delivery
-- :was -> pending, under the same id. Locks the endpoint as a foreign key would, for release_contended_endpoint.
WITH held AS (SELECT id FROM endpoints WHERE id = :endpoint_id AND removed_at IS NULL FOR KEY SHARE)
UPDATE deliveries SET state = 'pending', due_at = :now, failures = 0, finalized_at = NULL, reason = NULL
WHERE id = :delivery_id AND state = :was AND endpoint_id IN (SELECT id FROM held)
RETURNING endpoint_id;
