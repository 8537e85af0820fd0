-- queue.rescue
-- Takes the locked leases away and starts again what had not ended. It runs after queue.expired
-- in the same transaction, with a snapshot of its own: that is what lets it see every run that
-- was recorded before the lock was had.
--
-- A job is poison when its worker died under it time and again. What died in a crowd may be innocent:
-- only a job that was alone in its lease counts. A worker that holds leases now was cut off for a
-- while and is no evidence.
WITH gone AS (
    DELETE FROM queue.leases WHERE token = ANY ($2) RETURNING *
),
lost AS (
    SELECT
        g.token, g.leased_at, g.worker, u.job, u.attempt, u.max_attempts, j.kind, j.queue, j.priority, j.key, j.workflow,
        queue.lane_of(j) AS tenant,
        coalesce(k.max_losses, $3) AS max_losses, before.killed,
        cardinality(g.jobs) = 1 AS alone
    FROM gone g
    CROSS JOIN LATERAL unnest(g.jobs, g.attempts, g.max_attempts) AS u(job, attempt, max_attempts)
    JOIN queue.jobs j ON j.id = u.job
    LEFT JOIN queue.kinds k ON k.kind = j.kind
    CROSS JOIN LATERAL (
        SELECT count(*) FILTER (WHERE r.outcome = 'lost' AND r.note = 'its worker stopped answering, with nothing else to do' AND NOT EXISTS (
            SELECT FROM queue.leases l WHERE l.worker = r.worker AND l.expires_at >= coalesce($1, now())
        )) AS killed
        FROM (
            SELECT runs.outcome, runs.note, runs.worker FROM queue.runs
            WHERE runs.job = u.job ORDER BY runs.token DESC LIMIT coalesce(k.max_losses, $3) - 1
        ) r
    ) before
    WHERE NOT EXISTS (SELECT FROM queue.runs r WHERE r.job = u.job AND r.token = g.token)
),
judged AS (
    SELECT *, CASE
        WHEN alone AND killed + 1 >= max_losses THEN 'poison' WHEN attempt >= max_attempts THEN 'lost'
    END AS cause
    FROM lost
),
recorded AS (
    INSERT INTO queue.runs (job, token, started_at, ended_at, worker, attempt, outcome, note)
    SELECT
        job, token, leased_at, coalesce($1, clock_timestamp()), worker, attempt,
        CASE WHEN cause IS NULL THEN 'lost' ELSE 'dead' END,
        CASE
            WHEN cause = 'poison' THEN 'its worker died with it ' || killed + 1 || ' times in a row'
            WHEN alone THEN 'its worker stopped answering, with nothing else to do'
            ELSE 'its worker stopped answering'
        END
    FROM judged
),
again AS (
    INSERT INTO queue.ready (queue, priority, job, attempt, max_attempts, key, tenant)
    SELECT
        -- It keeps its place among the jobs with its key.
        queue, priority - CASE WHEN key IS NULL THEN 0 ELSE 1000 END, job, attempt + 1, max_attempts,
        coalesce(key, ''), tenant
    FROM judged WHERE cause IS NULL
    RETURNING queue
),
buried AS (
    INSERT INTO queue.dead_letters (job, ended_at, kind, queue, outcome, cause, fingerprint)
    SELECT job, coalesce($1, clock_timestamp()), kind, queue, 'dead', cause, 'its worker stopped answering'
    FROM judged WHERE cause IS NOT NULL
    ON CONFLICT (job) DO NOTHING
),
stopped AS (
    DELETE FROM queue.cancellations c USING judged l WHERE c.job = l.job AND l.cause IS NOT NULL
),
freed AS (
    DELETE FROM queue.unique_keys k
    USING judged l
    WHERE k.job = l.job AND k.until IS NULL AND l.cause IS NOT NULL
),
unsettled AS (
    INSERT INTO queue.unsettled (nodes)
    SELECT array_agg(job) FROM judged WHERE cause IS NOT NULL AND workflow IS NOT NULL HAVING count(*) > 0
),
passed AS (
    SELECT queue.pass_on(array_agg(queue), array_agg(key)) FROM judged
    WHERE cause IS NOT NULL AND key IS NOT NULL HAVING count(*) > 0
),
told AS (
    SELECT queue.wake(queue) FROM (SELECT DISTINCT queue FROM again) q
)
SELECT
    (SELECT count(*) FROM judged) AS "lost!",
    (SELECT count(*) FROM judged WHERE cause = 'poison') AS "poison!",
    (SELECT count(*) FROM passed) AS "passed!",
    (SELECT count(*) FROM told) AS "queues!"
