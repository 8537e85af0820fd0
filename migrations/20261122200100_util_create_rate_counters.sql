-- How often somebody did something lately: the one mechanism behind every limit.
-- Owner: workers/maintenance. Locks: none, everything is new.
-- Undo: DROP TABLE util.rate_counters, util.rate_limits; DROP FUNCTION util.count_and_check, util.check_rate.

CREATE TABLE util.rate_limits (
    scope          text        NOT NULL CONSTRAINT rate_limits_pkey PRIMARY KEY CONSTRAINT ck_rate_limits_scope CHECK (scope ~ '^[a-z][a-z0-9_.]{1,79}$'),
    max_hits       integer     NOT NULL CONSTRAINT ck_rate_limits_max_hits CHECK (max_hits BETWEEN 0 AND 1000000000),
    window_seconds integer     NOT NULL CONSTRAINT ck_rate_limits_window CHECK (window_seconds BETWEEN 1 AND 2678400),
    description    text        NOT NULL DEFAULT '' CONSTRAINT ck_rate_limits_description CHECK (char_length(description) <= 500),
    is_active      boolean     NOT NULL DEFAULT true,
    created_at     timestamptz NOT NULL DEFAULT now(),
    updated_at     timestamptz NOT NULL DEFAULT now()
);
COMMENT ON TABLE util.rate_limits IS 'How often is too often, for what operators may want to change. Quotas of the assistant are in ai.rate_limits.';

CREATE TABLE util.rate_counters (
    scope        text        NOT NULL CONSTRAINT ck_rate_counters_scope CHECK (scope ~ '^[a-z][a-z0-9_.]{1,79}$'),
    subject_hash bytea       NOT NULL CONSTRAINT ck_rate_counters_subject_hash CHECK (octet_length(subject_hash) = 32),
    window_start timestamptz NOT NULL,
    hits         integer     NOT NULL CONSTRAINT ck_rate_counters_hits CHECK (hits > 0),
    expires_at   timestamptz NOT NULL,
    CONSTRAINT rate_counters_pkey PRIMARY KEY (scope, subject_hash, window_start),
    CONSTRAINT ck_rate_counters_expires_at CHECK (expires_at > window_start)
) WITH (fillfactor = 70);
CREATE INDEX idx_rate_counters_expires_at ON util.rate_counters (expires_at);
COMMENT ON TABLE util.rate_counters IS 'What was let through, counted by window. Rows past expires_at say nothing more and go.';
COMMENT ON COLUMN util.rate_counters.subject_hash IS 'SHA-256 of who it was. For addresses, of their daily hash: nothing here tells who.';

CREATE FUNCTION util.count_and_check(scope text, subject text, max_hits integer, window_length interval, also text DEFAULT NULL)
RETURNS TABLE (allowed boolean, hits integer, remaining integer, retry_at timestamptz)
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
#variable_conflict use_column
DECLARE
    the_hash   bytea := sha256(convert_to(subject, 'UTF8'));
    also_hash  bytea := sha256(convert_to(also, 'UTF8'));
    width      numeric := extract(epoch FROM window_length);
    -- Seconds: a day of the session's time zone, or a month, is not always as long.
    step       interval := make_interval(secs => extract(epoch FROM window_length));
    at         timestamptz := clock_timestamp();
    starts_at  timestamptz;
    share      numeric;
    earlier    integer;
    counted    integer;
