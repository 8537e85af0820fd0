-- What people do on the platform, and the figures of each day.
-- Owner: workers/rollup. Locks: none, everything is new. Undo: DROP SCHEMA analytics CASCADE.

CREATE SCHEMA analytics;
COMMENT ON SCHEMA analytics IS 'Events and journeys, by month, and daily figures made of them. Figures are written by workers/rollup.';
GRANT USAGE ON SCHEMA analytics TO authenticated, service_role;

CREATE FUNCTION analytics.names_no_address(details jsonb) RETURNS boolean
LANGUAGE sql IMMUTABLE PARALLEL SAFE SET search_path = pg_catalog, pg_temp
RETURN NOT jsonb_path_exists(details, 'strict $.** ? (@.type() == "object").keyvalue().key ? (@ like_regex "^((client|remote|raw|user|x_real)_?)?ip(_?addr(ess)?)?$|^remote_?addr$|^x_?forwarded_?for$" flag "i")', '{}', true);
COMMENT ON FUNCTION analytics.names_no_address IS 'Whether no field, at any depth, is called like the address of a machine.';

CREATE TABLE analytics.activity_log (
    id            uuid        NOT NULL DEFAULT gen_random_uuid(),
    created_at    timestamptz NOT NULL DEFAULT now(),
    user_id       uuid        CONSTRAINT fk_activity_log_user REFERENCES public.profiles,
    session_id    uuid,
    activity_type text        NOT NULL CONSTRAINT ck_activity_log_activity_type CHECK (activity_type ~ '^[a-z][a-z0-9_]{1,39}$'),
    action        text        NOT NULL CONSTRAINT ck_activity_log_action CHECK (action ~ '^[a-z][a-z0-9_.]{1,79}$'),
    subject_type  text        CONSTRAINT ck_activity_log_subject_type CHECK (subject_type ~ '^[a-z][a-z0-9_]{1,39}$'),
    subject_id    uuid,
    source        text        NOT NULL DEFAULT 'server' CONSTRAINT ck_activity_log_source CHECK (source IN ('client', 'server', 'worker', 'import')),
    details       jsonb       NOT NULL DEFAULT '{}' CONSTRAINT ck_activity_log_details CHECK (jsonb_typeof(details) = 'object' AND octet_length(details::text) <= 20000),
    CONSTRAINT activity_log_pkey PRIMARY KEY (id, created_at),
    CONSTRAINT ck_activity_log_subject CHECK (subject_id IS NULL OR subject_type IS NOT NULL),
    CONSTRAINT ck_activity_log_no_address CHECK (analytics.names_no_address(details))
) PARTITION BY RANGE (created_at);
CREATE INDEX idx_activity_log_user ON analytics.activity_log (user_id, created_at DESC) WHERE user_id IS NOT NULL;
CREATE INDEX idx_activity_log_type ON analytics.activity_log (activity_type, action, created_at);
CREATE INDEX idx_activity_log_created ON analytics.activity_log (created_at, user_id);
COMMENT ON TABLE analytics.activity_log IS 'What happened on the platform: one row for each event. Only added to.';
COMMENT ON COLUMN analytics.activity_log.session_id IS 'Of analytics.user_sessions.';
COMMENT ON COLUMN analytics.activity_log.source IS 'client: said by a frontend, and to be believed accordingly.';
COMMENT ON COLUMN analytics.activity_log.details IS 'Fields as the type has them; never the address of a machine.';
SELECT util.ensure_partitions('analytics.activity_log', 3);

