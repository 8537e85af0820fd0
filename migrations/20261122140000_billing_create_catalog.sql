-- What is sold, to whom: the mirror of the payment providers' catalogue, and what buying a product gives.
-- Owner: workers/billing. Locks: none, everything is new. Undo: DROP SCHEMA billing CASCADE.

CREATE SCHEMA billing;
COMMENT ON SCHEMA billing IS 'Money: what providers tell of it, and what is owed to ambassadors. Mirrors of a provider carry the event they were written by, and never go: a deleted object is marked.';
GRANT USAGE ON SCHEMA billing TO anon, authenticated, service_role;

-- A row that mirrors a provider's object says which event it was last written by. Events arrive in any order and
-- their times are whole seconds, so an event is older when (provider_updated_at, provider_event_rank,
-- provider_event_id) is lower; deleted_at is a tombstone, and no late event brings the object back.

CREATE TABLE billing.customers (
    id                  uuid        NOT NULL DEFAULT gen_random_uuid() CONSTRAINT customers_pkey PRIMARY KEY,
    user_id             uuid        CONSTRAINT fk_customers_user REFERENCES public.profiles,
    provider            text        NOT NULL CONSTRAINT ck_customers_provider CHECK (provider IN ('stripe', 'chargily')),
    provider_id         text        NOT NULL CONSTRAINT ck_customers_provider_id CHECK (char_length(provider_id) BETWEEN 1 AND 255),
    is_default          boolean     NOT NULL DEFAULT false,
    currency            text        CONSTRAINT ck_customers_currency CHECK (currency ~ '^[A-Z]{3}$'),
    is_delinquent       boolean     NOT NULL DEFAULT false,
    metadata            jsonb       NOT NULL DEFAULT '{}' CONSTRAINT ck_customers_metadata CHECK (jsonb_typeof(metadata) = 'object'),
    provider_created_at timestamptz,
    provider_updated_at timestamptz,
    provider_event_rank smallint    NOT NULL DEFAULT 0 CONSTRAINT ck_customers_provider_event_rank CHECK (provider_event_rank BETWEEN 0 AND 100),
    provider_event_id   text        CONSTRAINT ck_customers_provider_event_id CHECK (char_length(provider_event_id) BETWEEN 1 AND 255),
    deleted_at          timestamptz,
    created_at          timestamptz NOT NULL DEFAULT now(),
    updated_at          timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT uq_customers_provider_id UNIQUE (provider, provider_id),
    CONSTRAINT ck_customers_is_default CHECK (NOT is_default OR user_id IS NOT NULL AND deleted_at IS NULL)
);
CREATE INDEX idx_customers_user ON billing.customers (user_id) WHERE user_id IS NOT NULL;
CREATE UNIQUE INDEX uq_customers_default ON billing.customers (user_id, provider) WHERE is_default;
COMMENT ON TABLE billing.customers IS 'Which customer of a provider is which person. A person may have several.';
COMMENT ON COLUMN billing.customers.user_id IS 'Null until it is known who it is, as after a purchase without an account.';
COMMENT ON COLUMN billing.customers.is_default IS 'The one that the person''s next purchase is made with.';
COMMENT ON COLUMN billing.customers.provider_updated_at IS 'When the event was made that this row was last written by; whole seconds.';
COMMENT ON COLUMN billing.customers.provider_event_rank IS 'Decides within a second: the later state in the life of an object has the higher rank.';

