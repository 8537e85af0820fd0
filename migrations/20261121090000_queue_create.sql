-- The queue: immutable jobs, narrow lists of what may start, leases of what runs, history of what ended.
-- Owner: crates/queue, the only writer of this schema. Locks: none, everything is new. Undo: DROP SCHEMA queue CASCADE.

CREATE SCHEMA queue;
COMMENT ON SCHEMA queue IS 'Jobs and their history. Only crates/queue writes here.';

-- What to do -------------------------------------------------------------------------------------

CREATE TABLE queue.jobs (
    id           uuid        NOT NULL,
    created_at   timestamptz NOT NULL DEFAULT now(),
    owner        uuid,
    priority     smallint    NOT NULL DEFAULT 0 CONSTRAINT ck_jobs_priority CHECK (priority BETWEEN -100 AND 100),
    max_attempts smallint    NOT NULL CONSTRAINT ck_jobs_max_attempts CHECK (max_attempts BETWEEN 1 AND 100),
    kind         text COLLATE "C" NOT NULL CONSTRAINT ck_jobs_kind CHECK (kind ~ '^[a-z][a-z0-9_]*(\.[a-z][a-z0-9_]*)+$'),
    queue        text COLLATE "C" NOT NULL CONSTRAINT ck_jobs_queue CHECK (queue ~ '^[a-z][a-z0-9_]*$'),
    args         jsonb       NOT NULL,
    trace        text,
    unique_key   text,
    workflow     uuid,
    weight       smallint    CONSTRAINT ck_jobs_weight CHECK (weight BETWEEN 1 AND 1000),
    key          text COLLATE "C" CONSTRAINT ck_jobs_key CHECK (char_length(key) BETWEEN 1 AND 255),
    tenant       text COLLATE "C" CONSTRAINT ck_jobs_tenant CHECK (char_length(tenant) BETWEEN 1 AND 255),
    CONSTRAINT jobs_pkey PRIMARY KEY (id)
) PARTITION BY RANGE (id);
COMMENT ON TABLE queue.jobs IS 'What to do. Inserted once, never updated; a day is dropped when nothing refers to it any more.';
COMMENT ON COLUMN queue.jobs.id IS 'UUIDv7: its first 48 bits are the time in milliseconds, so days of ids are partitions.';
COMMENT ON COLUMN queue.jobs.kind IS 'Which handler runs it: <folder>.<order>.';
COMMENT ON COLUMN queue.jobs.queue IS 'Which pool runs it: the folder of its kind.';
COMMENT ON COLUMN queue.jobs.args IS 'Arguments, as the kind''s type is serialised.';
COMMENT ON COLUMN queue.jobs.priority IS 'Lower starts sooner; 0 is normal.';
COMMENT ON COLUMN queue.jobs.max_attempts IS 'Attempts after which a failure is final.';
COMMENT ON COLUMN queue.jobs.owner IS 'The user for whom it runs, if any.';
COMMENT ON COLUMN queue.jobs.trace IS 'W3C traceparent of the request or run that pushed it.';
COMMENT ON COLUMN queue.jobs.unique_key IS 'The key it holds until it has ended; a retry takes it again. Null when it holds none, or holds one until a time.';
COMMENT ON COLUMN queue.jobs.workflow IS 'The workflow it is part of: others may wait for its end.';
COMMENT ON COLUMN queue.jobs.weight IS 'What it takes from a rate; null is 1.';
COMMENT ON COLUMN queue.jobs.key IS 'Of the jobs of a queue with one key only so many run at a time: one, in order, unless said otherwise.';
COMMENT ON COLUMN queue.jobs.tenant IS 'With whom it shares a place in a fair queue; null: with those of its owner.';
COMMENT ON COLUMN queue.jobs.created_at IS 'When the transaction that pushed it began.';
CREATE TABLE queue.jobs_default PARTITION OF queue.jobs DEFAULT;
COMMENT ON TABLE queue.jobs_default IS 'Fail-safe: jobs whose day has no partition.';

-- What may start ---------------------------------------------------------------------------------

