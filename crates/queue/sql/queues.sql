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
    SELECT name AS queue
    FROM queue.queues q
    WHERE paused OR keep_days IS NOT NULL OR ruled OR key_concurrency <> 1
        OR coalesce(burst, key_burst, max_backlog) IS NOT NULL OR key_per_second IS NOT NULL OR full_delay IS NOT NULL
        OR EXISTS (SELECT FROM queue.limits l WHERE l.queue = q.name)
        OR EXISTS (SELECT FROM queue.shares s WHERE s.queue = q.name)
)
SELECT
    queue AS "name!",
    coalesce(q.paused, false) AS "paused!",
    q.keep_days AS "keep_days?",
    coalesce(ready, 0) AS "ready!",
    coalesce(waiting, 0) AS "waiting!",
    coalesce(scheduled, 0) AS "scheduled!",
    coalesce(running, 0) AS "running!",
    coalesce(dead, 0) AS "dead!",
    oldest AS oldest_ready_seconds,
    coalesce(q.keyed, false) AS "keyed!",
    jsonb_build_object(
        'fair', coalesce(q.fair, false), 'concurrency', q.concurrency, 'key_concurrency', coalesce(q.key_concurrency, 1),
        'per_second', q.per_second, 'burst', q.burst, 'key_per_second', q.key_per_second, 'key_burst', q.key_burst,
        'max_backlog', q.max_backlog, 'full_delay_seconds', extract(epoch FROM q.full_delay)
    ) AS "rules!: Json<Rules>"
FROM ready
FULL JOIN waiting USING (queue)
FULL JOIN scheduled USING (queue)
FULL JOIN running USING (queue)
FULL JOIN dead USING (queue)
FULL JOIN said USING (queue)
LEFT JOIN queue.queues q ON q.name = queue
ORDER BY queue
