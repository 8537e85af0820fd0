-- queue.unqueue
-- Takes a job that has not started out of its list, and records the decision.
WITH job AS (
    SELECT id, queue, priority FROM queue.jobs WHERE id = $1
),
ready AS (
    DELETE FROM queue.ready r
    USING job j
    WHERE r.queue = j.queue AND r.priority = j.priority AND r.job = j.id
    RETURNING r.job, r.attempt
),
scheduled AS (
    DELETE FROM queue.scheduled s USING job j WHERE s.job = j.id RETURNING s.job, s.attempt
),
taken AS (
    SELECT job, attempt FROM ready UNION ALL SELECT job, attempt FROM scheduled
),
heeded AS (
    DELETE FROM queue.cancellations c USING taken t WHERE c.job = t.job
)
INSERT INTO queue.runs (job, token, leased_at, attempt, outcome, started_at, ended_at, worker)
SELECT job, nextval(pg_get_serial_sequence('queue.leases', 'token')), now(), attempt, 'cancelled', now(), now(), $2
FROM taken
