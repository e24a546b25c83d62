-- The work queue: one row for each thing to do. A fetched row is leased, and its due time is the lease's end until its
-- worker
-- finishes or postpones it: what a killed worker had comes due by itself. `-- enqueue:` stands above a query of what is
-- to be
-- done (kind, subject, due_at); how that is put into the queue is said once for each database, by its own `enqueue`.

-- enqueue: enqueue_job_work
-- Work on the job that just moved.
SELECT CAST(:kind AS TEXT) AS kind, id AS subject, :due_at AS due_at FROM jobs WHERE id = :job_id
    AND last_transition = :move

-- name: recall_check
-- The provider says it is finished: the next poll must not wait until one that runs has been postponed.
UPDATE work SET lease = NULL
WHERE kind = 'poll' AND subject = :job_id AND lease IS NOT NULL
  AND EXISTS (SELECT 1 FROM jobs WHERE id = :job_id AND state = 'submitted' AND provider_request_id = :request_id);

-- enqueue: poll_now
-- Poll now: the provider says it is finished but the result has to be fetched.
SELECT 'poll' AS kind, id AS subject, :now AS due_at
FROM jobs WHERE id = :job_id AND state = 'submitted' AND provider_request_id = :request_id

-- enqueue: enqueue_deliveries
-- Delivering, for every endpoint that fan_out just made a delivery for. The endpoints are found as fan_out found them
-- and not
-- among the deliveries: Postgres would read all that are pending.
SELECT 'deliver' AS kind, e.id AS subject, :now AS due_at
FROM jobs AS j
CROSS JOIN (SELECT id FROM endpoints WHERE scope = 'all' AND removed_at IS NULL AND disabled_at IS NULL
            UNION ALL
            SELECT named.id FROM subscriptions AS s JOIN endpoints AS named ON named.id = s.endpoint_id
            WHERE s.job_id = :job_id AND named.removed_at IS NULL AND named.disabled_at IS NULL) AS e
WHERE j.id = :job_id AND j.last_transition = :move

-- enqueue: enqueue_delivery
SELECT 'deliver' AS kind, endpoint_id AS subject, :now AS due_at FROM deliveries WHERE id = :delivery_id
    AND state = 'pending'

-- enqueue: enqueue_missing_jobs
-- An open job without work gets some. A page at a time, down the index of states.
SELECT CAST(:kind AS TEXT) AS kind, page.id AS subject, :now AS due_at
FROM (SELECT id FROM jobs WHERE state = :state AND (provider, id) > (:after_provider, :after)
      ORDER BY provider, id LIMIT :limit) AS page
WHERE NOT EXISTS (SELECT 1 FROM work WHERE work.kind = :kind AND work.subject = page.id)

-- name: end_of_open_jobs
-- Where the page ended; no row when it was the last one.
SELECT provider AS after_provider, id AS after
FROM jobs WHERE state = :state AND (provider, id) > (:after_provider, :after) ORDER BY provider, id
    LIMIT 1 OFFSET :limit - 1;

-- enqueue: enqueue_missing_endpoints
-- An endpoint with something pending, and without work or with work that is due later than that, gets it. A page of
-- endpoints.
SELECT 'deliver' AS kind, page.id AS subject, page.due_at AS due_at
FROM (SELECT e.id, (SELECT min(d.due_at) FROM deliveries AS d WHERE d.endpoint_id = e.id
    AND d.state = 'pending') AS due_at
      FROM (SELECT id FROM endpoints WHERE id > :after ORDER BY id LIMIT :limit) AS e) AS page
WHERE page.due_at IS NOT NULL

-- name: end_of_endpoints
-- The same, of endpoints.
SELECT id AS after FROM endpoints WHERE id > :after ORDER BY id LIMIT 1 OFFSET :limit - 1;

-- name: clear_job_work
-- The job ended: nobody need submit or poll it.
DELETE FROM work
WHERE subject = :job_id AND kind IN ('submit', 'poll')
  AND EXISTS (SELECT 1 FROM jobs WHERE id = :job_id AND last_transition = :move);

-- name: clear_submit_work
-- The provider has it: nobody need submit it.
DELETE FROM work
WHERE subject = :job_id AND kind = 'submit'
  AND EXISTS (SELECT 1 FROM jobs WHERE id = :job_id AND last_transition = :move);

-- name: release_endpoint
-- The worker lets the endpoint go: due when its next delivery is, if the lease is still ours. What is overdue already
-- comes due now, behind the endpoints that have waited meanwhile.
UPDATE work
SET lease = NULL, tries = 0,
    due_at = (SELECT CASE WHEN min(due_at) > :now THEN min(due_at) ELSE :now END
              FROM deliveries WHERE endpoint_id = :subject AND state = 'pending')
WHERE kind = 'deliver' AND subject = :subject AND lease = :lease
  AND EXISTS (SELECT 1 FROM deliveries WHERE endpoint_id = :subject AND state = 'pending');

-- name: next_due
SELECT min(due_at) AS due_at FROM work WHERE kind = :kind;

-- name: finish_work
-- Done, if the lease is still ours.
DELETE FROM work WHERE kind = :kind AND subject = :subject AND lease = :lease;

-- name: reschedule_work
-- Later, if the lease is still ours. Waiting is not failing: `failed` is 0 for what merely takes its time, and that
-- ends a row of failures.
UPDATE work SET due_at = :due_at, lease = NULL, tries = CASE :failed WHEN 1 THEN tries + 1 ELSE 0 END
WHERE kind = :kind AND subject = :subject AND lease = :lease;