-- The widest columns first: every byte is written at push, and again in full pages after a checkpoint.
CREATE TABLE queue.ready (
    seq          bigint      NOT NULL GENERATED ALWAYS AS IDENTITY,
    since        timestamptz NOT NULL DEFAULT now(),
    job          uuid        NOT NULL,
    priority     smallint    NOT NULL,
    attempt      smallint    NOT NULL,
    max_attempts smallint    NOT NULL,
    queue        text COLLATE "C" NOT NULL,
    key          text COLLATE "C" NOT NULL DEFAULT '',
    tenant       text COLLATE "C" NOT NULL DEFAULT '',
    CONSTRAINT ready_pkey PRIMARY KEY (queue, priority, seq)
);
-- Both hold only rows of queues that use them.
CREATE INDEX idx_ready_tenant ON queue.ready (queue, tenant, priority, seq) WHERE tenant <> '';
CREATE INDEX idx_ready_promised ON queue.ready (queue, key) WHERE priority < -100;
COMMENT ON TABLE queue.ready IS 'Jobs that may start now. A claim deletes the row, a push, retry or release inserts one.';
COMMENT ON COLUMN queue.ready.seq IS 'Order within queue and priority. Given out after the transaction has its number: a claim relies on it to know which of them may still come.';
COMMENT ON COLUMN queue.ready.job IS 'The job; no foreign key, because jobs are dropped by the day.';
COMMENT ON COLUMN queue.ready.attempt IS 'The attempt that starts next, from 1.';
COMMENT ON COLUMN queue.ready.max_attempts IS 'The last attempt it may have; an operator''s retry raises it.';
COMMENT ON COLUMN queue.ready.since IS 'When it became ready.';
COMMENT ON COLUMN queue.ready.priority IS 'The job''s; less 1000 for a job with a key that already has its place among those of its key, and goes first.';
COMMENT ON COLUMN queue.ready.key IS 'The job''s; empty when it has none. Empty instead of null, here and below: without any null the row is 8 bytes shorter.';
COMMENT ON COLUMN queue.ready.tenant IS 'Whose turn it takes. Empty where the queue is not fair.';
-- Rows come and go by the thousand: keep statistics and dead rows fresh.
ALTER TABLE queue.ready SET (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 5000, autovacuum_vacuum_cost_delay = 0);

CREATE TABLE queue.scheduled (
    job          uuid        NOT NULL,
    run_at       timestamptz NOT NULL,
    priority     smallint    NOT NULL,
    attempt      smallint    NOT NULL,
    max_attempts smallint    NOT NULL,
    queue        text COLLATE "C" NOT NULL,
    key          text COLLATE "C" NOT NULL DEFAULT '',
    tenant       text COLLATE "C" NOT NULL DEFAULT '',
    holds        boolean     NOT NULL DEFAULT false,
    CONSTRAINT scheduled_pkey PRIMARY KEY (job)
);
CREATE INDEX idx_scheduled_run_at ON queue.scheduled (run_at);
CREATE INDEX idx_scheduled_holds ON queue.scheduled (queue, key) WHERE holds;
COMMENT ON TABLE queue.scheduled IS 'Jobs that may start later: pushed for a time, snoozed, or waiting for the next attempt.';
COMMENT ON COLUMN queue.scheduled.run_at IS 'When it moves to queue.ready.';
COMMENT ON COLUMN queue.scheduled.holds IS 'It keeps its place among the jobs with its key: where only one may run, others wait for its next attempt.';
ALTER TABLE queue.scheduled SET (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 5000, autovacuum_vacuum_cost_delay = 0);

CREATE TABLE queue.waiting (
    seq          bigint      NOT NULL,
    since        timestamptz NOT NULL DEFAULT now(),
    job          uuid        NOT NULL,
    priority     smallint    NOT NULL,
    attempt      smallint    NOT NULL,
    max_attempts smallint    NOT NULL,
    queue        text COLLATE "C" NOT NULL,
    key          text COLLATE "C" NOT NULL,
    tenant       text COLLATE "C" NOT NULL DEFAULT '',
    CONSTRAINT waiting_pkey PRIMARY KEY (queue, key, priority, seq)
);
COMMENT ON TABLE queue.waiting IS 'Jobs whose turn had come and whose key was held by others. The end of one of those moves the next to queue.ready.';
COMMENT ON COLUMN queue.waiting.seq IS 'As it was in queue.ready: the order within key and priority.';
COMMENT ON COLUMN queue.waiting.since IS 'When it first became ready.';
ALTER TABLE queue.waiting SET (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 5000, autovacuum_vacuum_cost_delay = 0);

