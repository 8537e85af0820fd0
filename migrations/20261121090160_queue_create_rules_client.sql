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
    IF jsonb_typeof(rules) IS DISTINCT FROM 'object' THEN
        RAISE EXCEPTION 'rules are a JSON object' USING ERRCODE = 'invalid_parameter_value';
    END IF;
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
        ruled_since = CASE WHEN was.ruled THEN q.ruled_since ELSE 'infinity' END,
        fair_since = CASE WHEN becomes.fair THEN CASE WHEN was.fair THEN q.fair_since ELSE now() END END
    WHERE q.name = set_rules.queue;
    IF becomes.fair AND NOT was.fair THEN
        -- What was pushed before takes turns as well; what is just being pushed, at the next sweep.
        PERFORM queue.line_up(set_rules.queue, also_later => true);
    END IF;
    IF becomes.key_concurrency > was.key_concurrency THEN
        PERFORM queue.mend(set_rules.queue);
    END IF;
    IF (becomes.key_per_second, becomes.key_burst) IS DISTINCT FROM (was.key_per_second, was.key_burst) THEN
        PERFORM queue.judge_again(set_rules.queue, NULL);
    END IF;
    PERFORM queue.wake(set_rules.queue);
END $$;
COMMENT ON FUNCTION queue.set_rules IS 'Changes rules of a queue: an object with columns of queue.queues; null takes a rule away. Claims heed it from the next on. The queue may start nothing until the transaction has ended.';

-- As a claim that lets jobs wait: a claim would wait for our rows and we for its, and whoever gave a key up
-- would pass over a job that waits for it, because we have a hand on it.
CREATE FUNCTION queue.line_up(a_queue text, also_later boolean DEFAULT false) RETURNS bigint
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    lined bigint;
BEGIN
    IF NOT EXISTS (SELECT FROM queue.queues q WHERE q.name = a_queue AND q.fair) THEN
        RETURN 0;
    END IF;
    -- Nobody who claims need wait for a look.
    IF NOT also_later AND NOT EXISTS (SELECT FROM queue.ready r WHERE r.queue = a_queue AND r.tenant = '') THEN
        RETURN 0;
    END IF;
    PERFORM pg_advisory_xact_lock(1111834949, hashtext(a_queue));
    IF also_later THEN
        PERFORM pg_advisory_xact_lock(1111834950, hashtext(a_queue));
        UPDATE queue.scheduled s SET tenant = coalesce(j.tenant, j.owner::text, '-')
        FROM queue.jobs j WHERE s.queue = a_queue AND s.tenant = '' AND j.id = s.job;
        UPDATE queue.waiting w SET tenant = coalesce(j.tenant, j.owner::text, '-')
        FROM queue.jobs j WHERE w.queue = a_queue AND w.tenant = '' AND j.id = w.job;
    END IF;
    UPDATE queue.ready r SET tenant = coalesce(j.tenant, j.owner::text, '-')
    FROM queue.jobs j WHERE r.queue = a_queue AND r.tenant = '' AND j.id = r.job;
    GET DIAGNOSTICS lined = ROW_COUNT;
    RETURN lined;
END $$;
COMMENT ON FUNCTION queue.line_up IS 'Gives jobs of a fair queue their tenant, where they were pushed before it was fair; also those that cannot start yet. Answers how many that can have one now.';

CREATE FUNCTION queue.judge_again(a_queue text, a_key text) RETURNS void
LANGUAGE sql VOLATILE SET search_path = pg_catalog, pg_temp
BEGIN ATOMIC
    -- Of what holds a place and has never run, nothing but a rate says when it may start.
    UPDATE queue.scheduled s SET run_at = now()
    WHERE s.holds AND s.queue = a_queue AND (a_key IS NULL OR s.key = a_key) AND s.run_at > now()
        AND NOT EXISTS (SELECT FROM queue.runs r WHERE r.job = s.job);
END;
COMMENT ON FUNCTION queue.judge_again IS 'Lets claims say anew when jobs may start that a rate of their key has put off; key null: of all keys.';

