-- The statements of deliveries that differ on Postgres.

-- name: replay_delivery
-- dead -> pending, under the same id. Locks the endpoint as a foreign key would, for release_contended_endpoint.
WITH held AS (
    SELECT e.id FROM endpoints AS e JOIN deliveries AS d ON d.endpoint_id = e.id
    WHERE d.id = :delivery_id AND d.state = 'dead' FOR KEY SHARE OF e
)
UPDATE deliveries SET state = 'pending', due_at = :now, failures = 0, finalized_at = NULL, reason = NULL
WHERE id = :delivery_id AND state = 'dead' AND endpoint_id IN (SELECT id FROM held)
RETURNING endpoint_id;