-- What runs --------------------------------------------------------------------------------------

CREATE TABLE queue.workers (
    id         integer     NOT NULL GENERATED ALWAYS AS IDENTITY CONSTRAINT workers_pkey PRIMARY KEY,
    name       text        NOT NULL,
    started_at timestamptz NOT NULL DEFAULT now(),
    queues     text[] COLLATE "C" NOT NULL DEFAULT '{}',
    seen_at    timestamptz NOT NULL DEFAULT now(),
    stopped_at timestamptz
);
COMMENT ON TABLE queue.workers IS 'Processes that have ever worked. A row each, so that leases and history need not repeat the name.';
COMMENT ON COLUMN queue.workers.queues IS 'Whose jobs it runs.';
COMMENT ON COLUMN queue.workers.seen_at IS 'Written every five minutes. Whether it lives at this moment, its leases tell, and its lock while it has none.';
COMMENT ON COLUMN queue.workers.stopped_at IS 'When it ended in good order.';
COMMENT ON COLUMN queue.workers.name IS 'Host, process id and a random part.';

CREATE TABLE queue.leases (
    token        bigint      NOT NULL GENERATED ALWAYS AS IDENTITY CONSTRAINT leases_pkey PRIMARY KEY,
    leased_at    timestamptz NOT NULL,
    expires_at   timestamptz NOT NULL,
    worker       integer     NOT NULL,
    jobs         uuid[]      NOT NULL,
    attempts     smallint[]  NOT NULL,
    max_attempts smallint[]  NOT NULL,
    queue        text COLLATE "C",
    keys         integer[],
    CONSTRAINT ck_leases_same_length CHECK (
        cardinality(jobs) = cardinality(attempts) AND cardinality(jobs) = cardinality(max_attempts)
            AND (keys IS NULL OR cardinality(jobs) = cardinality(keys))
    )
);
COMMENT ON TABLE queue.leases IS 'One row per claimed batch. Whoever finds its row owns the batch; a rescue deletes the row.';
COMMENT ON COLUMN queue.leases.token IS 'Every write for these jobs names it.';
COMMENT ON COLUMN queue.leases.worker IS 'Which process; no foreign key, because it would lock that row for each claim.';
COMMENT ON COLUMN queue.leases.jobs IS 'The batch. Jobs that have ended stay listed; their rows in queue.runs tell.';
COMMENT ON COLUMN queue.leases.queue IS 'Where a queue has rules, its jobs are claimed apart; null: of any queues.';
COMMENT ON COLUMN queue.leases.keys IS 'Hashes of the keys that these jobs hold until they have ended, null for a job without; null: none has one. Equal hashes are looked up in queue.jobs.';
COMMENT ON COLUMN queue.leases.expires_at IS 'From then on anybody may rescue the batch. Renewed while the worker lives.';
ALTER TABLE queue.leases SET (fillfactor = 50, autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 1000);
-- Random bits do not get smaller; trying would cost a tenth of a claim.
ALTER TABLE queue.leases ALTER COLUMN jobs SET STORAGE EXTERNAL, ALTER COLUMN keys SET STORAGE EXTERNAL;

CREATE TABLE queue.cancellations (
    job          uuid        NOT NULL CONSTRAINT cancellations_pkey PRIMARY KEY,
    requested_at timestamptz NOT NULL DEFAULT now()
);
COMMENT ON TABLE queue.cancellations IS 'Running jobs that somebody asked to stop. Their worker deletes the row when they have stopped.';

-- What happened ----------------------------------------------------------------------------------

