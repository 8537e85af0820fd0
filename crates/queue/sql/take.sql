-- queue.take
-- A claim of one queue that has rules; see the function. The first row is about the claim, and each of the
-- others about a job.
WITH took AS MATERIALIZED (
    SELECT * FROM queue.take($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)
)
SELECT
    turn AS "turn?", exhausted AS "exhausted?", is_fair AS "is_fair?",
    wait_seconds AS "wait_seconds?", xmin AS "xmin?",
    -- What later looks found may be younger than the number.
    CASE WHEN ($11 OR token IS NOT NULL) AND NOT many_looks THEN pg_current_xact_id()::text::bigint END AS "number?",
    coalesce(pg_sequence_last_value('queue.ready_seq_seq'), 0) AS "last_seq?",
    passed_priorities AS "passed_priorities?", passed_seqs AS "passed_seqs?",
    token AS "token?", cardinality(jobs) AS "leased?",
    NULL::bigint AS "seq?", NULL::smallint AS "priority?", NULL::smallint AS "attempt?",
    NULL::smallint AS "max_attempts?", NULL::text AS "key?", NULL::text AS "tenant?", NULL::uuid AS "id?",
    NULL::text AS "kind?", NULL::jsonb AS "args?: Json<Box<RawValue>>", NULL::uuid AS "owner?",
    NULL::text AS "trace?", NULL::uuid AS "workflow?", NULL::boolean AS "keyed?", NULL::boolean AS "cancelled?"
FROM took
UNION ALL (
    SELECT
        NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL,
        t.seq, t.priority, t.attempt, t.max_attempts, j.key, t.tenant, j.id,
        j.kind, j.args, j.owner,
        j.trace, j.workflow, j.unique_key IS NOT NULL, EXISTS (SELECT FROM queue.cancellations c WHERE c.job = t.job)
    FROM took
    CROSS JOIN LATERAL queue.jobs_taken(took.jobs) j
    JOIN LATERAL unnest(took.jobs, took.attempts, took.max_attempts, took.priorities, took.seqs, took.tenants)
        WITH ORDINALITY AS t(job, attempt, max_attempts, priority, seq, tenant, nth) ON t.job = j.id
    ORDER BY t.nth
)
