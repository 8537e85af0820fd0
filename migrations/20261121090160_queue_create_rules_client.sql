-- Rules for those who operate: set them, and ask why a job does not run.
-- Owner: crates/queue. Locks: none, everything is new. Undo: DROP the functions below.

CREATE FUNCTION queue.set_rules(queue text, rules jsonb) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
#variable_conflict use_column
DECLARE
    wrong text;
    was   queue.queues;
    becomes queue.queues;
BEGIN
    SELECT min(name) INTO wrong FROM jsonb_object_keys(rules) AS name
    WHERE name NOT IN ('fair', 'concurrency', 'key_concurrency', 'per_second', 'burst', 'key_per_second', 'key_burst',
        'max_backlog', 'full_delay');
    IF wrong IS NOT NULL THEN
        RAISE EXCEPTION 'a queue has no rule %', wrong USING ERRCODE = 'invalid_parameter_value';
    END IF;
    INSERT INTO queue.queues (name) VALUES (set_rules.queue) ON CONFLICT (name) DO NOTHING;
    SELECT * INTO was FROM queue.queues q WHERE q.name = set_rules.queue FOR UPDATE;
    becomes := jsonb_populate_record(was, rules);
    UPDATE queue.queues q
    SET fair = coalesce(becomes.fair, false), concurrency = becomes.concurrency,
        key_concurrency = coalesce(becomes.key_concurrency, 1::smallint),
        per_second = becomes.per_second, burst = becomes.burst,
        key_per_second = becomes.key_per_second, key_burst = becomes.key_burst,
        max_backlog = becomes.max_backlog, full_delay = becomes.full_delay,
        ruled_since = CASE WHEN was.ruled THEN q.ruled_since ELSE now() END
    WHERE q.name = set_rules.queue;
    IF becomes.fair AND NOT was.fair THEN
        -- What was pushed before takes turns as well; what is just being pushed, at the next sweep.
        PERFORM queue.line_up(set_rules.queue);
    END IF;
    IF becomes.key_concurrency > was.key_concurrency THEN
        PERFORM queue.mend(set_rules.queue);
    END IF;
    PERFORM queue.wake(set_rules.queue);
END $$;
COMMENT ON FUNCTION queue.set_rules IS 'Changes rules of a queue: an object with columns of queue.queues; null takes a rule away. Claims heed it from the next on.';

CREATE FUNCTION queue.line_up(queue text) RETURNS bigint
LANGUAGE sql VOLATILE SET search_path = pg_catalog, pg_temp
BEGIN ATOMIC
    WITH lined AS (
        UPDATE queue.ready r SET tenant = coalesce(j.tenant, j.owner::text, '-')
        FROM queue.jobs j
        WHERE r.queue = line_up.queue AND r.tenant = '' AND j.id = r.job
            AND EXISTS (SELECT FROM queue.queues q WHERE q.name = line_up.queue AND q.fair)
        RETURNING 1
    ),
    lined_waiting AS (
        UPDATE queue.waiting w SET tenant = coalesce(j.tenant, j.owner::text, '-')
        FROM queue.jobs j
        WHERE w.queue = line_up.queue AND w.tenant = '' AND j.id = w.job
            AND EXISTS (SELECT FROM queue.queues q WHERE q.name = line_up.queue AND q.fair)
        RETURNING 1
    )
    SELECT (SELECT count(*) FROM lined) + (SELECT count(*) FROM lined_waiting);
END;
COMMENT ON FUNCTION queue.line_up IS 'Gives jobs of a fair queue their tenant, where they were pushed before it was fair.';

CREATE FUNCTION queue.set_limit(
    queue text, key text, concurrency integer DEFAULT NULL, per_second float8 DEFAULT NULL, burst integer DEFAULT NULL
) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    IF concurrency IS NULL AND per_second IS NULL AND burst IS NULL THEN
        DELETE FROM queue.limits l WHERE l.queue = set_limit.queue AND l.key = set_limit.key;
    ELSE
        INSERT INTO queue.limits AS l (queue, key, concurrency, per_second, burst)
        VALUES (set_limit.queue, set_limit.key, set_limit.concurrency, set_limit.per_second, set_limit.burst)
        ON CONFLICT ON CONSTRAINT limits_pkey DO UPDATE
        SET concurrency = excluded.concurrency, per_second = excluded.per_second, burst = excluded.burst;
    END IF;
    PERFORM queue.mend(set_limit.queue);
    PERFORM queue.wake(set_limit.queue);
END $$;
COMMENT ON FUNCTION queue.set_limit IS 'What one key of a queue may do, instead of what all may; all null: as all.';

CREATE FUNCTION queue.set_share(queue text, tenant text, weight integer) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    IF weight IS NULL THEN
        DELETE FROM queue.shares s WHERE s.queue = set_share.queue AND s.tenant = set_share.tenant;
    ELSE
        INSERT INTO queue.shares AS s (queue, tenant, weight)
        VALUES (set_share.queue, set_share.tenant, set_share.weight)
        ON CONFLICT ON CONSTRAINT shares_pkey DO UPDATE SET weight = excluded.weight;
    END IF;
END $$;
COMMENT ON FUNCTION queue.set_share IS 'How many jobs a tenant of a fair queue starts at its turn; null: one, as everybody.';

CREATE FUNCTION queue.holders_of(a_queue text, a_key text, at_most integer) RETURNS uuid[]
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp
BEGIN ATOMIC
    SELECT array_agg(h.job) FROM (
        SELECT u.job
        FROM queue.leases l
        CROSS JOIN LATERAL unnest(l.jobs, l.keys) AS u(job, key)
        WHERE l.queue = a_queue AND u.key = a_key
            AND (SELECT r.token FROM queue.runs r WHERE r.job = u.job AND r.token = l.token) IS NULL
        UNION ALL
        SELECT s.job FROM queue.scheduled s WHERE s.holds AND s.queue = a_queue AND s.key = a_key
        UNION ALL
        SELECT r.job FROM queue.ready r WHERE r.priority < -100 AND r.queue = a_queue AND r.key = a_key
        LIMIT at_most
    ) h;
