-- queue.retry
-- Makes an ended job ready again, with its kind's number of attempts on top of those it had.
WITH job AS (
    SELECT id, queue, priority, max_attempts FROM queue.jobs WHERE id = $1
),
decided AS (
    INSERT INTO queue.runs (job, token, leased_at, attempt, outcome, started_at, ended_at, worker)
    SELECT id, nextval(pg_get_serial_sequence('queue.leases', 'token')), now(), $3, 'retried', now(), now(), $2
    FROM job
),
forgotten AS (
    -- A request to stop that came too late for the earlier attempts.
    DELETE FROM queue.cancellations WHERE job = $1
),
ready AS (
    INSERT INTO queue.ready (queue, priority, job, attempt, max_attempts)
    SELECT queue, priority, id, $3 + 1, $3 + max_attempts FROM job
    RETURNING queue
)
SELECT pg_notify('queue_ready', queue) FROM ready
