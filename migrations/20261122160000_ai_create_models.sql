-- What the platform may ask of artificial intelligence: providers, models and their prices, limits and prompts.
-- Owner: crates/api, through those who hold ai.manage. Locks: none, everything is new. Undo: DROP SCHEMA ai CASCADE.

CREATE SCHEMA ai;
COMMENT ON SCHEMA ai IS 'Models and their prices, conversations with the assistant, and what they used. Conversations and usage are written by workers/ai and its functions.';
GRANT USAGE ON SCHEMA ai TO authenticated, service_role;

CREATE TABLE ai.providers (
    id                   uuid        NOT NULL DEFAULT gen_random_uuid() CONSTRAINT providers_pkey PRIMARY KEY,
    provider_key         text        NOT NULL CONSTRAINT uq_providers_key UNIQUE CONSTRAINT ck_providers_key CHECK (provider_key ~ '^[a-z][a-z0-9_]{1,39}$'),
    display_name         text        NOT NULL CONSTRAINT ck_providers_display_name CHECK (char_length(display_name) BETWEEN 1 AND 80),
    protocol             text        NOT NULL CONSTRAINT ck_providers_protocol CHECK (protocol IN ('openai', 'anthropic', 'local')),
    base_url             text        CONSTRAINT ck_providers_base_url CHECK (base_url ~ '^https?://\S+$' AND char_length(base_url) <= 2000),
    secret_ref           text        CONSTRAINT ck_providers_secret_ref CHECK (secret_ref ~ '^(env|vault):[A-Za-z0-9_/.-]{1,200}$'),
    max_requests_per_minute integer  CONSTRAINT ck_providers_max_requests CHECK (max_requests_per_minute BETWEEN 1 AND 1000000),
    max_tokens_per_minute bigint     CONSTRAINT ck_providers_max_tokens CHECK (max_tokens_per_minute BETWEEN 1 AND 1000000000),
    monthly_budget_micro bigint      CONSTRAINT ck_providers_monthly_budget_micro CHECK (monthly_budget_micro BETWEEN 0 AND 1000000000000000),
    is_enabled           boolean     NOT NULL DEFAULT true,
    created_at           timestamptz NOT NULL DEFAULT now(),
    updated_at           timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT ck_providers_local CHECK (protocol <> 'local' OR base_url IS NULL AND secret_ref IS NULL)
);
COMMENT ON TABLE ai.providers IS 'Who runs models: companies, own servers, and the process itself.';
COMMENT ON COLUMN ai.providers.protocol IS 'How it is spoken to. openai: everything compatible with it; local: within the worker, nothing leaves the machine.';
COMMENT ON COLUMN ai.providers.secret_ref IS 'Where the key is found, such as env:OPENAI_API_KEY. Never the key.';
COMMENT ON COLUMN ai.providers.monthly_budget_micro IS 'In millionths of a US dollar, as all costs of this schema. Past it operators are told.';

CREATE TABLE ai.models (
    id                uuid        NOT NULL DEFAULT gen_random_uuid() CONSTRAINT models_pkey PRIMARY KEY,
    provider_id       uuid        NOT NULL CONSTRAINT fk_models_provider REFERENCES ai.providers,
    model_key         text        NOT NULL CONSTRAINT ck_models_key CHECK (model_key ~ '^[A-Za-z0-9][A-Za-z0-9._:/@-]{0,119}$'),
    display_name      text        NOT NULL CONSTRAINT ck_models_display_name CHECK (char_length(display_name) BETWEEN 1 AND 120),
    kind              text        NOT NULL CONSTRAINT ck_models_kind CHECK (kind IN ('chat', 'embedding', 'image', 'speech', 'transcription', 'moderation')),
    context_tokens    integer     CONSTRAINT ck_models_context_tokens CHECK (context_tokens BETWEEN 1 AND 100000000),
    max_output_tokens integer     CONSTRAINT ck_models_max_output_tokens CHECK (max_output_tokens BETWEEN 1 AND 100000000),
    dimensions        integer     CONSTRAINT ck_models_dimensions CHECK (dimensions BETWEEN 1 AND 16000),
    tags              text[]      NOT NULL DEFAULT '{}' CONSTRAINT ck_models_tags CHECK (cardinality(tags) <= 20 AND array_position(tags, NULL) IS NULL),
    is_enabled        boolean     NOT NULL DEFAULT true,
    created_at        timestamptz NOT NULL DEFAULT now(),
    updated_at        timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT uq_models_key UNIQUE (provider_id, model_key),
    CONSTRAINT ck_models_embedding CHECK ((kind = 'embedding') = (dimensions IS NOT NULL))
);
COMMENT ON TABLE ai.models IS 'Models that may be asked.';
COMMENT ON COLUMN ai.models.model_key IS 'What the provider calls it.';
COMMENT ON COLUMN ai.models.tags IS 'What policies allow models by, such as cheap, vision, on_premises.';