CREATE TABLE analytics.user_sessions (
    id               uuid        NOT NULL DEFAULT gen_random_uuid(),
    started_at       timestamptz NOT NULL DEFAULT now(),
    user_id          uuid        CONSTRAINT fk_user_sessions_user REFERENCES public.profiles,
    visitor_id       uuid,
    last_seen_at     timestamptz NOT NULL DEFAULT now(),
    ended_at         timestamptz,
    journey          jsonb       NOT NULL DEFAULT '[]' CONSTRAINT ck_user_sessions_journey CHECK (jsonb_typeof(journey) = 'array' AND octet_length(journey::text) <= 100000),
    pages_visited    text[]      NOT NULL DEFAULT '{}' CONSTRAINT ck_user_sessions_pages_visited
                                 CHECK (cardinality(pages_visited) <= 500 AND octet_length(array_to_string(pages_visited, '')) <= 200000 AND array_position(pages_visited, NULL) IS NULL),
    device_info      jsonb       NOT NULL DEFAULT '{}' CONSTRAINT ck_user_sessions_device_info CHECK (jsonb_typeof(device_info) = 'object' AND octet_length(device_info::text) <= 4000),
    network          cidr        CONSTRAINT ck_user_sessions_network CHECK (masklen(network) <= CASE family(network) WHEN 4 THEN 24 ELSE 48 END),
    country_code     text        CONSTRAINT ck_user_sessions_country_code CHECK (country_code ~ '^[A-Z]{2}$'),
    referrer         text        CONSTRAINT ck_user_sessions_referrer CHECK (char_length(referrer) BETWEEN 1 AND 2000),
    CONSTRAINT user_sessions_pkey PRIMARY KEY (id, started_at),
    CONSTRAINT ck_user_sessions_last_seen_at CHECK (last_seen_at >= started_at),
    CONSTRAINT ck_user_sessions_ended_at CHECK (ended_at >= last_seen_at),
    CONSTRAINT ck_user_sessions_no_address CHECK (analytics.names_no_address(device_info) AND analytics.names_no_address(journey))
) PARTITION BY RANGE (started_at);
CREATE INDEX idx_user_sessions_user ON analytics.user_sessions (user_id, started_at DESC) WHERE user_id IS NOT NULL;
CREATE INDEX idx_user_sessions_started ON analytics.user_sessions (started_at, user_id);
CREATE INDEX idx_user_sessions_open ON analytics.user_sessions (last_seen_at) WHERE ended_at IS NULL;
COMMENT ON TABLE analytics.user_sessions IS 'Visits: which way somebody took, and with what device. Who is signed in is in identity, and not here.';
COMMENT ON COLUMN analytics.user_sessions.visitor_id IS 'A browser that keeps coming back, before anybody signs in.';
COMMENT ON COLUMN analytics.user_sessions.network IS 'Where it came from, cut to 24 bits, or 48 of IPv6: the whole address is kept nowhere.';
COMMENT ON COLUMN analytics.user_sessions.device_info IS 'Kind of device, system, browser, size of the screen.';
SELECT util.ensure_partitions('analytics.user_sessions', 3);

CREATE TABLE analytics.kpis_daily (
    day_on      date           NOT NULL CONSTRAINT ck_kpis_daily_day_on CHECK (day_on BETWEEN '2000-01-01' AND '2200-01-01'),
    metric      text           NOT NULL CONSTRAINT ck_kpis_daily_metric CHECK (metric ~ '^[a-z][a-z0-9_.]{1,79}$'),
    dimension   text           NOT NULL DEFAULT '' CONSTRAINT ck_kpis_daily_dimension CHECK (dimension ~ '^([a-z][a-z0-9_]{0,39}=[^=,]{1,80}(,[a-z][a-z0-9_]{0,39}=[^=,]{1,80}){0,3})?$'),
    value       numeric(24, 6) NOT NULL CONSTRAINT ck_kpis_daily_value CHECK (abs(value) <= 1000000000000000),
    sample_size bigint         CONSTRAINT ck_kpis_daily_sample_size CHECK (sample_size >= 0),
    version     integer        NOT NULL DEFAULT 1 CONSTRAINT ck_kpis_daily_version CHECK (version BETWEEN 1 AND 100000),
    computed_at timestamptz    NOT NULL DEFAULT now(),
    CONSTRAINT kpis_daily_pkey PRIMARY KEY (day_on, metric, dimension)
);
CREATE INDEX idx_kpis_daily_metric ON analytics.kpis_daily (metric, dimension, day_on DESC);
COMMENT ON TABLE analytics.kpis_daily IS 'Figures of each day of UTC: how many were active, came back, paid. Computed again at any time, with the same result.';
COMMENT ON COLUMN analytics.kpis_daily.metric IS 'Such as dau, wau, mau, signups, conversion_rate, retention_d7, mrr_cents.';
COMMENT ON COLUMN analytics.kpis_daily.dimension IS 'What it is of, as tier=premium or currency=EUR; empty: of all.';
COMMENT ON COLUMN analytics.kpis_daily.sample_size IS 'How many a rate or mean is of.';
COMMENT ON COLUMN analytics.kpis_daily.version IS 'Of the set of metrics it was computed by: what they mean may change.';

