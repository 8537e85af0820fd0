-- queue.dead
-- Dead jobs that fit, together where kind, cause and error are the same; the largest groups first.
SELECT
    g.kind AS "kind!", g.cause AS "cause!", g.fingerprint AS "fingerprint!", g.jobs AS "jobs!",
    g.first_at AS "first_at!", g.last_at AS "last_at!", g.example AS "example!", r.note AS error
FROM (
    SELECT
        kind, cause, fingerprint, count(*) AS jobs, min(ended_at) AS first_at, max(ended_at) AS last_at,
        max(job::text)::uuid AS example
    FROM queue.dead_letters
    WHERE outcome = 'dead'
        AND ($1::text IS NULL OR queue = $1) AND ($2::text IS NULL OR kind = $2)
        AND ($3::text IS NULL OR cause = $3) AND ($4::text IS NULL OR fingerprint = $4)
        AND ($5::timestamptz IS NULL OR ended_at >= $5) AND ($6::timestamptz IS NULL OR ended_at < $6)
    GROUP BY kind, cause, fingerprint
) g
LEFT JOIN LATERAL (
    SELECT runs.note FROM queue.runs WHERE runs.job = g.example ORDER BY runs.token DESC LIMIT 1
) r ON true
ORDER BY g.jobs DESC, g.kind, g.cause, g.fingerprint
LIMIT $7
