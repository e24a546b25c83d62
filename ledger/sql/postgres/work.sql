-- The work queue on Postgres. What is due is in Procrastinate's: a task of a kind (its queue) about a subject (its locks: one
-- waits at most, and one is done at most), fetched and finished by its workers. What is due later is in our own table `work`,
-- until it comes due: Procrastinate looks through all tasks that wait to find one that is due, and most of what is due later
-- never comes to it, because a callback does. Both are written in the ledger's own transactions. Priorities are in the order of
-- how short the queues are, because it looks through the higher ones first: telling 2, looking 1, submitting 0.

-- name: enqueue_job_work
-- Work on the job that just moved.
WITH moved AS (
    SELECT id, (:kind::text || ':' || id) COLLATE "default" AS lock FROM jobs WHERE id = :job_id AND last_transition = :transition
), later AS (
    INSERT INTO work (kind, subject, due_at) SELECT :kind::text, id, :due_at FROM moved WHERE :due_at > :now
    ON CONFLICT (kind, subject) DO UPDATE SET due_at = excluded.due_at, tries = 0
)
INSERT INTO procrastinate_jobs (queue_name, task_name, priority, lock, queueing_lock, args)
SELECT :kind::text, :kind::text, CASE :kind::text WHEN 'poll' THEN 1 ELSE 0 END, lock, lock, jsonb_build_object('subject', id, 'tries', 0) FROM moved WHERE :due_at <= :now
ON CONFLICT (queueing_lock) WHERE status = 'todo' DO NOTHING;

-- name: poll_now
-- Look now: the provider says it is finished but the result has to be fetched.
INSERT INTO procrastinate_jobs (queue_name, task_name, priority, lock, queueing_lock, args)
SELECT 'poll', 'poll', 1, 'poll:' || id, 'poll:' || id, jsonb_build_object('subject', id, 'tries', 0)
FROM jobs WHERE id = :job_id AND state = 'submitted' AND provider_request_id = :request_id
ON CONFLICT (queueing_lock) WHERE status = 'todo' DO NOTHING;

-- name: enqueue_deliveries
-- Telling, for the endpoint of every delivery that the move just made. A task that waits already is left alone, not even
-- locked: every callback of every process comes by here. The endpoints are found as fan_out found them, and not among the
-- deliveries: Postgres would look through all that are pending.
WITH told AS (
    SELECT ('deliver:' || endpoint_id) COLLATE "default" AS lock, endpoint_id
    FROM listeners
    WHERE subject = :subject
      AND sequence = (SELECT last_sequence FROM subjects WHERE id = :subject AND last_transition = :transition)
      AND disabled_at IS NULL AND paused_at IS NULL
), hastened AS (
    DELETE FROM work WHERE kind = 'deliver' AND subject = ANY (ARRAY(SELECT endpoint_id FROM told))
)
INSERT INTO procrastinate_jobs (queue_name, task_name, priority, lock, queueing_lock, args)
SELECT 'deliver', 'deliver', 2, lock, lock, jsonb_build_object('subject', endpoint_id, 'tries', 0) FROM told ORDER BY lock
ON CONFLICT (queueing_lock) WHERE status = 'todo' DO NOTHING;

-- name: enqueue_paused_endpoints
WITH told AS (
    SELECT ('deliver:' || id) COLLATE "default" AS lock, id AS endpoint_id
    FROM endpoints AS e
    WHERE paused_at IS NOT NULL AND paused_reason = :reason
      AND EXISTS (SELECT 1 FROM deliveries WHERE endpoint_id = e.id AND state = 'pending')
), hastened AS (
    DELETE FROM work WHERE kind = 'deliver' AND subject = ANY (ARRAY(SELECT endpoint_id FROM told))
)
INSERT INTO procrastinate_jobs (queue_name, task_name, priority, lock, queueing_lock, args)
SELECT 'deliver', 'deliver', 2, lock, lock, jsonb_build_object('subject', endpoint_id, 'tries', 0) FROM told
WHERE :now > 0
ON CONFLICT (queueing_lock) WHERE status = 'todo' DO NOTHING;

-- name: enqueue_delivery
WITH told AS (
    SELECT ('deliver:' || endpoint_id) COLLATE "default" AS lock, endpoint_id
    FROM deliveries AS d
    WHERE id = :delivery_id AND state = 'pending'
      AND EXISTS (SELECT 1 FROM endpoints AS e WHERE e.id = d.endpoint_id AND e.paused_at IS NULL)
), hastened AS (
    DELETE FROM work WHERE kind = 'deliver' AND subject = ANY (ARRAY(SELECT endpoint_id FROM told))
)
INSERT INTO procrastinate_jobs (queue_name, task_name, priority, lock, queueing_lock, args)
SELECT 'deliver', 'deliver', 2, lock, lock, jsonb_build_object('subject', endpoint_id, 'tries', 0) FROM told
ON CONFLICT (queueing_lock) WHERE status = 'todo' DO NOTHING;