CREATE TABLE analytics.ai_costs_daily (
    day_on            date        NOT NULL CONSTRAINT ck_ai_costs_daily_day_on CHECK (day_on BETWEEN '2000-01-01' AND '2200-01-01'),
    provider_key      text        NOT NULL CONSTRAINT ck_ai_costs_daily_provider_key CHECK (provider_key ~ '^[a-z][a-z0-9_]{1,39}$'),
    model_key         text        NOT NULL CONSTRAINT ck_ai_costs_daily_model_key CHECK (char_length(model_key) BETWEEN 1 AND 120),
    feature           text        NOT NULL CONSTRAINT ck_ai_costs_daily_feature CHECK (feature ~ '^[a-z][a-z0-9_.]{1,79}$'),
    requests          bigint      NOT NULL CONSTRAINT ck_ai_costs_daily_requests CHECK (requests >= 0),
    failed_requests   bigint      NOT NULL DEFAULT 0,
    unpriced_requests bigint      NOT NULL DEFAULT 0,
    tokens_in         bigint      NOT NULL CONSTRAINT ck_ai_costs_daily_tokens_in CHECK (tokens_in >= 0),
    tokens_out        bigint      NOT NULL CONSTRAINT ck_ai_costs_daily_tokens_out CHECK (tokens_out >= 0),
    cost_micro        bigint      NOT NULL CONSTRAINT ck_ai_costs_daily_cost_micro CHECK (cost_micro >= 0),
    computed_at       timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT ai_costs_daily_pkey PRIMARY KEY (day_on, provider_key, model_key, feature),
    CONSTRAINT ck_ai_costs_daily_failed_requests CHECK (failed_requests BETWEEN 0 AND requests),
    CONSTRAINT ck_ai_costs_daily_unpriced_requests CHECK (unpriced_requests BETWEEN 0 AND requests)
);
COMMENT ON TABLE analytics.ai_costs_daily IS 'What models cost on each day of UTC, by what they were used for: sums of ai.usage_logs.';
COMMENT ON COLUMN analytics.ai_costs_daily.provider_key IS 'By name, so that old days stay when a provider goes.';
COMMENT ON COLUMN analytics.ai_costs_daily.unpriced_requests IS 'Those for which no price was known: their cost is missing in the sum.';

-- Writing ------------------------------------------------------------------------------------------

CREATE FUNCTION analytics.append_activity(
    activity_type text, action text, details jsonb DEFAULT '{}', subject_type text DEFAULT NULL, subject_id uuid DEFAULT NULL, session_id uuid DEFAULT NULL
) RETURNS uuid
LANGUAGE sql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
BEGIN ATOMIC
    INSERT INTO analytics.activity_log (user_id, session_id, activity_type, action, subject_type, subject_id, source, details)
    VALUES (
        auth.uid(), append_activity.session_id, append_activity.activity_type, append_activity.action, append_activity.subject_type,
        append_activity.subject_id, CASE WHEN util.is_client() THEN 'client' ELSE 'server' END, coalesce(append_activity.details, '{}')
    )
    RETURNING id;
