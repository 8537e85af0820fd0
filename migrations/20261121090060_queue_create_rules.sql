-- Rules of queues: limits by key and over all, rates, fair shares, a bound on what waits.
-- Owner: crates/queue. Locks: none, everything is new.
-- Undo: DROP TABLE queue.limits, queue.shares, queue.buckets, queue.turns; DROP the functions below.

CREATE TABLE queue.limits (
    queue       text COLLATE "C" NOT NULL,
    key         text COLLATE "C" NOT NULL CONSTRAINT ck_limits_key CHECK (char_length(key) BETWEEN 1 AND 255),
    concurrency smallint CONSTRAINT ck_limits_concurrency CHECK (concurrency BETWEEN 1 AND 10000),
    per_second  float8   CONSTRAINT ck_limits_per_second CHECK (per_second BETWEEN 0.00001 AND 1000000),
    burst       integer  CONSTRAINT ck_limits_burst CHECK (burst BETWEEN 1 AND 1000000),
    CONSTRAINT limits_pkey PRIMARY KEY (queue, key)
);
COMMENT ON TABLE queue.limits IS 'What an operator has said about one key of a queue; null: as for all keys of it.';

CREATE TABLE queue.shares (
    queue  text COLLATE "C" NOT NULL,
    tenant text COLLATE "C" NOT NULL CONSTRAINT ck_shares_tenant CHECK (char_length(tenant) BETWEEN 1 AND 255),
    weight smallint NOT NULL CONSTRAINT ck_shares_weight CHECK (weight BETWEEN 1 AND 1000),
    CONSTRAINT shares_pkey PRIMARY KEY (queue, tenant)
);
COMMENT ON TABLE queue.shares IS 'How many jobs a tenant starts at its turn; without a row, one.';

CREATE TABLE queue.turns (
    queue     text COLLATE "C" NOT NULL CONSTRAINT turns_pkey PRIMARY KEY,
    tenant    text COLLATE "C" NOT NULL DEFAULT '',
    credit    smallint    NOT NULL DEFAULT 0,
    tokens    float8      NOT NULL DEFAULT 0,
    filled_at timestamptz NOT NULL DEFAULT '-infinity'
);
COMMENT ON TABLE queue.turns IS 'Where a queue with rules stands. Written once for each claim at most, by whoever has the turn to claim.';
COMMENT ON COLUMN queue.turns.tenant IS 'Whose turn it was last, and how many more jobs it may start.';
COMMENT ON COLUMN queue.turns.tokens IS 'How many jobs the rate let start, at filled_at.';
ALTER TABLE queue.turns SET (fillfactor = 50, autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 1000);

CREATE TABLE queue.buckets (
    queue     text COLLATE "C" NOT NULL,
    key       text COLLATE "C" NOT NULL,
    tokens    float8      NOT NULL,
    filled_at timestamptz NOT NULL,
    CONSTRAINT buckets_pkey PRIMARY KEY (queue, key)
);
COMMENT ON TABLE queue.buckets IS 'As the tokens of queue.turns, for keys with a rate. A bucket that is full again may go.';
ALTER TABLE queue.buckets SET (fillfactor = 70, autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 1000);

-- Keys -------------------------------------------------------------------------------------------

-- Whoever lets a job wait for a key has looked who holds it; whoever gives a key up has looked who
-- waits. Neither may miss the other: the first locks the gate of the queue for itself and looks again,
-- the others share it, and look when they have it.
CREATE FUNCTION queue.share_gate(queue text) RETURNS void
LANGUAGE sql VOLATILE SET search_path = pg_catalog, pg_temp
RETURN pg_advisory_xact_lock_shared(1111834950, hashtext(queue));
COMMENT ON FUNCTION queue.share_gate IS 'Waits until nobody is about to let jobs of the queue wait for a key, and keeps it so for this transaction.';

CREATE FUNCTION queue.share_gates(queues text[]) RETURNS boolean
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    PERFORM queue.share_gate(g.queue)
    FROM (SELECT DISTINCT q AS queue FROM unnest(queues) AS q WHERE q IS NOT NULL ORDER BY q) g;
    RETURN EXISTS (SELECT FROM queue.waiting WHERE waiting.queue = ANY (queues));
END $$;
COMMENT ON FUNCTION queue.share_gates IS 'The same for several queues; says whether any job waits for a key there.';

CREATE FUNCTION queue.key_concurrency(queue text, key text) RETURNS smallint
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp
BEGIN ATOMIC
    SELECT coalesce(
        (SELECT l.concurrency FROM queue.limits l WHERE l.queue = key_concurrency.queue AND l.key = key_concurrency.key),
        (SELECT q.key_concurrency FROM queue.queues q WHERE q.name = key_concurrency.queue),
        1::smallint
    );
END;
COMMENT ON FUNCTION queue.key_concurrency IS 'How many jobs with a key may run at a time.';

CREATE FUNCTION queue.lane_of(job queue.jobs) RETURNS text
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp
BEGIN ATOMIC
    SELECT CASE
        WHEN EXISTS (SELECT FROM queue.queues q WHERE q.name = (job).queue AND q.fair)
            THEN coalesce((job).tenant, (job).owner::text, '-')
        ELSE ''
    END;
END;
COMMENT ON FUNCTION queue.lane_of IS 'What queue.ready says of a job''s tenant.';

