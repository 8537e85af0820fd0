-- queue.push
-- Stores jobs and makes each ready, or schedules it when its time is still to come.
WITH pushed AS (
    SELECT *
    FROM unnest(
        $1::uuid[], $2::text[], $3::text[], $4::jsonb[], $5::smallint[], $6::smallint[],
        $7::timestamptz[], $8::float8[], $9::uuid[], $10::text[]
    ) WITH ORDINALITY AS p(
        id, kind, queue, args, priority, max_attempts, run_at, delay_seconds, owner, trace, position
    )
),
stored AS (
    INSERT INTO queue.jobs (id, kind, queue, args, priority, max_attempts, owner, trace)
    SELECT id, kind, queue, args, priority, max_attempts, owner, trace FROM pushed
),
timed AS (
    SELECT *, coalesce(run_at, now() + make_interval(secs => delay_seconds)) AS starts_at FROM pushed
),
later AS (
    INSERT INTO queue.scheduled (job, run_at, queue, priority, attempt, max_attempts)
    SELECT id, starts_at, queue, priority, 1, max_attempts FROM timed WHERE starts_at > now()
),
at_once AS (
    -- In the order of the call: `seq` is what a queue starts by.
    INSERT INTO queue.ready (queue, priority, job, attempt, max_attempts)
    SELECT queue, priority, id, 1, max_attempts FROM timed
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
