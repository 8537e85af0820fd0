-- queue.lock_jobs_of_day
-- Locks jobs of a day that other jobs keep and that nothing refers to. A job that has ended has a run until
-- its queue is done with it, so a job without one, that neither waits nor runs, is one that nobody asks for.
SELECT j.id
FROM queue.jobs j
WHERE j.id >= queue.first_id_at($1) AND j.id < queue.first_id_at($2)
    AND NOT EXISTS (SELECT FROM queue.runs WHERE job = j.id)
    AND NOT EXISTS (SELECT FROM queue.scheduled WHERE job = j.id)
    AND NOT EXISTS (SELECT FROM queue.ready WHERE job = j.id)
    AND NOT EXISTS (SELECT FROM queue.waiting WHERE job = j.id)
    AND NOT EXISTS (SELECT FROM queue.blocked WHERE job = j.id)
    AND NOT EXISTS (SELECT FROM queue.leases l CROSS JOIN unnest(l.jobs) AS u(job) WHERE u.job = j.id)
LIMIT $3
FOR UPDATE OF j SKIP LOCKED