CREATE TABLE queue.runs (
    job        uuid        NOT NULL,
    token      bigint      NOT NULL,
    started_at timestamptz NOT NULL,
    ended_at   timestamptz NOT NULL,
    worker     integer,
    attempt    smallint    NOT NULL,
    outcome    text COLLATE "C" NOT NULL CONSTRAINT ck_runs_outcome CHECK (
        outcome IN ('done', 'failed', 'snoozed', 'released', 'lost', 'retried', 'discarded', 'dead', 'cancelled')
    ),
    note       text,
    CONSTRAINT runs_pkey PRIMARY KEY (job, token),
    CONSTRAINT ck_runs_note CHECK (note IS NOT NULL OR outcome IN ('done', 'snoozed', 'released', 'cancelled'))
) PARTITION BY RANGE (job);
COMMENT ON TABLE queue.runs IS 'What happened: one row per ended attempt, and one per decision of an operator. Insert only.';
COMMENT ON COLUMN queue.runs.job IS 'The job. History lies with the day of its job, so one partition has all of it.';
COMMENT ON COLUMN queue.runs.token IS 'The lease it ran under. With the job it is unique, so an outcome that is reported twice is stored once.';
COMMENT ON COLUMN queue.runs.outcome IS 'Final: done, discarded, dead, cancelled. The job goes on: failed, snoozed, released, lost, retried.';
COMMENT ON COLUMN queue.runs.worker IS 'Which process ran it; null for a decision of an operator.';
COMMENT ON COLUMN queue.runs.note IS 'Why it failed, was discarded, died or was lost; of an operator''s decision, who took it.';
CREATE TABLE queue.runs_default PARTITION OF queue.runs DEFAULT;
COMMENT ON TABLE queue.runs_default IS 'Fail-safe: runs whose job''s day has no partition.';

CREATE TABLE queue.dead_letters (
    job         uuid        NOT NULL CONSTRAINT dead_letters_pkey PRIMARY KEY,
    ended_at    timestamptz NOT NULL,
    kind        text COLLATE "C" NOT NULL,
    queue       text COLLATE "C" NOT NULL,
    outcome     text COLLATE "C" NOT NULL CONSTRAINT ck_dead_letters_outcome CHECK (outcome IN ('dead', 'discarded', 'cancelled')),
    cause       text        NOT NULL CONSTRAINT ck_dead_letters_cause CHECK (
        cause IN ('exhausted', 'permanent', 'poison', 'lost', 'decided')
    ),
    fingerprint text        NOT NULL
);
CREATE INDEX idx_dead_letters_outcome ON queue.dead_letters (outcome, job);
COMMENT ON TABLE queue.dead_letters IS 'Jobs that have ended without being done. A retry takes one out; the others are kept as long as their job.';
COMMENT ON COLUMN queue.dead_letters.cause IS 'exhausted: no attempts left; permanent: no attempt can succeed; poison: undecodable, or it killed its process again and again; lost: the last attempt''s worker died; decided: by its handler or an operator.';
COMMENT ON COLUMN queue.dead_letters.fingerprint IS 'Equal for equal errors, whatever numbers and ids they name.';

CREATE TABLE queue.outputs (
    job    uuid  NOT NULL CONSTRAINT outputs_pkey PRIMARY KEY,
    output jsonb NOT NULL
);
COMMENT ON TABLE queue.outputs IS 'What jobs that are done have to say; only those that said something.';

-- The clock --------------------------------------------------------------------------------------

CREATE TABLE queue.schedules (
    name           text        NOT NULL CONSTRAINT schedules_pkey PRIMARY KEY,
    kind           text        NOT NULL,
    args           jsonb       NOT NULL,
    cron           text        NOT NULL,
    zone           text        NOT NULL DEFAULT 'UTC',
    overlap        text        NOT NULL DEFAULT 'allow' CONSTRAINT ck_schedules_overlap CHECK (overlap IN ('allow', 'skip', 'queue')),
    missed         smallint    NOT NULL DEFAULT 1 CONSTRAINT ck_schedules_missed CHECK (missed BETWEEN 0 AND 100),
    edited_args    jsonb,
    edited_cron    text,
    edited_zone    text,
    edited_overlap text        CONSTRAINT ck_schedules_edited_overlap CHECK (edited_overlap IN ('allow', 'skip', 'queue')),
    edited_missed  smallint    CONSTRAINT ck_schedules_edited_missed CHECK (edited_missed BETWEEN 0 AND 100),
    paused         boolean     NOT NULL DEFAULT false,
    next_at        timestamptz NOT NULL,
    waiting_at     timestamptz,
    CONSTRAINT ck_schedules_paused CHECK (NOT paused OR waiting_at IS NULL)
);
COMMENT ON TABLE queue.schedules IS 'Jobs that the clock pushes. Code declares them; what operators edited goes before it.';
COMMENT ON COLUMN queue.schedules.cron IS 'Minute, hour, day of month, month, day of week; in the schedule''s zone.';
COMMENT ON COLUMN queue.schedules.zone IS 'IANA name.';
COMMENT ON COLUMN queue.schedules.overlap IS 'What a tick does while an earlier tick''s job has not ended: push all the same, nothing, or wait.';
COMMENT ON COLUMN queue.schedules.missed IS 'How many missed ticks are made up: none, or up to so many of the latest.';
COMMENT ON COLUMN queue.schedules.edited_cron IS 'An operator''s, instead of the declared one; so are its neighbours. A deployment leaves them alone.';
COMMENT ON COLUMN queue.schedules.waiting_at IS 'The tick that waits for an earlier tick''s job, where overlap is queue.';
COMMENT ON COLUMN queue.schedules.next_at IS 'The next tick. Moved on in the transaction that pushes.';
COMMENT ON COLUMN queue.schedules.paused IS 'Set by an operator; a deployment leaves it alone.';

