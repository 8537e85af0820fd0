-- Workflows: jobs that start when others have ended, signals and times among them.
-- Owner: crates/queue. Locks: none, everything is new.
-- Undo: DROP TABLE queue.workflows, queue.nodes, queue.dependencies, queue.blocked, queue.unsettled; DROP the functions below.

-- No foreign keys: jobs are dropped by the day, and these rows follow in batches.

CREATE TABLE queue.workflows (
    id           uuid        NOT NULL CONSTRAINT workflows_pkey PRIMARY KEY,
    created_at   timestamptz NOT NULL DEFAULT now(),
    cancelled_at timestamptz,
    name         text        NOT NULL CONSTRAINT ck_workflows_name CHECK (char_length(name) BETWEEN 1 AND 200)
);
COMMENT ON TABLE queue.workflows IS 'Jobs that were pushed together and wait for each other. Kept as long as one of its jobs.';
COMMENT ON COLUMN queue.workflows.cancelled_at IS 'Nothing more may join it, until it is retried.';

CREATE TABLE queue.nodes (
    job      uuid        NOT NULL CONSTRAINT nodes_pkey PRIMARY KEY,
    workflow uuid        NOT NULL,
    extends  uuid,
    due_at   timestamptz,
    lapses   boolean     NOT NULL DEFAULT false,
    sort     text COLLATE "C" NOT NULL CONSTRAINT ck_nodes_sort CHECK (sort IN ('job', 'signal', 'timer')),
    outcome  text COLLATE "C" CONSTRAINT ck_nodes_outcome CHECK (outcome IN ('done', 'cancelled')),
    name     text COLLATE "C" NOT NULL CONSTRAINT ck_nodes_name CHECK (char_length(name) BETWEEN 1 AND 120),
    needs    uuid[]      NOT NULL DEFAULT '{}',
    afters   text[] COLLATE "C" NOT NULL DEFAULT '{}',
    CONSTRAINT uq_nodes_name UNIQUE (workflow, name),
    CONSTRAINT ck_nodes_afters CHECK (
        cardinality(needs) = cardinality(afters) AND afters <@ ARRAY['done', 'ended', 'failed']
    ),
    CONSTRAINT ck_nodes_due_at CHECK (sort = 'signal' OR (sort = 'timer') = (due_at IS NOT NULL)),
    CONSTRAINT ck_nodes_job CHECK (sort <> 'job' OR outcome IS NULL)
);
CREATE INDEX idx_nodes_due_at ON queue.nodes (due_at) WHERE due_at IS NOT NULL AND outcome IS NULL;
CREATE UNIQUE INDEX idx_nodes_extends ON queue.nodes (extends) WHERE extends IS NOT NULL;
COMMENT ON TABLE queue.nodes IS 'What a workflow is made of, and what needs what. It stays as it was pushed, whatever has ended.';
COMMENT ON COLUMN queue.nodes.job IS 'The job; of a signal or timer, an id that no job has.';
COMMENT ON COLUMN queue.nodes.extends IS 'Whoever needs that one needs this one too: it fanned out, and this one comes last.';
COMMENT ON COLUMN queue.nodes.due_at IS 'When a timer, or a signal that nobody has given, ends by itself.';
COMMENT ON COLUMN queue.nodes.lapses IS 'At that time the signal counts as failed, and not as given.';
COMMENT ON COLUMN queue.nodes.outcome IS 'Of a signal or timer. Jobs have theirs in queue.runs.';
COMMENT ON COLUMN queue.nodes.afters IS 'One for each of needs: whether that one has to be done, to end in whatever way, or to fail. Of several that may fail one is enough.';

CREATE TABLE queue.dependencies (
    needs uuid NOT NULL,
    job   uuid NOT NULL,
    after text COLLATE "C" NOT NULL,
    CONSTRAINT dependencies_pkey PRIMARY KEY (needs, job)
);
CREATE INDEX idx_dependencies_job ON queue.dependencies (job, after, needs);
COMMENT ON TABLE queue.dependencies IS 'Who still waits for whom. Inserted and deleted, never updated.';
COMMENT ON COLUMN queue.dependencies.after IS 'As in queue.nodes. A needed job that has failed, as was waited for, stays here until the other has started.';
ALTER TABLE queue.dependencies SET (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 5000, autovacuum_vacuum_cost_delay = 0);

