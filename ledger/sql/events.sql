-- Events: what happened to a job, a run, an endpoint or an output, and which endpoints receive it.

-- name: insert_event
-- The event of the job's transition just made, numbered within the job. Repeated because an answer was lost, it is
-- there already.
INSERT INTO events (subject, sequence, type, public, at, transition, data)
SELECT id, last_sequence, :event, :public, :now, last_transition, :data
FROM jobs WHERE id = :subject AND last_transition = :transition
ON CONFLICT (subject, sequence) DO NOTHING;

-- name: insert_endpoint_event
-- As above, for an endpoint.
INSERT INTO events (subject, sequence, type, public, at, transition, data)
SELECT id, last_sequence, :event, :public, :now, last_transition, :data
FROM endpoints WHERE id = :subject AND last_transition = :transition
ON CONFLICT (subject, sequence) DO NOTHING;

-- name: fan_out
-- One delivery for every endpoint that receives the event. A disabled endpoint's is dead at once: visible, and
-- replayable. The id is made of what the delivery is, so it is the same however often this runs.
INSERT INTO deliveries (id, subject, sequence, endpoint_id, state, created_at, due_at, finalized_at, reason)
SELECT 'msg_' || subject || '_' || CAST(sequence AS TEXT) || '_' || substr(endpoint_id, 4),
       subject, sequence, endpoint_id,
       CASE WHEN disabled_at IS NULL THEN 'pending' ELSE 'dead' END, :now,
       CASE WHEN disabled_at IS NULL THEN :now END,
       CASE WHEN disabled_at IS NULL THEN NULL ELSE :now END, disabled_reason
FROM listeners WHERE subject = :subject AND transition = :transition
ON CONFLICT (id) DO NOTHING
RETURNING endpoint_id;

-- name: list_events
-- What happened to a subject, in order, after the given sequence number.
SELECT subject, sequence, type, at, data FROM events WHERE subject = :subject AND sequence > :after ORDER BY sequence;