BEGIN
    IF subject IS NULL OR max_hits IS NULL OR max_hits < 0 OR coalesce(width, 0) NOT BETWEEN 1 AND 2678400 THEN
        RAISE EXCEPTION 'a limit has a subject, no less than 0 hits and a window of 1 second to 31 days' USING ERRCODE = 'invalid_parameter_value';
    END IF;
    starts_at := to_timestamp(floor(extract(epoch FROM at) / width) * width);
    -- A window that slides: of the one before counts what lies within the last window_length, as if evenly spread.
    share := 1 - extract(epoch FROM at - starts_at) / width;
    SELECT coalesce(ceil(sum(c.hits * CASE WHEN c.window_start = starts_at THEN 1 ELSE share END)), 0) INTO earlier
    FROM util.rate_counters c
    WHERE c.scope = count_and_check.scope AND (
        c.subject_hash = the_hash AND c.window_start = starts_at - step
        OR c.subject_hash = also_hash AND c.window_start IN (starts_at, starts_at - step)
    );
    IF earlier < max_hits THEN
        -- The row is locked from here on: of two at once, the second counts the first.
        INSERT INTO util.rate_counters AS c (scope, subject_hash, window_start, hits, expires_at)
        VALUES (count_and_check.scope, the_hash, starts_at, 1, starts_at + 2 * step)
        ON CONFLICT ON CONSTRAINT rate_counters_pkey DO UPDATE SET hits = c.hits + 1 WHERE c.hits + earlier < max_hits
        RETURNING c.hits INTO counted;
    END IF;
    allowed := counted IS NOT NULL;
    hits := least(earlier + coalesce(counted, (
        SELECT c.hits FROM util.rate_counters c
        WHERE c.scope = count_and_check.scope AND c.subject_hash = the_hash AND c.window_start = starts_at
    ), 0), greatest(max_hits, earlier));
    remaining := greatest(max_hits - hits, 0);
    retry_at := CASE WHEN NOT allowed THEN starts_at + step END;
    RETURN NEXT;
END $$;
COMMENT ON FUNCTION util.count_and_check IS 'Counts one more of something by somebody, if no more than max_hits of them are in the last window_length; what is refused is not counted. also: another name of the same somebody, as yesterday''s hash of an address.';

CREATE FUNCTION util.check_rate(scope text, subject text, also text DEFAULT NULL)
RETURNS TABLE (allowed boolean, hits integer, remaining integer, retry_at timestamptz)
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
#variable_conflict use_column
DECLARE
    the_limit util.rate_limits;
BEGIN
    SELECT * INTO the_limit FROM util.rate_limits l WHERE l.scope = check_rate.scope;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'there is no limit for %', scope USING ERRCODE = 'invalid_parameter_value';
    END IF;
    IF NOT the_limit.is_active THEN
        RETURN QUERY SELECT true, 0, the_limit.max_hits, NULL::timestamptz;
    ELSE
        RETURN QUERY SELECT * FROM util.count_and_check(the_limit.scope, subject, the_limit.max_hits, make_interval(secs => the_limit.window_seconds), also);
    END IF;
END $$;
COMMENT ON FUNCTION util.check_rate IS 'util.count_and_check by the limit in util.rate_limits.';

CREATE TRIGGER trg_rate_limits_set_updated_at BEFORE UPDATE ON util.rate_limits FOR EACH ROW EXECUTE FUNCTION util.set_updated_at();
CREATE TRIGGER trg_rate_limits_log_change AFTER INSERT OR UPDATE OR DELETE ON util.rate_limits FOR EACH ROW EXECUTE FUNCTION compliance.log_change('scope');

SELECT util.protect('util.rate_limits');
SELECT util.protect('util.rate_counters');
CREATE POLICY rate_limits_manage ON util.rate_limits TO authenticated
    USING ((SELECT rbac.has_permission((SELECT auth.uid()), 'slo.manage'))) WITH CHECK ((SELECT rbac.has_permission((SELECT auth.uid()), 'slo.manage')));
GRANT SELECT, UPDATE (max_hits, window_seconds, is_active) ON util.rate_limits TO authenticated;
REVOKE ALL ON FUNCTION util.count_and_check, util.check_rate FROM PUBLIC;
GRANT EXECUTE ON FUNCTION util.count_and_check, util.check_rate TO service_role;

SELECT compliance.classify('util.rate_limits', 'none');
SELECT compliance.classify('util.rate_counters', 'pseudonymous', '{subject_hash}', on_erasure => 'keep', reason => 'Gone within two windows, and points to nobody.');
SELECT compliance.classify('util.rate_counters', 'none');