CREATE TABLE billing.products (
    id                  uuid        NOT NULL DEFAULT gen_random_uuid() CONSTRAINT products_pkey PRIMARY KEY,
    provider            text        NOT NULL CONSTRAINT ck_products_provider CHECK (provider IN ('stripe', 'chargily', 'internal')),
    provider_id         text        NOT NULL CONSTRAINT ck_products_provider_id CHECK (char_length(provider_id) BETWEEN 1 AND 255),
    name                text        NOT NULL CONSTRAINT ck_products_name CHECK (char_length(name) BETWEEN 1 AND 500),
    description         text        NOT NULL DEFAULT '' CONSTRAINT ck_products_description CHECK (char_length(description) <= 5000),
    image_urls          text[]      NOT NULL DEFAULT '{}' CONSTRAINT ck_products_image_urls CHECK (cardinality(image_urls) <= 8),
    is_active           boolean     NOT NULL DEFAULT true,
    metadata            jsonb       NOT NULL DEFAULT '{}' CONSTRAINT ck_products_metadata CHECK (jsonb_typeof(metadata) = 'object'),
    provider_created_at timestamptz,
    provider_updated_at timestamptz,
    provider_event_rank smallint    NOT NULL DEFAULT 0 CONSTRAINT ck_products_provider_event_rank CHECK (provider_event_rank BETWEEN 0 AND 100),
    provider_event_id   text        CONSTRAINT ck_products_provider_event_id CHECK (char_length(provider_event_id) BETWEEN 1 AND 255),
    synced_at           timestamptz,
    deleted_at          timestamptz,
    created_at          timestamptz NOT NULL DEFAULT now(),
    updated_at          timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT uq_products_provider_id UNIQUE (provider, provider_id),
    CONSTRAINT ck_products_deleted_at CHECK (deleted_at IS NULL OR NOT is_active)
);
COMMENT ON TABLE billing.products IS 'What is sold. Mirrors the provider''s product; what buying it gives is in billing.product_grants, which no provider writes.';
COMMENT ON COLUMN billing.products.synced_at IS 'When the whole catalogue was last compared and this was found in it.';

-- The rules of courses came before there was something to sell.
ALTER TABLE access.course_access_rules ADD CONSTRAINT fk_course_access_rules_required_product FOREIGN KEY (required_product_id) REFERENCES billing.products;
CREATE INDEX idx_course_access_rules_required_product ON access.course_access_rules (required_product_id) WHERE required_product_id IS NOT NULL;

CREATE TABLE billing.product_grants (
    id         uuid        NOT NULL DEFAULT gen_random_uuid() CONSTRAINT product_grants_pkey PRIMARY KEY,
    product_id uuid        NOT NULL CONSTRAINT fk_product_grants_product REFERENCES billing.products,
    kind       text        NOT NULL CONSTRAINT ck_product_grants_kind CHECK (kind IN ('tier', 'course', 'credits')),
    tier_key   text        CONSTRAINT fk_product_grants_tier REFERENCES access.tiers (tier_key) ON UPDATE CASCADE,
    course_id  uuid        CONSTRAINT fk_product_grants_course REFERENCES content.courses,
    credits    bigint      CONSTRAINT ck_product_grants_credits CHECK (credits BETWEEN 1 AND 1000000000),
    valid_days integer     CONSTRAINT ck_product_grants_valid_days CHECK (valid_days BETWEEN 1 AND 36500),
    created_by uuid        DEFAULT auth.uid() CONSTRAINT fk_product_grants_created_by REFERENCES public.profiles,
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT ck_product_grants_what CHECK (
        (kind = 'tier') = (tier_key IS NOT NULL) AND (kind = 'course') = (course_id IS NOT NULL) AND (kind = 'credits') = (credits IS NOT NULL)
    )
);
CREATE INDEX idx_product_grants_tier ON billing.product_grants (tier_key) WHERE tier_key IS NOT NULL;
CREATE INDEX idx_product_grants_course ON billing.product_grants (course_id) WHERE course_id IS NOT NULL;
CREATE UNIQUE INDEX uq_product_grants_what ON billing.product_grants (product_id, kind, coalesce(tier_key, ''), coalesce(course_id, '00000000-0000-0000-0000-000000000000'));
CREATE INDEX idx_product_grants_created_by ON billing.product_grants (created_by) WHERE created_by IS NOT NULL;
COMMENT ON TABLE billing.product_grants IS 'What buying a product gives: a tier while a subscription runs, courses, credits. A bundle has several rows. Entitlements are computed from it.';
COMMENT ON COLUMN billing.product_grants.tier_key IS 'Of access.tiers.';
COMMENT ON COLUMN billing.product_grants.course_id IS 'Of content.courses.';
COMMENT ON COLUMN billing.product_grants.valid_days IS 'How long what was bought once lasts; null: for good.';