CREATE TABLE ai.model_prices (
    id                       uuid        NOT NULL DEFAULT gen_random_uuid() CONSTRAINT model_prices_pkey PRIMARY KEY,
    model_id                 uuid        NOT NULL CONSTRAINT fk_model_prices_model REFERENCES ai.models ON DELETE CASCADE,
    input_per_million_micro  bigint      NOT NULL CONSTRAINT ck_model_prices_input CHECK (input_per_million_micro BETWEEN 0 AND 1000000000000),
    output_per_million_micro bigint      NOT NULL CONSTRAINT ck_model_prices_output CHECK (output_per_million_micro BETWEEN 0 AND 1000000000000),
    valid_from               timestamptz NOT NULL,
    valid_until              timestamptz,
    created_at               timestamptz NOT NULL DEFAULT now(),
    updated_at               timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT uq_model_prices_from UNIQUE (model_id, valid_from),
    CONSTRAINT ck_model_prices_valid_until CHECK (valid_until > valid_from)
);
COMMENT ON TABLE ai.model_prices IS 'What a model costs, and from when until when. At no moment does a model have two prices.';
COMMENT ON COLUMN ai.model_prices.input_per_million_micro IS 'For a million tokens read, in millionths of a US dollar: 150000 is 0.15 USD.';
COMMENT ON COLUMN ai.model_prices.valid_until IS 'The first moment at which it is over. Null: until another price is set.';

-- An exclusion constraint would say the same and need btree_gist. Checked when the transaction ends, so
-- that one price can be shortened and the next begun in any order.
CREATE FUNCTION ai.refuse_overlap() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    -- Two transactions that change the prices of one model take turns: the second sees what the first wrote.
    PERFORM FROM ai.models WHERE id = NEW.model_id FOR NO KEY UPDATE;
    IF EXISTS (
        SELECT FROM ai.model_prices p JOIN ai.model_prices other ON other.model_id = p.model_id AND other.id <> p.id
        WHERE p.id = NEW.id AND tstzrange(p.valid_from, p.valid_until) && tstzrange(other.valid_from, other.valid_until)
    ) THEN
        RAISE EXCEPTION 'the model % would have two prices at once', NEW.model_id
            USING ERRCODE = 'exclusion_violation', CONSTRAINT = TG_NAME, SCHEMA = TG_TABLE_SCHEMA, TABLE = TG_TABLE_NAME;
    END IF;
    RETURN NULL;
END $$;
COMMENT ON FUNCTION ai.refuse_overlap IS 'Refuses a price at a time for which the model has one already.';
CREATE CONSTRAINT TRIGGER trg_model_prices_refuse_overlap AFTER INSERT OR UPDATE ON ai.model_prices
    DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION ai.refuse_overlap();

