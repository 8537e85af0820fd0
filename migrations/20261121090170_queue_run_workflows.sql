-- What is done with workflows: they are stored, given signals, cancelled and tried again.
-- Owner: crates/queue. Locks: none, everything is new. Undo: DROP the functions below.

CREATE FUNCTION queue.store_workflow(
    a_workflow uuid, a_name text, node_names text[],
    ids uuid[], kinds text[], queues text[], args jsonb[], priorities smallint[], max_attempts smallint[],
    run_ats timestamptz[], delays float8[], owners uuid[], traces text[], keys text[], tenants text[], weights smallint[],
    signals uuid[], signal_names text[], sorts text[], dues timestamptz[], due_seconds float8[], lapses boolean[],
    edge_needs uuid[], edge_jobs uuid[], edge_afters text[], extending uuid, extended uuid
) RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
#variable_conflict use_column
DECLARE
    roots record;
BEGIN
    IF a_name IS NOT NULL THEN
        INSERT INTO queue.workflows (id, name) VALUES (a_workflow, a_name);
    ELSE
        PERFORM FROM queue.workflows w WHERE w.id = a_workflow AND w.cancelled_at IS NULL FOR KEY SHARE;
        IF NOT FOUND THEN
            RAISE EXCEPTION 'workflow % is cancelled', a_workflow USING ERRCODE = 'object_not_in_prerequisite_state';
        END IF;
    END IF;
    PERFORM queue.mark_queues(queues, keys, weights);

    INSERT INTO queue.jobs (id, kind, queue, args, priority, max_attempts, owner, trace, key, tenant, weight, workflow)
    SELECT p.*, a_workflow
    FROM unnest(ids, kinds, queues, store_workflow.args, priorities, store_workflow.max_attempts, owners, traces, keys, tenants, weights) AS p;

    WITH edges AS (
        SELECT e.job, array_agg(e.needs ORDER BY e.nth) AS needs, array_agg(e.after ORDER BY e.nth) AS afters
        FROM unnest(edge_needs, edge_jobs, edge_afters) WITH ORDINALITY AS e(needs, job, after, nth)
        GROUP BY e.job
    )
    INSERT INTO queue.nodes (job, workflow, name, sort, needs, afters, extends)
    SELECT
        p.id, a_workflow, p.name, 'job', coalesce(e.needs, '{}'), coalesce(e.afters, '{}'),
        CASE WHEN p.id = extending THEN extended END
    FROM unnest(ids, node_names) AS p(id, name)
    LEFT JOIN edges e ON e.job = p.id;
    INSERT INTO queue.nodes (job, workflow, name, sort, due_at, lapses)
    SELECT p.id, a_workflow, p.name, p.sort, coalesce(p.due_at, now() + make_interval(secs => p.due_seconds)), p.lapses
    FROM unnest(signals, signal_names, sorts, dues, due_seconds, store_workflow.lapses)
        AS p(id, name, sort, due_at, due_seconds, lapses);

    INSERT INTO queue.dependencies (needs, job, after)
    SELECT e.needs, e.job, e.after FROM unnest(edge_needs, edge_jobs, edge_afters) AS e(needs, job, after);
    INSERT INTO queue.blocked (job, run_at, delay, attempt, max_attempts, needs_failure, queue)
    SELECT p.id, p.run_at, make_interval(secs => p.delay_seconds), 1, p.max_attempts, e.needs_failure, p.queue
    FROM unnest(ids, run_ats, delays, store_workflow.max_attempts, queues) AS p(id, run_at, delay_seconds, max_attempts, queue)
    JOIN (
        SELECT job, bool_or(after = 'failed') AS needs_failure FROM unnest(edge_jobs, edge_afters) AS x(job, after) GROUP BY job
    ) e ON e.job = p.id;

    -- Those that need nobody start. A full queue refuses them, or puts them off, as any push.
    WITH given AS (
        SELECT p.*, coalesce(p.run_at, now() + make_interval(secs => p.delay_seconds)) AS wanted_at
        FROM unnest(ids, queues, run_ats, delays, store_workflow.max_attempts) WITH ORDINALITY
            AS p(id, queue, run_at, delay_seconds, max_attempts, nth)
        WHERE NOT EXISTS (SELECT FROM (SELECT DISTINCT unnest(edge_jobs) AS job) e WHERE e.job = p.id)
    ),
    rules AS MATERIALIZED (
        SELECT q.name, queue.admit(q, g.jobs) AS put_off
        FROM (
            SELECT queue, count(*) FILTER (WHERE wanted_at IS NULL OR wanted_at <= now()) AS jobs
            FROM given GROUP BY queue
        ) g
        JOIN queue.queues q ON q.name = g.queue AND q.max_backlog IS NOT NULL
    )
    SELECT
        array_agg(g.id ORDER BY g.nth) AS jobs, array_agg(1::smallint) AS attempts,
        array_agg(g.max_attempts ORDER BY g.nth) AS max_attempts, array_agg(g.run_at ORDER BY g.nth) AS run_ats,
        array_agg(
            CASE WHEN g.wanted_at > now() THEN make_interval(secs => g.delay_seconds) ELSE r.put_off END ORDER BY g.nth
        ) AS delays
    INTO roots
    FROM given g
    LEFT JOIN rules r ON r.name = g.queue;
    IF roots.jobs IS NOT NULL THEN
        PERFORM queue.start_nodes(NULL, roots.jobs, roots.attempts, roots.max_attempts, roots.run_ats, roots.delays);
    END IF;
    IF extending IS NOT NULL THEN
        INSERT INTO queue.dependencies (needs, job, after)
        SELECT extending, d.job, d.after FROM queue.dependencies d WHERE d.needs = extended;
    END IF;