CREATE FUNCTION queue.set_limit(
    queue text, key text, concurrency integer DEFAULT NULL, per_second float8 DEFAULT NULL, burst integer DEFAULT NULL
) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    -- So that the name is one of a queue, and the list of queues shows it.
    INSERT INTO queue.queues (name) VALUES (set_limit.queue) ON CONFLICT (name) DO NOTHING;
    IF concurrency IS NULL AND per_second IS NULL AND burst IS NULL THEN
        DELETE FROM queue.limits l WHERE l.queue = set_limit.queue AND l.key = set_limit.key;
    ELSE
        INSERT INTO queue.limits AS l (queue, key, concurrency, per_second, burst)
        VALUES (set_limit.queue, set_limit.key, set_limit.concurrency, set_limit.per_second, set_limit.burst)
        ON CONFLICT ON CONSTRAINT limits_pkey DO UPDATE
        SET concurrency = excluded.concurrency, per_second = excluded.per_second, burst = excluded.burst;
    END IF;
    PERFORM queue.mend(set_limit.queue);
    PERFORM queue.judge_again(set_limit.queue, set_limit.key);
    PERFORM queue.wake(set_limit.queue);
END $$;
COMMENT ON FUNCTION queue.set_limit IS 'What one key of a queue may do, instead of what all may; all null: as all.';

CREATE FUNCTION queue.set_share(queue text, tenant text, weight integer) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    INSERT INTO queue.queues (name) VALUES (set_share.queue) ON CONFLICT (name) DO NOTHING;
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
        CROSS JOIN LATERAL unnest(l.jobs, l.keys) AS u(job, hash)
        WHERE l.queue = a_queue AND u.hash = hashtext(a_key)
            AND (SELECT j.key FROM queue.jobs j WHERE j.id = u.job) = a_key
            AND (SELECT r.token FROM queue.runs r WHERE r.job = u.job AND r.token = l.token) IS NULL
        UNION ALL
        SELECT s.job FROM queue.scheduled s WHERE s.holds AND s.queue = a_queue AND s.key = a_key
        UNION ALL
        SELECT r.job FROM queue.ready r WHERE r.priority < -100 AND r.queue = a_queue AND r.key = a_key
        LIMIT at_most
    ) h;
END;
COMMENT ON FUNCTION queue.holders_of IS 'Jobs that hold places among those with a key: they run, are about to, or wait for their next attempt.';

CREATE FUNCTION queue.moment(at timestamptz) RETURNS text
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp
RETURN to_char(at AT TIME ZONE 'UTC', 'YYYY-MM-DD HH24:MI:SS"Z"');
COMMENT ON FUNCTION queue.moment IS 'A time as people read it, whatever the zone of the session.';

CREATE FUNCTION queue.jobs_before(asked queue.jobs, is_fair boolean, at_most integer) RETURNS bigint
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp
BEGIN ATOMIC
    SELECT count(*) FROM (
        SELECT
        FROM (
            SELECT r.priority, r.seq, r.tenant FROM queue.ready r
            WHERE r.queue = (asked).queue AND r.priority IN ((asked).priority, (asked).priority - 1000) AND r.job = (asked).id
            LIMIT 1
        ) own
        JOIN queue.ready r ON r.queue = (asked).queue AND (r.priority, r.seq) < (own.priority, own.seq)
            AND (is_fair IS NOT TRUE OR r.tenant = own.tenant)
        UNION ALL
        SELECT
        FROM queue.waiting own
        JOIN queue.waiting w ON w.queue = own.queue AND w.key = own.key AND (w.priority, w.seq) < (own.priority, own.seq)
        WHERE own.queue = (asked).queue AND own.key = (asked).key AND own.job = (asked).id
        LIMIT at_most
    ) b;
END;
COMMENT ON FUNCTION queue.jobs_before IS 'How many jobs come before one that could start, or that waits for its key; counted up to a number.';

CREATE FUNCTION queue.why_not_waiting(asked queue.jobs, place queue.job_states)
RETURNS TABLE (reason text, detail text, jobs uuid[], until timestamptz)
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp
BEGIN ATOMIC
    SELECT
        (place).state,
        CASE (place).state
            WHEN 'running' THEN (
                SELECT format('%s took it at %s, for attempt %s', w.name, queue.moment(l.leased_at), (place).attempt)
                FROM queue.leases l JOIN queue.workers w ON w.id = l.worker
                WHERE (asked).id = ANY (l.jobs) ORDER BY l.token DESC LIMIT 1
            )
            WHEN 'pruned' THEN 'it ended so long ago that its history has been dropped'
            ELSE format('it ended at %s', queue.moment((place).ended_at)) || coalesce(': ' || (place).error, '')
        END,
        NULL::uuid[], NULL::timestamptz
    WHERE (place).state NOT IN ('scheduled', 'ready', 'waiting');