CREATE TABLE ai.policies (
    id                 uuid         NOT NULL DEFAULT gen_random_uuid() CONSTRAINT policies_pkey PRIMARY KEY,
    policy_key         text         NOT NULL CONSTRAINT uq_policies_key UNIQUE CONSTRAINT ck_policies_key CHECK (policy_key ~ '^[a-z][a-z0-9_.]{1,79}$'),
    description        text         NOT NULL DEFAULT '' CONSTRAINT ck_policies_description CHECK (char_length(description) <= 1000),
    tier               text         CONSTRAINT ck_policies_tier CHECK (tier ~ '^[a-z][a-z0-9_]{1,39}$'),
    permission_key     text         CONSTRAINT fk_policies_permission REFERENCES rbac.permissions (permission_key),
    priority           smallint     NOT NULL DEFAULT 0 CONSTRAINT ck_policies_priority CHECK (priority BETWEEN 0 AND 1000),
    max_temperature    numeric(3,2) NOT NULL DEFAULT 1 CONSTRAINT ck_policies_max_temperature CHECK (max_temperature BETWEEN 0 AND 2),
    max_input_tokens   integer      NOT NULL CONSTRAINT ck_policies_max_input_tokens CHECK (max_input_tokens BETWEEN 1 AND 10000000),
    max_output_tokens  integer      NOT NULL CONSTRAINT ck_policies_max_output_tokens CHECK (max_output_tokens BETWEEN 1 AND 10000000),
    safety_mode        text         NOT NULL DEFAULT 'standard' CONSTRAINT ck_policies_safety_mode CHECK (safety_mode IN ('strict', 'standard', 'relaxed')),
    allowed_model_tags text[]       CONSTRAINT ck_policies_allowed_model_tags CHECK (cardinality(allowed_model_tags) BETWEEN 1 AND 20),
    allowed_tools      text[]       NOT NULL DEFAULT '{}' CONSTRAINT ck_policies_allowed_tools CHECK (cardinality(allowed_tools) <= 100 AND array_position(allowed_tools, NULL) IS NULL),
    is_active          boolean      NOT NULL DEFAULT true,
    created_at         timestamptz  NOT NULL DEFAULT now(),
    updated_at         timestamptz  NOT NULL DEFAULT now()
);
CREATE INDEX idx_policies_permission ON ai.policies (permission_key) WHERE permission_key IS NOT NULL;
COMMENT ON TABLE ai.policies IS 'How far a call to a model may go. Of those that fit a person the one with the highest priority counts: ai.policy_for.';
COMMENT ON COLUMN ai.policies.tier IS 'For people of this tier of access.tiers; null: of any.';
COMMENT ON COLUMN ai.policies.permission_key IS 'For people who may do this; null: for all.';
COMMENT ON COLUMN ai.policies.allowed_model_tags IS 'Models that have one of these tags; null: all that are enabled.';

CREATE TABLE ai.rate_limits (
    id             uuid        NOT NULL DEFAULT gen_random_uuid() CONSTRAINT rate_limits_pkey PRIMARY KEY,
    tier           text        CONSTRAINT ck_rate_limits_tier CHECK (tier ~ '^[a-z][a-z0-9_]{1,39}$'),
    permission_key text        CONSTRAINT fk_rate_limits_permission REFERENCES rbac.permissions (permission_key),
    user_id        uuid        CONSTRAINT fk_rate_limits_user REFERENCES public.profiles,
    feature        text        NOT NULL DEFAULT '*' CONSTRAINT ck_rate_limits_feature CHECK (feature ~ '^([a-z][a-z0-9_.]{1,79}|\*)$'),
    metric         text        NOT NULL CONSTRAINT ck_rate_limits_metric CHECK (metric IN ('messages', 'requests', 'tokens', 'cost_micro')),
    window_seconds integer     NOT NULL CONSTRAINT ck_rate_limits_window_seconds CHECK (window_seconds BETWEEN 1 AND 2678400),
    max_amount     bigint      NOT NULL CONSTRAINT ck_rate_limits_max_amount CHECK (max_amount BETWEEN 0 AND 1000000000000000),
    is_active      boolean     NOT NULL DEFAULT true,
    created_at     timestamptz NOT NULL DEFAULT now(),
    updated_at     timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT ck_rate_limits_scope CHECK (num_nonnulls(tier, permission_key, user_id) <= 1),
    CONSTRAINT uq_rate_limits_scope UNIQUE NULLS NOT DISTINCT (user_id, permission_key, tier, feature, metric, window_seconds)
);
CREATE INDEX idx_rate_limits_permission ON ai.rate_limits (permission_key) WHERE permission_key IS NOT NULL;
COMMENT ON TABLE ai.rate_limits IS 'How much of it people may use: quotas, and no counters. What counts for a person: ai.quotas_for.';
COMMENT ON COLUMN ai.rate_limits.feature IS 'What it is used for; * adds up all features.';
COMMENT ON COLUMN ai.rate_limits.metric IS 'messages: what a person wrote to the assistant; requests, tokens, cost_micro: as ai.usage_logs has them.';
COMMENT ON COLUMN ai.rate_limits.window_seconds IS 'The time that ends now, at most 31 days.';

