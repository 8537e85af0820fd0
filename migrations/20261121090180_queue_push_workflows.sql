-- Workflows by SQL: one JSON object for a whole graph.
-- Owner: crates/queue. Locks: none, everything is new. Undo: DROP the functions below.

CREATE FUNCTION queue.find_cycle(nodes integer, froms integer[], tos integer[]) RETURNS integer
LANGUAGE plpgsql IMMUTABLE SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    -- Edges of a node as a list: the first of each, and the next of each edge.
    firsts integer[] := array_fill(0, ARRAY[nodes]);
    nexts  integer[] := array_fill(0, ARRAY[coalesce(cardinality(froms), 0)]);
    needs  integer[] := array_fill(0, ARRAY[nodes]);
    free   integer[] := array_fill(0, ARRAY[nodes]);
    count  integer := 0;
    edge   integer;
    node   integer;
BEGIN
    FOR edge IN 1..coalesce(cardinality(froms), 0) LOOP
        nexts[edge] := firsts[froms[edge]];
        firsts[froms[edge]] := edge;
        needs[tos[edge]] := needs[tos[edge]] + 1;
    END LOOP;
    FOR node IN 1..nodes LOOP
        IF needs[node] = 0 THEN
            count := count + 1;
            free[count] := node;
        END IF;
    END LOOP;
    FOR nth IN 1..nodes LOOP
        IF nth > count THEN
            -- Whoever still needs somebody is on a cycle, or behind one: going back leads onto it.
            RETURN queue.step_back(needs, froms, tos);
        END IF;
        edge := firsts[free[nth]];
        WHILE edge <> 0 LOOP
            node := tos[edge];
            needs[node] := needs[node] - 1;
            IF needs[node] = 0 THEN
                count := count + 1;
                free[count] := node;
            END IF;
            edge := nexts[edge];
        END LOOP;
    END LOOP;
    RETURN NULL;
END $$;
COMMENT ON FUNCTION queue.find_cycle IS 'A node, counted from 1, that needs itself through others; null: none does.';

CREATE FUNCTION queue.step_back(needs integer[], froms integer[], tos integer[]) RETURNS integer
LANGUAGE plpgsql IMMUTABLE SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    backs integer[] := array_fill(0, ARRAY[cardinality(needs)]);
    node  integer;
BEGIN
    FOR edge IN 1..cardinality(froms) LOOP
        IF needs[froms[edge]] > 0 AND needs[tos[edge]] > 0 THEN
            backs[tos[edge]] := froms[edge];
            node := tos[edge];
        END IF;
    END LOOP;
    FOR step IN 1..cardinality(needs) LOOP
        node := backs[node];
    END LOOP;
    RETURN node;
END $$;
COMMENT ON FUNCTION queue.step_back IS 'Of nodes of which some need each other in a circle, one that is on it.';

CREATE FUNCTION queue.push_workflow(workflow jsonb) RETURNS uuid
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
#variable_conflict use_column
DECLARE
    workflow_id uuid := queue.new_id();
    names   text[];
    ids     uuid[];
    jobs    record;
    signals record;
    edges   record;
    circle  integer;