END $$;
COMMENT ON FUNCTION queue.store_workflow IS 'Stores jobs that need each other, and starts those that need nobody. With a name, the workflow is new. That nothing needs itself is for the caller to see to.';

-- Signals and timers -------------------------------------------------------------------------------

CREATE FUNCTION queue.signal(workflow uuid, name text, payload jsonb DEFAULT NULL) RETURNS text
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
#variable_conflict use_column
DECLARE
    given uuid;
    was   text;
BEGIN
    IF octet_length(payload::text) > 65536 THEN
        RAISE EXCEPTION 'a payload has at most 65536 bytes' USING ERRCODE = 'program_limit_exceeded';
    END IF;
    UPDATE queue.nodes n SET outcome = 'done'
    WHERE n.workflow = signal.workflow AND n.name = signal.name AND n.sort = 'signal' AND n.outcome IS NULL
    RETURNING n.job INTO given;
    IF given IS NULL THEN
        SELECT n.outcome INTO was FROM queue.nodes n
        WHERE n.workflow = signal.workflow AND n.name = signal.name AND n.sort = 'signal';
        IF was IS NULL THEN
            RAISE EXCEPTION 'workflow % has no signal %', workflow, name USING ERRCODE = 'undefined_object';
        END IF;
        RETURN CASE was WHEN 'done' THEN 'already_given' ELSE 'too_late' END;
    END IF;
    IF payload IS NOT NULL THEN
        INSERT INTO queue.outputs (job, output) VALUES (given, payload);
    END IF;
    INSERT INTO queue.unsettled (nodes) VALUES (ARRAY[given]);
    PERFORM pg_notify('queue_settle', '');
    RETURN 'given';
END $$;
COMMENT ON FUNCTION queue.signal IS 'Gives a signal to a workflow: given; already_given; too_late, when it has lapsed or the workflow was cancelled. Those that need it get the payload.';

CREATE FUNCTION queue.ring(at timestamptz, max_nodes bigint) RETURNS bigint
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
#variable_conflict use_column
DECLARE
    rung uuid[];
BEGIN
    WITH due AS (
        SELECT n.job FROM queue.nodes n
        WHERE n.due_at <= coalesce(at, now()) AND n.due_at IS NOT NULL AND n.outcome IS NULL
        ORDER BY n.due_at
        LIMIT max_nodes
        FOR UPDATE SKIP LOCKED
    ),
    ended AS (
        UPDATE queue.nodes n SET outcome = CASE WHEN n.lapses THEN 'cancelled' ELSE 'done' END
        FROM due d WHERE n.job = d.job
        RETURNING n.job
    )
    SELECT array_agg(job) INTO rung FROM ended;
    IF rung IS NOT NULL THEN
        INSERT INTO queue.unsettled (nodes) VALUES (rung);
    END IF;
    RETURN coalesce(cardinality(rung), 0);
END $$;
COMMENT ON FUNCTION queue.ring IS 'Ends timers, and signals that nobody has given, whose time has come; answers how many.';

-- Deciding -----------------------------------------------------------------------------------------

CREATE FUNCTION queue.lock_workflow(a_workflow uuid) RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    PERFORM FROM queue.workflows w WHERE w.id = a_workflow FOR UPDATE;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'there is no workflow %', a_workflow USING ERRCODE = 'undefined_object';
    END IF;
END $$;
COMMENT ON FUNCTION queue.lock_workflow IS 'Keeps others from deciding about a workflow, or adding to it, until this transaction ends.';