CREATE TABLE queue.blocked (
    job           uuid        NOT NULL CONSTRAINT blocked_pkey PRIMARY KEY,
    run_at        timestamptz,
    delay         interval,
    attempt       smallint    NOT NULL,
    max_attempts  smallint    NOT NULL,
    needs_failure boolean     NOT NULL,
    queue         text COLLATE "C" NOT NULL
);
COMMENT ON TABLE queue.blocked IS 'Jobs that need others. Whoever deletes the row starts the job, or cancels it.';
COMMENT ON COLUMN queue.blocked.delay IS 'It starts so long after what it needs.';
COMMENT ON COLUMN queue.blocked.needs_failure IS 'It starts only if one of those it needs fails.';
ALTER TABLE queue.blocked SET (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 5000, autovacuum_vacuum_cost_delay = 0);

-- A row for each batch of ends and not for each end. It is written with them, so none is forgotten.
CREATE TABLE queue.unsettled (
    id    bigint NOT NULL GENERATED ALWAYS AS IDENTITY CONSTRAINT unsettled_pkey PRIMARY KEY,
    nodes uuid[] NOT NULL
);
COMMENT ON TABLE queue.unsettled IS 'Nodes of workflows that have ended, and those that need them have not heard yet.';
ALTER TABLE queue.unsettled ALTER COLUMN nodes SET STORAGE EXTERNAL;
ALTER TABLE queue.unsettled SET (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 1000, autovacuum_vacuum_cost_delay = 0);

-- What became of nodes -----------------------------------------------------------------------------

CREATE FUNCTION queue.outcomes(some_nodes uuid[]) RETURNS TABLE (node uuid, outcome text)
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp
BEGIN ATOMIC
    SELECT
        u.node,
        CASE coalesce(last.outcome, (SELECT n.outcome FROM queue.nodes n WHERE n.job = u.node))
            WHEN 'done' THEN 'done'
            WHEN 'dead' THEN 'failed'
            WHEN 'discarded' THEN 'failed'
            WHEN 'cancelled' THEN CASE
                WHEN EXISTS (SELECT FROM queue.dead_letters d WHERE d.job = u.node AND d.fingerprint = 'not needed')
                    THEN 'unneeded'
                ELSE 'failed'
            END
            ELSE 'open'
        END
    FROM unnest(some_nodes) AS u(node)
    LEFT JOIN LATERAL (
        SELECT r.outcome FROM queue.runs r WHERE r.job = u.node ORDER BY r.token DESC LIMIT 1
    ) last ON true;
END;
COMMENT ON FUNCTION queue.outcomes IS 'How nodes have ended: done, failed, unneeded, because nothing failed that it was to mend; or open.';

CREATE FUNCTION queue.find_need(a_job uuid, an_after text, with_outcomes text[]) RETURNS uuid
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp
BEGIN ATOMIC
    -- From the last: jobs end about in the order of their ids, so that the first look finds one that has not.
    SELECT d.needs FROM queue.dependencies d
    WHERE d.job = a_job AND d.after = an_after
        AND (SELECT o.outcome FROM queue.outcomes(ARRAY[d.needs]) o) = ANY (with_outcomes)
    ORDER BY d.needs DESC
    LIMIT 1;
END;
COMMENT ON FUNCTION queue.find_need IS 'One of those that a job still waits for, if there is one with such an outcome.';

-- Starting and ending what waited ------------------------------------------------------------------

CREATE FUNCTION queue.start_nodes(
    at timestamptz, some_jobs uuid[], attempts smallint[], max_attempts smallint[], run_ats timestamptz[], delays interval[]
) RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
#variable_conflict use_column
DECLARE
    time timestamptz := coalesce(at, now());
    told text[];
