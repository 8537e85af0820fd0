-- queue.finish
-- Records how attempts ended and puts back what is to run again, where the lease is still there.
-- The lock keeps a rescue out until the transaction ends; once a rescue was first, the row is gone.
WITH ended AS (
    SELECT *
    FROM unnest(
        $2::bigint[], $3::uuid[], $4::text[], $5::smallint[], $6::smallint[], $7::smallint[],
        $8::text[], $9::text[], $10::float8[], $11::float8[]
    ) AS e(
        token, job, queue, priority, attempt, max_attempts,
        outcome, error, ran_seconds, again_seconds
    )
),
alive AS MATERIALIZED (
    SELECT token, worker, leased_at FROM queue.leases WHERE token = ANY ($2) FOR KEY SHARE
),
recorded AS (
    INSERT INTO queue.runs (job, token, leased_at, attempt, outcome, started_at, ended_at, worker, error)
    SELECT
        e.job, e.token, a.leased_at, e.attempt, e.outcome,
        coalesce($1, clock_timestamp()) - make_interval(secs => e.ran_seconds),
        coalesce($1, clock_timestamp()), a.worker, e.error
    FROM ended e
    JOIN alive a USING (token)
    -- The same report again: the connection broke before the first answer arrived.
    ON CONFLICT DO NOTHING
    RETURNING job, token
),
again AS (
    SELECT
        e.job, e.queue, e.priority, e.max_attempts, e.again_seconds,
        CASE WHEN e.outcome = 'failed' THEN e.attempt + 1 ELSE e.attempt END AS attempt
    FROM recorded
    JOIN ended e USING (job, token)
    WHERE e.again_seconds IS NOT NULL
),
later AS (
    INSERT INTO queue.scheduled (job, run_at, queue, priority, attempt, max_attempts)
    SELECT job, coalesce($1, now()) + make_interval(secs => again_seconds), queue, priority, attempt, max_attempts
    FROM again
    WHERE again_seconds > 0
),
at_once AS (
    INSERT INTO queue.ready (queue, priority, job, attempt, max_attempts)
    SELECT queue, priority, job, attempt, max_attempts FROM again WHERE again_seconds = 0
),
stopped AS (
    DELETE FROM queue.cancellations c
    USING recorded r
    JOIN ended e USING (job, token)
    WHERE c.job = r.job AND e.again_seconds IS NULL
),
freed AS (
    -- $13 names those that have ended for good and whose claim said that they hold a key: others
    -- cost nothing here.
    DELETE FROM queue.unique_keys k
    USING recorded r
    WHERE k.job = ANY ($13::uuid[]) AND k.job = r.job AND k.until IS NULL
),
closed AS (
    DELETE FROM queue.leases WHERE token = ANY ($12::bigint[])
)
SELECT
    a.token AS "token!",
    (SELECT count(*) FROM recorded r WHERE r.token = a.token) AS "recorded!"
FROM alive a
