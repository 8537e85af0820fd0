-- queue.push_one
-- What queue.push does, for a single job: half the work, where the plan is most of it.
WITH stored AS (
    INSERT INTO queue.jobs (id, kind, queue, args, priority, max_attempts, owner, trace)
    VALUES ($1, $2, $3, $4, $5, $6, $9, $10)
),
timed AS (
    SELECT
        CASE WHEN w.is_later THEN w.wanted_at ELSE now() + r.put_off END AS starts_at,
        CASE WHEN r.fair THEN coalesce($9::uuid::text, '-') ELSE '' END AS tenant
    FROM (
        SELECT wanted_at, coalesce(wanted_at > now(), false) AS is_later
        FROM (SELECT coalesce($7::timestamptz, now() + make_interval(secs => $8::float8)) AS wanted_at) t
    ) w
    LEFT JOIN LATERAL (
        SELECT q.fair, queue.admit(q, CASE WHEN w.is_later THEN 0 ELSE 1 END) AS put_off FROM queue.queues q
        WHERE q.name = $3 AND (q.fair OR q.max_backlog IS NOT NULL)
    ) r ON true
),
later AS (
    INSERT INTO queue.scheduled (job, run_at, queue, priority, attempt, max_attempts, tenant)
    SELECT $1, starts_at, $3, $5, 1, $6, tenant FROM timed WHERE starts_at > now()
),
at_once AS (
    INSERT INTO queue.ready (queue, priority, job, attempt, max_attempts, tenant)
    SELECT $3, $5, $1, 1, $6, tenant FROM timed
    WHERE (starts_at IS NULL OR starts_at <= now())
        -- The transaction has its number before a row has its seq: see queue.ready.
        AND pg_current_xact_id() IS NOT NULL
    RETURNING queue
)
-- As queue.wake does, without a call.
SELECT pg_notify('queue_ready', queue) FROM at_once
WHERE CASE
    WHEN pg_try_advisory_lock(1111834948, hashtext(queue)) THEN NOT pg_advisory_unlock(1111834948, hashtext(queue))
    ELSE true
END