BEGIN
    WITH given AS MATERIALIZED (
        SELECT
            j.id, j.queue, j.priority, s.attempt, s.max_attempts, coalesce(j.key, '') AS key, s.nth,
            -- As queue.lane_of, for many.
            CASE WHEN q.fair THEN coalesce(j.tenant, j.owner::text, '-') ELSE '' END AS lane,
            greatest(s.run_at, time + s.delay) AS starts_at
        FROM unnest(some_jobs, attempts, start_nodes.max_attempts, run_ats, delays)
            WITH ORDINALITY AS s(job, attempt, max_attempts, run_at, delay, nth)
        JOIN queue.jobs j ON j.id = s.job
        LEFT JOIN queue.queues q ON q.name = j.queue AND q.fair
    ),
    later AS (
        INSERT INTO queue.scheduled (job, run_at, queue, priority, attempt, max_attempts, key, tenant)
        SELECT id, starts_at, queue, priority, attempt, max_attempts, key, lane FROM given WHERE starts_at > time
    ),
    at_once AS (
        INSERT INTO queue.ready (queue, priority, job, attempt, max_attempts, key, tenant)
        SELECT queue, priority, id, attempt, max_attempts, key, lane FROM given
        WHERE (starts_at IS NULL OR starts_at <= time) AND pg_current_xact_id() IS NOT NULL
        ORDER BY nth
        RETURNING queue
    )
    SELECT array_agg(DISTINCT queue) INTO told FROM at_once;
    PERFORM queue.wake(t.queue) FROM unnest(told) AS t(queue);
END $$;
COMMENT ON FUNCTION queue.start_nodes IS 'Makes jobs ready in their order, or schedules them when their time is still to come.';

CREATE FUNCTION queue.cancel_blocked(at timestamptz, some_jobs uuid[], notes text[], reason text) RETURNS uuid[]
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
#variable_conflict use_column
DECLARE
    gone uuid[];
BEGIN
    WITH found AS MATERIALIZED (
        SELECT x.ctid AS row_id, u.note
        FROM unnest(some_jobs, notes) AS u(job, note)
        JOIN queue.blocked x ON x.job = u.job
        FOR UPDATE OF x SKIP LOCKED
    ),
    taken AS (
        DELETE FROM queue.blocked b USING found f WHERE b.ctid = f.row_id RETURNING b.job, b.attempt, f.note
    ),
    recorded AS (
        INSERT INTO queue.runs (job, token, started_at, ended_at, attempt, outcome, note)
        SELECT
            job, nextval('queue.leases_token_seq'), coalesce(at, now()), coalesce(at, now()), attempt, 'cancelled', note
        FROM taken
        RETURNING job
    ),
    buried AS (
        INSERT INTO queue.dead_letters (job, ended_at, kind, queue, outcome, cause, fingerprint)
        SELECT j.id, coalesce(at, now()), j.kind, j.queue, 'cancelled', 'decided', reason
        FROM taken t
        JOIN queue.jobs j ON j.id = t.job
        ON CONFLICT DO NOTHING
    )
    SELECT array_agg(job) INTO gone FROM recorded;
    RETURN coalesce(gone, '{}');
END $$;
COMMENT ON FUNCTION queue.cancel_blocked IS 'Ends those of the jobs, each named once, that still wait for others and that nobody else is about to take; answers which.';

CREATE FUNCTION queue.doomed(first_jobs uuid[]) RETURNS uuid[]
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp
-- A look-up for each edge, also while nothing is known of a table that has just been filled.
SET enable_seqscan = off SET enable_hashjoin = off SET enable_mergejoin = off SET enable_material = off
SET enable_bitmapscan = off SET jit = off
BEGIN ATOMIC
    WITH RECURSIVE doomed AS (
        SELECT f.job FROM unnest(first_jobs) AS f(job)
        UNION
        SELECT d.job FROM doomed x JOIN queue.dependencies d ON d.needs = x.job AND d.after = 'done'
    )
    SELECT array_agg(x.job) FROM doomed x;
END;
COMMENT ON FUNCTION queue.doomed IS 'These, and all that need them to be done.';