CREATE FUNCTION queue.cancel_workflow(id uuid, decided_by text DEFAULT session_user) RETURNS bigint
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
#variable_conflict use_column
DECLARE
    members uuid[];
    gone    uuid[];
    count   bigint;
BEGIN
    PERFORM queue.lock_workflow(cancel_workflow.id);
    UPDATE queue.workflows w SET cancelled_at = coalesce(w.cancelled_at, now()) WHERE w.id = cancel_workflow.id;
    WITH ended AS (
        UPDATE queue.nodes n SET outcome = 'cancelled'
        WHERE n.workflow = cancel_workflow.id AND n.sort <> 'job' AND n.outcome IS NULL
        RETURNING n.job
    )
    SELECT array_agg(job) INTO gone FROM ended;
    SELECT array_agg(o.node) INTO members
    FROM queue.outcomes(ARRAY(SELECT n.job FROM queue.nodes n WHERE n.workflow = cancel_workflow.id AND n.sort = 'job')) o
    WHERE o.outcome = 'open' AND o.node <> ALL (ARRAY(SELECT unnest(queue.dropped(cancel_workflow.id))));
    count := coalesce(cardinality(gone), 0) + coalesce(cardinality(members), 0);
    gone := gone || queue.cancel_blocked(
        NULL, members, array_fill(decided_by, ARRAY[coalesce(cardinality(members), 0)]), ''
    ) || queue.unqueue_many(members, decided_by);

    -- What is left runs, or was about to start when we looked.
    SELECT array_agg(o.node) INTO members FROM queue.outcomes(members) o WHERE o.outcome = 'open';
    INSERT INTO queue.cancellations (job) SELECT m.job FROM unnest(members) AS m(job) ON CONFLICT DO NOTHING;
    PERFORM pg_notify('queue_cancel', m.job::text) FROM unnest(members) AS m(job);
    gone := gone || queue.unqueue_many(members, decided_by);
    IF cardinality(gone) > 0 THEN
        INSERT INTO queue.unsettled (nodes) VALUES (gone);
        PERFORM pg_notify('queue_settle', '');
    END IF;
    RETURN count;
END $$;
COMMENT ON FUNCTION queue.cancel_workflow IS 'Cancels all of a workflow that has not ended, and asks what runs to stop; answers how many that were.';

CREATE FUNCTION queue.unqueue_many(some_jobs uuid[], decided_by text) RETURNS uuid[]
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
#variable_conflict use_column
DECLARE
    wanted record;
    gone   uuid[];
BEGIN
    -- Those with a key have places to pass on, in one order everywhere.
    FOR wanted IN
        SELECT j.id FROM unnest(some_jobs) AS u(job) JOIN queue.jobs j ON j.id = u.job
        WHERE j.key IS NOT NULL ORDER BY j.queue, j.id
    LOOP
        PERFORM queue.unqueue(wanted.id, decided_by);
    END LOOP;
    WITH wanted AS MATERIALIZED (
        SELECT j.id, j.kind, j.queue FROM unnest(some_jobs) AS u(job) JOIN queue.jobs j ON j.id = u.job
    ),
    ready AS (
        DELETE FROM queue.ready r USING wanted w WHERE r.job = w.id AND r.queue = w.queue RETURNING r.job, r.attempt
    ),
    scheduled AS (
        DELETE FROM queue.scheduled s USING wanted w WHERE s.job = w.id RETURNING s.job, s.attempt
    ),
    taken AS (
        SELECT * FROM ready UNION ALL SELECT * FROM scheduled
    ),
    recorded AS (
        INSERT INTO queue.runs (job, token, started_at, ended_at, attempt, outcome, note)
        SELECT job, nextval('queue.leases_token_seq'), now(), now(), attempt, 'cancelled', decided_by FROM taken
        RETURNING job
    ),
    heeded AS (
        DELETE FROM queue.cancellations c USING taken t WHERE c.job = t.job
    ),
    buried AS (
        INSERT INTO queue.dead_letters (job, ended_at, kind, queue, outcome, cause, fingerprint)
        SELECT t.job, now(), w.kind, w.queue, 'cancelled', 'decided', '' FROM taken t JOIN wanted w ON w.id = t.job
        ON CONFLICT DO NOTHING
    )
    SELECT array_agg(job) INTO gone FROM recorded;
    RETURN coalesce(gone, '{}');
END $$;
COMMENT ON FUNCTION queue.unqueue_many IS 'As queue.unqueue, for many members of a workflow, which have no unique keys; answers which of those without a key were there.';