CREATE TABLE ai.prompt_templates (
    id           uuid        NOT NULL DEFAULT gen_random_uuid() CONSTRAINT prompt_templates_pkey PRIMARY KEY,
    template_key text        NOT NULL CONSTRAINT uq_prompt_templates_key UNIQUE CONSTRAINT ck_prompt_templates_key CHECK (template_key ~ '^[a-z][a-z0-9_.]{1,79}$'),
    description  text        NOT NULL DEFAULT '' CONSTRAINT ck_prompt_templates_description CHECK (char_length(description) <= 1000),
    variables    text[]      NOT NULL DEFAULT '{}' CONSTRAINT ck_prompt_templates_variables CHECK (cardinality(variables) <= 50 AND array_position(variables, NULL) IS NULL),
    created_at   timestamptz NOT NULL DEFAULT now(),
    updated_at   timestamptz NOT NULL DEFAULT now()
);
COMMENT ON TABLE ai.prompt_templates IS 'What models are told, by purpose. The words are in ai.prompt_variants.';
COMMENT ON COLUMN ai.prompt_templates.variables IS 'Names that every variant may use between double braces.';

CREATE TABLE ai.prompt_variants (
    id          uuid        NOT NULL DEFAULT gen_random_uuid() CONSTRAINT prompt_variants_pkey PRIMARY KEY,
    template_id uuid        NOT NULL CONSTRAINT fk_prompt_variants_template REFERENCES ai.prompt_templates ON DELETE CASCADE,
    label       text        NOT NULL DEFAULT 'default' CONSTRAINT ck_prompt_variants_label CHECK (label ~ '^[a-z][a-z0-9_-]{0,39}$'),
    version     integer     NOT NULL DEFAULT 1 CONSTRAINT ck_prompt_variants_version CHECK (version BETWEEN 1 AND 100000),
    locale      text        NOT NULL DEFAULT 'fr' CONSTRAINT ck_prompt_variants_locale CHECK (locale ~ '^[a-z]{2}(-[A-Z]{2})?$'),
    body        text        NOT NULL CONSTRAINT ck_prompt_variants_body CHECK (char_length(body) BETWEEN 1 AND 50000),
    model_id    uuid        CONSTRAINT fk_prompt_variants_model REFERENCES ai.models,
    parameters  jsonb       NOT NULL DEFAULT '{}' CONSTRAINT ck_prompt_variants_parameters CHECK (jsonb_typeof(parameters) = 'object' AND octet_length(parameters::text) <= 20000),
    weight      smallint    NOT NULL DEFAULT 100 CONSTRAINT ck_prompt_variants_weight CHECK (weight BETWEEN 0 AND 1000),
    is_active   boolean     NOT NULL DEFAULT false,
    created_at  timestamptz NOT NULL DEFAULT now(),
    updated_at  timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT uq_prompt_variants_version UNIQUE (template_id, label, locale, version)
);
-- One version of each variant speaks at a time.
CREATE UNIQUE INDEX uq_prompt_variants_active ON ai.prompt_variants (template_id, label, locale) WHERE is_active;
CREATE INDEX idx_prompt_variants_model ON ai.prompt_variants (model_id) WHERE model_id IS NOT NULL;
COMMENT ON TABLE ai.prompt_variants IS 'The words of a prompt: versions of it, and several at once for an experiment.';
COMMENT ON COLUMN ai.prompt_variants.label IS 'Which of those that compete.';
COMMENT ON COLUMN ai.prompt_variants.weight IS 'How often it is chosen among active ones of its template and locale, relative to them.';

CREATE TRIGGER trg_providers_set_updated_at BEFORE UPDATE ON ai.providers FOR EACH ROW EXECUTE FUNCTION util.set_updated_at();
CREATE TRIGGER trg_models_set_updated_at BEFORE UPDATE ON ai.models FOR EACH ROW EXECUTE FUNCTION util.set_updated_at();
CREATE TRIGGER trg_model_prices_set_updated_at BEFORE UPDATE ON ai.model_prices FOR EACH ROW EXECUTE FUNCTION util.set_updated_at();
CREATE TRIGGER trg_policies_set_updated_at BEFORE UPDATE ON ai.policies FOR EACH ROW EXECUTE FUNCTION util.set_updated_at();
CREATE TRIGGER trg_rate_limits_set_updated_at BEFORE UPDATE ON ai.rate_limits FOR EACH ROW EXECUTE FUNCTION util.set_updated_at();
CREATE TRIGGER trg_prompt_templates_set_updated_at BEFORE UPDATE ON ai.prompt_templates FOR EACH ROW EXECUTE FUNCTION util.set_updated_at();
CREATE TRIGGER trg_prompt_variants_set_updated_at BEFORE UPDATE ON ai.prompt_variants FOR EACH ROW EXECUTE FUNCTION util.set_updated_at();

