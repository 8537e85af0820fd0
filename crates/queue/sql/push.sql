-- queue.push
-- Stores jobs without keys of any sort, and makes each ready, or schedules it when its time is still to come.
WITH pushed AS (
    SELECT p.*, coalesce(p.run_at, now() + make_interval(secs => p.delay_seconds)) AS wanted_at
    FROM unnest(
        $1::uuid[], $2::text[], $3::text[], $4::jsonb[], $5::smallint[], $6::smallint[],
        $7::timestamptz[], $8::float8[], $9::uuid[], $10::text[]
    ) WITH ORDINALITY AS p(
        id, kind, queue, args, priority, max_attempts, run_at, delay_seconds, owner, trace, position
    )
),
-- Queues that are fair, or take only so many that could start: for others there is no row.
rules AS MATERIALIZED (
    SELECT q.name, q.fair, queue.admit(q, p.jobs) AS put_off
    FROM (
        SELECT queue, count(*) FILTER (WHERE wanted_at IS NULL OR wanted_at <= now()) AS jobs
        FROM pushed GROUP BY queue
    ) p
    JOIN queue.queues q ON q.name = p.queue AND (q.fair OR q.max_backlog IS NOT NULL)
),
stored AS (
    INSERT INTO queue.jobs (id, kind, queue, args, priority, max_attempts, owner, trace)
    SELECT id, kind, queue, args, priority, max_attempts, owner, trace FROM pushed
),
timed AS (
    SELECT
        p.*, CASE WHEN p.wanted_at > now() THEN p.wanted_at ELSE now() + r.put_off END AS starts_at,
        CASE WHEN r.fair THEN coalesce(p.owner::text, '-') ELSE '' END AS tenant
    FROM pushed p
    LEFT JOIN rules r ON r.name = p.queue
),
later AS (
    INSERT INTO queue.scheduled (job, run_at, queue, priority, attempt, max_attempts, tenant)
    SELECT id, starts_at, queue, priority, 1, max_attempts, tenant FROM timed WHERE starts_at > now()
),
at_once AS (
    -- In the order of the call: `seq` is what a queue starts by.
    INSERT INTO queue.ready (queue, priority, job, attempt, max_attempts, tenant)
    SELECT queue, priority, id, 1, max_attempts, tenant FROM timed
    WHERE (starts_at IS NULL OR starts_at <= now())
        -- The transaction has its number before a row has its seq: see queue.ready.
        AND pg_current_xact_id() IS NOT NULL
    ORDER BY position
    RETURNING queue
)
-- As queue.wake does, without a call.
SELECT pg_notify('queue_ready', queue) FROM (SELECT DISTINCT queue FROM at_once) q
WHERE CASE
    WHEN pg_try_advisory_lock(1111834948, hashtext(queue)) THEN NOT pg_advisory_unlock(1111834948, hashtext(queue))
    ELSE true
END
