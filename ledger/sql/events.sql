-- Events of a job, a run, an endpoint or an output, and their deliveries.

-- name: insert_event
-- The event of the transition of a job, numbered within the job. It exists already if the transaction is repeated.
INSERT INTO events (subject, sequence, type, public, at, transition, data)
SELECT id, last_sequence, :event, :public, :now, last_transition, :data
FROM jobs WHERE id = :subject AND last_transition = :transition
ON CONFLICT (subject, sequence) DO NOTHING;

-- name: insert_restored_events
-- As above, for each job of mark_restored.
INSERT INTO events (subject, sequence, type, public, at, transition, data)
SELECT id, last_sequence, :event, :public, :now, last_transition, NULL
FROM jobs WHERE state = 'unconfirmed' AND last_transition = :transition;

-- name: insert_endpoint_event
-- The same for an endpoint.
INSERT INTO events (subject, sequence, type, public, at, transition, data)
SELECT id, last_sequence, :event, :public, :now, last_transition, :data
FROM endpoints WHERE id = :subject AND last_transition = :transition
ON CONFLICT (subject, sequence) DO NOTHING;

-- name: fan_out
-- One delivery for every endpoint that receives the event. For a disabled endpoint it is dead at once, and can be
-- replayed. The id is made of event and endpoint, so a repeated transaction inserts nothing.
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
-- The events of a subject after a sequence number, in order.
SELECT subject, sequence, type, at, data FROM events WHERE subject = :subject AND sequence > :after ORDER BY sequence;