-- name: release_endpoint
-- The worker lets the endpoint go: the next task is due when its next delivery is, or now, when that is overdue.
WITH next AS (
    SELECT due_at FROM deliveries
    WHERE endpoint_id = :subject AND state = 'pending'
      AND NOT EXISTS (SELECT 1 FROM endpoints WHERE id = :subject AND paused_at IS NOT NULL)
      AND EXISTS (SELECT 1 FROM procrastinate_jobs WHERE id = :lease::bigint AND status = 'doing')
    ORDER BY due_at LIMIT 1
), later AS (
    INSERT INTO work (kind, subject, due_at) SELECT 'deliver', :subject, due_at FROM next WHERE due_at > :now
    ON CONFLICT (kind, subject) DO UPDATE SET due_at = excluded.due_at, tries = 0
)
INSERT INTO procrastinate_jobs (queue_name, task_name, priority, lock, queueing_lock, args)
SELECT 'deliver', 'deliver', 2, 'deliver:' || :subject, 'deliver:' || :subject, jsonb_build_object('subject', :subject::text, 'tries', 0)
FROM next WHERE due_at <= :now
ON CONFLICT (queueing_lock) WHERE status = 'todo' DO NOTHING;

-- name: finish_work
-- Nothing: the task's own worker takes it off the queue when the handler has returned.

-- name: reschedule_work
-- Later, if the task is still ours. What puts it off sooner, knows better.
INSERT INTO work (kind, subject, due_at, tries)
SELECT queue_name, args->>'subject', :due_at, CASE :failed WHEN 1 THEN (args->>'tries')::bigint + 1 ELSE 0 END
FROM procrastinate_jobs WHERE id = :lease::bigint AND status = 'doing'
ON CONFLICT (kind, subject) DO UPDATE SET due_at = LEAST(work.due_at, excluded.due_at), tries = excluded.tries;

-- name: promote_work
-- What has come due of a kind goes to Procrastinate, the longest due first, but no more than :limit wait there: it looks through
-- those before the one that it takes. Processes that look at once take different rows.
WITH due AS (
    DELETE FROM work
    WHERE (kind, subject) IN (
        SELECT kind, subject FROM work WHERE kind = :kind AND due_at <= :now ORDER BY due_at
        LIMIT (SELECT GREATEST(0, :limit - count(*))
               FROM (SELECT FROM procrastinate_jobs WHERE queue_name = :kind::text AND status = 'todo' LIMIT :limit) AS waiting)
        FOR UPDATE SKIP LOCKED)
    RETURNING kind, subject, due_at, tries, (kind || ':' || subject) COLLATE "default" AS lock
)
INSERT INTO procrastinate_jobs (queue_name, task_name, priority, lock, queueing_lock, args)
SELECT kind, kind, CASE kind WHEN 'deliver' THEN 2 WHEN 'poll' THEN 1 ELSE 0 END, lock, lock,
       jsonb_build_object('subject', subject, 'tries', tries)
FROM due ORDER BY due_at
ON CONFLICT (queueing_lock) WHERE status = 'todo' DO NOTHING
RETURNING queue_name;

-- name: next_due
SELECT LEAST((SELECT min(due_at) FROM work WHERE kind = 'submit'), (SELECT min(due_at) FROM work WHERE kind = 'poll'),
             (SELECT min(due_at) FROM work WHERE kind = 'deliver')) AS due_at;

-- name: forget_dead_workers
-- Whose heart has not beaten for so long; what they were doing is nobody's now.
SELECT worker_id FROM procrastinate_prune_stalled_workers_v1(:stalled_seconds);

-- name: live_again
-- It was only silent. Its tasks were put back; what it fetches from now on is its own.
INSERT INTO procrastinate_workers (id) OVERRIDING SYSTEM VALUE VALUES (:worker_id) ON CONFLICT DO NOTHING;

-- name: put_back_unheard
-- doing -> todo: given to a worker while the database went away, so that it never heard of it.
UPDATE procrastinate_jobs AS lost SET status = 'todo', scheduled_at = NULL, worker_id = NULL, attempts = attempts + 1
WHERE lost.status = 'doing' AND lost.worker_id = :worker_id AND lost.id <> ALL (:in_hand::bigint[])
  AND NOT EXISTS (SELECT 1 FROM procrastinate_jobs AS next WHERE next.queueing_lock = lost.lock AND next.status = 'todo');

-- name: drop_overtaken_work
-- Given up by its worker, after it had put the next task in its place. Or upkeep: its own next tick comes soon enough, and
-- two that were lost could not both be put back, which would end all putting back.
DELETE FROM procrastinate_jobs AS lost
WHERE lost.status = 'doing'
  AND (lost.worker_id IS NULL
       OR (SELECT max(at) FROM procrastinate_events WHERE job_id = lost.id AND type = 'started') < now() - make_interval(secs => :lease_seconds))
  AND (lost.queue_name = 'upkeep'
       OR EXISTS (SELECT 1 FROM procrastinate_jobs AS next WHERE next.queueing_lock = lost.lock AND next.status = 'todo'));

