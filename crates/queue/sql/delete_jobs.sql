-- queue.delete_jobs
-- Deletes jobs that are locked, where nothing refers to them still.
DELETE FROM queue.jobs j
WHERE j.id = ANY ($1)
    AND NOT EXISTS (SELECT FROM queue.runs WHERE job = j.id)
    AND NOT EXISTS (SELECT FROM queue.scheduled WHERE job = j.id)
    AND NOT EXISTS (SELECT FROM queue.ready WHERE job = j.id)
    AND NOT EXISTS (SELECT FROM queue.waiting WHERE job = j.id)
    AND NOT EXISTS (SELECT FROM queue.blocked WHERE job = j.id)
    AND NOT EXISTS (SELECT FROM queue.leases l CROSS JOIN unnest(l.jobs) AS u(job) WHERE u.job = j.id)