END;
COMMENT ON FUNCTION queue.why_not_waiting IS 'The state of a job that runs or has ended, and what is to be known of it.';

CREATE FUNCTION queue.why_key(asked queue.jobs, place queue.job_states)
RETURNS TABLE (reason text, detail text, jobs uuid[], until timestamptz)
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp
BEGIN ATOMIC
    SELECT
        'key', format('of the jobs with its key %s run at a time at most', k.places)
            || CASE WHEN (place).state = 'waiting' THEN format(', and %s that wait are before it', k.before) ELSE '' END,
        k.holders, NULL::timestamptz
    FROM (
        SELECT
            queue.key_concurrency((asked).queue, (asked).key) AS places,
            (SELECT t.leased + t.promised FROM queue.places_taken((asked).queue, ARRAY[(asked).key]) t) AS taken,
            coalesce(queue.holders_of((asked).queue, (asked).key, 10), '{}') AS holders,
            queue.jobs_before(asked, NULL, 10001) AS before
    ) k
    WHERE (place).state = 'waiting'
        OR (place).state = 'ready' AND (asked).key IS NOT NULL AND k.taken >= k.places
            -- It may have a place already.
            AND NOT EXISTS (
                SELECT FROM queue.ready r
                WHERE r.priority < -100 AND r.queue = (asked).queue AND r.key = (asked).key AND r.job = (asked).id
            );
END;
COMMENT ON FUNCTION queue.why_key IS 'Whether others hold the key of a job: which, up to ten of them.';

CREATE FUNCTION queue.why_queue(asked queue.jobs, rules queue.queues, before bigint)
RETURNS TABLE (reason text, detail text, jobs uuid[], until timestamptz)
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp
BEGIN ATOMIC
    SELECT
        'concurrency', format('%s jobs of its queue run, and %s may', c.running, (rules).concurrency),
        NULL::uuid[], NULL::timestamptz
    FROM (SELECT queue.running_in((asked).queue) AS running WHERE (rules).concurrency IS NOT NULL) c
    WHERE c.running >= (rules).concurrency
    UNION ALL
    SELECT
        'rate', format('%s jobs of its queue start in a second at most, by their weights', (rules).per_second),
        NULL, clock_timestamp() + make_interval(secs => (b.need - b.tokens) / (rules).per_second)
    FROM (
        SELECT
            queue.tokens_at(clock_timestamp(), t.tokens, t.filled_at, (rules).per_second, d.burst) AS tokens,
            CASE WHEN before = 0 THEN least(coalesce((asked).weight, 1), d.burst) ELSE 1 END AS need
        FROM queue.turns t
        CROSS JOIN LATERAL (SELECT queue.default_burst((rules).per_second, (rules).burst) AS burst) d
        WHERE t.queue = (asked).queue AND (rules).per_second IS NOT NULL
    ) b
    WHERE b.tokens < b.need - 0.000001;
END;
COMMENT ON FUNCTION queue.why_queue IS 'Which rules of its queue keep a job from starting; a rate: until the next of the queue may start.';

CREATE FUNCTION queue.why_blocked(asked queue.jobs)
RETURNS TABLE (reason text, detail text, jobs uuid[], until timestamptz)
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp
BEGIN ATOMIC
    SELECT
        'waits',
        format('it waits for %s of its workflow: ', (SELECT count(*) FROM queue.dependencies d WHERE d.job = b.job))
            || (SELECT string_agg(n.name, ', ' ORDER BY n.name) FROM queue.nodes n WHERE n.job = ANY (f.needs)),
        f.needs, NULL::timestamptz
    FROM queue.blocked b
    CROSS JOIN LATERAL (
        SELECT ARRAY(SELECT d.needs FROM queue.dependencies d WHERE d.job = b.job ORDER BY d.needs LIMIT 10) AS needs
    ) f
    WHERE b.job = (asked).id;
