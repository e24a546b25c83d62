-- What of the deliveries' statements must be said otherwise on Postgres.

-- name: replay_delivery
-- dead -> pending: an operator asks for it again, under the same id. Its endpoint is locked as by a foreign key, so
-- that whoever
-- releases it meanwhile knows that there is something to come: release_contended_endpoint.
WITH held AS (
    SELECT e.id FROM endpoints AS e JOIN deliveries AS d ON d.endpoint_id = e.id
    WHERE d.id = :delivery_id AND d.state = 'dead' FOR KEY SHARE OF e
)
UPDATE deliveries SET state = 'pending', due_at = :now, failures = 0, finalized_at = NULL, reason = NULL
WHERE id = :delivery_id AND state = 'dead' AND endpoint_id IN (SELECT id FROM held)
RETURNING endpoint_id;
