-- The queue for those who speak SQL: push, cancel, retry, pause, look; in the caller's transaction.
-- Owner: crates/queue. Locks: none, everything is new.
-- Undo: DROP the functions and views below; DROP SCHEMA util CASCADE.

-- Keys -------------------------------------------------------------------------------------------

CREATE FUNCTION queue.key_of(args jsonb) RETURNS text
LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE SET search_path = pg_catalog, pg_temp
RETURN 'args:' || encode(sha256(convert_to(args::text, 'UTF8')), 'hex');
COMMENT ON FUNCTION queue.key_of IS 'The key of a job that is unique by its arguments. The order of their fields does not matter.';

-- Each statement has a snapshot of its own, so what the insert collided with is seen by the select.
-- The insert waits for whoever holds the key in an open transaction, and leaves no lock behind.
CREATE FUNCTION queue.hold_key(a_kind text, a_key text, a_job uuid, hold_until timestamptz)
RETURNS queue.unique_keys
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    held queue.unique_keys;
BEGIN
    FOR round IN 1..100 LOOP
        INSERT INTO queue.unique_keys (kind, key, job, until)
        VALUES (a_kind, a_key, a_job, hold_until)
        ON CONFLICT (kind, key) DO NOTHING
        RETURNING * INTO held;
        IF FOUND THEN
            RETURN held;
        END IF;
        SELECT * INTO held FROM queue.unique_keys
        WHERE kind = a_kind AND key = a_key AND (until IS NULL OR until > now());
        IF FOUND THEN
            RETURN held;
        END IF;
        DELETE FROM queue.unique_keys WHERE kind = a_kind AND key = a_key AND until <= now();
    END LOOP;
    RAISE EXCEPTION 'the key % of % changes hands too often', a_key, a_kind
        USING ERRCODE = 'serialization_failure';
END $$;
COMMENT ON FUNCTION queue.hold_key IS 'Takes a key for a job, or answers who holds it.';

-- Pushing ----------------------------------------------------------------------------------------

CREATE FUNCTION queue.new_id() RETURNS uuid
LANGUAGE sql VOLATILE PARALLEL SAFE SET search_path = pg_catalog, pg_temp
-- A random UUID of version 4 with the time in front; bits 52 and 53 turn its 4 into a 7.
RETURN encode(set_bit(set_bit(overlay(
    uuid_send(gen_random_uuid())
    PLACING substring(int8send(floor(extract(epoch FROM clock_timestamp()) * 1000)::bigint) FROM 3)
    FROM 1 FOR 6
), 52, 1), 53, 1), 'hex')::uuid;
COMMENT ON FUNCTION queue.new_id IS 'A UUIDv7, on every version of Postgres.';

-- The same inserts as in crates/queue/sql/push.sql, which stays free of everything that few jobs need.
CREATE FUNCTION queue.store(
    ids uuid[], kinds text[], queues text[], args jsonb[], priorities smallint[], max_attempts smallint[],
    run_ats timestamptz[], delays float8[], owners uuid[], traces text[], unique_keys text[], untils timestamptz[],
    keys text[], tenants text[], weights smallint[]
) RETURNS TABLE (job uuid, until timestamptz)
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
#variable_conflict use_column
DECLARE
    holders     uuid[] := ids;
    held_untils timestamptz[] := untils;
    wanted      record;
    held        queue.unique_keys;
