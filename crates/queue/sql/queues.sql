-- queue.queues
-- How much each queue holds.
WITH ready AS (
    SELECT queue, count(*) AS ready, extract(epoch FROM now() - min(since))::float8 AS oldest FROM queue.ready GROUP BY queue
),
waiting AS (
    SELECT queue, count(*) AS waiting
    FROM (SELECT queue FROM queue.waiting UNION ALL SELECT queue FROM queue.blocked) w
    GROUP BY queue
),
scheduled AS (
    SELECT queue, count(*) AS scheduled FROM queue.scheduled GROUP BY queue
),
running AS (
    SELECT j.queue, count(*) AS running
    FROM queue.leases l
    CROSS JOIN LATERAL unnest(l.jobs) AS u(job)
    JOIN queue.jobs j ON j.id = u.job
    WHERE NOT EXISTS (SELECT FROM queue.runs r WHERE r.job = u.job AND r.token = l.token)
    GROUP BY j.queue
),
dead AS (
    SELECT queue, count(*) AS dead FROM queue.dead_letters WHERE outcome = 'dead' GROUP BY queue
),
said AS (
    SELECT name AS queue, paused, keep_days FROM queue.queues WHERE paused OR keep_days IS NOT NULL
)
SELECT
    queue AS "name!",
    coalesce(paused, false) AS "paused!",
    keep_days,
    coalesce(ready, 0) AS "ready!",
    coalesce(waiting, 0) AS "waiting!",
    coalesce(scheduled, 0) AS "scheduled!",
    coalesce(running, 0) AS "running!",
    coalesce(dead, 0) AS "dead!",
    oldest AS oldest_ready_seconds
FROM ready
FULL JOIN waiting USING (queue)
FULL JOIN scheduled USING (queue)
FULL JOIN running USING (queue)
FULL JOIN dead USING (queue)
FULL JOIN said USING (queue)
ORDER BY queue