CREATE FUNCTION queue.tenant_of(id uuid) RETURNS text
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp
BEGIN ATOMIC
    SELECT queue.lane_of(j) FROM queue.jobs j WHERE j.id = tenant_of.id;
END;
COMMENT ON FUNCTION queue.tenant_of IS 'The same, for a statement that seldom needs it: the days of queue.jobs are opened at the call only.';

CREATE FUNCTION queue.pass_on(queues text[], keys text[]) RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    told text[];
BEGIN
    IF NOT queue.share_gates(queues) THEN
        RETURN;
    END IF;
    WITH given AS (
        SELECT g.queue, g.key, count(*) AS places FROM unnest(queues, keys) AS g(queue, key) GROUP BY g.queue, g.key
    ),
    next AS MATERIALIZED (
        SELECT w.row_id
        FROM given g
        CROSS JOIN LATERAL (
            SELECT ctid AS row_id FROM queue.waiting
            WHERE waiting.queue = g.queue AND waiting.key = g.key
            ORDER BY priority, seq
            LIMIT g.places
            FOR UPDATE SKIP LOCKED
        ) w
    ),
    moved AS (
        DELETE FROM queue.waiting WHERE ctid = ANY (ARRAY(SELECT row_id FROM next)) RETURNING *
    ),
    promised AS (
        INSERT INTO queue.ready (queue, priority, job, attempt, max_attempts, key, tenant, since)
        SELECT queue, priority - 1000, job, attempt, max_attempts, key, tenant, since
        FROM moved ORDER BY priority, seq
        RETURNING queue
    )
    SELECT array_agg(DISTINCT queue) INTO told FROM promised;
    PERFORM queue.wake(t.queue) FROM unnest(told) AS t(queue);
END $$;
COMMENT ON FUNCTION queue.pass_on IS 'Gives places among the jobs of a key, one for each entry, to those that wait for it longest.';

CREATE FUNCTION queue.mend(a_queue text) RETURNS bigint
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    free_queues text[];
    free_keys   text[];
BEGIN
    -- As a claim that lets jobs wait: nobody takes or gives up a place meanwhile.
    PERFORM pg_advisory_xact_lock(1111834949, hashtext(a_queue));
    PERFORM pg_advisory_xact_lock(1111834950, hashtext(a_queue));
    WITH keys AS MATERIALIZED (
        SELECT key, count(*) AS waiting FROM queue.waiting WHERE queue = a_queue GROUP BY key
    ),
    free AS (
        SELECT k.key, least(k.waiting, queue.key_concurrency(a_queue, k.key) - coalesce(u.leased + u.promised, 0)) AS places
        FROM keys k
        LEFT JOIN queue.places_taken(a_queue, ARRAY(SELECT key FROM keys)) u ON u.key = k.key
    )
    SELECT array_agg(a_queue), array_agg(key) INTO free_queues, free_keys
    FROM free CROSS JOIN LATERAL generate_series(1, places);
    IF free_keys IS NOT NULL THEN
        PERFORM queue.pass_on(free_queues, free_keys);
    END IF;
    RETURN coalesce(cardinality(free_keys), 0);
END $$;
COMMENT ON FUNCTION queue.mend IS 'Finds places among the jobs of a key that nobody was given, as after a limit was raised; answers how many.';

CREATE FUNCTION queue.places_taken(a_queue text, some_keys text[])
RETURNS TABLE (key text, leased bigint, promised bigint)
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp
BEGIN ATOMIC
    SELECT t.key, sum(t.leased), sum(t.promised)
    FROM (
        -- Hashed, because it is no join; and a look-up in the history for each that is left, because an
        -- anti-join would read all of it.
        SELECT k.key, 1 AS leased, 0 AS promised
        FROM queue.leases l
        CROSS JOIN LATERAL unnest(l.jobs, l.keys) AS u(job, hash)
        CROSS JOIN LATERAL (SELECT (SELECT j.key FROM queue.jobs j WHERE j.id = u.job) AS key OFFSET 0) k
        WHERE l.queue = a_queue AND (u.hash IN (SELECT hashtext(k) FROM unnest(some_keys) AS k)) IS TRUE
            AND (SELECT r.token FROM queue.runs r WHERE r.job = u.job AND r.token = l.token) IS NULL
            AND (k.key IN (SELECT k FROM unnest(some_keys) AS k)) IS TRUE
        UNION ALL
        SELECT s.key, 1, 0
        FROM unnest(some_keys) AS k(key)
        JOIN queue.scheduled s ON s.holds AND s.queue = a_queue AND s.key = k.key
        WHERE EXISTS (SELECT FROM queue.scheduled any_one WHERE any_one.holds AND any_one.queue = a_queue)
        UNION ALL
        SELECT r.key, 0, 1
        FROM unnest(some_keys) AS k(key)
        JOIN queue.ready r ON r.priority < -100 AND r.queue = a_queue AND r.key = k.key
        WHERE EXISTS (SELECT FROM queue.ready any_one WHERE any_one.priority < -100 AND any_one.queue = a_queue)
    ) t
    GROUP BY t.key;
END;
COMMENT ON FUNCTION queue.places_taken IS 'How many jobs of each key hold a place: those that run or wait for their next attempt, and those that are about to be claimed. Each key is given once.';