BEGIN
    -- In one order everywhere, so that two batches with the same keys do not wait for each other;
    -- of equal keys in one batch the first wins.
    FOR wanted IN
        SELECT id, kind, key, until, position
        FROM unnest(ids, kinds, unique_keys, untils) WITH ORDINALITY AS w(id, kind, key, until, position)
        WHERE key IS NOT NULL
        ORDER BY kind COLLATE "C", key COLLATE "C", position
    LOOP
        held := queue.hold_key(wanted.kind, wanted.key, wanted.id, wanted.until);
        holders[wanted.position] := held.job;
        held_untils[wanted.position] := held.until;
    END LOOP;

    PERFORM queue.mark_queues(queues, keys, weights);

    WITH given AS MATERIALIZED (
        SELECT p.*, coalesce(p.run_at, now() + make_interval(secs => p.delay_seconds)) AS wanted_at
        FROM unnest(
            ids, kinds, queues, store.args, priorities, store.max_attempts, run_ats, delays, owners,
            traces, unique_keys, untils, holders, keys, tenants, weights
        ) WITH ORDINALITY AS p(
            id, kind, queue, args, priority, max_attempts, run_at, delay_seconds, owner,
            trace, unique_key, until, holder, key, tenant, weight, position
        )
        WHERE holder = id
    ),
    rules AS MATERIALIZED (
        SELECT q.name, q.fair, queue.admit(q, g.jobs) AS put_off
        FROM (
            SELECT queue, count(*) FILTER (WHERE wanted_at IS NULL OR wanted_at <= now()) AS jobs
            FROM given GROUP BY queue
        ) g
        JOIN queue.queues q ON q.name = g.queue AND (q.fair OR q.max_backlog IS NOT NULL)
    ),
    pushed AS (
        SELECT
            g.*, CASE WHEN g.wanted_at > now() THEN g.wanted_at ELSE now() + r.put_off END AS starts_at,
            CASE WHEN r.fair THEN coalesce(g.tenant, g.owner::text, '-') ELSE '' END AS lane
        FROM given g
        LEFT JOIN rules r ON r.name = g.queue
    ),
    stored AS (
        INSERT INTO queue.jobs
            (id, kind, queue, args, priority, max_attempts, owner, trace, unique_key, key, tenant, weight)
        SELECT
            id, kind, queue, args, priority, max_attempts, owner, trace, CASE WHEN until IS NULL THEN unique_key END,
            key, tenant, weight
        FROM pushed
    ),
    later AS (
        INSERT INTO queue.scheduled (job, run_at, queue, priority, attempt, max_attempts, key, tenant)
        SELECT id, starts_at, queue, priority, 1, max_attempts, coalesce(key, ''), lane
        FROM pushed WHERE starts_at > now()
    ),
    at_once AS (
        INSERT INTO queue.ready (queue, priority, job, attempt, max_attempts, key, tenant)
        SELECT queue, priority, id, 1, max_attempts, coalesce(key, ''), lane FROM pushed
        WHERE (starts_at IS NULL OR starts_at <= now()) AND pg_current_xact_id() IS NOT NULL
        ORDER BY position
        RETURNING queue
    )
    -- PERFORM cannot begin with WITH; nobody reads what it answers.
    SELECT array_agg(queue.wake(queue)::text) INTO wanted
    FROM (SELECT DISTINCT queue FROM at_once) q;
    RETURN QUERY SELECT h.holder, h.until FROM unnest(holders, held_untils) AS h(holder, until);
END $$;
COMMENT ON FUNCTION queue.store IS 'Stores jobs whose unique keys are free; answers in order the job that each push stands for, and until when its key is held.';