-- Prices -------------------------------------------------------------------------------------------

CREATE FUNCTION ai.price_at(model_id uuid, at timestamptz DEFAULT now()) RETURNS ai.model_prices
LANGUAGE sql STABLE PARALLEL SAFE SET search_path = pg_catalog, pg_temp
BEGIN ATOMIC
    SELECT p
    FROM ai.model_prices p
    WHERE p.model_id = price_at.model_id AND p.valid_from <= price_at.at AND (p.valid_until IS NULL OR p.valid_until > price_at.at);
END;
COMMENT ON FUNCTION ai.price_at IS 'The price of a model at a moment; null where it had none.';

CREATE FUNCTION ai.cost_micro(model_id uuid, tokens_in bigint, tokens_out bigint, at timestamptz DEFAULT now()) RETURNS bigint
LANGUAGE sql STABLE PARALLEL SAFE SET search_path = pg_catalog, pg_temp
BEGIN ATOMIC
    SELECT ceil((
        coalesce(tokens_in, 0)::numeric * p.input_per_million_micro + coalesce(tokens_out, 0)::numeric * p.output_per_million_micro
    ) / 1000000)::bigint
    FROM ai.price_at(cost_micro.model_id, cost_micro.at) p
    WHERE p.id IS NOT NULL;
END;
COMMENT ON FUNCTION ai.cost_micro IS 'What so many tokens cost at a moment, in millionths of a US dollar, rounded up. Null, and not nothing, where no price is known.';

CREATE FUNCTION ai.set_price(
    model_id uuid, input_per_million_micro bigint, output_per_million_micro bigint, valid_from timestamptz DEFAULT now()
) RETURNS uuid
LANGUAGE sql SET search_path = pg_catalog, pg_temp
BEGIN ATOMIC
    UPDATE ai.model_prices p SET valid_until = set_price.valid_from
    WHERE p.model_id = set_price.model_id AND p.valid_until IS NULL AND p.valid_from < set_price.valid_from;
    INSERT INTO ai.model_prices (model_id, input_per_million_micro, output_per_million_micro, valid_from)
    VALUES (set_price.model_id, set_price.input_per_million_micro, set_price.output_per_million_micro, set_price.valid_from)
    RETURNING id;
END;
COMMENT ON FUNCTION ai.set_price IS 'Begins a new price of a model and ends the one before it.';

-- Limits -------------------------------------------------------------------------------------------

CREATE FUNCTION ai.policy_for(user_id uuid, tier text) RETURNS ai.policies
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp
BEGIN ATOMIC
    SELECT p
    FROM ai.policies p
    WHERE p.is_active AND (p.tier IS NULL OR p.tier = policy_for.tier)
        AND (p.permission_key IS NULL OR rbac.has_permission(policy_for.user_id, p.permission_key))
    ORDER BY p.priority DESC, p.policy_key
    LIMIT 1;
END;
COMMENT ON FUNCTION ai.policy_for IS 'The policy that counts for a person who is on a tier of access.tiers.';

CREATE FUNCTION ai.quotas_for(user_id uuid, tier text, for_feature text)
RETURNS TABLE (feature text, metric text, window_seconds integer, max_amount bigint)
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp
BEGIN ATOMIC
    SELECT DISTINCT ON (l.feature, l.metric, l.window_seconds) l.feature, l.metric, l.window_seconds, l.max_amount
    FROM ai.rate_limits l
    WHERE l.is_active AND l.feature IN ('*', quotas_for.for_feature)
        AND (l.user_id IS NULL OR l.user_id = quotas_for.user_id)
        AND (l.tier IS NULL OR l.tier = quotas_for.tier)
        AND (l.permission_key IS NULL OR rbac.has_permission(quotas_for.user_id, l.permission_key))
    -- The own one before that of a permission, that before the tier's, and that before everybody's.
    ORDER BY l.feature, l.metric, l.window_seconds, l.user_id IS NULL, l.permission_key IS NULL, l.tier IS NULL, l.max_amount DESC;
