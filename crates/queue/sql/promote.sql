-- queue.promote
-- Moves what is due from queue.scheduled to queue.ready, oldest first.
WITH due AS MATERIALIZED (
    SELECT ctid AS row_id
    FROM queue.scheduled
    WHERE run_at <= coalesce($1, now())
    ORDER BY run_at
    LIMIT $2
    FOR UPDATE SKIP LOCKED
),
moved AS (
    DELETE FROM queue.scheduled
    WHERE ctid = ANY (ARRAY(SELECT row_id FROM due))
    RETURNING job, run_at, queue, priority, attempt, max_attempts, key, tenant, holds
),
ready AS (
    INSERT INTO queue.ready (queue, priority, job, attempt, max_attempts, key, tenant)
    SELECT
        queue, priority - CASE WHEN holds THEN 1000 ELSE 0 END, job, attempt, max_attempts, key,
        CASE WHEN tenant = '' AND EXISTS (SELECT FROM queue.queues q WHERE q.name = moved.queue AND q.fair)
            THEN (SELECT queue.lane_of(j) FROM queue.jobs j WHERE j.id = moved.job) ELSE tenant END
    FROM moved ORDER BY run_at
    RETURNING queue
),
told AS (
    SELECT queue.wake(queue) FROM (SELECT DISTINCT queue FROM ready) q
)
SELECT (SELECT count(*) FROM moved) AS "moved!", (SELECT count(*) FROM told) AS "queues!"