CREATE FUNCTION queue.unsettle(some_nodes uuid[]) RETURNS void
LANGUAGE sql VOLATILE SET search_path = pg_catalog, pg_temp
BEGIN ATOMIC
    INSERT INTO queue.unsettled (nodes) VALUES (some_nodes);
END;
COMMENT ON FUNCTION queue.unsettle IS 'Has those told that need these nodes, once they have ended and this transaction has committed.';

-- Under an old snapshot dead rows stay, and nobody should walk over all of them all the time.
CREATE FUNCTION queue.unsettled_from() RETURNS bigint
LANGUAGE sql VOLATILE SET search_path = pg_catalog, pg_temp
RETURN coalesce(pg_sequence_last_value('queue.unsettled_id_seq'), 0) - 2000;
COMMENT ON FUNCTION queue.unsettled_from IS 'What is not settled has a higher id, unless its transaction took very long: a sweep finds that.';

-- Settling -----------------------------------------------------------------------------------------

-- It runs after the transaction in which the nodes ended, and never in it: of several that end at the
-- same time, whoever settles last sees all of them as they ended. So nobody counts and nobody waits;
-- the deletion of a row of queue.blocked decides who starts a job. Edges are taken away where they
-- have said all they can say, so that those that are left are few, whoever looks.
CREATE FUNCTION queue.settle(at timestamptz DEFAULT NULL, sweeps boolean DEFAULT true, max_batches integer DEFAULT 100)
RETURNS bigint
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
SET enable_seqscan = off SET enable_hashjoin = off SET enable_mergejoin = off SET enable_material = off
SET enable_bitmapscan = off SET jit = off
SET plan_cache_mode = force_generic_plan AS $$
#variable_conflict use_column
DECLARE
    first_id    bigint := CASE WHEN sweeps THEN 0 ELSE queue.unsettled_from() END;
    ended       uuid[];
    nodes       uuid[];
    outcomes    text[];
    -- Jobs that needed one of them, and what they have heard.
    t_jobs      uuid[];
    t_came      boolean[];
    t_others    boolean[];
    doomed      uuid[];
    causes      uuid[];
    first_idle  uuid[];
    starting    uuid[];
    idle        uuid[];
    cancelled   uuid[] := '{}';
    started     record;
    busy        uuid[];
    put_back    uuid[] := '{}';