CREATE FUNCTION queue.graph_of(a_workflow uuid) RETURNS TABLE (needs uuid, job uuid, after text)
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp
BEGIN ATOMIC
    WITH RECURSIVE edges AS (
        SELECT e.needs, n.job, e.after
        FROM queue.nodes n CROSS JOIN LATERAL unnest(n.needs, n.afters) AS e(needs, after)
        WHERE n.workflow = a_workflow
        UNION
        SELECT n.job, e.job, e.after FROM edges e JOIN queue.nodes n ON n.extends = e.needs
    )
    SELECT e.needs, e.job, e.after FROM edges e;
END;
COMMENT ON FUNCTION queue.graph_of IS 'What needs what in a workflow, as it was pushed and has been extended since.';

CREATE FUNCTION queue.dropped(a_workflow uuid) RETURNS uuid[]
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp
BEGIN ATOMIC
    WITH members AS MATERIALIZED (
        SELECT n.job FROM queue.nodes n
        WHERE n.workflow = a_workflow AND n.sort = 'job'
            AND NOT EXISTS (SELECT FROM queue.runs r WHERE r.job = n.job)
            AND NOT EXISTS (SELECT FROM queue.blocked b WHERE b.job = n.job)
            AND NOT EXISTS (SELECT FROM queue.scheduled s WHERE s.job = n.job)
    ),
    -- Neither list has an index by job.
    alive AS MATERIALIZED (
        SELECT r.job FROM queue.ready r
        WHERE r.queue IN (SELECT j.queue FROM members m JOIN queue.jobs j ON j.id = m.job)
        UNION ALL
        SELECT w.job FROM queue.waiting w
        WHERE w.queue IN (SELECT j.queue FROM members m JOIN queue.jobs j ON j.id = m.job)
        UNION ALL
        SELECT u.job FROM queue.leases l CROSS JOIN LATERAL unnest(l.jobs) AS u(job)
    )
    SELECT coalesce(array_agg(m.job), '{}') FROM members m WHERE m.job NOT IN (SELECT a.job FROM alive a);
END;
COMMENT ON FUNCTION queue.dropped IS 'Jobs of a workflow that have ended so long ago that nobody knows how: their history has been dropped.';

CREATE FUNCTION queue.retry_workflow(id uuid, decided_by text DEFAULT session_user) RETURNS bigint
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
#variable_conflict use_column
DECLARE
    again uuid[];
BEGIN
    PERFORM queue.lock_workflow(retry_workflow.id);
    UPDATE queue.workflows w SET cancelled_at = NULL WHERE w.id = retry_workflow.id AND w.cancelled_at IS NOT NULL;
    again := queue.nodes_to_retry(retry_workflow.id);
    -- A deadline is as far ahead as it was.
    UPDATE queue.nodes n SET outcome = NULL, due_at = now() + (n.due_at - w.created_at)
    FROM queue.workflows w
    WHERE w.id = n.workflow AND n.job = ANY (again) AND n.sort <> 'job';

    -- The lock that queue.retry takes. Whoever takes the letter tries the job again.
    PERFORM FROM queue.jobs j WHERE j.id = ANY (again) ORDER BY j.id FOR UPDATE;
    WITH letters AS (
        DELETE FROM queue.dead_letters d WHERE d.job = ANY (again) RETURNING d.job
    ),
    retried AS (
        INSERT INTO queue.runs (job, token, started_at, ended_at, attempt, outcome, note)
        SELECT
            l.job, nextval('queue.leases_token_seq'), now(), now(), coalesce(last.attempt, 0::smallint), 'retried', decided_by
        FROM letters l
        LEFT JOIN LATERAL (
            SELECT r.attempt FROM queue.runs r WHERE r.job = l.job ORDER BY r.token DESC LIMIT 1
        ) last ON true
        RETURNING job, attempt
    ),
    heeded AS (
        DELETE FROM queue.cancellations c USING letters l WHERE c.job = l.job
    ),
    blocked AS (
        INSERT INTO queue.blocked (job, attempt, max_attempts, needs_failure, queue)
        SELECT j.id, t.attempt + 1, t.attempt + j.max_attempts, false, j.queue
        FROM retried t JOIN queue.jobs j ON j.id = t.job
        RETURNING job
    )
    SELECT array_agg(job) INTO again FROM blocked;
    IF again IS NULL THEN
        RETURN 0;
    END IF;
    PERFORM queue.reopen(retry_workflow.id, again);
    RETURN cardinality(again);
END $$;
COMMENT ON FUNCTION queue.retry_workflow IS 'Tries again what has failed, and what was cancelled, also because of that; what is done stays done. Answers how many jobs.';