END;
COMMENT ON FUNCTION ai.quotas_for IS 'The quotas that count for a person: of each feature, metric and window the most specific one.';

-- Rights -------------------------------------------------------------------------------------------

SELECT util.protect('ai.providers');
SELECT util.protect('ai.models');
SELECT util.protect('ai.model_prices');
SELECT util.protect('ai.policies');
SELECT util.protect('ai.rate_limits');
SELECT util.protect('ai.prompt_templates');
SELECT util.protect('ai.prompt_variants');

CREATE POLICY models_read ON ai.models FOR SELECT TO authenticated USING (is_enabled);
CREATE POLICY policies_read ON ai.policies FOR SELECT TO authenticated USING (is_active);
CREATE POLICY rate_limits_read ON ai.rate_limits FOR SELECT TO authenticated USING (user_id IS NULL OR user_id = (SELECT auth.uid()));
CREATE POLICY providers_manage ON ai.providers TO authenticated
    USING ((SELECT rbac.has_permission((SELECT auth.uid()), 'ai.manage'))) WITH CHECK ((SELECT rbac.has_permission((SELECT auth.uid()), 'ai.manage')));
CREATE POLICY models_manage ON ai.models TO authenticated
    USING ((SELECT rbac.has_permission((SELECT auth.uid()), 'ai.manage'))) WITH CHECK ((SELECT rbac.has_permission((SELECT auth.uid()), 'ai.manage')));
CREATE POLICY model_prices_manage ON ai.model_prices TO authenticated
    USING ((SELECT rbac.has_permission((SELECT auth.uid()), 'ai.manage'))) WITH CHECK ((SELECT rbac.has_permission((SELECT auth.uid()), 'ai.manage')));
CREATE POLICY policies_manage ON ai.policies TO authenticated
    USING ((SELECT rbac.has_permission((SELECT auth.uid()), 'ai.manage'))) WITH CHECK ((SELECT rbac.has_permission((SELECT auth.uid()), 'ai.manage')));
CREATE POLICY rate_limits_manage ON ai.rate_limits TO authenticated
    USING ((SELECT rbac.has_permission((SELECT auth.uid()), 'ai.manage'))) WITH CHECK ((SELECT rbac.has_permission((SELECT auth.uid()), 'ai.manage')));
CREATE POLICY prompt_templates_manage ON ai.prompt_templates TO authenticated
    USING ((SELECT rbac.has_permission((SELECT auth.uid()), 'ai.manage'))) WITH CHECK ((SELECT rbac.has_permission((SELECT auth.uid()), 'ai.manage')));
CREATE POLICY prompt_variants_manage ON ai.prompt_variants TO authenticated
    USING ((SELECT rbac.has_permission((SELECT auth.uid()), 'ai.manage'))) WITH CHECK ((SELECT rbac.has_permission((SELECT auth.uid()), 'ai.manage')));
GRANT SELECT, INSERT, UPDATE, DELETE ON ai.providers, ai.models, ai.model_prices, ai.policies, ai.rate_limits, ai.prompt_templates, ai.prompt_variants
    TO authenticated;

REVOKE ALL ON FUNCTION ai.refuse_overlap, ai.price_at, ai.cost_micro, ai.set_price, ai.policy_for, ai.quotas_for FROM PUBLIC;
GRANT EXECUTE ON FUNCTION ai.price_at, ai.cost_micro, ai.set_price, ai.policy_for, ai.quotas_for TO authenticated, service_role;

SELECT compliance.classify('ai.providers', 'none');
SELECT compliance.classify('ai.models', 'none');
SELECT compliance.classify('ai.model_prices', 'none');
SELECT compliance.classify('ai.policies', 'none');
SELECT compliance.classify('ai.prompt_templates', 'none');
SELECT compliance.classify('ai.prompt_variants', 'none');
SELECT compliance.classify('ai.rate_limits', 'pseudonymous', exported => true, on_erasure => 'delete');
SELECT compliance.belongs_to('ai.rate_limits', 'user_id = $1');