END;
COMMENT ON FUNCTION analytics.append_activity IS 'Notes that the one who asks has done something, now.';

CREATE FUNCTION analytics.record_kpi(
    day_on date, metric text, value numeric, dimension text DEFAULT '', sample_size bigint DEFAULT NULL, version integer DEFAULT 1
) RETURNS boolean
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
#variable_conflict use_column
BEGIN
    INSERT INTO analytics.kpis_daily AS k (day_on, metric, dimension, value, sample_size, version)
    VALUES (record_kpi.day_on, record_kpi.metric, record_kpi.dimension, record_kpi.value, record_kpi.sample_size, record_kpi.version)
    ON CONFLICT ON CONSTRAINT kpis_daily_pkey DO UPDATE
    SET value = excluded.value, sample_size = excluded.sample_size, version = excluded.version, computed_at = now()
    -- What is the same already is not written again.
    WHERE excluded.version >= k.version AND (k.value, k.sample_size, k.version) IS DISTINCT FROM (excluded.value, excluded.sample_size, excluded.version);
    RETURN FOUND;
END $$;
COMMENT ON FUNCTION analytics.record_kpi IS 'Writes a figure of a day over an older one, unless that is of a later version; answers whether it changed anything.';

-- Rights -------------------------------------------------------------------------------------------

-- Of an event that is written only whose it is, and what it says, may go when the person is forgotten.
SELECT util.protect('analytics.activity_log', 'SELECT, INSERT, UPDATE (user_id, session_id, details)');
SELECT util.protect('analytics.user_sessions');
SELECT util.protect('analytics.kpis_daily');
SELECT util.protect('analytics.ai_costs_daily');

CREATE POLICY activity_log_read ON analytics.activity_log FOR SELECT TO authenticated
    USING ((SELECT rbac.has_permission((SELECT auth.uid()), 'analytics.view')));
CREATE POLICY user_sessions_read ON analytics.user_sessions FOR SELECT TO authenticated
    USING ((SELECT rbac.has_permission((SELECT auth.uid()), 'analytics.view')));
CREATE POLICY kpis_daily_read ON analytics.kpis_daily FOR SELECT TO authenticated
    USING ((SELECT rbac.has_permission((SELECT auth.uid()), 'analytics.view')));
CREATE POLICY ai_costs_daily_read ON analytics.ai_costs_daily FOR SELECT TO authenticated
    USING ((SELECT rbac.has_permission((SELECT auth.uid()), 'analytics.view')));
GRANT SELECT ON analytics.activity_log, analytics.user_sessions, analytics.kpis_daily, analytics.ai_costs_daily TO authenticated;

REVOKE ALL ON FUNCTION analytics.names_no_address, analytics.append_activity, analytics.record_kpi FROM PUBLIC;
GRANT EXECUTE ON FUNCTION analytics.append_activity TO authenticated, service_role;
GRANT EXECUTE ON FUNCTION analytics.names_no_address, analytics.record_kpi TO service_role;

SELECT compliance.classify('analytics.activity_log', 'personal', '{user_id,session_id,details}', exported => true, on_erasure => 'anonymise');
SELECT compliance.classify('analytics.activity_log', 'pseudonymous', exported => true, on_erasure => 'keep', reason => 'Counted in figures; without the person it speaks of nobody.');
SELECT compliance.belongs_to('analytics.activity_log', 'user_id = $1');
SELECT compliance.classify('analytics.user_sessions', 'personal', exported => true, on_erasure => 'delete');
SELECT compliance.belongs_to('analytics.user_sessions', 'user_id = $1');
SELECT compliance.classify('analytics.kpis_daily', 'none');
SELECT compliance.classify('analytics.ai_costs_daily', 'none');
