-- The work queue: one row for each task. A fetched row is leased, and its due time is the end of the lease until its
-- worker finishes or reschedules it, so the tasks of a killed worker come due again. `-- enqueue:` stands above a query
-- of tasks (kind, subject, due_at). How they are inserted stands once for each database, in its own `enqueue`.

-- enqueue: enqueue_job_work
-- A task of the job that the transition changed.
SELECT CAST(:kind AS TEXT) AS kind, id AS subject, :due_at AS due_at
FROM jobs WHERE id = :job_id AND last_transition = :transition

-- name: end_poll_lease
-- The provider reports the end: the next poll must not wait for one that is running.
UPDATE work SET lease = NULL
WHERE kind = 'poll' AND subject = :job_id AND lease IS NOT NULL
  AND EXISTS (SELECT 1 FROM jobs WHERE id = :job_id AND state = 'submitted' AND provider_request_id = :request_id);

-- enqueue: poll_now
-- Poll now: the provider reports the end, but the result has to be fetched.
SELECT 'poll' AS kind, id AS subject, :now AS due_at
FROM jobs WHERE id = :job_id AND state = 'submitted' AND provider_request_id = :request_id

-- enqueue: enqueue_deliveries
-- The endpoint of every delivery that fan_out just made. They are read from the same view and not from the deliveries,
-- of which Postgres would read all that are pending.
SELECT 'deliver' AS kind, endpoint_id AS subject, :now AS due_at
FROM listeners
WHERE subject = :subject AND transition = :transition AND disabled_at IS NULL AND paused_at IS NULL

-- enqueue: enqueue_replayed
-- An endpoint of which deliveries were replayed.
SELECT 'deliver' AS kind, id AS subject, :now AS due_at
FROM endpoints
WHERE id = :endpoint_id AND paused_at IS NULL
  AND EXISTS (SELECT 1 FROM deliveries WHERE endpoint_id = :endpoint_id AND state = 'pending' AND due_at = :now)

-- enqueue: enqueue_paused_endpoints
-- Before endpoints that were paused for this reason are resumed: those with something pending.
SELECT 'deliver' AS kind, e.id AS subject, :now AS due_at
FROM endpoints AS e
WHERE e.paused_at IS NOT NULL AND e.paused_reason = :reason
  AND EXISTS (SELECT 1 FROM deliveries WHERE endpoint_id = e.id AND state = 'pending')

-- enqueue: enqueue_missing_jobs
-- A page of open jobs: a task for each that has none.
SELECT CAST(:kind AS TEXT) AS kind, page.id AS subject, :now AS due_at
FROM (SELECT id FROM jobs WHERE state = :state AND (provider, id) > (:after_provider, :after)
      ORDER BY provider, id LIMIT :limit) AS page
WHERE NOT EXISTS (SELECT 1 FROM work WHERE work.kind = :kind AND work.subject = page.id)

-- name: end_of_open_jobs
-- Where the page ends; no row if it is the last one.
SELECT provider AS after_provider, id AS after
FROM jobs WHERE state = :state AND (provider, id) > (:after_provider, :after)
ORDER BY provider, id LIMIT 1 OFFSET :limit - 1;

-- enqueue: enqueue_missing_endpoints
-- A page of endpoints: a task for each that has something pending and no task, or one that is due later.
SELECT 'deliver' AS kind, page.id AS subject, page.due_at AS due_at
FROM (SELECT e.id, (SELECT min(d.due_at) FROM deliveries AS d
                    WHERE d.endpoint_id = e.id AND d.state = 'pending' AND e.paused_at IS NULL) AS due_at
      FROM (SELECT id, paused_at FROM endpoints WHERE id > :after ORDER BY id LIMIT :limit) AS e) AS page
WHERE page.due_at IS NOT NULL

-- name: end_of_endpoints
-- Where the page of endpoints ends.
SELECT id AS after FROM endpoints WHERE id > :after ORDER BY id LIMIT 1 OFFSET :limit - 1;

-- name: clear_job_work
-- The job ended: it is not submitted or polled any more.
DELETE FROM work
WHERE subject = :job_id AND kind IN ('submit', 'poll')
  AND EXISTS (SELECT 1 FROM jobs WHERE id = :job_id AND last_transition = :transition);

-- name: clear_submit_work
-- The provider has the job: it is not submitted any more.
DELETE FROM work
WHERE subject = :job_id AND kind = 'submit'
  AND EXISTS (SELECT 1 FROM jobs WHERE id = :job_id AND last_transition = :transition);

-- name: release_endpoint
-- The worker releases the endpoint: due with its next delivery, if the lease still holds. One that is overdue comes due
-- now, behind the endpoints that have waited meanwhile.
UPDATE work
SET lease = NULL, tries = 0,
    due_at = (SELECT CASE WHEN min(due_at) > :now THEN min(due_at) ELSE :now END
              FROM deliveries WHERE endpoint_id = :subject AND state = 'pending')
WHERE kind = 'deliver' AND subject = :subject AND lease = :lease
  AND EXISTS (SELECT 1 FROM deliveries WHERE endpoint_id = :subject AND state = 'pending')
  AND NOT EXISTS (SELECT 1 FROM endpoints WHERE id = :subject AND paused_at IS NOT NULL);

-- name: next_due
SELECT min(due_at) AS due_at FROM work WHERE kind = :kind;

-- name: finish_work
-- Done, if the lease still holds.
DELETE FROM work WHERE kind = :kind AND subject = :subject AND lease = :lease;

-- name: reschedule_work
-- Later, if the lease still holds. `failed` is 0 for a task that only waits; that ends a row of failures.
UPDATE work SET due_at = :due_at, lease = NULL, tries = CASE :failed WHEN 1 THEN tries + 1 ELSE 0 END
WHERE kind = :kind AND subject = :subject AND lease = :lease;
