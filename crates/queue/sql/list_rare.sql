-- queue.list_rare
-- The newest jobs in a state that few are in: found in the short lists, and not by walking all jobs.
WITH candidates AS (
    SELECT job FROM queue.scheduled WHERE $1 = 'scheduled'
    UNION
    SELECT job FROM queue.waiting WHERE $1 = 'waiting'
    UNION
    SELECT job FROM queue.blocked WHERE $1 = 'waiting'
    UNION
    SELECT job FROM queue.ready WHERE $1 = 'ready'
    UNION
    SELECT u.job FROM queue.leases l CROSS JOIN LATERAL unnest(l.jobs) AS u(job) WHERE $1 = 'running'
    UNION
    SELECT job FROM queue.dead_letters WHERE outcome = $1
),
standing AS (
    SELECT
        j.id, j.kind, j.queue, j.created_at,
        coalesce(s.attempt, l.attempt, w.attempt, b.attempt, r.attempt, last.attempt, 1::smallint) AS attempt,
        last.error,
        CASE
            WHEN s.job IS NOT NULL THEN 'scheduled'
            WHEN l.job IS NOT NULL THEN 'running'
            WHEN last.outcome IN ('done', 'discarded', 'dead', 'cancelled') THEN last.outcome
            WHEN w.job IS NOT NULL OR b.job IS NOT NULL THEN 'waiting'
            ELSE 'ready'
        END AS state
    FROM candidates c
    JOIN queue.jobs j ON j.id = c.job
    LEFT JOIN queue.scheduled s ON s.job = j.id
    LEFT JOIN queue.waiting w ON w.job = j.id AND $1 = 'waiting'
    LEFT JOIN queue.blocked b ON b.job = j.id AND $1 = 'waiting'
    LEFT JOIN queue.ready r ON r.job = j.id AND $1 = 'ready'
    LEFT JOIN LATERAL (
        SELECT u.job, u.attempt
        FROM queue.leases x
        CROSS JOIN LATERAL unnest(x.jobs, x.attempts) AS u(job, attempt)
        WHERE j.id = ANY (x.jobs) AND u.job = j.id AND NOT EXISTS (
            SELECT FROM queue.runs WHERE runs.job = j.id AND runs.token = x.token
        )
        LIMIT 1
    ) l ON true
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
WHERE state = $1
ORDER BY id DESC
LIMIT $4