BEGIN
    PERFORM queue.check_workflow(workflow);
    SELECT array_agg(node ->> 'name' ORDER BY nth), array_agg(queue.new_id() ORDER BY nth) INTO names, ids
    FROM jsonb_array_elements(workflow -> 'nodes') WITH ORDINALITY AS n(node, nth);

    SELECT
        array_agg(e.needs ORDER BY e.job, e.needs) AS froms, array_agg(e.job ORDER BY e.job, e.needs) AS tos,
        array_agg(ids[e.needs] ORDER BY e.job, e.needs) AS needs, array_agg(ids[e.job] ORDER BY e.job, e.needs) AS jobs,
        array_agg(e.after ORDER BY e.job, e.needs) AS afters
    INTO edges
    FROM queue.edges_of(workflow) e;
    circle := queue.find_cycle(cardinality(names), edges.froms, edges.tos);
    IF circle IS NOT NULL THEN
        RAISE EXCEPTION 'node % needs itself through others', names[circle] USING ERRCODE = 'invalid_parameter_value';
    END IF;

    SELECT
        array_agg(g.name ORDER BY nth) AS names, array_agg(ids[nth] ORDER BY nth) AS ids,
        array_agg(g.kind ORDER BY nth) AS kinds,
        array_agg(coalesce(g.queue, k.queue) ORDER BY nth) AS queues,
        array_agg(coalesce(g.args, '{}') ORDER BY nth) AS args,
        array_agg(coalesce(g.priority, 0::smallint) ORDER BY nth) AS priorities,
        array_agg(coalesce(g.max_attempts, k.max_attempts) ORDER BY nth) AS max_attempts,
        array_agg(g.run_at ORDER BY nth) AS run_ats,
        array_agg(extract(epoch FROM g.delay)::float8 ORDER BY nth) AS delays,
        array_agg(g.owner ORDER BY nth) AS owners, array_agg(g.trace ORDER BY nth) AS traces,
        array_agg(g.key ORDER BY nth) AS keys, array_agg(g.tenant ORDER BY nth) AS tenants,
        array_agg(g.weight ORDER BY nth) AS weights
    INTO jobs
    FROM ROWS FROM (jsonb_to_recordset(workflow -> 'nodes') AS (
        name text, kind text, args jsonb, queue text, priority smallint, run_at timestamptz, delay interval,
        max_attempts smallint, owner uuid, trace text, key text, tenant text, weight smallint
    )) WITH ORDINALITY AS g(
        name, kind, args, queue, priority, run_at, delay, max_attempts, owner, trace, key, tenant, weight, nth
    )
    JOIN queue.kinds k ON k.kind = g.kind;
    SELECT
        array_agg(ids[nth] ORDER BY nth) AS ids, array_agg(g.name ORDER BY nth) AS names,
        array_agg(CASE WHEN g.timer IS NULL THEN 'signal' ELSE 'timer' END ORDER BY nth) AS sorts,
        array_agg(
            extract(epoch FROM coalesce(g.timer, g.or_after, g.or_lapse_after))::float8 ORDER BY nth
        ) AS seconds,
        array_agg(g.or_lapse_after IS NOT NULL ORDER BY nth) AS lapses
    INTO signals
    FROM ROWS FROM (jsonb_to_recordset(workflow -> 'nodes') AS (
        name text, kind text, timer interval, or_after interval, or_lapse_after interval
    )) WITH ORDINALITY AS g(name, kind, timer, or_after, or_lapse_after, nth)
    WHERE g.kind IS NULL;

    PERFORM queue.store_workflow(
        workflow_id, workflow ->> 'name', jobs.names, jobs.ids, jobs.kinds, jobs.queues, jobs.args, jobs.priorities,
        jobs.max_attempts, jobs.run_ats, jobs.delays, jobs.owners, jobs.traces, jobs.keys, jobs.tenants, jobs.weights,
        signals.ids, signals.names, signals.sorts, NULL, signals.seconds, signals.lapses,
        edges.needs, edges.jobs, edges.afters, NULL, NULL
    );
    RETURN workflow_id;
END $$;
COMMENT ON FUNCTION queue.push_workflow IS 'Pushes jobs that need each other: {"name", "nodes": [{"name", "kind" and the options of queue.push, "after", "after_end_of", "after_failure_of": [names]}, {"name", "signal": true, "or_after" or "or_lapse_after": interval}, {"name", "timer": interval}]}. Answers the workflow''s id.';