CREATE TABLE billing.prices (
    id                  uuid        NOT NULL DEFAULT gen_random_uuid() CONSTRAINT prices_pkey PRIMARY KEY,
    provider            text        NOT NULL CONSTRAINT ck_prices_provider CHECK (provider IN ('stripe', 'chargily', 'internal')),
    provider_id         text        NOT NULL CONSTRAINT ck_prices_provider_id CHECK (char_length(provider_id) BETWEEN 1 AND 255),
    product_id          uuid        CONSTRAINT fk_prices_product REFERENCES billing.products,
    provider_product_id text        NOT NULL CONSTRAINT ck_prices_provider_product_id CHECK (char_length(provider_product_id) BETWEEN 1 AND 255),
    lookup_key          text        CONSTRAINT ck_prices_lookup_key CHECK (char_length(lookup_key) BETWEEN 1 AND 200),
    nickname            text        CONSTRAINT ck_prices_nickname CHECK (char_length(nickname) BETWEEN 1 AND 500),
    kind                text        NOT NULL CONSTRAINT ck_prices_kind CHECK (kind IN ('one_time', 'recurring')),
    currency            text        NOT NULL CONSTRAINT ck_prices_currency CHECK (currency ~ '^[A-Z]{3}$'),
    unit_amount_cents   bigint      CONSTRAINT ck_prices_unit_amount_cents CHECK (unit_amount_cents BETWEEN 0 AND 1000000000000),
    unit_amount_decimal numeric(30, 12) CONSTRAINT ck_prices_unit_amount_decimal CHECK (unit_amount_decimal BETWEEN 0 AND 1000000000000),
    billing_scheme      text        NOT NULL DEFAULT 'per_unit' CONSTRAINT ck_prices_billing_scheme CHECK (billing_scheme IN ('per_unit', 'tiered')),
    tiers               jsonb       CONSTRAINT ck_prices_tiers CHECK (jsonb_typeof(tiers) = 'array'),
    usage_type          text        NOT NULL DEFAULT 'licensed' CONSTRAINT ck_prices_usage_type CHECK (usage_type IN ('licensed', 'metered')),
    recurring_interval  text        CONSTRAINT ck_prices_recurring_interval CHECK (recurring_interval IN ('day', 'week', 'month', 'year')),
    recurring_interval_count smallint CONSTRAINT ck_prices_recurring_interval_count CHECK (recurring_interval_count BETWEEN 1 AND 1095),
    trial_days          smallint    CONSTRAINT ck_prices_trial_days CHECK (trial_days BETWEEN 1 AND 730),
    tax_behavior        text        NOT NULL DEFAULT 'unspecified' CONSTRAINT ck_prices_tax_behavior CHECK (tax_behavior IN ('inclusive', 'exclusive', 'unspecified')),
    is_active           boolean     NOT NULL DEFAULT true,
    metadata            jsonb       NOT NULL DEFAULT '{}' CONSTRAINT ck_prices_metadata CHECK (jsonb_typeof(metadata) = 'object'),
    provider_created_at timestamptz,
    provider_updated_at timestamptz,
    provider_event_rank smallint    NOT NULL DEFAULT 0 CONSTRAINT ck_prices_provider_event_rank CHECK (provider_event_rank BETWEEN 0 AND 100),
    provider_event_id   text        CONSTRAINT ck_prices_provider_event_id CHECK (char_length(provider_event_id) BETWEEN 1 AND 255),
    synced_at           timestamptz,
    deleted_at          timestamptz,
    created_at          timestamptz NOT NULL DEFAULT now(),
    updated_at          timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT uq_prices_provider_id UNIQUE (provider, provider_id),
    CONSTRAINT ck_prices_recurring CHECK ((kind = 'recurring') = (recurring_interval IS NOT NULL) AND (kind = 'recurring') = (recurring_interval_count IS NOT NULL)),
    CONSTRAINT ck_prices_deleted_at CHECK (deleted_at IS NULL OR NOT is_active)
);
CREATE INDEX idx_prices_product ON billing.prices (product_id) WHERE product_id IS NOT NULL;
CREATE INDEX idx_prices_provider_product ON billing.prices (provider, provider_product_id) WHERE product_id IS NULL;
-- A provider moves the key of an offer from an old price to a new one.
CREATE UNIQUE INDEX uq_prices_lookup_key ON billing.prices (provider, lookup_key) WHERE lookup_key IS NOT NULL AND is_active;
COMMENT ON TABLE billing.prices IS 'What a product costs, once or again and again. Mirrors the provider''s price.';
COMMENT ON COLUMN billing.prices.product_id IS 'Null while the product''s own event has not arrived.';
COMMENT ON COLUMN billing.prices.unit_amount_cents IS 'In the smallest unit of the currency, as everywhere in this schema. Null where the provider computes it from tiers, or the buyer chooses.';
COMMENT ON COLUMN billing.prices.unit_amount_decimal IS 'The same where the provider charges fractions of a cent.';

