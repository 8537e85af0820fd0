-- queue.delete_runs_of_queues
-- Takes runs out of a day that is kept for other queues: each queue has a horizon of its own.
WITH old AS MATERIALIZED (
    SELECT r.job, r.token
    FROM queue.runs r
    JOIN queue.jobs j ON j.id = r.job
    LEFT JOIN queue.queues q ON q.name = j.queue
    WHERE r.job >= queue.first_id_at($1) AND r.job < queue.first_id_at($2)
        AND j.id >= queue.first_id_at($1) AND j.id < queue.first_id_at($2)
        AND r.ended_at < coalesce($3::timestamptz - make_interval(days => q.keep_days), $4)
    LIMIT $5
)
DELETE FROM queue.runs r
USING old
WHERE r.job = old.job AND r.token = old.token
    AND r.job >= queue.first_id_at($1) AND r.job < queue.first_id_at($2)
