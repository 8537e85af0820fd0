-- queue.claim
-- Takes up to `free` jobs of each queue, in order, under one new lease.
WITH wanted AS (
    SELECT * FROM unnest($2::text[], $3::integer[]) AS w(queue, free)
    WHERE NOT EXISTS (SELECT FROM queue.queues q WHERE q.name = w.queue AND q.paused)
),
picked AS MATERIALIZED (
    SELECT r.row_id
    FROM wanted w
    CROSS JOIN LATERAL (
        SELECT ctid AS row_id
        FROM queue.ready
        WHERE queue = w.queue
        ORDER BY priority, seq
        LIMIT w.free
        FOR UPDATE SKIP LOCKED
    ) r
),
taken AS (
    DELETE FROM queue.ready
    WHERE ctid = ANY (ARRAY(SELECT row_id FROM picked))
    RETURNING job, attempt, max_attempts, priority, seq
),
lease AS (
    INSERT INTO queue.leases (worker, jobs, attempts, max_attempts, leased_at, expires_at)
    SELECT
        $4, array_agg(job), array_agg(attempt), array_agg(max_attempts),
        coalesce($1, now()), coalesce($1, now()) + make_interval(secs => $5)
    FROM taken
    HAVING count(*) > 0
    RETURNING token
)
SELECT
    l.token AS "token!",
    t.attempt AS "attempt!",
    t.max_attempts AS "max_attempts!",
    j.id AS "id!",
    j.kind AS "kind!",
    j.queue AS "queue!",
    j.priority AS "priority!",
    j.args AS "args!: Json<Box<RawValue>>",
    j.owner,
    j.trace,
    j.unique_key IS NOT NULL AS "keyed!",
    EXISTS (SELECT FROM queue.cancellations c WHERE c.job = j.id) AS "cancelled!"
FROM lease l
CROSS JOIN taken t
JOIN queue.jobs j ON j.id = t.job
ORDER BY t.priority, t.seq
