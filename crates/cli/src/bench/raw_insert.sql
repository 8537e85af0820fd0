-- bench.raw_insert
-- The rows that a push leaves behind, with nothing else that a push does.
WITH pushed AS (
    SELECT * FROM unnest($1::uuid[], $2::jsonb[]) WITH ORDINALITY AS p(id, args, position)
),
stored AS (
    INSERT INTO queue.jobs (id, kind, queue, args, priority, max_attempts)
    SELECT id, 'bench.do_nothing', 'bench', args, 0, 10 FROM pushed
)
INSERT INTO queue.ready (queue, priority, job, attempt, max_attempts)
SELECT 'bench', 0, id, 1, 10 FROM pushed ORDER BY position
