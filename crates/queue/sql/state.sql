-- queue.state
-- One job and where it stands. It is looked for where looking is cheap; queue.ready comes last,
-- because a list of what may start has no index by job.
SELECT
    j.id AS "id!", j.kind AS "kind!", j.queue AS "queue!", j.args AS "args!", j.priority AS "priority!",
    j.created_at AS "created_at!", j.owner, j.trace, j.key, j.tenant, coalesce(j.weight, 1::smallint) AS "weight!",
    s.run_at AS "run_at?",
    coalesce(s.max_attempts, w.max_attempts, b.max_attempts, r.max_attempts, j.max_attempts) AS "max_attempts!",
    coalesce(s.attempt, l.attempt, w.attempt, b.attempt, r.attempt, last.attempt, 1::smallint) AS "attempt!",
    CASE
        WHEN s.job IS NOT NULL THEN 'scheduled'
        WHEN l.attempt IS NOT NULL THEN 'running'
        WHEN last.outcome IN ('done', 'discarded', 'dead', 'cancelled') THEN last.outcome
        WHEN w.job IS NOT NULL OR b.job IS NOT NULL THEN 'waiting'
        WHEN r.attempt IS NOT NULL THEN 'ready'
        ELSE 'pruned'
    END AS "state!",
    (SELECT output FROM queue.outputs WHERE job = j.id) AS output,
    (
        SELECT jsonb_build_object('percent', percent, 'note', note, 'attempt', p.attempt, 'said_at', said_at)
        FROM queue.progress p WHERE p.job = j.id
    ) AS "progress: Json<ProgressView>",
    coalesce(history.runs, '[]') AS "runs!: Json<Vec<RunView>>"
FROM queue.jobs j
LEFT JOIN queue.scheduled s ON s.job = j.id
LEFT JOIN queue.waiting w ON w.queue = j.queue AND w.key = j.key AND w.job = j.id
LEFT JOIN queue.blocked b ON b.job = j.id
LEFT JOIN LATERAL (
    SELECT runs.attempt, runs.outcome FROM queue.runs WHERE runs.job = j.id ORDER BY runs.token DESC LIMIT 1
) last ON true
LEFT JOIN LATERAL (
    SELECT u.attempt
    FROM queue.leases
    CROSS JOIN LATERAL unnest(leases.jobs, leases.attempts) AS u(job, attempt)
    WHERE j.id = ANY (leases.jobs) AND u.job = j.id AND NOT EXISTS (
        SELECT FROM queue.runs
        WHERE runs.job = j.id AND runs.token = leases.token
    )
    LIMIT 1
) l ON s.job IS NULL
LEFT JOIN LATERAL (
    SELECT ready.attempt, ready.max_attempts FROM queue.ready
    WHERE ready.queue = j.queue AND ready.priority IN (j.priority, j.priority - 1000) AND ready.job = j.id
        AND s.job IS NULL AND w.job IS NULL AND b.job IS NULL AND l.attempt IS NULL
        AND (last.outcome IS NULL OR last.outcome NOT IN ('done', 'discarded', 'dead', 'cancelled'))
    LIMIT 1
) r ON true
LEFT JOIN LATERAL (
    SELECT jsonb_agg(
        jsonb_build_object(
            'attempt', newest.attempt, 'outcome', newest.outcome,
            'started_at', newest.started_at, 'ended_at', newest.ended_at,
            'worker', coalesce(w.name, newest.note), 'error', CASE WHEN newest.worker IS NOT NULL THEN newest.note END
        ) ORDER BY newest.token
    ) AS runs
    FROM (SELECT * FROM queue.runs WHERE runs.job = j.id ORDER BY runs.token DESC LIMIT $2) newest
    LEFT JOIN queue.workers w ON w.id = newest.worker
) history ON true
WHERE j.id = $1