CREATE TABLE queue.ticks (
    schedule text        NOT NULL CONSTRAINT fk_ticks_schedule REFERENCES queue.schedules (name) ON DELETE CASCADE,
    tick_at  timestamptz NOT NULL,
    job      uuid,
    CONSTRAINT ticks_pkey PRIMARY KEY (schedule, tick_at)
);
COMMENT ON TABLE queue.ticks IS 'One row per schedule and tick: it makes a tick happen once, whoever asks.';
COMMENT ON COLUMN queue.ticks.job IS 'Null: nothing was pushed, because an earlier tick''s job had not ended.';

-- Days -------------------------------------------------------------------------------------------

CREATE FUNCTION queue.first_id_at(at timestamptz) RETURNS uuid
LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE SET search_path = pg_catalog, pg_temp
RETURN (lpad(to_hex((extract(epoch FROM at) * 1000)::bigint), 12, '0') || repeat('0', 20))::uuid;
COMMENT ON FUNCTION queue.first_id_at IS 'The smallest UUIDv7 of a millisecond: where a day of jobs begins.';

CREATE FUNCTION queue.missing_days(days_ahead integer, at timestamptz DEFAULT now())
RETURNS TABLE (parent text, day timestamptz)
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp AS $$
    SELECT parent, day
    FROM unnest(ARRAY['jobs', 'runs']) AS parent
    CROSS JOIN generate_series(0, days_ahead) AS n
    CROSS JOIN LATERAL (SELECT date_trunc('day', at, 'UTC') + make_interval(hours => 24 * n)) AS d(day)
    WHERE to_regclass('queue.' || parent || to_char(day AT TIME ZONE 'UTC', '_YYYYMMDD')) IS NULL
    ORDER BY day, parent
$$;
COMMENT ON FUNCTION queue.missing_days IS 'Which partitions of today and the days ahead are still to be made.';

-- Making a partition locks its parent. Whoever reads the parent for long must not make everybody
-- else wait behind this: it gives up, and is tried again later.
CREATE FUNCTION queue.make_day(parent text, day timestamptz) RETURNS boolean
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp SET lock_timeout = '1s' AS $$
DECLARE
    label    text := parent || to_char(day AT TIME ZONE 'UTC', '_YYYYMMDD');
    first    uuid := queue.first_id_at(day);
    past     uuid := queue.first_id_at(day + interval '24 hours');
    occupied boolean;
BEGIN
    IF NOT pg_try_advisory_xact_lock(hashtext('queue.make_day')) OR to_regclass('queue.' || label) IS NOT NULL THEN
        RETURN false;
    END IF;
    IF parent = 'jobs' THEN
        occupied := EXISTS (SELECT FROM queue.jobs_default WHERE id >= first AND id < past);
    ELSE
        occupied := EXISTS (SELECT FROM queue.runs_default WHERE job >= first AND job < past);
    END IF;
    -- Rows that found no day stay where they are: moving them would hold up every push.
    IF occupied THEN
        RETURN false;
    END IF;
    EXECUTE format('CREATE TABLE queue.%I PARTITION OF queue.%I FOR VALUES FROM (%L) TO (%L)', label, parent, first, past);
    EXECUTE format('ALTER TABLE queue.%I ENABLE ROW LEVEL SECURITY', label);
    RETURN true;
END $$;
COMMENT ON FUNCTION queue.make_day IS 'Makes the partition of one day; says whether it did.';

SELECT queue.make_day(parent, day) FROM queue.missing_days(7);

