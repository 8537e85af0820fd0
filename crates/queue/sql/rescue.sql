-- queue.rescue
-- Takes the locked leases away and starts again what had not ended. It runs after queue.expired
-- in the same transaction, with a snapshot of its own: that is what lets it see every run that
-- was recorded before the lock was had.
WITH gone AS (
    DELETE FROM queue.leases WHERE token = ANY ($2) RETURNING *
),
lost AS (
    SELECT g.token, g.leased_at, g.worker, u.job, u.attempt, u.max_attempts, j.queue, j.priority
    FROM gone g
    CROSS JOIN LATERAL unnest(g.jobs, g.attempts, g.max_attempts) AS u(job, attempt, max_attempts)
    JOIN queue.jobs j ON j.id = u.job
    WHERE NOT EXISTS (
        SELECT FROM queue.runs r
        WHERE r.job = u.job AND r.token = g.token AND r.leased_at = g.leased_at
    )
),
recorded AS (
    INSERT INTO queue.runs (job, token, leased_at, attempt, outcome, started_at, ended_at, worker, error)
    SELECT
        job, token, leased_at, attempt,
        CASE WHEN attempt < max_attempts THEN 'lost' ELSE 'dead' END,
        leased_at, coalesce($1, clock_timestamp()), worker, 'its worker stopped answering'
    FROM lost
),
again AS (
    INSERT INTO queue.ready (queue, priority, job, attempt, max_attempts)
    SELECT queue, priority, job, attempt + 1, max_attempts FROM lost WHERE attempt < max_attempts
    RETURNING queue
),
stopped AS (
    DELETE FROM queue.cancellations c USING lost l WHERE c.job = l.job AND l.attempt >= l.max_attempts
),
freed AS (
    DELETE FROM queue.unique_keys k
    USING lost l
    WHERE k.job = l.job AND k.until IS NULL AND l.attempt >= l.max_attempts
),
told AS (
    SELECT pg_notify('queue_ready', queue) FROM (SELECT DISTINCT queue FROM again) q
)
SELECT (SELECT count(*) FROM lost) AS "lost!", (SELECT count(*) FROM told) AS "queues!"