CREATE FUNCTION queue.are_free(a_queue text, hashes integer[]) RETURNS boolean
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp
BEGIN ATOMIC
    SELECT cardinality(hashes) = (SELECT count(DISTINCT h) FROM unnest(hashes) AS h)
        AND NOT EXISTS (SELECT FROM queue.scheduled s WHERE s.holds AND s.queue = a_queue)
        AND NOT EXISTS (SELECT FROM queue.ready r WHERE r.priority < -100 AND r.queue = a_queue)
        AND NOT EXISTS (
            SELECT FROM (SELECT unnest(l.keys) AS hash FROM queue.leases l WHERE l.queue = a_queue) held
            WHERE (held.hash IN (SELECT h FROM unnest(hashes) AS h)) IS TRUE
        );
END;
COMMENT ON FUNCTION queue.are_free IS 'Whether jobs with keys of these hashes are in nobody''s way and nobody is in theirs, at a glance; if not, queue.places_taken tells.';

CREATE FUNCTION queue.mark_queues(queues text[], keys text[], weights smallint[]) RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
#variable_conflict use_column
DECLARE
    wanted record;
BEGIN
    -- In one order everywhere, so that nobody waits in a circle.
    FOR wanted IN
        SELECT n.queue, n.keyed, n.weighted
        FROM (
            SELECT queue, count(key) > 0 AS keyed, count(*) FILTER (WHERE weight > 1) > 0 AS weighted
            FROM unnest(queues, keys, weights) AS p(queue, key, weight) GROUP BY queue
        ) n
        LEFT JOIN queue.queues q ON q.name = n.queue
        WHERE n.keyed AND q.keyed IS NOT TRUE OR n.weighted AND q.weighted IS NOT TRUE
        ORDER BY n.queue
    LOOP
        INSERT INTO queue.queues AS q (name, keyed, weighted, ruled_since)
        VALUES (wanted.queue, wanted.keyed, wanted.weighted, 'infinity')
        ON CONFLICT (name) DO UPDATE
        SET keyed = q.keyed OR excluded.keyed, weighted = q.weighted OR excluded.weighted,
            ruled_since = CASE WHEN q.ruled THEN q.ruled_since ELSE 'infinity' END;
    END LOOP;
END $$;
COMMENT ON FUNCTION queue.mark_queues IS 'Has claims heed keys and weights, from the first job of a queue on that has one.';

-- Rates ------------------------------------------------------------------------------------------

CREATE FUNCTION queue.default_burst(per_second float8, burst integer) RETURNS float8
LANGUAGE sql IMMUTABLE PARALLEL SAFE SET search_path = pg_catalog, pg_temp
RETURN coalesce(burst::float8, greatest(1, floor(per_second / 10)));
COMMENT ON FUNCTION queue.default_burst IS 'How many tokens a bucket holds.';

CREATE FUNCTION queue.tokens_at(
    at timestamptz, tokens float8, filled_at timestamptz, per_second float8, burst float8
) RETURNS float8
LANGUAGE sql IMMUTABLE PARALLEL SAFE SET search_path = pg_catalog, pg_temp
RETURN CASE
    -- A bucket that nobody has asked of yet is full.
    WHEN filled_at IS NULL OR NOT isfinite(filled_at) THEN burst
    ELSE least(burst, tokens + greatest(extract(epoch FROM at - filled_at), 0) * per_second)
END;
COMMENT ON FUNCTION queue.tokens_at IS 'What is in a bucket. A job that weighs more than it holds starts when it is full, and leaves a debt.';

-- Back-pressure ----------------------------------------------------------------------------------

CREATE FUNCTION queue.admit(rules queue.queues, jobs bigint) RETURNS interval
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    IF jobs = 0 OR rules.max_backlog IS NULL OR jobs + queue.backlog(rules.name, rules.max_backlog) <= rules.max_backlog THEN
        RETURN NULL;
    END IF;
    IF rules.full_delay IS NULL THEN
        RAISE EXCEPTION 'queue % is full: % jobs are waiting in it at most', rules.name, rules.max_backlog
            USING ERRCODE = 'configuration_limit_exceeded';
    END IF;
    RETURN rules.full_delay;
END $$;
COMMENT ON FUNCTION queue.admit IS 'Whether so many more jobs that could start may go to a queue: null, they may; a time to put them off by; or an error.';

CREATE FUNCTION queue.backlog(a_queue text, at_most integer) RETURNS bigint
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp
BEGIN ATOMIC
    SELECT count(*) FROM (
        SELECT FROM queue.ready r WHERE r.queue = a_queue
        UNION ALL
        SELECT FROM queue.waiting w WHERE w.queue = a_queue
        LIMIT at_most
    ) b;
END;
COMMENT ON FUNCTION queue.backlog IS 'How many jobs of a queue could start, as far as rules let them; counted up to a number.';

-- Claiming by rules --------------------------------------------------------------------------------