-- What clients are told ---------------------------------------------------------------------------

CREATE TABLE queue.unique_keys (
    kind  text NOT NULL,
    key   text NOT NULL CONSTRAINT ck_unique_keys_key CHECK (char_length(key) BETWEEN 1 AND 255),
    job   uuid NOT NULL,
    until timestamptz,
    CONSTRAINT unique_keys_pkey PRIMARY KEY (kind, key)
);
CREATE INDEX idx_unique_keys_job ON queue.unique_keys (job);
COMMENT ON TABLE queue.unique_keys IS 'Keys that are held: a push with one of them answers the holder. Inserted and deleted, never updated.';
COMMENT ON COLUMN queue.unique_keys.kind IS 'Kinds have their keys apart.';
COMMENT ON COLUMN queue.unique_keys.job IS 'The holder; no foreign key, because jobs are dropped by the day.';
COMMENT ON COLUMN queue.unique_keys.until IS 'From then on the key is free. Null: free once the holder has ended. Infinity: as long as the holder is kept.';
ALTER TABLE queue.unique_keys SET (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 5000);

CREATE TABLE queue.kinds (
    kind         text COLLATE "C" NOT NULL CONSTRAINT kinds_pkey PRIMARY KEY,
    queue        text COLLATE "C" NOT NULL,
    max_attempts smallint NOT NULL CONSTRAINT ck_kinds_max_attempts CHECK (max_attempts > 0),
    max_losses   smallint NOT NULL CONSTRAINT ck_kinds_max_losses CHECK (max_losses > 0)
);
COMMENT ON TABLE queue.kinds IS 'Kinds that some worker has declared at its start: what may be pushed by SQL, and how.';
COMMENT ON COLUMN queue.kinds.max_losses IS 'After so many attempts in a row that killed their worker a job is poison.';

CREATE TABLE queue.queues (
    name            text COLLATE "C" NOT NULL CONSTRAINT queues_pkey PRIMARY KEY
                                CONSTRAINT ck_queues_name CHECK (name ~ '^[a-z][a-z0-9_]*$'),
    paused          boolean     NOT NULL DEFAULT false,
    changed_at      timestamptz NOT NULL DEFAULT now(),
    keep_days       smallint    CONSTRAINT ck_queues_keep_days CHECK (keep_days BETWEEN 1 AND 3650),
    keyed           boolean     NOT NULL DEFAULT false,
    weighted        boolean     NOT NULL DEFAULT false,
    fair            boolean     NOT NULL DEFAULT false,
    concurrency     integer     CONSTRAINT ck_queues_concurrency CHECK (concurrency BETWEEN 1 AND 1000000),
    key_concurrency smallint    NOT NULL DEFAULT 1
                                CONSTRAINT ck_queues_key_concurrency CHECK (key_concurrency BETWEEN 1 AND 10000),
    per_second      float8      CONSTRAINT ck_queues_per_second CHECK (per_second BETWEEN 0.00001 AND 1000000),
    burst           integer     CONSTRAINT ck_queues_burst CHECK (burst BETWEEN 1 AND 1000000),
    key_per_second  float8      CONSTRAINT ck_queues_key_per_second CHECK (key_per_second BETWEEN 0.00001 AND 1000000),
    key_burst       integer     CONSTRAINT ck_queues_key_burst CHECK (key_burst BETWEEN 1 AND 1000000),
    max_backlog     integer     CONSTRAINT ck_queues_max_backlog CHECK (max_backlog BETWEEN 1 AND 100000000),
    full_delay      interval    CONSTRAINT ck_queues_full_delay CHECK (full_delay BETWEEN '1 second' AND '1 day'),
    ruled           boolean     NOT NULL GENERATED ALWAYS AS (
        keyed OR fair OR concurrency IS NOT NULL OR per_second IS NOT NULL
    ) STORED,
    ruled_since     timestamptz,
    fair_since      timestamptz
);
COMMENT ON TABLE queue.queues IS 'What an operator has said about a queue. A queue without a row is not paused, and kept like most.';
COMMENT ON COLUMN queue.queues.keep_days IS 'Days that its ended jobs stay readable; null: as the settings say for all.';
COMMENT ON COLUMN queue.queues.paused IS 'No job of it starts; those that run go on.';
COMMENT ON COLUMN queue.queues.keyed IS 'A job with a key has been pushed to it.';
COMMENT ON COLUMN queue.queues.weighted IS 'A job that weighs more than one has been pushed to it.';
COMMENT ON COLUMN queue.queues.fair IS 'Tenants take turns.';
COMMENT ON COLUMN queue.queues.concurrency IS 'So many of its jobs run at a time at most, in all processes together; null: as many as they can.';
COMMENT ON COLUMN queue.queues.key_concurrency IS 'So many of its jobs with one key run at a time. With 1, they run in order, and a job keeps its place while it waits for its next attempt.';
COMMENT ON COLUMN queue.queues.per_second IS 'So many of its jobs start in a second, in the long run and by their weights; null: no limit.';
COMMENT ON COLUMN queue.queues.burst IS 'How many may start at once after a pause; null: as many as in a tenth of a second, and one at least.';
COMMENT ON COLUMN queue.queues.key_per_second IS 'As per_second, for the jobs of each key.';
COMMENT ON COLUMN queue.queues.key_burst IS 'As burst, for the jobs of each key.';
COMMENT ON COLUMN queue.queues.max_backlog IS 'With so many jobs that could start, a push is refused or put off; null: never.';
COMMENT ON COLUMN queue.queues.full_delay IS 'A push to a full queue is put off so long; null: it is refused.';
COMMENT ON COLUMN queue.queues.ruled IS 'Its jobs are claimed by its rules, with queue.take.';
COMMENT ON COLUMN queue.queues.ruled_since IS 'When every claim knew that it has rules: leases from before do not name it. Infinity until a worker has seen its first rule, which may have been set in a long transaction.';
COMMENT ON COLUMN queue.queues.fair_since IS 'When the transaction that made it fair began. Pushes that did not know of it yet say nothing of tenants.';
COMMENT ON COLUMN queue.queues.changed_at IS 'When it was last paused or resumed.';