CREATE FUNCTION queue.check_workflow(workflow jsonb) RETURNS void
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    wrong text;
BEGIN
    IF jsonb_typeof(workflow -> 'name') IS DISTINCT FROM 'string'
        OR jsonb_typeof(workflow -> 'nodes') IS DISTINCT FROM 'array'
        OR jsonb_path_exists(workflow, 'strict $.nodes[*] ? (@.type() != "object")')
        OR NOT jsonb_path_exists(workflow, '$.nodes[*].kind')
    THEN
        RAISE EXCEPTION 'a workflow is an object with a name and nodes: objects, and at least one has a kind'
            USING ERRCODE = 'invalid_parameter_value';
    END IF;
    SELECT min(option) INTO wrong
    FROM jsonb_array_elements(workflow -> 'nodes') AS n(node), jsonb_object_keys(node) AS option
    WHERE option NOT IN ('name', 'kind', 'args', 'queue', 'priority', 'run_at', 'delay', 'max_attempts', 'owner', 'trace',
        'key', 'tenant', 'weight', 'after', 'after_end_of', 'after_failure_of', 'signal', 'timer', 'or_after', 'or_lapse_after');
    IF wrong IS NOT NULL THEN
        RAISE EXCEPTION 'a node has no option %', wrong USING ERRCODE = 'invalid_parameter_value', HINT =
            CASE WHEN wrong LIKE 'unique%' THEN 'The job that holds the key would not be part of the workflow.' END;
    END IF;
    SELECT min(coalesce(node ->> 'name', '(none)')) INTO wrong
    FROM jsonb_array_elements(workflow -> 'nodes') AS n(node)
    WHERE node ->> 'name' IS NULL OR num_nonnulls(node -> 'kind', node -> 'signal', node -> 'timer') <> 1
        OR coalesce(node -> 'signal', 'true') <> 'true'
        OR NOT node ? 'kind' AND node ?| '{args,after,after_end_of,after_failure_of}'
        OR NOT node ? 'signal' AND node ?| '{or_after,or_lapse_after}' OR node ?& '{or_after,or_lapse_after}';
    IF wrong IS NOT NULL THEN
        RAISE EXCEPTION 'node % has no name, or is not one of: a job, which has a kind; a signal; a timer', wrong
            USING ERRCODE = 'invalid_parameter_value';
    END IF;
    SELECT min(d.name) INTO wrong
    FROM (
        SELECT node ->> 'name' AS name FROM jsonb_array_elements(workflow -> 'nodes') AS n(node)
        GROUP BY 1 HAVING count(*) > 1
    ) d;
    IF wrong IS NOT NULL THEN
        RAISE EXCEPTION 'two nodes are named %', wrong USING ERRCODE = 'invalid_parameter_value';
    END IF;
    SELECT min(node ->> 'kind') INTO wrong
    FROM jsonb_array_elements(workflow -> 'nodes') AS n(node)
    WHERE node ? 'kind' AND NOT EXISTS (SELECT FROM queue.kinds k WHERE k.kind = node ->> 'kind');
    IF wrong IS NOT NULL THEN
        RAISE EXCEPTION 'unknown kind %', wrong USING ERRCODE = 'undefined_object';
    END IF;
    -- As much as a push from Rust takes.
    IF EXISTS (SELECT FROM jsonb_array_elements(workflow -> 'nodes') AS n(node) WHERE octet_length(node ->> 'args') > 262144) THEN
        RAISE EXCEPTION 'arguments have more than 262144 bytes' USING ERRCODE = 'program_limit_exceeded';
    END IF;
END $$;
COMMENT ON FUNCTION queue.check_workflow IS 'Refuses what cannot be meant; circles apart.';

CREATE FUNCTION queue.edges_of(workflow jsonb) RETURNS TABLE (needs integer, job integer, after text)
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $$
#variable_conflict use_column
DECLARE
    wrong record;
BEGIN
    RETURN QUERY
    WITH nodes AS MATERIALIZED (
        SELECT n.node, n.nth::integer AS nth, n.node ->> 'name' AS name
        FROM jsonb_array_elements(workflow -> 'nodes') WITH ORDINALITY AS n(node, nth)
    )
    SELECT o.nth, n.nth, a.after
    FROM nodes n
    CROSS JOIN (VALUES ('after', 'done'), ('after_end_of', 'ended'), ('after_failure_of', 'failed')) AS a(option, after)
    CROSS JOIN LATERAL jsonb_array_elements_text(n.node -> a.option) AS needed(name)
    JOIN nodes o ON o.name = needed.name;

    SELECT n.node ->> 'name' AS name, needed.name AS need, o.name AS found INTO wrong
    FROM jsonb_array_elements(workflow -> 'nodes') AS n(node)
    CROSS JOIN unnest('{after,after_end_of,after_failure_of}'::text[]) AS a(option)
    CROSS JOIN LATERAL jsonb_array_elements_text(n.node -> a.option) AS needed(name)
    LEFT JOIN (SELECT DISTINCT x ->> 'name' AS name FROM jsonb_array_elements(workflow -> 'nodes') AS x) o
        ON o.name = needed.name
    GROUP BY 1, 2, 3
    HAVING count(*) > 1 OR o.name IS NULL
    LIMIT 1;
    IF FOUND THEN
        RAISE EXCEPTION '% needs %, %', wrong.name, wrong.need,
            CASE WHEN wrong.found IS NULL THEN 'which is no node' ELSE 'and says so twice' END
            USING ERRCODE = 'invalid_parameter_value';
    END IF;
END $$;
COMMENT ON FUNCTION queue.edges_of IS 'What needs what, by place in the array of nodes.';

REVOKE ALL ON FUNCTION queue.find_cycle, queue.step_back, queue.push_workflow, queue.check_workflow, queue.edges_of FROM PUBLIC;
