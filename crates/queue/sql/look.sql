-- queue.look
-- What there is to do besides running jobs. Read only: an idle fleet writes nothing.
SELECT
    EXISTS (SELECT FROM queue.leases WHERE expires_at < coalesce($1, now())) AS "expired!",
    (
        SELECT extract(epoch FROM run_at - coalesce($1, now()))::float8
        FROM queue.scheduled ORDER BY run_at LIMIT 1
    ) AS due_in_seconds,
    (
        SELECT extract(epoch FROM due_at - coalesce($1, now()))::float8
        FROM queue.nodes WHERE due_at IS NOT NULL AND outcome IS NULL ORDER BY due_at LIMIT 1
    ) AS rings_in_seconds,
    EXISTS (
        SELECT FROM queue.unsettled
        WHERE id > (SELECT queue.unsettled_from())
    ) AS "unsettled!"
