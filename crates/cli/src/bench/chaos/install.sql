-- chaos.install
-- The checker's own tables, and triggers that fill them from inside the engine's transactions: what
-- stands here is what was committed, whatever the engine believes.
CREATE SCHEMA chaos;

CREATE TABLE chaos.history (
    -- Drawn when the event happens, not when it commits. One value at a time: a cache would let
    -- sessions draw numbers ahead, and the order would say nothing.
    seq     bigint      GENERATED ALWAYS AS IDENTITY (CACHE 1) PRIMARY KEY,
    at      timestamptz NOT NULL DEFAULT clock_timestamp(),
    xact    xid8        NOT NULL DEFAULT pg_current_xact_id(),
    what    text        NOT NULL CHECK (what IN ('pushed', 'leased', 'closed', 'ended')),
    token   bigint,
    job     uuid,
    jobs    uuid[],
    kind    text,
    key     text,
    -- By the rates of the queue.
    leased_at timestamptz,
    attempt smallint,
    outcome text
);
COMMENT ON TABLE chaos.history IS 'What happened to jobs and leases, in order. Only appended to.';

CREATE TABLE chaos.effects (
    id      bigint   GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    job     uuid     NOT NULL,
    attempt smallint NOT NULL,
    xact    xid8     NOT NULL DEFAULT pg_current_xact_id()
);
COMMENT ON TABLE chaos.effects IS 'What handlers left behind. Nothing here is unique, so that a second effect shows.';

CREATE FUNCTION chaos.note_push() RETURNS trigger LANGUAGE plpgsql SET search_path = pg_catalog AS $$
BEGIN
    INSERT INTO chaos.history (what, job, kind, key) VALUES ('pushed', new.id, new.kind, new.key);
    RETURN NULL;
END $$;

CREATE FUNCTION chaos.note_lease() RETURNS trigger LANGUAGE plpgsql SET search_path = pg_catalog AS $$
BEGIN
    IF tg_op = 'INSERT' THEN
        INSERT INTO chaos.history (what, token, jobs, leased_at)
        VALUES ('leased', new.token, new.jobs, new.leased_at);
    ELSE
        INSERT INTO chaos.history (what, token) VALUES ('closed', old.token);
    END IF;
    RETURN NULL;
END $$;

CREATE FUNCTION chaos.note_end() RETURNS trigger LANGUAGE plpgsql SET search_path = pg_catalog AS $$
BEGIN
    INSERT INTO chaos.history (what, token, job, attempt, outcome)
    VALUES ('ended', new.token, new.job, new.attempt, new.outcome);
    RETURN NULL;
END $$;

CREATE TRIGGER trg_chaos_push AFTER INSERT ON queue.jobs
    FOR EACH ROW EXECUTE FUNCTION chaos.note_push();
CREATE TRIGGER trg_chaos_lease AFTER INSERT OR DELETE ON queue.leases
    FOR EACH ROW EXECUTE FUNCTION chaos.note_lease();
CREATE TRIGGER trg_chaos_end AFTER INSERT ON queue.runs
    FOR EACH ROW EXECUTE FUNCTION chaos.note_end();