-- Who waits ---------------------------------------------------------------------------------------

-- An idle worker holds a shared advisory lock on the name of its queue. A push that could have the
-- lock for itself need not wake anybody: notifying all the time would make commits wait in line.
CREATE FUNCTION queue.wake(queue text) RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    -- One expression, so that nothing can come between taking the lock and giving it back.
    PERFORM pg_notify('queue_ready', queue) WHERE CASE
        WHEN pg_try_advisory_lock(1111834948, hashtext(queue)) THEN NOT pg_advisory_unlock(1111834948, hashtext(queue))
        ELSE true
    END;
END $$;
COMMENT ON FUNCTION queue.wake IS 'Tells idle workers, if there are any, that a queue has something to do once this transaction has committed. Called after the rows are there.';

-- Rights: nobody but the owner, until a later migration grants. ----------------------------------

ALTER TABLE queue.jobs ENABLE ROW LEVEL SECURITY;
ALTER TABLE queue.jobs_default ENABLE ROW LEVEL SECURITY;
ALTER TABLE queue.ready ENABLE ROW LEVEL SECURITY;
ALTER TABLE queue.scheduled ENABLE ROW LEVEL SECURITY;
ALTER TABLE queue.waiting ENABLE ROW LEVEL SECURITY;
ALTER TABLE queue.workers ENABLE ROW LEVEL SECURITY;
ALTER TABLE queue.dead_letters ENABLE ROW LEVEL SECURITY;
ALTER TABLE queue.outputs ENABLE ROW LEVEL SECURITY;
ALTER TABLE queue.leases ENABLE ROW LEVEL SECURITY;
ALTER TABLE queue.cancellations ENABLE ROW LEVEL SECURITY;
ALTER TABLE queue.runs ENABLE ROW LEVEL SECURITY;
ALTER TABLE queue.runs_default ENABLE ROW LEVEL SECURITY;
ALTER TABLE queue.schedules ENABLE ROW LEVEL SECURITY;
ALTER TABLE queue.ticks ENABLE ROW LEVEL SECURITY;
ALTER TABLE queue.unique_keys ENABLE ROW LEVEL SECURITY;
ALTER TABLE queue.kinds ENABLE ROW LEVEL SECURITY;
ALTER TABLE queue.queues ENABLE ROW LEVEL SECURITY;
REVOKE ALL ON FUNCTION queue.first_id_at, queue.missing_days, queue.make_day, queue.wake FROM PUBLIC;