CREATE FUNCTION queue.push_many(jobs jsonb) RETURNS SETOF uuid
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    wrong text;
BEGIN
    IF jsonb_typeof(jobs) IS DISTINCT FROM 'array' OR jsonb_path_exists(jobs, 'strict $[*] ? (@.type() != "object")') THEN
        RAISE EXCEPTION 'jobs are a JSON array of objects' USING ERRCODE = 'invalid_parameter_value';
    END IF;
    SELECT min(name) INTO wrong
    FROM jsonb_array_elements(jobs) AS j(job), jsonb_object_keys(job) AS name
    WHERE name NOT IN ('kind', 'args', 'queue', 'priority', 'run_at', 'delay', 'max_attempts', 'owner',
        'unique_key', 'unique_until', 'trace', 'key', 'tenant', 'weight');
    IF wrong IS NOT NULL THEN
        RAISE EXCEPTION 'a job has no option %', wrong USING ERRCODE = 'invalid_parameter_value';
    END IF;
    SELECT min(coalesce(job ->> 'kind', '(none)')) INTO wrong
    FROM jsonb_array_elements(jobs) AS j(job)
    WHERE NOT EXISTS (SELECT FROM queue.kinds k WHERE k.kind = job ->> 'kind');
    IF wrong IS NOT NULL THEN
        RAISE EXCEPTION 'unknown kind %', wrong USING ERRCODE = 'undefined_object', HINT =
            'A worker declares its kinds when it starts. Known: '
            || coalesce((SELECT string_agg(kind, ', ' ORDER BY kind) FROM queue.kinds), 'none yet');
    END IF;
    -- As much as a push from Rust takes.
    IF EXISTS (SELECT FROM jsonb_array_elements(jobs) AS j(job) WHERE octet_length(job ->> 'args') > 262144) THEN
        RAISE EXCEPTION 'arguments have more than 262144 bytes' USING ERRCODE = 'program_limit_exceeded';
    END IF;
    RETURN QUERY
    WITH given AS (
        SELECT g.*, k.queue AS kind_queue, k.max_attempts AS kind_attempts
        FROM ROWS FROM (jsonb_to_recordset(jobs) AS (
            kind text, args jsonb, queue text, priority smallint, run_at timestamptz, delay interval,
            max_attempts smallint, owner uuid, unique_key text, unique_until timestamptz, trace text,
            key text, tenant text, weight smallint
        )) WITH ORDINALITY AS g(
            kind, args, queue, priority, run_at, delay,
            max_attempts, owner, unique_key, unique_until, trace, key, tenant, weight, position
        )
        JOIN queue.kinds k ON k.kind = g.kind
    )
    SELECT s.job
    FROM (
        SELECT
            array_agg(queue.new_id() ORDER BY position) AS ids,
            array_agg(kind ORDER BY position) AS kinds,
            array_agg(coalesce(queue, kind_queue) ORDER BY position) AS queues,
            array_agg(coalesce(args, '{}') ORDER BY position) AS args,
            array_agg(coalesce(priority, 0::smallint) ORDER BY position) AS priorities,
            array_agg(coalesce(max_attempts, kind_attempts) ORDER BY position) AS max_attempts,
            array_agg(run_at ORDER BY position) AS run_ats,
            array_agg(extract(epoch FROM delay)::float8 ORDER BY position) AS delays,
            array_agg(owner ORDER BY position) AS owners,
            array_agg(trace ORDER BY position) AS traces,
            array_agg(unique_key ORDER BY position) AS unique_keys,
            array_agg(unique_until ORDER BY position) AS untils,
            array_agg(key ORDER BY position) AS keys,
            array_agg(tenant ORDER BY position) AS tenants,
            array_agg(weight ORDER BY position) AS weights
        FROM given
        HAVING count(*) > 0
    ) a
    CROSS JOIN queue.store(
        a.ids, a.kinds, a.queues, a.args, a.priorities, a.max_attempts,
        a.run_ats, a.delays, a.owners, a.traces, a.unique_keys, a.untils, a.keys, a.tenants, a.weights
    ) s;
END $$;
COMMENT ON FUNCTION queue.push_many IS 'Pushes jobs, each an object with the parameters of queue.push; answers their ids in order. All or none.';

CREATE FUNCTION queue.push(
    kind text, args jsonb DEFAULT '{}', queue text DEFAULT NULL, priority integer DEFAULT 0,
    run_at timestamptz DEFAULT NULL, delay interval DEFAULT NULL, max_attempts integer DEFAULT NULL,
    owner uuid DEFAULT NULL, unique_key text DEFAULT NULL, unique_until timestamptz DEFAULT NULL,
    trace text DEFAULT NULL, key text DEFAULT NULL, tenant text DEFAULT NULL, weight integer DEFAULT NULL
) RETURNS uuid
LANGUAGE sql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
RETURN queue.push_many(jsonb_build_array(jsonb_build_object(
    'kind', kind, 'args', args, 'queue', queue, 'priority', priority, 'run_at', run_at, 'delay', delay,
    'max_attempts', max_attempts, 'owner', owner, 'unique_key', unique_key, 'unique_until', unique_until,
    'trace', trace, 'key', key, 'tenant', tenant, 'weight', weight
)));
COMMENT ON FUNCTION queue.push IS 'Pushes a job; answers its id, or the id of the job that holds the unique key. The key is held until that job has ended, or until unique_until; infinity is as long as the job is kept.';

-- Looking ----------------------------------------------------------------------------------------

