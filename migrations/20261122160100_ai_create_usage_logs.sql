-- What calls to models used and cost: one row for each, by month.
-- Owner: workers/ai. Locks: none, everything is new. Undo: DROP FUNCTION ai.log_usage; DROP TABLE ai.usage_logs, ai.usage_requests.

CREATE TABLE ai.usage_requests (
    request_id text        NOT NULL CONSTRAINT usage_requests_pkey PRIMARY KEY CONSTRAINT ck_usage_requests_request_id CHECK (char_length(request_id) BETWEEN 1 AND 200),
    usage_id   uuid        NOT NULL CONSTRAINT uq_usage_requests_usage UNIQUE,
    created_at timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX idx_usage_requests_created ON ai.usage_requests (created_at);
COMMENT ON TABLE ai.usage_requests IS 'Which requests are on ai.usage_logs already: a unique key of that table would end with the month.';

CREATE TABLE ai.usage_logs (
    id          uuid        NOT NULL DEFAULT gen_random_uuid(),
    created_at  timestamptz NOT NULL DEFAULT now(),
    request_id  text        NOT NULL CONSTRAINT ck_usage_logs_request_id CHECK (char_length(request_id) BETWEEN 1 AND 200),
    user_id     uuid        CONSTRAINT fk_usage_logs_user REFERENCES public.profiles,
    api_key_id  uuid        CONSTRAINT fk_usage_logs_api_key REFERENCES identity.api_keys,
    model_id    uuid        CONSTRAINT fk_usage_logs_model REFERENCES ai.models,
    feature     text        NOT NULL CONSTRAINT ck_usage_logs_feature CHECK (feature ~ '^[a-z][a-z0-9_.]{1,79}$'),
    endpoint    text        CONSTRAINT ck_usage_logs_endpoint CHECK (char_length(endpoint) BETWEEN 1 AND 200),
    method      text        CONSTRAINT ck_usage_logs_method CHECK (method ~ '^[A-Z]{1,10}$'),
    session_id  uuid,
    message_id  uuid,
    job_id      uuid,
    tokens_in   bigint      NOT NULL DEFAULT 0 CONSTRAINT ck_usage_logs_tokens_in CHECK (tokens_in BETWEEN 0 AND 1000000000),
    tokens_out  bigint      NOT NULL DEFAULT 0 CONSTRAINT ck_usage_logs_tokens_out CHECK (tokens_out BETWEEN 0 AND 1000000000),
    cost_micro  bigint      CONSTRAINT ck_usage_logs_cost_micro CHECK (cost_micro BETWEEN 0 AND 1000000000000),
    latency_ms  integer     CONSTRAINT ck_usage_logs_latency_ms CHECK (latency_ms BETWEEN 0 AND 86400000),
    error_code  text        CONSTRAINT ck_usage_logs_error_code CHECK (char_length(error_code) BETWEEN 1 AND 100),
    CONSTRAINT usage_logs_pkey PRIMARY KEY (id, created_at)
) PARTITION BY RANGE (created_at);
CREATE INDEX idx_usage_logs_user ON ai.usage_logs (user_id, created_at DESC, endpoint) WHERE user_id IS NOT NULL;
CREATE INDEX idx_usage_logs_api_key ON ai.usage_logs (api_key_id, created_at DESC) WHERE api_key_id IS NOT NULL;
CREATE INDEX idx_usage_logs_model ON ai.usage_logs (model_id, created_at) WHERE model_id IS NOT NULL;
CREATE INDEX idx_usage_logs_created ON ai.usage_logs (created_at);
COMMENT ON TABLE ai.usage_logs IS 'Every call to a model, once: the source of all sums of tokens and costs. What messages say of theirs is a copy.';
COMMENT ON COLUMN ai.usage_logs.request_id IS 'Says which call it was, across months and repetitions: ai.usage_requests.';
COMMENT ON COLUMN ai.usage_logs.feature IS 'What it was for: assistant, rag.embed, rag.search, generate, transcribe, studio.';
COMMENT ON COLUMN ai.usage_logs.message_id IS 'Of ai.assistant_messages, which may be gone.';
COMMENT ON COLUMN ai.usage_logs.cost_micro IS 'In millionths of a US dollar, by the price at the time. Null: no price was known.';
COMMENT ON COLUMN ai.usage_logs.error_code IS 'Null: it succeeded.';
SELECT util.ensure_partitions('ai.usage_logs', 3);

CREATE FUNCTION ai.log_usage(
    request_id text, feature text, model_id uuid, tokens_in bigint, tokens_out bigint, user_id uuid DEFAULT NULL, api_key_id uuid DEFAULT NULL,
    session_id uuid DEFAULT NULL, message_id uuid DEFAULT NULL, job_id uuid DEFAULT NULL, endpoint text DEFAULT NULL, method text DEFAULT NULL,
    latency_ms integer DEFAULT NULL, error_code text DEFAULT NULL, at timestamptz DEFAULT now()
) RETURNS uuid
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
#variable_conflict use_column
DECLARE
    the_id uuid;
BEGIN
    INSERT INTO ai.usage_requests AS r (request_id, usage_id, created_at) VALUES (log_usage.request_id, gen_random_uuid(), log_usage.at)
    ON CONFLICT ON CONSTRAINT usage_requests_pkey DO NOTHING
    RETURNING r.usage_id INTO the_id;
    IF the_id IS NULL THEN
        RETURN (SELECT r.usage_id FROM ai.usage_requests r WHERE r.request_id = log_usage.request_id);
    END IF;
    INSERT INTO ai.usage_logs (
        id, created_at, request_id, user_id, api_key_id, model_id, feature, endpoint, method, session_id, message_id, job_id,
        tokens_in, tokens_out, cost_micro, latency_ms, error_code
    )
    VALUES (
        the_id, log_usage.at, log_usage.request_id, log_usage.user_id, log_usage.api_key_id, log_usage.model_id, log_usage.feature,
        log_usage.endpoint, log_usage.method, log_usage.session_id, log_usage.message_id, log_usage.job_id,
        coalesce(log_usage.tokens_in, 0), coalesce(log_usage.tokens_out, 0),
        ai.cost_micro(log_usage.model_id, log_usage.tokens_in, log_usage.tokens_out, log_usage.at), log_usage.latency_ms, log_usage.error_code
    );
    RETURN the_id;
END $$;
COMMENT ON FUNCTION ai.log_usage IS 'Notes a call to a model and what it cost. A request that is noted already is not noted again; answers the id either way.';

-- Of a row that is written only whose it is may change, when the person is forgotten.
SELECT util.protect('ai.usage_logs', 'SELECT, INSERT, UPDATE (user_id, api_key_id, session_id, message_id)');
SELECT util.protect('ai.usage_requests', 'SELECT, INSERT, DELETE');
CREATE POLICY usage_logs_read ON ai.usage_logs FOR SELECT TO authenticated
    USING (user_id = (SELECT auth.uid()) OR (SELECT rbac.has_permission((SELECT auth.uid()), 'ai.manage')));
GRANT SELECT ON ai.usage_logs TO authenticated;

REVOKE ALL ON FUNCTION ai.log_usage FROM PUBLIC;
GRANT EXECUTE ON FUNCTION ai.log_usage TO service_role;

SELECT compliance.classify('ai.usage_requests', 'none');
SELECT compliance.classify('ai.usage_logs', 'pseudonymous', '{user_id,api_key_id,session_id,message_id}', exported => true, on_erasure => 'anonymise');
SELECT compliance.classify('ai.usage_logs', 'pseudonymous', exported => true, on_erasure => 'keep', reason => 'Costs of the platform; without the person they speak of nobody.');
SELECT compliance.belongs_to('ai.usage_logs', 'user_id = $1');