BEGIN
    WITH taken AS (
        DELETE FROM queue.unsettled u
        WHERE u.id = ANY (ARRAY(
            SELECT x.id FROM queue.unsettled x
            WHERE x.id > first_id
            ORDER BY x.id LIMIT max_batches
            FOR UPDATE SKIP LOCKED
        ))
        RETURNING u.nodes
    )
    SELECT array_agg(DISTINCT n.node) INTO ended FROM taken t CROSS JOIN LATERAL unnest(t.nodes) AS n(node);
    IF ended IS NULL THEN
        RETURN 0;
    END IF;
    -- What somebody has tried again meanwhile will end another time.
    SELECT array_agg(o.node), array_agg(o.outcome) INTO nodes, outcomes
    FROM queue.outcomes(ended) o WHERE o.outcome <> 'open';

    -- A failure that was waited for is remembered as long as something else is missing.
    WITH found AS MATERIALIZED (
        SELECT x.ctid AS row_id, x.needs, x.job, x.after, o.outcome
        FROM unnest(nodes, outcomes) AS o(node, outcome)
        JOIN queue.dependencies x ON x.needs = o.node
        WHERE x.after <> 'failed' OR o.outcome <> 'failed'
        FOR UPDATE OF x SKIP LOCKED
    ),
    cut AS (
        DELETE FROM queue.dependencies d WHERE d.ctid = ANY (ARRAY(SELECT f.row_id FROM found f))
    ),
    heard AS (
        SELECT f.needs, f.job, f.after, f.outcome FROM found f
        UNION ALL
        SELECT x.needs, x.job, x.after, o.outcome
        FROM unnest(nodes, outcomes) AS o(node, outcome)
        JOIN queue.dependencies x ON x.needs = o.node
        WHERE x.after = 'failed' AND o.outcome = 'failed'
    ),
    told AS (
        SELECT
            h.job,
            bool_or(h.after = 'failed' AND h.outcome = 'failed') AS came, bool_or(h.after <> 'failed') AS others,
            (array_agg(h.needs) FILTER (WHERE h.after = 'done' AND h.outcome = 'failed'))[1] AS cause,
            bool_or(h.after = 'done' AND h.outcome = 'unneeded') AS idle
        FROM heard h
        GROUP BY h.job
    )
    SELECT
        array_agg(t.job), array_agg(t.came), array_agg(t.others),
        array_agg(t.job) FILTER (WHERE t.cause IS NOT NULL), array_agg(t.cause) FILTER (WHERE t.cause IS NOT NULL),
        array_agg(t.job) FILTER (WHERE t.idle AND t.cause IS NULL)
    INTO t_jobs, t_came, t_others, doomed, causes, first_idle
    FROM told t;

    -- Who needs them done is cancelled, and so on down: that does not depend on what else may end.
    IF doomed IS NOT NULL THEN
        cancelled := queue.cancel_doomed(at, doomed, causes);
    END IF;

    SELECT
        array_agg(v.job ORDER BY v.job) FILTER (WHERE v.verdict = 'start'),
        array_agg(v.job) FILTER (WHERE v.verdict = 'idle')
    INTO starting, idle
    FROM (
        SELECT b.job, CASE
            WHEN b.needs_failure AND NOT t.came AND queue.find_need(b.job, 'failed', '{open,failed}') IS NULL THEN 'idle'
            WHEN queue.find_need(b.job, 'done', '{open,failed,unneeded}') IS NOT NULL THEN 'wait'
            WHEN queue.find_need(b.job, 'ended', '{open}') IS NOT NULL THEN 'wait'
            WHEN NOT b.needs_failure OR t.came THEN 'start'
            -- Whoever failed has looked when this was still missing.
            WHEN t.others AND queue.find_need(b.job, 'failed', '{failed}') IS NOT NULL THEN 'start'
            ELSE 'wait'
        END AS verdict
        FROM unnest(t_jobs, t_came, t_others) AS t(job, came, others)
        JOIN queue.blocked b ON b.job = t.job
    ) v;
    IF first_idle IS NOT NULL OR idle IS NOT NULL THEN
        first_idle := first_idle || idle;
        idle := queue.doomed(first_idle);
        cancelled := cancelled || queue.cancel_blocked(
            at, idle, array_fill('not needed'::text, ARRAY[cardinality(idle)]), 'not needed'
        );
    END IF;

    IF starting IS NOT NULL THEN
        WITH taken AS (
            DELETE FROM queue.blocked b
            WHERE b.ctid = ANY (ARRAY(
                SELECT x.ctid FROM unnest(starting) AS u(job) JOIN queue.blocked x ON x.job = u.job
                FOR UPDATE OF x SKIP LOCKED
            ))
            RETURNING b.*
        )
        SELECT
            array_agg(t.job ORDER BY t.job) AS jobs, array_agg(t.attempt ORDER BY t.job) AS attempts,
            array_agg(t.max_attempts ORDER BY t.job) AS max_attempts, array_agg(t.run_at ORDER BY t.job) AS run_ats,
            array_agg(t.delay ORDER BY t.job) AS delays
        INTO started
        FROM taken t;
        PERFORM queue.start_nodes(at, started.jobs, started.attempts, started.max_attempts, started.run_ats, started.delays);
    END IF;

    -- Somebody has a hand on these, as if to cancel them, and may take it away again.
    SELECT array_agg(b.job) INTO busy FROM queue.blocked b WHERE b.job = ANY (doomed || first_idle || starting);
    IF busy IS NOT NULL THEN
        put_back := queue.put_back(busy, nodes);
    END IF;

    -- Failures that were waited for have been heard; of what an operator cancelled, only its own end tells.
    DELETE FROM queue.dependencies d
    WHERE d.ctid = ANY (ARRAY(
        SELECT x.ctid FROM unnest(t_jobs || cancelled || nodes) AS u(job)
        JOIN queue.dependencies x ON x.job = u.job AND x.after = 'failed'
        WHERE NOT EXISTS (SELECT FROM queue.blocked b WHERE b.job = u.job)
        FOR UPDATE OF x SKIP LOCKED
    ));
    IF cardinality(cancelled) > 0 THEN
        INSERT INTO queue.unsettled (nodes) VALUES (cancelled);
    END IF;
    RETURN cardinality(ended) - cardinality(put_back);