CREATE VIEW queue.job_states WITH (security_invoker = true) AS
SELECT
    j.id, j.kind, j.queue, j.args, j.priority, j.owner, j.created_at,
    CASE
        WHEN s.job IS NOT NULL THEN 'scheduled'
        WHEN l.job IS NOT NULL THEN 'running'
        WHEN last.outcome IN ('done', 'discarded', 'dead', 'cancelled') THEN last.outcome
        WHEN w.job IS NOT NULL OR b.job IS NOT NULL THEN 'waiting'
        WHEN r.job IS NOT NULL THEN 'ready'
        ELSE 'pruned'
    END AS state,
    coalesce(s.attempt, l.attempt, w.attempt, b.attempt, r.attempt, last.attempt, 1::smallint) AS attempt,
    coalesce(s.max_attempts, l.max_attempts, w.max_attempts, b.max_attempts, r.max_attempts, j.max_attempts) AS max_attempts,
    s.run_at, last.ended_at, last.error
FROM queue.jobs j
LEFT JOIN queue.scheduled s ON s.job = j.id
LEFT JOIN queue.ready r ON r.queue = j.queue AND r.priority IN (j.priority, j.priority - 1000) AND r.job = j.id
LEFT JOIN queue.waiting w ON w.queue = j.queue AND w.key = j.key AND w.job = j.id
LEFT JOIN queue.blocked b ON b.job = j.id
LEFT JOIN (
    SELECT u.job, u.attempt, u.max_attempts
    FROM queue.leases
    CROSS JOIN LATERAL unnest(leases.jobs, leases.attempts, leases.max_attempts) AS u(job, attempt, max_attempts)
    WHERE NOT EXISTS (
        SELECT FROM queue.runs
        WHERE runs.job = u.job AND runs.token = leases.token
    )
) l ON l.job = j.id
LEFT JOIN LATERAL (
    SELECT runs.outcome, runs.attempt, runs.ended_at, CASE WHEN runs.worker IS NOT NULL THEN runs.note END AS error
    FROM queue.runs WHERE runs.job = j.id ORDER BY runs.token DESC LIMIT 1
) last ON true;
COMMENT ON VIEW queue.job_states IS 'Every job and where it stands; its last end and error are those of its latest run.';

CREATE FUNCTION queue.status(id uuid)
RETURNS TABLE (
    kind text, queue text, state text, attempt smallint, max_attempts smallint, created_at timestamptz,
    run_at timestamptz, ended_at timestamptz, error text
)
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
BEGIN ATOMIC
    SELECT s.kind, s.queue, s.state, s.attempt, s.max_attempts, s.created_at, s.run_at, s.ended_at, s.error
    FROM queue.job_states s WHERE s.id = status.id;
END;
COMMENT ON FUNCTION queue.status IS 'Where a job stands; no row when there is no such job. States are those of crates/queue/README.md.';

-- Deciding ---------------------------------------------------------------------------------------

CREATE FUNCTION queue.unqueue(id uuid, decided_by text) RETURNS boolean
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    wanted record;
BEGIN
    SELECT j.id, j.kind, j.queue, j.priority, j.key, j.workflow INTO wanted FROM queue.jobs j WHERE j.id = unqueue.id;
    IF wanted.key IS NOT NULL THEN
        -- Before anything else: a claim that has the gate for itself may wait for our row.
        PERFORM queue.share_gate(wanted.queue);
    END IF;
    WITH job AS (
        SELECT wanted.id, wanted.kind, wanted.queue, wanted.priority, wanted.key
    ),
    ready AS (
        DELETE FROM queue.ready r
        USING job j
        WHERE r.queue = j.queue AND r.priority IN (j.priority, j.priority - 1000) AND r.job = j.id
        RETURNING r.job, r.attempt, r.priority < -100 AS had_place
    ),
    scheduled AS (
        DELETE FROM queue.scheduled s USING job j WHERE s.job = j.id RETURNING s.job, s.attempt, s.holds AS had_place
    ),
    waiting AS (
        DELETE FROM queue.waiting w USING job j WHERE w.queue = j.queue AND w.key = j.key AND w.job = j.id
        RETURNING w.job, w.attempt, false AS had_place
    ),
    blocked AS (
        DELETE FROM queue.blocked b USING job j WHERE b.job = j.id RETURNING b.job, b.attempt, false AS had_place
    ),
    taken AS (
        SELECT * FROM ready UNION ALL SELECT * FROM scheduled UNION ALL SELECT * FROM waiting UNION ALL SELECT * FROM blocked
    ),
    unsettled AS (
        INSERT INTO queue.unsettled AS u (nodes) SELECT ARRAY[job] FROM taken WHERE wanted.workflow IS NOT NULL
        RETURNING u.id
    ),
    told AS (
        SELECT pg_notify('queue_settle', '') FROM unsettled
    ),
    passed AS (
        SELECT queue.pass_on(ARRAY[j.queue], ARRAY[j.key]) FROM taken t JOIN job j ON j.id = t.job WHERE t.had_place
    ),
    heeded AS (
        DELETE FROM queue.cancellations c USING taken t WHERE c.job = t.job
    ),
    freed AS (
        DELETE FROM queue.unique_keys k USING taken t WHERE k.job = t.job AND k.until IS NULL
    ),
    recorded AS (
        INSERT INTO queue.runs (job, token, started_at, ended_at, attempt, outcome, note)
        SELECT job, nextval('queue.leases_token_seq'), now(), now(), attempt, 'cancelled', decided_by
        FROM taken
    )
    INSERT INTO queue.dead_letters (job, ended_at, kind, queue, outcome, cause, fingerprint)
    SELECT job, now(), j.kind, j.queue, 'cancelled', 'decided', '' FROM taken t JOIN job j ON j.id = t.job
    WHERE (SELECT count(*) FROM passed) >= 0 AND (SELECT count(*) FROM told) >= 0
    ON CONFLICT DO NOTHING;
    RETURN FOUND;