CREATE FUNCTION queue.nodes_to_retry(a_workflow uuid) RETURNS uuid[]
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp
BEGIN ATOMIC
    WITH RECURSIVE known AS MATERIALIZED (
        SELECT o.node, o.outcome
        FROM queue.outcomes(ARRAY(SELECT n.job FROM queue.nodes n WHERE n.workflow = a_workflow)) o
        WHERE o.outcome IN ('failed', 'unneeded')
    ),
    edges AS MATERIALIZED (
        SELECT g.needs, g.job, g.after FROM queue.graph_of(a_workflow) g
    ),
    -- What was cancelled because of one that nobody can try again any more cannot come either.
    lost AS (
        SELECT e.job
        FROM edges e
        JOIN queue.nodes n ON n.job = e.needs
        WHERE e.after = 'done' AND e.needs = ANY (ARRAY(SELECT unnest(queue.dropped(a_workflow))))
            AND (
                SELECT r.note FROM queue.runs r WHERE r.job = e.job ORDER BY r.token DESC LIMIT 1
            ) = 'needs ' || n.name
        UNION
        SELECT e.job FROM lost l JOIN edges e ON e.needs = l.job AND e.after = 'done'
    ),
    -- What nobody needed comes again where one of those it needs does.
    again AS (
        SELECT k.node FROM known k WHERE k.outcome = 'failed' AND k.node NOT IN (SELECT l.job FROM lost l)
        UNION
        SELECT e.job
        FROM again a
        JOIN edges e ON e.needs = a.node
        JOIN known k ON k.node = e.job
        WHERE e.job NOT IN (SELECT l.job FROM lost l)
    )
    SELECT array_agg(a.node) FROM again a;
END;
COMMENT ON FUNCTION queue.nodes_to_retry IS 'Nodes that have failed, and those that were not needed because of that.';

CREATE FUNCTION queue.reopen(a_workflow uuid, some_jobs uuid[]) RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
#variable_conflict use_column
DECLARE
    gone  uuid[] := queue.dropped(a_workflow);
    first record;
BEGIN
    -- Left from when they were cancelled. Edges are never updated: whoever settles would find a version that it
    -- cannot see, and leave it.
    DELETE FROM queue.dependencies d USING unnest(some_jobs) AS u(job) WHERE d.job = u.job;
    -- A need that was met is not opened again. Any other is, and settled once more: it may have ended, or
    -- be about to, while nobody can see that it is needed.
    WITH opened AS (
        INSERT INTO queue.dependencies (needs, job, after)
        SELECT g.needs, g.job, g.after
        FROM unnest(some_jobs) AS u(job)
        JOIN queue.graph_of(a_workflow) g ON g.job = u.job
        JOIN queue.outcomes(ARRAY(SELECT n.job FROM queue.nodes n WHERE n.workflow = a_workflow)) o ON o.node = g.needs
        WHERE (
                o.outcome = 'open' OR g.after = 'done' AND o.outcome <> 'done'
                OR g.after = 'failed' AND o.outcome = 'failed'
            )
            -- It had ended as it was to, or the job would have been left as it is.
            AND g.needs <> ALL (gone)
        RETURNING needs, job, after
    ),
    marked AS (
        UPDATE queue.blocked b SET needs_failure = true
        FROM (SELECT DISTINCT o.job FROM opened o WHERE o.after = 'failed') f
        WHERE b.job = f.job
    )
    INSERT INTO queue.unsettled (nodes) SELECT array_agg(DISTINCT needs) FROM opened HAVING count(*) > 0;
    WITH free AS (
        DELETE FROM queue.blocked b
        USING unnest(some_jobs) AS u(job)
        WHERE b.job = u.job AND NOT EXISTS (SELECT FROM queue.dependencies d WHERE d.job = b.job)
        RETURNING b.*
    )
    SELECT
        array_agg(job ORDER BY job) AS jobs, array_agg(attempt ORDER BY job) AS attempts,
        array_agg(max_attempts ORDER BY job) AS max_attempts
    INTO first
    FROM free;
    PERFORM queue.start_nodes(NULL, first.jobs, first.attempts, first.max_attempts, NULL, NULL);
    PERFORM pg_notify('queue_settle', '');
END $$;
COMMENT ON FUNCTION queue.reopen IS 'Lets blocked jobs wait again for those of their needs that are not met, and starts those that have none.';

REVOKE ALL ON FUNCTION queue.store_workflow, queue.signal, queue.ring, queue.lock_workflow, queue.cancel_workflow,
    queue.unqueue_many, queue.retry_workflow, queue.nodes_to_retry, queue.reopen, queue.graph_of, queue.dropped FROM PUBLIC;