CREATE FUNCTION queue.pick_fairly(a_queue text, want integer, last_tenant text, last_credit smallint)
RETURNS TABLE (
    row_id tid, key_hash integer, credit smallint
)
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp
BEGIN ATOMIC
    -- Tenants in the order of their names, from where the last claim ended, each with its first job, found by
    -- one look-up. The one whose turn it was comes first if it has turns left, and in its place if not.
    WITH RECURSIVE lanes AS (
        SELECT
            last_tenant COLLATE "C" AS tenant, f.row_id, f.priority, f.seq, f.key, 0 AS place, false AS wrapped,
            coalesce(
                (SELECT s.weight FROM queue.shares s WHERE s.queue = a_queue AND s.tenant = last_tenant), 1::smallint
            ) AS weight,
            CASE WHEN f.row_id IS NULL THEN 0 ELSE last_credit::bigint END AS total
        FROM (VALUES (true)) AS one
        LEFT JOIN LATERAL (
            SELECT r.ctid AS row_id, r.priority, r.seq, r.key FROM queue.ready r
            WHERE last_credit > 0 AND r.queue = a_queue AND r.tenant <> '' AND r.tenant = last_tenant
            ORDER BY r.priority, r.seq LIMIT 1
        ) f ON true
        UNION ALL
        SELECT n.tenant, n.row_id, n.priority, n.seq, n.key, l.place + 1, n.wrapped, w.weight, l.total + w.weight
        FROM lanes l
        CROSS JOIN LATERAL (
            (
                SELECT r.tenant, r.ctid AS row_id, r.priority, r.seq, r.key, l.wrapped FROM queue.ready r
                WHERE r.queue = a_queue AND r.tenant <> '' AND r.tenant > l.tenant
                ORDER BY r.tenant, r.priority, r.seq LIMIT 1
            )
            UNION ALL
            (
                SELECT r.tenant, r.ctid, r.priority, r.seq, r.key, true FROM queue.ready r
                WHERE NOT l.wrapped AND r.queue = a_queue AND r.tenant <> ''
                ORDER BY r.tenant, r.priority, r.seq LIMIT 1
            )
            LIMIT 1
        ) n
        CROSS JOIN LATERAL (
            -- OFFSET 0 keeps the planner from repeating the look-up.
            SELECT coalesce(
                CASE WHEN (SELECT EXISTS (SELECT FROM queue.shares s WHERE s.queue = a_queue))
                    THEN (SELECT s.weight FROM queue.shares s WHERE s.queue = a_queue AND s.tenant = n.tenant) END,
                1::smallint
            ) AS weight
            OFFSET 0
        ) w
        -- Round once.
        WHERE l.total < want
            AND NOT (n.wrapped AND (n.tenant > last_tenant OR n.tenant = last_tenant AND last_credit > 0))
    ),
    -- Where all tenants together have fewer turns than there is room, each has several.
    rounds AS (
        SELECT ceil(want::float8 / nullif(max(l.total), 0))::bigint AS count FROM lanes l
    ),
    found AS (
        SELECT l.row_id, l.key, l.place, l.weight, 0::bigint AS nth FROM lanes l WHERE l.row_id IS NOT NULL
        UNION ALL
        SELECT r.row_id, r.key, l.place, l.weight, r.nth
        FROM rounds
        CROSS JOIN lanes l
        CROSS JOIN LATERAL (
            SELECT
                ready.ctid AS row_id, ready.key, row_number() OVER (ORDER BY ready.priority, ready.seq) AS nth
            FROM queue.ready
            WHERE ready.queue = a_queue AND ready.tenant = l.tenant AND ready.tenant <> ''
                AND (ready.priority, ready.seq) > (l.priority, l.seq)
            ORDER BY ready.priority, ready.seq
            LIMIT rounds.count * l.weight - 1
        ) r
        WHERE l.row_id IS NOT NULL AND rounds.count * l.weight > 1
    ),
    ranked AS (
        SELECT
            f.row_id, f.key, f.place, f.weight,
            f.nth + CASE WHEN f.place = 0 THEN greatest(f.weight - last_credit, 0) ELSE 0 END AS rank
        FROM found f
    )
    SELECT
        f.row_id, CASE WHEN f.key <> '' THEN hashtext(f.key) END, (f.weight - 1 - f.rank % f.weight)::smallint
    FROM ranked f
    ORDER BY f.rank / f.weight, f.place, f.rank
    LIMIT want;
END;
COMMENT ON FUNCTION queue.pick_fairly IS 'What starts next where tenants take turns: as many of each as its weight, one tenant after the other.';

CREATE FUNCTION queue.running_in(a_queue text) RETURNS bigint
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp
BEGIN ATOMIC
    SELECT count(*)
    FROM queue.leases l
    CROSS JOIN LATERAL unnest(l.jobs) AS u(job)
    WHERE (
            l.queue = a_queue
            -- Claimed before the queue had rules.
            OR l.queue IS NULL
                AND l.leased_at < (SELECT q.ruled_since + interval '1 minute' FROM queue.queues q WHERE q.name = a_queue)
                AND (SELECT j.queue FROM queue.jobs j WHERE j.id = u.job) = a_queue
        )
        AND (SELECT r.token FROM queue.runs r WHERE r.job = u.job AND r.token = l.token) IS NULL;
END;
COMMENT ON FUNCTION queue.running_in IS 'How many jobs of a queue with rules run, or are about to in some process.';