END;
COMMENT ON FUNCTION queue.holders_of IS 'Jobs that hold places among those with a key: they run, are about to, or wait for their next attempt.';

CREATE FUNCTION queue.why(id uuid) RETURNS TABLE (reason text, detail text, jobs uuid[], until timestamptz)
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
#variable_conflict use_column
DECLARE
    max_jobs constant integer := 10;
    asked    queue.jobs;
    place    queue.job_states;
    rules    queue.queues;
    tokens   float8;
    n        bigint;
BEGIN
    SELECT * INTO asked FROM queue.jobs j WHERE j.id = why.id;
    SELECT * INTO place FROM queue.job_states s WHERE s.id = why.id;
    SELECT * INTO rules FROM queue.queues q WHERE q.name = asked.queue;
    IF place.state IS NULL OR place.state NOT IN ('scheduled', 'ready', 'waiting') THEN
        RETURN QUERY SELECT place.state, NULL::text, NULL::uuid[], NULL::timestamptz WHERE place.state IS NOT NULL;
        RETURN;
    END IF;
    IF rules.paused THEN
        RETURN QUERY SELECT 'paused', 'its queue is paused since ' || rules.changed_at, NULL::uuid[], NULL::timestamptz;
    END IF;
    IF place.state = 'scheduled' THEN
        RETURN QUERY SELECT 'scheduled', 'it may start at ' || place.run_at, NULL::uuid[], place.run_at;
    ELSIF place.state = 'waiting' AND asked.key IS NOT NULL THEN
        RETURN QUERY
        SELECT
            'key', format('of the jobs with its key %s may run at a time, and these hold %s',
                queue.key_concurrency(asked.queue, asked.key),
                CASE WHEN cardinality(h.jobs) = 1 THEN 'the place' ELSE 'the places' END),
            h.jobs, NULL::timestamptz
        FROM (SELECT coalesce(queue.holders_of(asked.queue, asked.key, max_jobs), '{}') AS jobs) h;
    END IF;
    IF place.state = 'ready' THEN
        IF rules.concurrency IS NOT NULL THEN
            n := queue.running_in(asked.queue);
            RETURN QUERY SELECT 'concurrency', format('%s jobs of its queue run, and %s may', n, rules.concurrency),
                NULL::uuid[], NULL::timestamptz WHERE n >= rules.concurrency;
        END IF;
        IF rules.per_second IS NOT NULL THEN
            SELECT queue.tokens_at(clock_timestamp(), t.tokens, t.filled_at, rules.per_second,
                queue.default_burst(rules.per_second, rules.burst))
            INTO tokens FROM queue.turns t WHERE t.queue = asked.queue;
            RETURN QUERY SELECT 'rate', format('%s jobs of its queue may start in a second', rules.per_second),
                NULL::uuid[], clock_timestamp() + make_interval(secs => (1 - tokens) / rules.per_second) WHERE tokens < 1;
        END IF;
        SELECT count(*) INTO n FROM (
            SELECT FROM queue.ready r
            JOIN queue.ready own ON own.queue = asked.queue
                AND own.priority IN (asked.priority, asked.priority - 1000) AND own.job = asked.id
            WHERE r.queue = asked.queue AND (r.priority, r.seq) < (own.priority, own.seq)
            LIMIT 10001
        ) before;
        RETURN QUERY SELECT 'behind', CASE WHEN n > 10000 THEN 'more than 10000 jobs are before it'
            ELSE format('%s jobs are before it', n) END, NULL::uuid[], NULL::timestamptz WHERE n > 0;
    END IF;
    RETURN QUERY
    SELECT 'no_worker', coalesce('no worker of its queue has been seen since ' || max(w.seen_at), 'no worker of its queue has ever been seen'),
        NULL::uuid[], NULL::timestamptz
    FROM queue.workers w WHERE asked.queue = ANY (w.queues)
    HAVING NOT queue.is_served(asked.queue);
END $$;
COMMENT ON FUNCTION queue.why IS 'Why a job does not run: paused, scheduled, key, waits, concurrency, rate, behind, no_worker, each with what is to be known of it; or the state of a job that runs or has ended. No row: there is no such job. Nothing in its way: no row but for a moment.';

CREATE FUNCTION queue.is_served(queue text) RETURNS boolean
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp
BEGIN ATOMIC
    SELECT EXISTS (
        -- An idle worker holds this lock; a busy one has leases.
        SELECT FROM pg_locks p
        WHERE p.locktype = 'advisory' AND p.classid::bigint = 1111834948 AND p.objsubid = 2
            AND p.objid::bigint = (hashtext(is_served.queue)::bigint & 4294967295)
            AND p.database = (SELECT d.oid FROM pg_database d WHERE d.datname = current_database())
    ) OR EXISTS (
        SELECT FROM queue.workers w
        WHERE is_served.queue = ANY (w.queues) AND (
            w.seen_at > now() - interval '10 minutes' AND w.stopped_at IS NULL
            OR EXISTS (SELECT FROM queue.leases l WHERE l.worker = w.id AND l.expires_at > now())
        )
    );
END;
COMMENT ON FUNCTION queue.is_served IS 'Whether some worker is there for a queue. That of a worker that died is known after ten minutes.';

REVOKE ALL ON FUNCTION queue.set_rules, queue.line_up, queue.set_limit, queue.set_share, queue.holders_of, queue.why, queue.is_served
    FROM PUBLIC;
