-- Many dead jobs at once: tried again by a filter, oldest first, and spread over time if wanted.
-- Owner: crates/queue. Locks: none, everything is new. Undo: DROP FUNCTION queue.redrive.

CREATE FUNCTION queue.redrive(
    queue text DEFAULT NULL, kind text DEFAULT NULL, cause text DEFAULT NULL, fingerprint text DEFAULT NULL,
    ended_from timestamptz DEFAULT NULL, ended_until timestamptz DEFAULT NULL,
    max_jobs integer DEFAULT 500, per_second float8 DEFAULT NULL, delay interval DEFAULT '0',
    after uuid DEFAULT NULL, decided_by text DEFAULT session_user,
    OUT retried bigint, OUT key_taken bigint, OUT last_job uuid
)
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
#variable_conflict use_column
DECLARE
    chosen uuid[];
    barred uuid[] := '{}';
    wanted record;
    held   queue.unique_keys;
    queues text[];
BEGIN
    -- An unknown number would make a job vanish between two lists.
    IF per_second NOT BETWEEN 0.001 AND 1000000
        OR max_jobs IS NULL OR max_jobs NOT BETWEEN 1 AND 10000
        OR delay IS NULL OR delay NOT BETWEEN '0' AND '3653 days'
    THEN
        RAISE EXCEPTION 'per_second is 0.001 to 1000000, max_jobs 1 to 10000 and delay 0 to 3653 days'
            USING ERRCODE = 'invalid_parameter_value';
    END IF;
    -- The lock that queue.retry takes: what is locked, somebody else is trying again.
    SELECT array_agg(c.job ORDER BY c.job) INTO chosen
    FROM (
        SELECT d.job
        FROM queue.dead_letters d
        JOIN queue.jobs j ON j.id = d.job
        WHERE d.outcome = 'dead' AND (redrive.after IS NULL OR d.job > redrive.after)
            AND (redrive.queue IS NULL OR d.queue = redrive.queue)
            AND (redrive.kind IS NULL OR d.kind = redrive.kind)
            AND (redrive.cause IS NULL OR d.cause = redrive.cause)
            AND (redrive.fingerprint IS NULL OR d.fingerprint = redrive.fingerprint)
            AND (redrive.ended_from IS NULL OR d.ended_at >= redrive.ended_from)
            AND (redrive.ended_until IS NULL OR d.ended_at < redrive.ended_until)
        ORDER BY d.job
        LIMIT redrive.max_jobs
        FOR UPDATE OF j SKIP LOCKED
    ) c;
    -- In the order of queue.store, so that nobody waits in a circle. A letter that is gone by now was
    -- retried before the lock was had, and its job must not get a key.
    FOR wanted IN
        SELECT j.id, j.kind, j.unique_key
        FROM queue.jobs j
        JOIN queue.dead_letters d ON d.job = j.id
        WHERE j.id = ANY (chosen) AND j.unique_key IS NOT NULL
        ORDER BY j.kind COLLATE "C", j.unique_key COLLATE "C", j.id
    LOOP
        held := queue.hold_key(wanted.kind, wanted.unique_key, wanted.id, NULL);
        IF held.job <> wanted.id THEN
            barred := barred || wanted.id;
        END IF;
    END LOOP;

    WITH letters AS (
        DELETE FROM queue.dead_letters d WHERE d.job = ANY (chosen) AND d.job <> ALL (barred) RETURNING d.job
    ),
    again AS (
        SELECT
            j.id, j.queue, j.priority, j.max_attempts, coalesce(j.key, '') AS key, queue.lane_of(j) AS tenant, coalesce(last.attempt, 0::smallint) AS tried,
            redrive.delay + make_interval(
                secs => coalesce((row_number() OVER (ORDER BY j.id) - 1) / redrive.per_second, 0)
            ) AS wait
        FROM letters l
        JOIN queue.jobs j ON j.id = l.job
        -- Its runs may have been dropped before it.
        LEFT JOIN LATERAL (
            SELECT r.attempt FROM queue.runs r WHERE r.job = j.id ORDER BY r.token DESC LIMIT 1
        ) last ON true
    ),
    recorded AS (
        INSERT INTO queue.runs (job, token, started_at, ended_at, attempt, outcome, note)
        SELECT id, nextval('queue.leases_token_seq'), now(), now(), tried, 'retried', redrive.decided_by FROM again
    ),
    -- Requests to stop that came too late for the earlier attempts.
    heeded AS (
        DELETE FROM queue.cancellations c USING again a WHERE c.job = a.id
    ),
    later AS (
        INSERT INTO queue.scheduled (job, run_at, queue, priority, attempt, max_attempts, key, tenant)
        SELECT id, now() + wait, queue, priority, tried + 1, tried + max_attempts, key, tenant FROM again WHERE wait > interval '0'
    ),
    at_once AS (
        INSERT INTO queue.ready (queue, priority, job, attempt, max_attempts, key, tenant)
        SELECT queue, priority, id, tried + 1, tried + max_attempts, key, tenant FROM again WHERE wait <= interval '0' ORDER BY id
        RETURNING queue
    )
    SELECT (SELECT count(*) FROM again), (SELECT array_agg(DISTINCT queue) FROM at_once) INTO retried, queues;
    PERFORM queue.wake(q.name) FROM unnest(queues) AS q(name);
    key_taken := cardinality(barred);
    last_job := chosen[cardinality(chosen)];
END $$;
COMMENT ON FUNCTION queue.redrive IS 'Tries dead jobs again as queue.retry does, those that fit and lie after a job, oldest first: at most max_jobs. With per_second they start one after the other, the first after delay. Answers how many, how many were left because another job holds their key, and the last that was looked at; null when none is left.';

REVOKE ALL ON FUNCTION queue.redrive FROM PUBLIC;