CREATE TABLE billing.coupons (
    id                  uuid        NOT NULL DEFAULT gen_random_uuid() CONSTRAINT coupons_pkey PRIMARY KEY,
    provider            text        NOT NULL CONSTRAINT ck_coupons_provider CHECK (provider IN ('stripe', 'internal')),
    provider_id         text        NOT NULL CONSTRAINT ck_coupons_provider_id CHECK (char_length(provider_id) BETWEEN 1 AND 255),
    name                text        NOT NULL DEFAULT '' CONSTRAINT ck_coupons_name CHECK (char_length(name) <= 200),
    percent_off         numeric(5, 2) CONSTRAINT ck_coupons_percent_off CHECK (percent_off > 0 AND percent_off <= 100),
    amount_off_cents    bigint      CONSTRAINT ck_coupons_amount_off_cents CHECK (amount_off_cents BETWEEN 1 AND 1000000000000),
    currency            text        CONSTRAINT ck_coupons_currency CHECK (currency ~ '^[A-Z]{3}$'),
    duration            text        NOT NULL CONSTRAINT ck_coupons_duration CHECK (duration IN ('once', 'repeating', 'forever')),
    duration_months     smallint    CONSTRAINT ck_coupons_duration_months CHECK (duration_months BETWEEN 1 AND 120),
    product_ids         text[]      NOT NULL DEFAULT '{}' CONSTRAINT ck_coupons_product_ids CHECK (cardinality(product_ids) <= 100),
    max_redemptions     integer     CONSTRAINT ck_coupons_max_redemptions CHECK (max_redemptions > 0),
    times_redeemed      integer     NOT NULL DEFAULT 0 CONSTRAINT ck_coupons_times_redeemed CHECK (times_redeemed >= 0),
    redeem_until        timestamptz,
    is_active           boolean     NOT NULL DEFAULT true,
    metadata            jsonb       NOT NULL DEFAULT '{}' CONSTRAINT ck_coupons_metadata CHECK (jsonb_typeof(metadata) = 'object'),
    created_by          uuid        DEFAULT auth.uid() CONSTRAINT fk_coupons_created_by REFERENCES public.profiles,
    provider_created_at timestamptz,
    provider_updated_at timestamptz,
    provider_event_rank smallint    NOT NULL DEFAULT 0 CONSTRAINT ck_coupons_provider_event_rank CHECK (provider_event_rank BETWEEN 0 AND 100),
    provider_event_id   text        CONSTRAINT ck_coupons_provider_event_id CHECK (char_length(provider_event_id) BETWEEN 1 AND 255),
    deleted_at          timestamptz,
    created_at          timestamptz NOT NULL DEFAULT now(),
    updated_at          timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT uq_coupons_provider_id UNIQUE (provider, provider_id),
    CONSTRAINT ck_coupons_off CHECK ((percent_off IS NULL) <> (amount_off_cents IS NULL) AND (amount_off_cents IS NULL) = (currency IS NULL)),
    CONSTRAINT ck_coupons_repeating CHECK ((duration = 'repeating') = (duration_months IS NOT NULL)),
    CONSTRAINT ck_coupons_limit CHECK (provider <> 'internal' OR max_redemptions IS NULL OR times_redeemed <= max_redemptions),
    CONSTRAINT ck_coupons_deleted_at CHECK (deleted_at IS NULL OR NOT is_active)
);
CREATE INDEX idx_coupons_created_by ON billing.coupons (created_by) WHERE created_by IS NOT NULL;
COMMENT ON TABLE billing.coupons IS 'What is taken off a price. Those of the provider are mirrored; the platform''s own are called internal.';
COMMENT ON COLUMN billing.coupons.product_ids IS 'The provider''s ids of the products that it is for; none: all.';
COMMENT ON COLUMN billing.coupons.times_redeemed IS 'The provider''s count, or for one''s own kept by billing.redeem_promotion.';

