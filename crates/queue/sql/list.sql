-- queue.list
-- The newest jobs that fit, with where each stands. One pass over each short list instead of a look-up per job.
WITH ready AS MATERIALIZED (
    SELECT job, attempt FROM queue.ready WHERE $2::text IS NULL OR queue = $2
),
waiting AS MATERIALIZED (
    SELECT job, attempt FROM queue.waiting WHERE $2::text IS NULL OR queue = $2
    UNION ALL
    SELECT job, attempt FROM queue.blocked WHERE $2::text IS NULL OR queue = $2
),
running AS MATERIALIZED (
    SELECT u.job, u.attempt
    FROM queue.leases l
    CROSS JOIN LATERAL unnest(l.jobs, l.attempts) AS u(job, attempt)
    WHERE NOT EXISTS (
        SELECT FROM queue.runs r WHERE r.job = u.job AND r.token = l.token
    )
),
standing AS (
    SELECT
        j.id, j.kind, j.queue, j.created_at,
        coalesce(s.attempt, l.attempt, w.attempt, r.attempt, last.attempt, 1::smallint) AS attempt,
        last.error,
        CASE
            WHEN s.job IS NOT NULL THEN 'scheduled'
            WHEN l.job IS NOT NULL THEN 'running'
            WHEN w.job IS NOT NULL THEN 'waiting'
            WHEN r.job IS NOT NULL THEN 'ready'
            WHEN last.outcome IN ('done', 'discarded', 'dead', 'cancelled') THEN last.outcome
            ELSE 'pruned'
        END AS state
    FROM queue.jobs j
    LEFT JOIN queue.scheduled s ON s.job = j.id
    LEFT JOIN running l ON l.job = j.id
    LEFT JOIN waiting w ON w.job = j.id
    LEFT JOIN ready r ON r.job = j.id
    LEFT JOIN LATERAL (
        SELECT runs.attempt, runs.outcome, CASE WHEN runs.worker IS NOT NULL THEN runs.note END AS error
        FROM queue.runs WHERE runs.job = j.id ORDER BY runs.token DESC LIMIT 1
    ) last ON true
    WHERE ($2::text IS NULL OR j.queue = $2) AND ($3::text IS NULL OR j.kind = $3)
)
SELECT
    id AS "id!", kind AS "kind!", queue AS "queue!", created_at AS "created_at!",
    attempt AS "attempt!", error, state AS "state!"
FROM standing
WHERE $1::text IS NULL OR state = $1
ORDER BY id DESC
LIMIT $4