END $$;
COMMENT ON FUNCTION queue.unqueue IS 'Takes a job that has not started out of its list, and records the decision; says whether it was there.';

CREATE FUNCTION queue.cancel(id uuid, decided_by text DEFAULT session_user) RETURNS text
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    was text;
BEGIN
    IF queue.unqueue(id, decided_by) THEN
        RETURN 'now';
    END IF;
    SELECT s.state INTO was FROM queue.status(id) s;
    IF was IS NULL THEN
        RETURN 'no_such_job';
    ELSIF was NOT IN ('running', 'ready', 'scheduled', 'waiting') THEN
        RETURN 'already_ended';
    END IF;
    INSERT INTO queue.cancellations (job) VALUES (id) ON CONFLICT DO NOTHING;
    PERFORM pg_notify('queue_cancel', id::text);
    -- It may have gone back to a list in between.
    RETURN CASE WHEN queue.unqueue(id, decided_by) THEN 'now' ELSE 'asked' END;
END $$;
COMMENT ON FUNCTION queue.cancel IS 'Stops a job: now; asked, when it runs and has been asked to stop; already_ended; no_such_job.';

CREATE FUNCTION queue.retry(
    id uuid, decided_by text DEFAULT session_user, OUT result text, OUT held_by uuid, OUT state text
)
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    job   queue.jobs;
    tried smallint;
BEGIN
    -- Two operators at once: the second finds what the first has done.
    SELECT * INTO job FROM queue.jobs j WHERE j.id = retry.id FOR UPDATE;
    IF NOT FOUND THEN
        result := 'no_such_job';
        RETURN;
    END IF;
    SELECT s.state, s.attempt INTO state, tried FROM queue.status(retry.id) s;
    IF state NOT IN ('dead', 'discarded', 'cancelled') THEN
        result := 'not';
        RETURN;
    END IF;
    IF job.unique_key IS NOT NULL THEN
        SELECT k.job INTO held_by FROM queue.hold_key(job.kind, job.unique_key, job.id, NULL) k;
        IF held_by <> job.id THEN
            result := 'key_taken';
            RETURN;
        END IF;
        held_by := NULL;
    END IF;
    DELETE FROM queue.dead_letters d WHERE d.job = retry.id;
    INSERT INTO queue.runs (job, token, started_at, ended_at, attempt, outcome, note)
    VALUES (job.id, nextval('queue.leases_token_seq'), now(), now(), tried, 'retried', decided_by);
    -- A request to stop that came too late for the earlier attempts.
    DELETE FROM queue.cancellations c WHERE c.job = retry.id;
    INSERT INTO queue.ready (queue, priority, job, attempt, max_attempts, key, tenant)
    VALUES (
        job.queue, job.priority, job.id, tried + 1, tried + job.max_attempts, coalesce(job.key, ''), queue.lane_of(job)
    );
    PERFORM queue.wake(job.queue);
    result := 'now';