CREATE TABLE billing.promotion_codes (
    id                  uuid        NOT NULL DEFAULT gen_random_uuid() CONSTRAINT promotion_codes_pkey PRIMARY KEY,
    coupon_id           uuid        NOT NULL CONSTRAINT fk_promotion_codes_coupon REFERENCES billing.coupons,
    provider            text        NOT NULL CONSTRAINT ck_promotion_codes_provider CHECK (provider IN ('stripe', 'internal')),
    provider_id         text        NOT NULL CONSTRAINT ck_promotion_codes_provider_id CHECK (char_length(provider_id) BETWEEN 1 AND 255),
    code                text        NOT NULL CONSTRAINT ck_promotion_codes_code CHECK (code ~ '^[A-Za-z0-9_-]{3,64}$'),
    customer_id         uuid        CONSTRAINT fk_promotion_codes_customer REFERENCES billing.customers,
    max_redemptions     integer     CONSTRAINT ck_promotion_codes_max_redemptions CHECK (max_redemptions > 0),
    max_redemptions_per_user smallint NOT NULL DEFAULT 1 CONSTRAINT ck_promotion_codes_max_redemptions_per_user CHECK (max_redemptions_per_user BETWEEN 1 AND 1000),
    times_redeemed      integer     NOT NULL DEFAULT 0 CONSTRAINT ck_promotion_codes_times_redeemed CHECK (times_redeemed >= 0),
    is_first_purchase_only boolean  NOT NULL DEFAULT false,
    minimum_amount_cents bigint     CONSTRAINT ck_promotion_codes_minimum_amount_cents CHECK (minimum_amount_cents BETWEEN 1 AND 1000000000000),
    minimum_currency    text        CONSTRAINT ck_promotion_codes_minimum_currency CHECK (minimum_currency ~ '^[A-Z]{3}$'),
    starts_at           timestamptz,
    expires_at          timestamptz,
    is_active           boolean     NOT NULL DEFAULT true,
    metadata            jsonb       NOT NULL DEFAULT '{}' CONSTRAINT ck_promotion_codes_metadata CHECK (jsonb_typeof(metadata) = 'object'),
    created_by          uuid        DEFAULT auth.uid() CONSTRAINT fk_promotion_codes_created_by REFERENCES public.profiles,
    provider_created_at timestamptz,
    provider_updated_at timestamptz,
    provider_event_rank smallint    NOT NULL DEFAULT 0 CONSTRAINT ck_promotion_codes_provider_event_rank CHECK (provider_event_rank BETWEEN 0 AND 100),
    provider_event_id   text        CONSTRAINT ck_promotion_codes_provider_event_id CHECK (char_length(provider_event_id) BETWEEN 1 AND 255),
    deleted_at          timestamptz,
    created_at          timestamptz NOT NULL DEFAULT now(),
    updated_at          timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT uq_promotion_codes_provider_id UNIQUE (provider, provider_id),
    CONSTRAINT ck_promotion_codes_minimum CHECK ((minimum_amount_cents IS NULL) = (minimum_currency IS NULL)),
    CONSTRAINT ck_promotion_codes_expires_at CHECK (expires_at > starts_at),
    CONSTRAINT ck_promotion_codes_limit CHECK (provider <> 'internal' OR max_redemptions IS NULL OR times_redeemed <= max_redemptions),
    CONSTRAINT ck_promotion_codes_deleted_at CHECK (deleted_at IS NULL OR NOT is_active)
);
CREATE UNIQUE INDEX uq_promotion_codes_code ON billing.promotion_codes (provider, upper(code)) WHERE is_active;
CREATE INDEX idx_promotion_codes_coupon ON billing.promotion_codes (coupon_id);
CREATE INDEX idx_promotion_codes_customer ON billing.promotion_codes (customer_id) WHERE customer_id IS NOT NULL;
CREATE INDEX idx_promotion_codes_created_by ON billing.promotion_codes (created_by) WHERE created_by IS NOT NULL;
COMMENT ON TABLE billing.promotion_codes IS 'What people type to get what a coupon takes off, and how often they may.';
COMMENT ON COLUMN billing.promotion_codes.customer_id IS 'The only one who may use it.';