CREATE FUNCTION queue.let_in(rules queue.queues, row_ids tid[])
RETURNS TABLE (nth bigint, row_id tid, job uuid, key text, fits boolean)
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp
BEGIN ATOMIC
    WITH picked AS MATERIALIZED (
        SELECT
            p.nth, p.row_id, r.job, r.key, r.priority,
            row_number() OVER (PARTITION BY r.key, r.priority < -100 ORDER BY p.nth) AS rank
        FROM unnest(row_ids) WITH ORDINALITY AS p(row_id, nth)
        JOIN queue.ready r ON r.ctid = p.row_id
    ),
    taken AS MATERIALIZED (
        SELECT t.* FROM queue.places_taken((rules).name, ARRAY(SELECT DISTINCT p.key FROM picked p WHERE p.key <> '')) t
    )
    SELECT
        p.nth, p.row_id, p.job, p.key,
        p.key = '' OR p.rank + coalesce(t.leased + CASE WHEN p.priority < -100 THEN 0 ELSE t.promised END, 0)
            <= coalesce(l.concurrency, (rules).key_concurrency)
    FROM picked p
    LEFT JOIN taken t ON t.key = p.key
    LEFT JOIN queue.limits l ON l.queue = (rules).name AND l.key = p.key;
END;
COMMENT ON FUNCTION queue.let_in IS 'Which of the jobs that a claim has picked have a place among those with their keys.';

CREATE TYPE queue.verdict AS ENUM ('take', 'wait', 'early', 'leave');

-- A key with a rate lets a job in when it has tokens; until then the job is scheduled, and holds its place.
-- What room and rate of the queue do not allow is left.
CREATE FUNCTION queue.pace(
    rules queue.queues, at timestamptz, room integer, queue_tokens float8, row_ids tid[]
) RETURNS TABLE (
    row_id tid, verdict queue.verdict, weight integer, key text, key_tokens float8, wait_seconds float8, nth bigint
)
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp
BEGIN ATOMIC
    WITH picked AS MATERIALIZED (
        SELECT i.*, coalesce((SELECT j.weight FROM queue.jobs j WHERE j.id = i.job), 1) AS weight
        FROM queue.let_in(rules, row_ids) i
    ),
    rates AS MATERIALIZED (
        SELECT
            k.key, r.per_second, b.burst,
            queue.tokens_at(at, u.tokens, u.filled_at, r.per_second, b.burst) AS tokens
        FROM (SELECT DISTINCT p.key FROM picked p WHERE p.key <> '') k
        LEFT JOIN queue.limits l ON l.queue = (rules).name AND l.key = k.key
        CROSS JOIN LATERAL (SELECT coalesce(l.per_second, (rules).key_per_second) AS per_second) r
        CROSS JOIN LATERAL (
            SELECT queue.default_burst(r.per_second, coalesce(l.burst, (rules).key_burst)) AS burst
        ) b
        LEFT JOIN queue.buckets u ON u.queue = (rules).name AND u.key = k.key
        WHERE r.per_second IS NOT NULL
    ),
    paced AS (
        SELECT
            p.*, r.per_second, least(p.weight, r.burst) AS key_need,
            r.tokens - sum(p.weight) FILTER (WHERE p.fits) OVER (PARTITION BY p.key ORDER BY p.nth) AS key_left
        FROM picked p
        LEFT JOIN rates r ON r.key = p.key
    ),
    judged AS (
        SELECT
            p.*, p.fits AND p.per_second IS NOT NULL AND p.key_left + p.weight < p.key_need - 0.000001 AS is_early
        FROM paced p
    ),
    counted AS (
        SELECT
            j.*,
            count(*) FILTER (WHERE j.fits AND NOT j.is_early) OVER (ORDER BY j.nth) AS nth_in,
            sum(j.weight) FILTER (WHERE j.fits AND NOT j.is_early) OVER (ORDER BY j.nth) AS sum_in
        FROM judged j
    ),
    bounded AS (
        SELECT
            c.*,
            bool_and(
                CASE
                    WHEN NOT c.fits OR c.is_early THEN c.nth_in < room
                    ELSE c.nth_in <= room AND (
                        queue_tokens IS NULL OR queue_tokens - (c.sum_in - c.weight) >= least(
                            c.weight, queue.default_burst((rules).per_second, (rules).burst)
                        ) - 0.000001
                    )
                END
            ) OVER (ORDER BY c.nth) AS goes
        FROM counted c
    )
    SELECT
        b.row_id,
        CASE
            WHEN NOT b.goes THEN 'leave'::queue.verdict
            WHEN NOT b.fits THEN 'wait'::queue.verdict
            WHEN b.is_early THEN 'early'::queue.verdict
            ELSE 'take'::queue.verdict
        END,
        b.weight::integer, b.key,
        CASE WHEN b.per_second IS NOT NULL THEN b.key_left END,
        CASE WHEN b.is_early THEN (b.key_need - b.key_left - b.weight) / b.per_second END,
        b.nth
    FROM bounded b;
END;
COMMENT ON FUNCTION queue.pace IS 'What a claim does with jobs that it has picked, in their order, where there are rates: with so much room, and so many tokens of the queue.';

