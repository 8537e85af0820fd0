-- queue.claim
-- Takes up to `free` jobs of each queue, in order, under one new lease.
--
-- Above its marks a queue is searched in stretches ($6 to $9): each starts after a priority and a
-- seq and ends before a priority. Rows that others took lie below the marks and are not walked over.
--
-- Whoever gets the turn of a queue deletes without locking first: half the writing. Whoever does
-- not looks further up ($10) and passes over what is locked. DELETE decides who has a job, either way.
-- A sweep ($11) walks over dead rows, and does not take the turn from others meanwhile; nor does a
-- claim that goes around rows under an open transaction. Whoever has the turn waits for such a
-- transaction, but not for long.
--
-- A claim that takes something has a transaction number, and any other gets one where the marks need
-- it ($12): whatever had a seq before has a lower one. The snapshot does not tell: transactions under
-- way may have numbers from its xmax on.
WITH wanted AS MATERIALIZED (
    SELECT queue, free, NOT $11 AND pg_try_advisory_xact_lock(1111834949, hashtext(queue)) AS alone
    FROM unnest($2::text[], $3::integer[]) AS w(queue, free)
    WHERE NOT EXISTS (SELECT FROM queue.queues q WHERE q.name = w.queue AND (q.paused OR q.ruled))
        AND set_config('lock_timeout', '1s', true) IS NOT NULL
),
stretches AS MATERIALIZED (
    SELECT * FROM unnest($6::text[], $7::smallint[], $8::bigint[], $9::smallint[])
        AS s(queue, priority, seq, before_priority)
),
picked AS MATERIALIZED (
    SELECT w.queue, r.row_id
    FROM wanted w
    CROSS JOIN LATERAL (
        SELECT found.row_id
        FROM stretches s
        CROSS JOIN LATERAL (
            SELECT * FROM (
                SELECT ctid AS row_id
                FROM queue.ready
                WHERE w.alone AND queue = w.queue
                    AND (priority, seq) > (s.priority, s.seq) AND priority < s.before_priority
                ORDER BY priority, seq
                LIMIT w.free
            ) in_turn
            UNION ALL
            SELECT * FROM (
                SELECT ctid AS row_id
                FROM queue.ready
                WHERE NOT w.alone AND queue = w.queue
                    AND (priority, seq) > (s.priority, s.seq + $10) AND priority < s.before_priority
                ORDER BY priority, seq
                LIMIT w.free
                FOR UPDATE SKIP LOCKED
            ) out_of_turn
        ) found
        WHERE s.queue = w.queue
        LIMIT w.free
    ) r
),
taken AS (
    DELETE FROM queue.ready
    WHERE ctid = ANY (ARRAY(SELECT row_id FROM picked))
    RETURNING job, attempt, max_attempts, priority, seq, queue
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
-- The first row is about the claim, and each of the others about a job.
SELECT
    pg_snapshot_xmin(s.snapshot)::text::bigint AS "xmin?",
    CASE
        WHEN $12 OR EXISTS (SELECT FROM lease) THEN pg_current_xact_id()::text::bigint
    END AS "number?",
    ARRAY(SELECT queue FROM wanted WHERE alone) AS "in_turn?",
    ARRAY(SELECT queue FROM wanted WHERE NOT alone) AS "out_of_turn?",
    -- What was picked may have been taken by others: that less was taken than wanted says nothing.
    ARRAY(
        SELECT queue FROM wanted w
        WHERE alone AND free > (SELECT count(*) FROM picked p WHERE p.queue = w.queue)
    ) AS "exhausted?",
    -- These are claimed apart, with queue.take.
    ARRAY(SELECT name FROM queue.queues WHERE ruled AND name = ANY ($2)) AS "ruled?",
    coalesce(pg_sequence_last_value('queue.ready_seq_seq'), 0) AS "last_seq?",
    (SELECT token FROM lease) AS "token?",
    NULL::bigint AS "seq?", NULL::smallint AS "priority?", NULL::smallint AS "attempt?",
    NULL::smallint AS "max_attempts?", NULL::text AS "queue?", NULL::uuid AS "id?", NULL::text AS "kind?",
    NULL::jsonb AS "args?: Json<Box<RawValue>>", NULL::uuid AS "owner?", NULL::text AS "trace?",
    NULL::uuid AS "workflow?", NULL::boolean AS "keyed?", NULL::boolean AS "cancelled?"
FROM (SELECT pg_current_snapshot() AS snapshot) s
UNION ALL (
    SELECT
        NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL,
        t.seq, t.priority, t.attempt, t.max_attempts, t.queue, j.id, j.kind, j.args, j.owner, j.trace,
        j.workflow, j.unique_key IS NOT NULL, EXISTS (SELECT FROM queue.cancellations c WHERE c.job = t.job)
    FROM taken t
    JOIN queue.jobs j ON j.id = t.job
    ORDER BY t.priority, t.seq
)