CREATE TRIGGER trg_customers_set_updated_at BEFORE UPDATE ON billing.customers FOR EACH ROW EXECUTE FUNCTION util.set_updated_at();
CREATE TRIGGER trg_products_set_updated_at BEFORE UPDATE ON billing.products FOR EACH ROW EXECUTE FUNCTION util.set_updated_at();
CREATE TRIGGER trg_product_grants_set_updated_at BEFORE UPDATE ON billing.product_grants FOR EACH ROW EXECUTE FUNCTION util.set_updated_at();
CREATE TRIGGER trg_prices_set_updated_at BEFORE UPDATE ON billing.prices FOR EACH ROW EXECUTE FUNCTION util.set_updated_at();
CREATE TRIGGER trg_coupons_set_updated_at BEFORE UPDATE ON billing.coupons FOR EACH ROW EXECUTE FUNCTION util.set_updated_at();
CREATE TRIGGER trg_promotion_codes_set_updated_at BEFORE UPDATE ON billing.promotion_codes FOR EACH ROW EXECUTE FUNCTION util.set_updated_at();

-- Nothing that money hangs on is deleted.
SELECT util.protect('billing.customers', 'SELECT, INSERT, UPDATE');
SELECT util.protect('billing.products', 'SELECT, INSERT, UPDATE');
SELECT util.protect('billing.product_grants');
SELECT util.protect('billing.prices', 'SELECT, INSERT, UPDATE');
SELECT util.protect('billing.coupons', 'SELECT, INSERT, UPDATE');
SELECT util.protect('billing.promotion_codes', 'SELECT, INSERT, UPDATE');

CREATE POLICY customers_own ON billing.customers FOR SELECT TO authenticated USING (user_id = (SELECT auth.uid()));
CREATE POLICY customers_view ON billing.customers FOR SELECT TO authenticated
    USING ((SELECT rbac.has_permission((SELECT auth.uid()), 'billing.view')));
GRANT SELECT ON billing.customers TO authenticated;

CREATE POLICY products_read ON billing.products FOR SELECT TO anon, authenticated USING (is_active);
CREATE POLICY products_view ON billing.products FOR SELECT TO authenticated
    USING ((SELECT rbac.has_permission((SELECT auth.uid()), 'billing.view')));
CREATE POLICY prices_read ON billing.prices FOR SELECT TO anon, authenticated
    USING (is_active AND EXISTS (SELECT FROM billing.products p WHERE p.id = prices.product_id AND p.is_active));
CREATE POLICY prices_view ON billing.prices FOR SELECT TO authenticated
    USING ((SELECT rbac.has_permission((SELECT auth.uid()), 'billing.view')));
CREATE POLICY product_grants_read ON billing.product_grants FOR SELECT TO anon, authenticated
    USING (EXISTS (SELECT FROM billing.products p WHERE p.id = product_grants.product_id AND p.is_active));
CREATE POLICY product_grants_manage ON billing.product_grants TO authenticated
    USING ((SELECT rbac.has_permission((SELECT auth.uid()), 'billing.manage')))
    WITH CHECK ((SELECT rbac.has_permission((SELECT auth.uid()), 'billing.manage')));