END $$;
COMMENT ON FUNCTION queue.settle IS 'Tells those that need nodes which have ended: starts them, or cancels them. Answers how many had ended; once that is 0, nothing is left to be told but to jobs that others have a hand on. Without a sweep, what committed very late is left. Not in the transaction in which they ended.';

CREATE FUNCTION queue.put_back(some_jobs uuid[], some_nodes uuid[]) RETURNS uuid[]
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
#variable_conflict use_column
DECLARE
    needed uuid[];
BEGIN
    WITH edges AS MATERIALIZED (
        SELECT g.needs, g.job, g.after
        FROM (SELECT DISTINCT n.workflow FROM queue.nodes n WHERE n.job = ANY (some_jobs)) w
        CROSS JOIN LATERAL queue.graph_of(w.workflow) g
        WHERE g.job = ANY (some_jobs) AND g.needs = ANY (some_nodes)
    ),
    opened AS (
        INSERT INTO queue.dependencies (needs, job, after)
        SELECT e.needs, e.job, e.after FROM edges e ORDER BY e.needs, e.job
        ON CONFLICT DO NOTHING
    )
    SELECT array_agg(DISTINCT e.needs) INTO needed FROM edges e;
    IF needed IS NULL THEN
        RETURN '{}';
    END IF;
    INSERT INTO queue.unsettled (nodes) VALUES (needed);
    RETURN needed;
END $$;
COMMENT ON FUNCTION queue.put_back IS 'Lets jobs hear another time of those of the nodes that they need; answers which nodes.';

CREATE FUNCTION queue.cancel_doomed(at timestamptz, first_jobs uuid[], first_causes uuid[]) RETURNS uuid[]
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
SET enable_seqscan = off SET enable_hashjoin = off SET enable_mergejoin = off SET enable_material = off
SET enable_bitmapscan = off SET jit = off
SET plan_cache_mode = force_generic_plan AS $$
#variable_conflict use_column
DECLARE
    some_jobs uuid[];
    notes     text[];
BEGIN
    SELECT array_agg(c.job), array_agg('needs ' || n.name) INTO some_jobs, notes
    FROM (
        SELECT DISTINCT ON (e.job) e.job, e.cause
        FROM (
            SELECT f.job, f.cause FROM unnest(first_jobs, first_causes) AS f(job, cause)
            UNION ALL
            SELECT d.job, d.needs
            FROM unnest(queue.doomed(first_jobs)) AS x(job)
            JOIN queue.dependencies d ON d.needs = x.job AND d.after = 'done'
        ) e
        ORDER BY e.job
    ) c
    JOIN queue.nodes n ON n.job = c.cause;
    RETURN queue.cancel_blocked(at, some_jobs, notes, 'needs');
END $$;
COMMENT ON FUNCTION queue.cancel_doomed IS 'Cancels jobs that need one to be done that is not, and all that need them; answers which.';

REVOKE ALL ON FUNCTION queue.outcomes, queue.find_need, queue.start_nodes, queue.cancel_blocked, queue.doomed,
    queue.unsettle, queue.unsettled_from, queue.settle, queue.put_back, queue.cancel_doomed FROM PUBLIC;
ALTER TABLE queue.workflows ENABLE ROW LEVEL SECURITY;
ALTER TABLE queue.nodes ENABLE ROW LEVEL SECURITY;
ALTER TABLE queue.dependencies ENABLE ROW LEVEL SECURITY;
ALTER TABLE queue.blocked ENABLE ROW LEVEL SECURITY;
ALTER TABLE queue.unsettled ENABLE ROW LEVEL SECURITY;
