-- queue.lock_jobs_without_day
-- Locks old jobs whose day has no partition and that nothing refers to.
SELECT j.id
FROM queue.jobs_default j
WHERE j.id < queue.first_id_at($1)
    AND NOT EXISTS (SELECT FROM queue.runs WHERE job = j.id)
    AND NOT EXISTS (SELECT FROM queue.scheduled WHERE job = j.id)
    AND NOT EXISTS (SELECT FROM queue.ready WHERE job = j.id)
    AND NOT EXISTS (SELECT FROM queue.waiting WHERE job = j.id)
    AND NOT EXISTS (SELECT FROM queue.blocked WHERE job = j.id)
    AND NOT EXISTS (SELECT FROM queue.leases l CROSS JOIN unnest(l.jobs) AS u(job) WHERE u.job = j.id)
LIMIT $2
FOR UPDATE OF j SKIP LOCKED
