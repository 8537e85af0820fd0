-- queue.workflow_nodes
-- The nodes of a workflow, the first that were pushed, and where each stands.
WITH nodes AS MATERIALIZED (
    SELECT * FROM queue.nodes n WHERE n.workflow = $1 ORDER BY n.job LIMIT $2
),
running AS MATERIALIZED (
    SELECT u.job
    FROM queue.leases l
    CROSS JOIN LATERAL unnest(l.jobs) AS u(job)
    WHERE u.job IN (SELECT job FROM nodes)
        AND NOT EXISTS (SELECT FROM queue.runs r WHERE r.job = u.job AND r.token = l.token)
),
ready AS MATERIALIZED (
    -- From the list, because it has no index by job.
    SELECT r.job FROM queue.ready r
    WHERE r.queue IN (SELECT DISTINCT j.queue FROM nodes n JOIN queue.jobs j ON j.id = n.job)
        AND r.job IN (SELECT job FROM nodes)
)
SELECT
    n.name AS "name!", n.job AS "id!", n.sort AS "sort!", n.due_at, j.kind AS "kind?", last.note AS "note?",
    CASE
        WHEN n.sort <> 'job' THEN coalesce(n.outcome, 'waiting')
        WHEN s.job IS NOT NULL THEN 'scheduled'
        WHEN l.job IS NOT NULL THEN 'running'
        WHEN last.outcome IN ('done', 'discarded', 'dead', 'cancelled') THEN last.outcome
        WHEN w.job IS NOT NULL OR b.job IS NOT NULL THEN 'waiting'
        WHEN r.job IS NOT NULL THEN 'ready'
        ELSE 'pruned'
    END AS "state!",
    coalesce(edges.names, '{}') AS "needs!", coalesce(edges.afters, '{}') AS "afters!",
    (SELECT e.name FROM queue.nodes e WHERE e.job = n.extends) AS extends
FROM nodes n
LEFT JOIN queue.jobs j ON j.id = n.job
LEFT JOIN queue.scheduled s ON s.job = n.job
LEFT JOIN queue.waiting w ON w.queue = j.queue AND w.key = j.key AND w.job = n.job
LEFT JOIN queue.blocked b ON b.job = n.job
LEFT JOIN running l ON l.job = n.job
LEFT JOIN ready r ON r.job = n.job
LEFT JOIN LATERAL (
    SELECT runs.outcome, runs.note FROM queue.runs WHERE runs.job = n.job ORDER BY runs.token DESC LIMIT 1
) last ON true
LEFT JOIN LATERAL (
    SELECT array_agg(o.name ORDER BY u.nth) AS names, array_agg(u.after ORDER BY u.nth) AS afters
    FROM unnest(n.needs, n.afters) WITH ORDINALITY AS u(needs, after, nth)
    JOIN queue.nodes o ON o.job = u.needs
    WHERE u.nth <= $3
) edges ON true
ORDER BY n.job