END $$;
COMMENT ON FUNCTION queue.retry IS 'Makes a dead, discarded or cancelled job ready again, with its number of attempts on top of those it had: now; not, with its state; key_taken, with the job that holds its key; no_such_job.';

CREATE FUNCTION queue.pause(queue text) RETURNS void
LANGUAGE sql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
BEGIN ATOMIC
    INSERT INTO queue.queues AS q (name, paused) VALUES (pause.queue, true)
    ON CONFLICT (name) DO UPDATE SET paused = true, changed_at = now() WHERE NOT q.paused;
END;
COMMENT ON FUNCTION queue.pause IS 'No job of the queue starts until it is resumed; those that run go on.';

CREATE FUNCTION queue.resume(queue text) RETURNS void
LANGUAGE sql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
BEGIN ATOMIC
    UPDATE queue.queues SET paused = false, changed_at = now() WHERE name = resume.queue AND paused;
    SELECT queue.wake(resume.queue);
END;
COMMENT ON FUNCTION queue.resume IS 'Lets jobs of a paused queue start again.';

CREATE FUNCTION queue.keep(queue text, days integer) RETURNS void
LANGUAGE sql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
BEGIN ATOMIC
    INSERT INTO queue.queues AS q (name, keep_days) VALUES (keep.queue, keep.days)
    ON CONFLICT (name) DO UPDATE SET keep_days = excluded.keep_days;
END;
COMMENT ON FUNCTION queue.keep IS 'How many days ended jobs of the queue stay readable; null: as the settings say for all.';

-- Names the platform's schema gives --------------------------------------------------------------

CREATE SCHEMA IF NOT EXISTS util;

CREATE VIEW util.job_queue WITH (security_invoker = true) AS
SELECT
    s.id, s.kind AS queue, s.args AS payload, k.key AS idempotency_key, s.priority,
    CASE
        WHEN s.state IN ('scheduled', 'ready', 'waiting') THEN 'pending'
        WHEN s.state = 'running' THEN 'running'
        WHEN s.state = 'done' THEN 'completed'
        WHEN s.state = 'discarded' THEN 'failed'
        ELSE s.state
    END AS status,
    s.attempt AS attempts, s.max_attempts, s.run_at, s.created_at, s.ended_at, s.error
FROM queue.job_states s
LEFT JOIN queue.unique_keys k ON k.job = s.id AND k.until = 'infinity'
WHERE s.state <> 'pruned';
COMMENT ON VIEW util.job_queue IS 'Jobs under the names of the platform''s schema; a queue there is a kind here.';

CREATE VIEW util.job_runs WITH (security_invoker = true) AS
SELECT
    r.job AS job_id, r.attempt, coalesce(w.name, r.note) AS worker, r.started_at, r.ended_at AS finished_at, r.outcome,
    CASE WHEN r.worker IS NOT NULL THEN r.note END AS error, r.ended_at - r.started_at AS duration
FROM queue.runs r
LEFT JOIN queue.workers w ON w.id = r.worker;
COMMENT ON VIEW util.job_runs IS 'Ended runs under the names of the platform''s schema.';

CREATE FUNCTION util.enqueue(
    queue text, payload jsonb DEFAULT '{}', idempotency_key text DEFAULT NULL, run_at timestamptz DEFAULT NULL,
    priority integer DEFAULT 0, ordering_key text DEFAULT NULL, max_attempts integer DEFAULT NULL
) RETURNS uuid
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    RETURN queue.push(
        kind => enqueue.queue, args => payload, priority => priority, run_at => run_at, max_attempts => max_attempts,
        unique_key => idempotency_key, unique_until => 'infinity', key => ordering_key
    );
END $$;
COMMENT ON FUNCTION util.enqueue IS 'queue.push under the name of the platform''s schema; its queue is a kind. A key is never used twice as long as its job is kept.';

-- Rights: nobody but the owner. A deployment grants USAGE on the schema and EXECUTE on what a role may do.
REVOKE ALL ON FUNCTION queue.key_of, queue.hold_key, queue.new_id, queue.store, queue.push_many, queue.push,
    queue.status, queue.unqueue, queue.cancel, queue.retry, queue.pause, queue.resume, queue.keep, util.enqueue FROM PUBLIC;
