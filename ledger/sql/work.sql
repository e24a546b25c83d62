-- The work queue: what both databases say alike.

-- name: clear_job_work
-- The job ended: nobody need submit or check it.
DELETE FROM work
WHERE subject = :job_id AND kind IN ('submit', 'poll')
  AND EXISTS (SELECT 1 FROM jobs WHERE id = :job_id AND last_transition = :transition);

-- name: clear_submit_work
-- The provider has it: nobody need submit it.
DELETE FROM work
WHERE subject = :job_id AND kind = 'submit'
  AND EXISTS (SELECT 1 FROM jobs WHERE id = :job_id AND last_transition = :transition);