-- Metadata and the traces of events are the workers' business.
GRANT SELECT (id, provider, provider_id, name, description, image_urls, is_active, deleted_at, created_at, updated_at) ON billing.products TO anon, authenticated;
GRANT SELECT (
    id, provider, provider_id, product_id, provider_product_id, lookup_key, nickname, kind, currency, unit_amount_cents, unit_amount_decimal, billing_scheme, tiers,
    usage_type, recurring_interval, recurring_interval_count, trial_days, tax_behavior, is_active, deleted_at, created_at, updated_at
) ON billing.prices TO anon, authenticated;
GRANT SELECT (id, product_id, kind, tier_key, course_id, credits, valid_days, created_at, updated_at) ON billing.product_grants TO anon;
-- Who made it, how often it was used and what an event wrote are not for clients to say.
GRANT SELECT, INSERT (id, product_id, kind, tier_key, course_id, credits, valid_days), UPDATE (product_id, kind, tier_key, course_id, credits, valid_days), DELETE
    ON billing.product_grants TO authenticated;

CREATE POLICY coupons_view ON billing.coupons FOR SELECT TO authenticated
    USING ((SELECT rbac.has_permission((SELECT auth.uid()), 'billing.view')));
CREATE POLICY coupons_manage ON billing.coupons TO authenticated
    USING (provider = 'internal' AND (SELECT rbac.has_permission((SELECT auth.uid()), 'billing.manage')))
    WITH CHECK (provider = 'internal' AND (SELECT rbac.has_permission((SELECT auth.uid()), 'billing.manage')));
CREATE POLICY promotion_codes_view ON billing.promotion_codes FOR SELECT TO authenticated
    USING ((SELECT rbac.has_permission((SELECT auth.uid()), 'billing.view')));
CREATE POLICY promotion_codes_manage ON billing.promotion_codes TO authenticated
    USING (provider = 'internal' AND (SELECT rbac.has_permission((SELECT auth.uid()), 'billing.manage')))
    WITH CHECK (provider = 'internal' AND (SELECT rbac.has_permission((SELECT auth.uid()), 'billing.manage')));
GRANT SELECT, INSERT (id, provider, provider_id, name, percent_off, amount_off_cents, currency, duration, duration_months, product_ids, max_redemptions, redeem_until, is_active, metadata),
    UPDATE (provider_id, name, percent_off, amount_off_cents, currency, duration, duration_months, product_ids, max_redemptions, redeem_until, is_active, metadata, deleted_at)
    ON billing.coupons TO authenticated;
GRANT SELECT, INSERT (id, coupon_id, provider, provider_id, code, customer_id, max_redemptions, max_redemptions_per_user, is_first_purchase_only, minimum_amount_cents, minimum_currency,
        starts_at, expires_at, is_active, metadata),
    UPDATE (coupon_id, provider_id, code, customer_id, max_redemptions, max_redemptions_per_user, is_first_purchase_only, minimum_amount_cents, minimum_currency,
        starts_at, expires_at, is_active, metadata, deleted_at)
    ON billing.promotion_codes TO authenticated;

SELECT compliance.classify('billing.customers', 'personal', '{metadata}', exported => true, on_erasure => 'anonymise');
SELECT compliance.classify('billing.customers', 'financial', exported => true, on_erasure => 'keep', reason => 'Leads from kept payments to the provider''s records; the profile it points to is empty. 60 months.');
SELECT compliance.belongs_to('billing.customers', 'user_id = $1');
SELECT compliance.classify('billing.products', 'none');
SELECT compliance.classify('billing.product_grants', 'pseudonymous', '{created_by}', on_erasure => 'keep', reason => 'Who decided it; the profile it points to is empty.');
SELECT compliance.classify('billing.product_grants', 'none');
SELECT compliance.classify('billing.prices', 'none');
SELECT compliance.classify('billing.coupons', 'pseudonymous', '{created_by}', on_erasure => 'keep', reason => 'Who decided it; the profile it points to is empty.');
SELECT compliance.classify('billing.coupons', 'none');
SELECT compliance.classify('billing.promotion_codes', 'pseudonymous', '{created_by,customer_id}', on_erasure => 'keep', reason => 'Who decided it and for whom; the profiles they point to are empty.');
SELECT compliance.classify('billing.promotion_codes', 'none');