END;
COMMENT ON FUNCTION queue.why_blocked IS 'Whether a job waits for others of its workflow, or for signals and times: which, up to ten of them.';
CREATE FUNCTION queue.why(id uuid) RETURNS TABLE (reason text, detail text, jobs uuid[], until timestamptz)
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
#variable_conflict use_column
DECLARE
    max_before constant integer := 10000;
    asked      queue.jobs;
    place      queue.job_states;
    rules      queue.queues;
    before     bigint;
    answered   boolean := false;
BEGIN
    SELECT * INTO asked FROM queue.jobs j WHERE j.id = why.id;
    SELECT * INTO place FROM queue.job_states s WHERE s.id = why.id;
    SELECT * INTO rules FROM queue.queues q WHERE q.name = asked.queue;
    RETURN QUERY SELECT * FROM queue.why_not_waiting(asked, place);
    IF FOUND OR place.state IS NULL THEN
        RETURN;
    END IF;
    IF rules.paused THEN
        answered := true;
        RETURN QUERY SELECT 'paused', 'its queue is paused since ' || queue.moment(rules.changed_at), NULL::uuid[], NULL::timestamptz;
    END IF;
    IF place.state = 'scheduled' THEN
        answered := true;
        RETURN QUERY
        SELECT
            CASE WHEN s.rated THEN 'key_rate' ELSE 'scheduled' END,
            CASE WHEN s.rated THEN 'the rate of its key lets it start at ' ELSE 'it may start at ' END || queue.moment(place.run_at),
            NULL::uuid[], place.run_at
        FROM (
            -- As queue.judge_again tells them.
            SELECT EXISTS (SELECT FROM queue.scheduled s WHERE s.job = why.id AND s.holds)
                AND NOT EXISTS (SELECT FROM queue.runs r WHERE r.job = why.id) AS rated
        ) s;
    ELSIF EXISTS (SELECT FROM queue.blocked b WHERE b.job = why.id) THEN
        answered := true;
        RETURN QUERY SELECT * FROM queue.why_blocked(asked);
    ELSE
        before := queue.jobs_before(asked, rules.fair, max_before + 1);
        RETURN QUERY SELECT * FROM queue.why_key(asked, place);
        answered := answered OR FOUND;
        RETURN QUERY SELECT * FROM queue.why_queue(asked, rules, before);
        answered := answered OR FOUND;
        IF place.state = 'ready' AND before > 0 THEN
            answered := true;
            RETURN QUERY
            SELECT 'behind',
                CASE WHEN before > max_before THEN 'more than ' || max_before ELSE before::text END || ' jobs'
                    || CASE WHEN rules.fair THEN ' of its tenant' ELSE '' END || ' are before it',
                NULL::uuid[], NULL::timestamptz;
        END IF;
    END IF;
    RETURN QUERY
    SELECT 'no_worker', coalesce('no worker of its queue has been seen since ' || queue.moment(max(w.seen_at)), 'no worker of its queue has ever been seen'),
        NULL::uuid[], NULL::timestamptz
    FROM queue.workers w WHERE asked.queue = ANY (w.queues)
    HAVING NOT queue.is_served(asked.queue);
    IF NOT FOUND AND NOT answered THEN
        RETURN QUERY SELECT 'ready', 'nothing is in its way: a claim is about to take it', NULL::uuid[], NULL::timestamptz;
    END IF;
END $$;
COMMENT ON FUNCTION queue.why IS 'Why a job does not run, everything that is in its way: paused, scheduled, waits, key, key_rate, concurrency, rate, behind, no_worker; ready when nothing is; or the state of a job that runs or has ended. No row: there is no such job.';

CREATE FUNCTION queue.is_served(queue text) RETURNS boolean
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp
BEGIN ATOMIC
    SELECT EXISTS (
        -- An idle worker shares this lock; a push that tries it has it for itself. A busy one has leases.
        SELECT FROM pg_locks p
        WHERE p.locktype = 'advisory' AND p.granted AND p.mode = 'ShareLock' AND p.classid::bigint = 1111834948 AND p.objsubid = 2
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

REVOKE ALL ON FUNCTION queue.set_rules, queue.line_up, queue.judge_again, queue.set_limit, queue.set_share, queue.holders_of,
    queue.moment, queue.jobs_before, queue.why_not_waiting, queue.why_key, queue.why_blocked, queue.why_queue, queue.why, queue.is_served
    FROM PUBLIC;
