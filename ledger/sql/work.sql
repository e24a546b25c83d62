-- The work queue: one row for each task. The due time of a leased row is the end of its lease, so the tasks of a killed
-- worker come due again. `-- enqueue:` is above a query of tasks (kind, subject, due_at), which the statement `enqueue`
-- of each database inserts.

-- enqueue: enqueue_job_work
-- A task for the job that the transition changed.
SELECT CAST(:kind AS TEXT) AS kind, id AS subject, :due_at AS due_at
FROM jobs WHERE id = :job_id AND last_transition = :transition

-- name: end_poll_lease
-- The receipt makes a poll due: one that is running must not delay it.
UPDATE work SET lease = NULL
WHERE kind = 'poll' AND subject = :job_id AND lease IS NOT NULL
  AND EXISTS (SELECT 1 FROM receipts WHERE job_id = :job_id AND id = :transition AND result = 'pending');

-- enqueue: poll_now
-- A poll that is due now: for the result, or to find out whether the request is of our account.
SELECT 'poll' AS kind, job_id AS subject, :now AS due_at
FROM receipts WHERE job_id = :job_id AND id = :transition AND result = 'pending'

-- enqueue: enqueue_deliveries
-- The endpoints of the deliveries that fan_out inserted. From the same view, because Postgres would read every pending
-- delivery.
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
-- The endpoints with pending deliveries that are paused for a reason, before they are resumed.
SELECT 'deliver' AS kind, e.id AS subject, :now AS due_at
FROM endpoints AS e
WHERE e.paused_at IS NOT NULL AND e.paused_reason = :reason
  AND EXISTS (SELECT 1 FROM deliveries WHERE endpoint_id = e.id AND state = 'pending')

-- enqueue: enqueue_missing_jobs
-- A page of open jobs without a task.
SELECT CAST(:kind AS TEXT) AS kind, page.id AS subject, :now AS due_at
FROM (SELECT id FROM jobs WHERE state = :state AND (provider, id) > (:after_provider, :after)
      ORDER BY provider, id LIMIT :limit) AS page
WHERE NOT EXISTS (SELECT 1 FROM work WHERE work.kind = :kind AND work.subject = page.id)

-- name: end_of_open_jobs
-- The last job of the page; no row if there are no more.
SELECT provider AS after_provider, id AS after
FROM jobs WHERE state = :state AND (provider, id) > (:after_provider, :after)
ORDER BY provider, id LIMIT 1 OFFSET :limit - 1;

-- enqueue: enqueue_missing_endpoints
-- A page of endpoints with pending deliveries: those without a task, or with one that is due later.
SELECT 'deliver' AS kind, page.id AS subject, page.due_at AS due_at
FROM (SELECT e.id, (SELECT min(d.due_at) FROM deliveries AS d
                    WHERE d.endpoint_id = e.id AND d.state = 'pending' AND e.paused_at IS NULL) AS due_at
      FROM (SELECT id, paused_at FROM endpoints WHERE id > :after ORDER BY id LIMIT :limit) AS e) AS page
WHERE page.due_at IS NOT NULL

-- name: end_of_endpoints
-- The last endpoint of the page; no row if there are no more.
SELECT id AS after FROM endpoints WHERE id > :after ORDER BY id LIMIT 1 OFFSET :limit - 1;

-- name: bring_work_forward
-- A page of tasks: the clock was set back by :set_back ms, so what was due in ten seconds is due in ten seconds again.
-- A lease that is no longer than any is left alone: it was renewed since.
UPDATE work SET due_at = CASE WHEN due_at - :set_back > :now THEN due_at - :set_back ELSE :now END
WHERE kind = :kind AND due_at > :now AND (lease IS NULL OR due_at > :now + :longest_lease)
  AND subject IN (SELECT subject FROM work WHERE kind = :kind AND subject > :after ORDER BY subject LIMIT :limit)
RETURNING subject;

-- name: end_of_work
-- Where the page of tasks ends.
SELECT subject AS after FROM work WHERE kind = :kind AND subject > :after ORDER BY subject LIMIT 1 OFFSET :limit - 1;

-- name: bring_deliveries_forward
-- As bring_work_forward, for the deliveries of a page of endpoints.
UPDATE deliveries SET due_at = CASE WHEN due_at - :set_back > :now THEN due_at - :set_back ELSE :now END
WHERE state = 'pending' AND due_at > :now
  AND endpoint_id IN (SELECT id FROM endpoints WHERE id > :after ORDER BY id LIMIT :limit)
RETURNING id;

-- name: clear_job_work
-- The job has ended.
DELETE FROM work
WHERE subject = :job_id AND kind IN ('submit', 'poll')
  AND EXISTS (SELECT 1 FROM jobs WHERE id = :job_id AND last_transition = :transition);

-- name: clear_submit_work
-- The provider has the job.
DELETE FROM work
WHERE subject = :job_id AND kind = 'submit'
  AND EXISTS (SELECT 1 FROM jobs WHERE id = :job_id AND last_transition = :transition);

-- name: release_endpoint
-- The endpoint is due with its next delivery, if the lease still holds. One that is overdue is due now, after the
-- endpoints that are waiting.
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
-- The task is done, if the lease still holds.
DELETE FROM work WHERE kind = :kind AND subject = :subject AND lease = :lease;

-- name: reschedule_work
-- The task is due later, if the lease still holds. Without `failed`, its tries start again at 0.
UPDATE work SET due_at = :due_at, lease = NULL, tries = CASE :failed WHEN 1 THEN tries + 1 ELSE 0 END
WHERE kind = :kind AND subject = :subject AND lease = :lease;

-- name: give_back_work
-- The task was not finished, if the lease still holds. Its tries are kept.
UPDATE work SET due_at = :due_at, lease = NULL WHERE kind = :kind AND subject = :subject AND lease = :lease;
