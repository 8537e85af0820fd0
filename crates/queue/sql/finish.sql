-- queue.finish
-- Records how attempts ended and puts back what is to run again, where the lease is still there.
-- The lock keeps a rescue out until the transaction ends; once a rescue was first, the row is gone.
--
-- $2 to $7 have an entry for each attempt. What only few of them need comes apart, and costs the
-- others nothing: $10 to $16 run again, $17 and $18 hold a key, $19 and $20 were asked to stop,
-- $21 to $26 go to the dead letters, $27 to $29 have something to say. $30 and $31 are keys and tenants of
-- those that run again, $32 to $34 give up their places among the jobs with their keys. Others may wait
-- for $35 to end; whoever tells them looks whether they did.
WITH alive AS MATERIALIZED (
    SELECT token, worker, queue FROM queue.leases WHERE token = ANY ($2) FOR KEY SHARE
),
recorded AS (
    INSERT INTO queue.runs (job, token, started_at, ended_at, worker, attempt, outcome, note)
    SELECT
        e.job, e.token,
        coalesce($1, clock_timestamp()) - make_interval(secs => e.ran_seconds),
        coalesce($1, clock_timestamp()), a.worker, e.attempt, e.outcome, e.note
    FROM unnest($2::bigint[], $3::uuid[], $4::smallint[], $5::text[], $6::text[], $7::float8[])
        AS e(token, job, attempt, outcome, note, ran_seconds)
    JOIN alive a USING (token)
    -- The same report again: the connection broke before the first answer arrived.
    WHERE NOT $9 OR NOT EXISTS (SELECT FROM queue.runs r WHERE r.job = e.job AND r.token = e.token)
    RETURNING job, token, ended_at, outcome
),
again AS (
    SELECT
        a.job, a.token, a.queue, a.priority, a.attempt, a.max_attempts, a.seconds, a.key,
        -- The queue may have become fair since it was claimed. A call, because the days of queue.jobs would be
        -- opened by each statement.
        CASE WHEN a.tenant = '' AND EXISTS (SELECT FROM queue.queues q WHERE q.name = a.queue AND q.fair)
            THEN queue.tenant_of(a.job) ELSE a.tenant END AS tenant
    FROM unnest($10::uuid[], $11::bigint[], $12::text[], $13::smallint[], $14::smallint[], $15::smallint[], $16::float8[], $30::text[], $31::text[])
        AS a(job, token, queue, priority, attempt, max_attempts, seconds, key, tenant)
    JOIN recorded USING (job, token)
),
later AS (
    INSERT INTO queue.scheduled (job, run_at, queue, priority, attempt, max_attempts, key, tenant, holds)
    SELECT
        job, coalesce($1, now()) + make_interval(secs => seconds), queue, priority, attempt, max_attempts, key, tenant,
        key <> '' AND queue.key_concurrency(queue, key) = 1
    FROM again
    WHERE seconds > 0
    RETURNING queue, key, holds
),
at_once AS (
    INSERT INTO queue.ready (queue, priority, job, attempt, max_attempts, key, tenant)
    SELECT
        queue, priority - CASE WHEN key = '' THEN 0 ELSE 1000 END, job, attempt, max_attempts, key, tenant
    FROM again WHERE seconds = 0
    RETURNING queue
),
freed AS (
    DELETE FROM queue.unique_keys k
    USING unnest($17::uuid[], $18::bigint[]) AS f(job, token)
    JOIN recorded USING (job, token)
    WHERE k.job = f.job AND k.until IS NULL
),
stopped AS (
    DELETE FROM queue.cancellations c
    USING unnest($19::uuid[], $20::bigint[]) AS s(job, token)
    JOIN recorded USING (job, token)
    WHERE c.job = s.job
),
buried AS (
    INSERT INTO queue.dead_letters (job, ended_at, kind, queue, outcome, cause, fingerprint)
    SELECT d.job, r.ended_at, d.kind, d.queue, r.outcome, d.cause, d.fingerprint
    FROM unnest($21::uuid[], $22::bigint[], $23::text[], $24::text[], $25::text[], $26::text[])
        AS d(job, token, kind, queue, cause, fingerprint)
    JOIN recorded r USING (job, token)
    ON CONFLICT (job) DO UPDATE
    SET ended_at = excluded.ended_at, outcome = excluded.outcome, cause = excluded.cause,
        fingerprint = excluded.fingerprint
),
said AS (
    INSERT INTO queue.outputs (job, output)
    SELECT o.job, o.output
    FROM unnest($27::uuid[], $28::bigint[], $29::jsonb[]) AS o(job, token, output)
    JOIN recorded USING (job, token)
    ON CONFLICT (job) DO UPDATE SET output = excluded.output
),
closed AS (
    DELETE FROM queue.leases WHERE token = ANY ($8::bigint[])
),
passed AS (
    SELECT queue.pass_on(array_agg(p.queue), array_agg(p.key))
    FROM (
        SELECT a.queue, p.key
        FROM unnest($32::uuid[], $33::bigint[], $34::text[]) AS p(job, token, key)
        JOIN recorded USING (job, token)
        JOIN alive a USING (token)
        UNION ALL
        SELECT queue, key FROM later WHERE key <> '' AND NOT holds
    ) p
    -- Mostly nobody waits, and nothing has to be put together.
    WHERE CASE WHEN cardinality($30::text[]) > 0 OR cardinality($34::text[]) > 0
        THEN (SELECT queue.share_gates(array_agg(DISTINCT queue)) FROM alive WHERE queue IS NOT NULL) END
    HAVING count(*) > 0
),
told AS (
    SELECT queue.wake(queue)
    FROM (
        SELECT queue FROM at_once
        UNION
        -- Others may wait for the end of any of its jobs.
        SELECT a.queue FROM alive a JOIN queue.queues q ON q.name = a.queue AND q.concurrency IS NOT NULL
    ) q
)
SELECT
    a.token AS "token!", count(r.token) AS "recorded!", (SELECT count(*) FROM told) AS "queues!",
    (SELECT count(*) FROM passed) AS "passed!",
    -- A call, because a table that few statements write to would be opened by all of them.
    (SELECT queue.unsettle($35)::text WHERE cardinality($35::uuid[]) > 0) AS unsettled
FROM alive a
LEFT JOIN recorded r USING (token)
GROUP BY a.token