-- name: put_back_lost_work
-- doing -> todo: its worker is dead, or has had it longer than any handler may take (a fetch whose answer was lost).
UPDATE procrastinate_jobs AS lost SET status = 'todo', scheduled_at = NULL, worker_id = NULL, attempts = attempts + 1
WHERE lost.status = 'doing'
  AND (lost.worker_id IS NULL
       OR (SELECT max(at) FROM procrastinate_events WHERE job_id = lost.id AND type = 'started') < now() - make_interval(secs => :lease_seconds))
  AND NOT EXISTS (SELECT 1 FROM procrastinate_jobs AS next WHERE next.queueing_lock = lost.lock AND next.status = 'todo')
RETURNING queue_name;

-- name: enqueue_forgotten_jobs
-- The ledger is the truth and the queue is made of it: an open job without a task gets one. A page at a time, down the index.
INSERT INTO procrastinate_jobs (queue_name, task_name, priority, lock, queueing_lock, args)
SELECT :kind::text, :kind::text, CASE :kind::text WHEN 'poll' THEN 1 ELSE 0 END, open.lock, open.lock, jsonb_build_object('subject', open.id, 'tries', 0)
FROM (SELECT id, (:kind::text || ':' || id) COLLATE "default" AS lock
      FROM jobs WHERE state = :state AND provider = :provider AND id > :after ORDER BY id LIMIT :limit) AS open
WHERE NOT EXISTS (SELECT 1 FROM procrastinate_jobs AS waiting WHERE waiting.queueing_lock = open.lock AND waiting.status = 'todo')
  AND NOT EXISTS (SELECT 1 FROM procrastinate_jobs AS claimed WHERE claimed.lock = open.lock AND claimed.status = 'doing')
  AND NOT EXISTS (SELECT 1 FROM work AS later WHERE later.kind = :kind::text AND later.subject = open.id)
ORDER BY id
ON CONFLICT (queueing_lock) WHERE status = 'todo' DO NOTHING
RETURNING queue_name;

-- name: end_of_open_jobs
-- Where the page ended; NULL when there was nothing in it.
SELECT max(id) AS last FROM (SELECT id FROM jobs WHERE state = :state AND provider = :provider AND id > :after ORDER BY id LIMIT :limit) AS page;

-- name: enqueue_forgotten_endpoints
-- An endpoint with something pending, and without a task or with one that is later than that, gets one; whoever takes it sees what
-- is due when. The endpoints are found by leaps down the index.
INSERT INTO procrastinate_jobs (queue_name, task_name, priority, lock, queueing_lock, args)
WITH RECURSIVE told AS (
    (SELECT endpoint_id, due_at FROM deliveries WHERE state = 'pending' AND endpoint_id > :after
     ORDER BY endpoint_id, due_at LIMIT 1)
    UNION ALL
    SELECT after.endpoint_id, after.due_at
    FROM told CROSS JOIN LATERAL (SELECT endpoint_id, due_at FROM deliveries
                                  WHERE state = 'pending' AND endpoint_id > told.endpoint_id
                                  ORDER BY endpoint_id, due_at LIMIT 1) AS after
), page AS (
    SELECT ('deliver:' || endpoint_id) COLLATE "default" AS lock, endpoint_id, due_at FROM told LIMIT :limit
)
SELECT 'deliver', 'deliver', 2, lock, lock, jsonb_build_object('subject', endpoint_id, 'tries', 0)
FROM page
WHERE NOT EXISTS (SELECT 1 FROM procrastinate_jobs AS waiting WHERE waiting.queueing_lock = page.lock AND waiting.status = 'todo')
  AND NOT EXISTS (SELECT 1 FROM procrastinate_jobs AS claimed WHERE claimed.lock = page.lock AND claimed.status = 'doing')
  AND NOT EXISTS (SELECT 1 FROM work AS later
                  WHERE later.kind = 'deliver' AND later.subject = page.endpoint_id AND later.due_at <= page.due_at)
ORDER BY page.endpoint_id
ON CONFLICT (queueing_lock) WHERE status = 'todo' DO NOTHING
RETURNING queue_name;

-- name: end_of_told_endpoints
WITH RECURSIVE told AS (
    (SELECT endpoint_id FROM deliveries WHERE state = 'pending' AND endpoint_id > :after ORDER BY endpoint_id LIMIT 1)
    UNION ALL
    SELECT after.endpoint_id
    FROM told CROSS JOIN LATERAL (SELECT endpoint_id FROM deliveries WHERE state = 'pending' AND endpoint_id > told.endpoint_id
                                  ORDER BY endpoint_id LIMIT 1) AS after
)
SELECT max(endpoint_id) AS last FROM (SELECT endpoint_id FROM told LIMIT :limit) AS page;