CREATE FUNCTION queue.take(
    at timestamptz, a_queue text, free integer, room integer, a_worker integer, lease_seconds float8,
    from_priorities smallint[], from_seqs bigint[], before_priorities smallint[], around boolean,
    numbered boolean
) RETURNS TABLE (
    token bigint, seq bigint, priority smallint, attempt smallint, max_attempts smallint, key text, tenant text,
    id uuid, kind text, args jsonb, owner uuid, trace text, workflow uuid, keyed boolean, cancelled boolean,
    turn text, exhausted boolean, is_fair boolean, wait_seconds float8, xmin bigint, number bigint, last_seq bigint,
    passed_priorities smallint[], passed_seqs bigint[]
)
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
SET enable_seqscan = off SET enable_mergejoin = off SET jit = off SET plan_cache_mode = force_generic_plan AS $$
#variable_conflict use_column
DECLARE
    max_rounds  constant integer := 20;
    max_pick    constant integer := 2000;
    rules       queue.queues;
    stand       queue.turns;
    time        timestamptz;
    want        integer;
    tokens      float8;
    burst       float8;
    gated       boolean := false;
    has_key_rates boolean;
    count_taken bigint := 0;
    many_looks  boolean := false;
    -- Of one round: what was picked, and what becomes of it.
    picked      tid[];
    key_hashes  integer[];
    credits     smallint[];
    may_take    integer;
    fit_nths    bigint[];
    unfit_nths  bigint[];
    taken       tid[];
    waiting     tid[];
    early       tid[];
    early_waits float8[];
    paying      text[];
    paid_to     float8[];
    spent       bigint;
    left_over   bigint;
    last_taken  bigint;
    got         bigint;
BEGIN
    PERFORM set_config('lock_timeout', '1s', true);
    IF NOT pg_try_advisory_xact_lock(1111834949, hashtext(a_queue)) THEN
        turn := 'others';
        RETURN NEXT;
        RETURN;
    END IF;
    -- From here on nobody else claims of this queue, and each statement sees what earlier claims did.
    SELECT * INTO rules FROM queue.queues WHERE name = a_queue;
    IF rules.ruled IS NOT TRUE OR rules.paused THEN
        turn := CASE WHEN rules.ruled THEN 'paused' ELSE 'unruled' END;
        RETURN NEXT;
        RETURN;
    END IF;
    turn := 'ours';
    -- Later than that of every earlier claim, unless a clock was put back.
    time := coalesce(at, clock_timestamp());
    exhausted := false;
    is_fair := rules.fair;
    xmin := pg_snapshot_xmin(pg_current_snapshot())::text::bigint;
    -- All that was claimed with those that have ended is counted quickly, and mostly that is enough.
    IF rules.concurrency IS NOT NULL AND rules.concurrency - room < (
        SELECT coalesce(sum(cardinality(l.jobs)), 0) FROM queue.leases l
        WHERE l.queue = a_queue OR l.queue IS NULL AND l.leased_at < rules.ruled_since + interval '1 minute'
    ) THEN
        room := least(room, rules.concurrency - queue.running_in(a_queue));
    END IF;
    IF rules.fair OR rules.per_second IS NOT NULL THEN
        SELECT * INTO stand FROM queue.turns WHERE queue = a_queue;
    END IF;
    IF rules.per_second IS NOT NULL THEN
        burst := queue.default_burst(rules.per_second, rules.burst);
        tokens := queue.tokens_at(time, stand.tokens, stand.filled_at, rules.per_second, burst);
        IF tokens < 0.999999 THEN
            wait_seconds := (1 - tokens) / rules.per_second;
            room := 0;
        ELSE
            -- What waits in a process starts later than it was let in, together with what is let in then.
            -- Half of a bucket makes up for that.
            room := least(room, greatest(free, floor(tokens - burst / 2)::integer));
        END IF;
    END IF;

    has_key_rates := rules.keyed AND (
        rules.key_per_second IS NOT NULL
        OR EXISTS (SELECT FROM queue.limits l WHERE l.queue = a_queue AND l.per_second IS NOT NULL)
    );

    FOR round IN 1..max_rounds LOOP
        EXIT WHEN room <= 0 OR around AND round > 1;
        -- Behind many jobs that have to wait for their keys there may be others.
        many_looks := round > 1;
        want := least(max_pick, CASE round WHEN 1 THEN room ELSE greatest(room, want * 2) END);
        LOOP
            IF rules.fair THEN
                SELECT array_agg(p.row_id), array_agg(p.key_hash) FILTER (WHERE p.key_hash IS NOT NULL), array_agg(p.credit)
                INTO picked, key_hashes, credits
                FROM queue.pick_fairly(a_queue, want, coalesce(stand.tenant, ''), coalesce(stand.credit, 0::smallint)) p;
            ELSE
                SELECT array_agg(p.row_id), array_agg(hashtext(p.key)) FILTER (WHERE p.key <> '')
                INTO picked, key_hashes
                FROM (
                    SELECT r.*
                    FROM unnest(from_priorities, from_seqs, before_priorities) AS s(priority, seq, before_priority)
                    CROSS JOIN LATERAL (
                        SELECT ready.ctid AS row_id, ready.key
                        FROM queue.ready
                        WHERE ready.queue = a_queue
                            AND (ready.priority, ready.seq) > (s.priority, s.seq) AND ready.priority < s.before_priority
                        ORDER BY ready.priority, ready.seq
                        LIMIT want
                    ) r
                    LIMIT want
                ) p;
            END IF;
            EXIT WHEN picked IS NULL;
            waiting := NULL;
            early := NULL;
            paying := NULL;
            IF rules.weighted AND tokens IS NOT NULL OR has_key_rates AND key_hashes IS NOT NULL THEN
                SELECT
                    array_agg(j.row_id ORDER BY j.nth) FILTER (WHERE j.verdict = 'take'),
                    array_agg(j.row_id) FILTER (WHERE j.verdict = 'wait'),
                    array_agg(j.row_id) FILTER (WHERE j.verdict = 'early'),
                    array_agg(j.wait_seconds) FILTER (WHERE j.verdict = 'early'),
                    array_agg(j.key) FILTER (WHERE j.verdict = 'take' AND j.key_tokens IS NOT NULL),
                    array_agg(j.key_tokens) FILTER (WHERE j.verdict = 'take' AND j.key_tokens IS NOT NULL),
                    sum(j.weight) FILTER (WHERE j.verdict = 'take'),
                    count(*) FILTER (WHERE j.verdict = 'leave'),
                    max(j.nth) FILTER (WHERE j.verdict = 'take')
                INTO taken, waiting, early, early_waits, paying, paid_to, spent, left_over, last_taken
                FROM queue.pace(rules, time, room, tokens, picked) j;
            ELSE
                -- Every job weighs one.
                may_take := CASE WHEN tokens IS NULL THEN room ELSE least(room, floor(tokens + 0.000001)::integer) END;
                IF key_hashes IS NULL OR queue.are_free(a_queue, key_hashes) THEN
                    taken := picked[:may_take];
                    last_taken := cardinality(taken);
                ELSE
                    SELECT
                        array_agg(i.nth ORDER BY i.nth) FILTER (WHERE i.fits), array_agg(i.nth) FILTER (WHERE NOT i.fits)
                    INTO fit_nths, unfit_nths
                    FROM queue.let_in(rules, picked) i;
                    fit_nths := fit_nths[:may_take];
                    last_taken := fit_nths[cardinality(fit_nths)];
                    taken := ARRAY(SELECT picked[n] FROM unnest(fit_nths) AS n);
                    -- Once there is no more room, what lies behind is left as it is.
                    waiting := nullif(ARRAY(
                        SELECT picked[n] FROM unnest(unfit_nths) AS n
                        WHERE cardinality(fit_nths) IS DISTINCT FROM may_take OR n < last_taken
                    ), '{}');
                END IF;
                taken := nullif(taken, '{}');
                spent := coalesce(cardinality(taken), 0);
                left_over := cardinality(picked) - spent - coalesce(cardinality(waiting), 0);
            END IF;
            EXIT WHEN waiting IS NULL OR gated OR around;
            -- Who holds these keys may be about to give them up: see queue.share_gate.
            PERFORM pg_advisory_xact_lock(1111834950, hashtext(a_queue));
            gated := true;
        END LOOP;
        -- Of tenants with more turns than they have jobs, fewer are picked than are there.
        exhausted := picked IS NULL
            OR NOT rules.fair AND cardinality(picked) < want AND left_over = 0 AND (waiting IS NULL OR NOT around);
        EXIT WHEN picked IS NULL;

        IF taken IS NOT NULL THEN
            IF rules.fair THEN
                SELECT r.tenant INTO stand.tenant FROM queue.ready r WHERE r.ctid = picked[last_taken];
                stand.credit := credits[last_taken];
            END IF;
            RETURN QUERY
            WITH gone AS (
                DELETE FROM queue.ready r
                WHERE r.ctid = ANY (
                    CASE WHEN around
                        THEN ARRAY(SELECT f.ctid FROM queue.ready f WHERE f.ctid = ANY (taken) FOR UPDATE SKIP LOCKED)
                        ELSE taken
                    END
                )
                RETURNING r.ctid AS row_id, r.seq, r.job, r.priority, r.attempt, r.max_attempts, r.key, r.tenant
            ),
            lease AS (
                INSERT INTO queue.leases AS l (worker, jobs, attempts, max_attempts, leased_at, expires_at, queue, keys)
                SELECT
                    a_worker, array_agg(job), array_agg(attempt), array_agg(max_attempts),
                    time, time + make_interval(secs => lease_seconds), a_queue,
                    array_agg(CASE WHEN key <> '' THEN hashtext(key) END) FILTER (WHERE rules.keyed)
                FROM gone
                HAVING count(*) > 0
                RETURNING l.token
            )
            SELECT
                (SELECT token FROM lease), g.seq, g.priority, g.attempt, g.max_attempts, j.key, g.tenant, j.id, j.kind,
                j.args, j.owner, j.trace, j.workflow, j.unique_key IS NOT NULL,
                EXISTS (SELECT FROM queue.cancellations c WHERE c.job = g.job),
                NULL::text, NULL::boolean, NULL::boolean, NULL::float8, NULL::bigint, NULL::bigint, NULL::bigint,
                NULL::smallint[], NULL::bigint[]
            FROM (
                SELECT gone.*, t.nth
                FROM gone
                LEFT JOIN unnest(CASE WHEN rules.fair THEN taken END) WITH ORDINALITY AS t(row_id, nth)
                    ON t.row_id = gone.row_id
                ORDER BY t.nth, gone.priority, gone.seq
                OFFSET 0
            ) g
            -- A row for each that is leased, also if nothing can be said about it.
            LEFT JOIN queue.jobs j ON j.id = g.job
            ORDER BY g.nth, g.priority, g.seq;
            GET DIAGNOSTICS got = ROW_COUNT;
            count_taken := count_taken + got;
            room := room - got;
            tokens := tokens - spent;
        END IF;
        IF waiting IS NOT NULL AND NOT around OR early IS NOT NULL THEN
            SELECT passed_priorities || array_agg(h.priority), passed_seqs || array_agg(h.seq)
            INTO passed_priorities, passed_seqs
            FROM (
                SELECT r.priority, max(r.seq) AS seq FROM queue.ready r
                WHERE r.ctid = ANY (CASE WHEN around THEN early ELSE waiting || early END) GROUP BY r.priority
            ) h;
        END IF;
        IF paying IS NOT NULL THEN
            INSERT INTO queue.buckets (queue, key, tokens, filled_at)
            SELECT a_queue, b.key, min(b.left_in), time FROM unnest(paying, paid_to) AS b(key, left_in) GROUP BY b.key
            ON CONFLICT (queue, key) DO UPDATE
            SET tokens = excluded.tokens, filled_at = greatest(excluded.filled_at, buckets.filled_at);
        END IF;
        IF early IS NOT NULL THEN
            WITH gone AS (
                DELETE FROM queue.ready r WHERE r.ctid = ANY (early) RETURNING r.ctid AS row_id, r.*
            )
            INSERT INTO queue.scheduled (job, run_at, queue, priority, attempt, max_attempts, key, tenant, holds)
            SELECT
                g.job, time + make_interval(secs => e.wait), g.queue,
                g.priority + CASE WHEN g.priority < -100 THEN 1000 ELSE 0 END,
                g.attempt, g.max_attempts, g.key, g.tenant, true
            FROM gone g JOIN unnest(early, early_waits) AS e(row_id, wait) ON e.row_id = g.row_id;
        END IF;
        IF waiting IS NOT NULL AND NOT around THEN
            WITH gone AS (
                DELETE FROM queue.ready r WHERE r.ctid = ANY (waiting) RETURNING r.*
            )
            INSERT INTO queue.waiting (queue, key, priority, seq, job, attempt, max_attempts, since, tenant)
            SELECT
                g.queue, g.key, g.priority, g.seq, g.job, g.attempt, g.max_attempts, g.since, g.tenant
            FROM gone g WHERE g.priority >= -100
            UNION ALL
            -- Since then the limit has become lower. It was the first of its key, and is again.
            SELECT
                g.queue, g.key, g.priority + 1000,
                coalesce(
                    (
                        SELECT min(w.seq) FROM queue.waiting w
                        WHERE w.queue = g.queue AND w.key = g.key AND w.priority = g.priority + 1000
                    ), g.seq
                ) - row_number() OVER (PARTITION BY g.key, g.priority ORDER BY g.seq DESC),
                g.job, g.attempt, g.max_attempts, g.since, g.tenant
            FROM gone g WHERE g.priority < -100;
        END IF;
        EXIT WHEN left_over > 0 OR exhausted OR waiting IS NULL AND NOT rules.fair;
    END LOOP;

    IF count_taken > 0 AND (rules.fair OR rules.per_second IS NOT NULL) THEN
        INSERT INTO queue.turns (queue, tenant, credit, tokens, filled_at)
        VALUES (
            a_queue, coalesce(stand.tenant, ''), coalesce(stand.credit, 0),
            coalesce(tokens, 0), CASE WHEN tokens IS NULL THEN '-infinity' ELSE time END
        )
        ON CONFLICT (queue) DO UPDATE
        SET tenant = excluded.tenant, credit = excluded.credit, tokens = excluded.tokens,
            -- What was filled in is not filled in again.
            filled_at = greatest(excluded.filled_at, turns.filled_at);
    END IF;
    -- Something was there, and the rules do not let it start yet.
    IF room <= 0 AND rules.concurrency IS NOT NULL AND wait_seconds IS NULL AND count_taken = 0 THEN
        wait_seconds := 'infinity';
    ELSIF tokens < 0.999999 AND wait_seconds IS NULL THEN
        wait_seconds := (1 - tokens) / rules.per_second;
    END IF;
    -- What later looks found may be younger than the number.
    IF (numbered OR count_taken > 0) AND NOT many_looks THEN
        number := pg_current_xact_id()::text::bigint;
    END IF;
    last_seq := coalesce(pg_sequence_last_value('queue.ready_seq_seq'), 0);
    RETURN NEXT;
END $$;
COMMENT ON FUNCTION queue.take IS 'A claim of one queue that has rules: takes jobs under a new lease, or under several if it had to look several times; as many as there is room for in the process, of which so many would start at once. A row for each job, and a last one about the claim. Its turn says whether it could: ours, others, paused, unruled. With wait_seconds, there may be jobs that may start then; infinity: once others have ended.';

REVOKE ALL ON FUNCTION queue.mark_queues, queue.share_gate, queue.share_gates, queue.key_concurrency, queue.lane_of,
    queue.tenant_of, queue.pass_on, queue.mend, queue.places_taken, queue.are_free,
    queue.default_burst, queue.tokens_at, queue.admit, queue.backlog, queue.pick_fairly, queue.running_in, queue.let_in, queue.pace, queue.take
    FROM PUBLIC;
ALTER TABLE queue.limits ENABLE ROW LEVEL SECURITY;
ALTER TABLE queue.shares ENABLE ROW LEVEL SECURITY;
ALTER TABLE queue.turns ENABLE ROW LEVEL SECURITY;
ALTER TABLE queue.buckets ENABLE ROW LEVEL SECURITY;
