-- Subscriptions, payments and what they leave: lasting rights, refunds, disputes, redeemed promotions, credits.
-- Owner: workers/billing. Locks: none, everything is new.
-- Undo: DROP TABLE billing.credit_ledger, billing.credit_rules, billing.promo_redemptions, billing.one_off_purchases, billing.disputes,
-- billing.refunds, billing.payments, billing.subscription_changes, billing.subscription_items, billing.subscriptions.

CREATE TABLE billing.subscriptions (
    id                   uuid        NOT NULL DEFAULT gen_random_uuid() CONSTRAINT subscriptions_pkey PRIMARY KEY,
    user_id              uuid        CONSTRAINT fk_subscriptions_user REFERENCES public.profiles,
    customer_id          uuid        NOT NULL CONSTRAINT fk_subscriptions_customer REFERENCES billing.customers,
    provider             text        NOT NULL CONSTRAINT ck_subscriptions_provider CHECK (provider IN ('stripe', 'chargily')),
    provider_id          text        NOT NULL CONSTRAINT ck_subscriptions_provider_id CHECK (char_length(provider_id) BETWEEN 1 AND 255),
    status               text        NOT NULL CONSTRAINT ck_subscriptions_status
        CHECK (status IN ('incomplete', 'incomplete_expired', 'trialing', 'active', 'past_due', 'canceled', 'unpaid', 'paused')),
    currency             text        NOT NULL CONSTRAINT ck_subscriptions_currency CHECK (currency ~ '^[A-Z]{3}$'),
    monthly_cents        bigint      NOT NULL DEFAULT 0 CONSTRAINT ck_subscriptions_monthly_cents CHECK (monthly_cents BETWEEN 0 AND 1000000000000),
    started_at           timestamptz NOT NULL,
    current_period_start timestamptz,
    current_period_end   timestamptz,
    billing_cycle_anchor_at timestamptz,
    trial_start_at       timestamptz,
    trial_end_at         timestamptz,
    cancel_at_period_end boolean     NOT NULL DEFAULT false,
    cancel_at            timestamptz,
    canceled_at          timestamptz,
    cancel_reason        text        CONSTRAINT ck_subscriptions_cancel_reason CHECK (char_length(cancel_reason) BETWEEN 1 AND 80),
    cancel_feedback      text        CONSTRAINT ck_subscriptions_cancel_feedback CHECK (char_length(cancel_feedback) BETWEEN 1 AND 80),
    ended_at             timestamptz,
    pause_behavior       text        CONSTRAINT ck_subscriptions_pause_behavior CHECK (pause_behavior IN ('keep_as_draft', 'mark_uncollectible', 'void')),
    pause_resumes_at     timestamptz,
    collection_method    text        NOT NULL DEFAULT 'charge_automatically' CONSTRAINT ck_subscriptions_collection_method
        CHECK (collection_method IN ('charge_automatically', 'send_invoice')),
    discounts            jsonb       NOT NULL DEFAULT '[]' CONSTRAINT ck_subscriptions_discounts CHECK (jsonb_typeof(discounts) = 'array'),
    latest_invoice_id    text        CONSTRAINT ck_subscriptions_latest_invoice_id CHECK (char_length(latest_invoice_id) BETWEEN 1 AND 255),
    metadata             jsonb       NOT NULL DEFAULT '{}' CONSTRAINT ck_subscriptions_metadata CHECK (jsonb_typeof(metadata) = 'object'),
    provider_created_at  timestamptz,
    provider_updated_at  timestamptz NOT NULL,
    provider_event_rank  smallint    NOT NULL DEFAULT 0 CONSTRAINT ck_subscriptions_provider_event_rank CHECK (provider_event_rank BETWEEN 0 AND 100),
    provider_event_id    text        CONSTRAINT ck_subscriptions_provider_event_id CHECK (char_length(provider_event_id) BETWEEN 1 AND 255),
    reconciled_at        timestamptz,
    created_at           timestamptz NOT NULL DEFAULT now(),
    updated_at           timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT uq_subscriptions_provider_id UNIQUE (provider, provider_id),
    CONSTRAINT ck_subscriptions_period CHECK (
        (current_period_start IS NULL) = (current_period_end IS NULL) AND current_period_end >= current_period_start
        AND (status NOT IN ('trialing', 'active', 'past_due') OR current_period_end IS NOT NULL)
    ),
    CONSTRAINT ck_subscriptions_trial CHECK ((trial_start_at IS NULL) = (trial_end_at IS NULL) AND trial_end_at >= trial_start_at),
    CONSTRAINT ck_subscriptions_canceled CHECK (status <> 'canceled' OR ended_at IS NOT NULL),
    CONSTRAINT ck_subscriptions_ended CHECK (ended_at IS NULL OR status IN ('canceled', 'incomplete_expired'))
);
CREATE INDEX idx_subscriptions_user ON billing.subscriptions (user_id, status) WHERE user_id IS NOT NULL;
CREATE INDEX idx_subscriptions_customer ON billing.subscriptions (customer_id);
-- Those that give a right now: whose period ended without an event is asked for again.
CREATE INDEX idx_subscriptions_period_end ON billing.subscriptions (current_period_end) WHERE status IN ('trialing', 'active', 'past_due');
CREATE INDEX idx_subscriptions_ended ON billing.subscriptions (ended_at) WHERE ended_at IS NOT NULL;
COMMENT ON TABLE billing.subscriptions IS 'Mirrors the provider''s subscription. The rights it gives are computed from it and its items into access.user_entitlements.';
COMMENT ON COLUMN billing.subscriptions.user_id IS 'Whose it is; null until the customer''s person is known.';
COMMENT ON COLUMN billing.subscriptions.monthly_cents IS 'What it brings a month, after discounts. Its past is in billing.subscription_changes.';
COMMENT ON COLUMN billing.subscriptions.discounts IS 'As the provider gives them: coupon, start, end.';

CREATE TABLE billing.subscription_items (
    id                   uuid        NOT NULL DEFAULT gen_random_uuid() CONSTRAINT subscription_items_pkey PRIMARY KEY,
    subscription_id      uuid        NOT NULL CONSTRAINT fk_subscription_items_subscription REFERENCES billing.subscriptions ON DELETE CASCADE,
    provider_id          text        NOT NULL CONSTRAINT ck_subscription_items_provider_id CHECK (char_length(provider_id) BETWEEN 1 AND 255),
    price_id             uuid        CONSTRAINT fk_subscription_items_price REFERENCES billing.prices,
    provider_price_id    text        NOT NULL CONSTRAINT ck_subscription_items_provider_price_id CHECK (char_length(provider_price_id) BETWEEN 1 AND 255),
    quantity             integer     NOT NULL DEFAULT 1 CONSTRAINT ck_subscription_items_quantity CHECK (quantity >= 0),
    current_period_start timestamptz,
    current_period_end   timestamptz,
    metadata             jsonb       NOT NULL DEFAULT '{}' CONSTRAINT ck_subscription_items_metadata CHECK (jsonb_typeof(metadata) = 'object'),
    created_at           timestamptz NOT NULL DEFAULT now(),
    updated_at           timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT uq_subscription_items_provider_id UNIQUE (subscription_id, provider_id),
    CONSTRAINT ck_subscription_items_period CHECK (current_period_end >= current_period_start)
);
CREATE INDEX idx_subscription_items_price ON billing.subscription_items (price_id) WHERE price_id IS NOT NULL;
CREATE INDEX idx_subscription_items_provider_price ON billing.subscription_items (provider_price_id) WHERE price_id IS NULL;
COMMENT ON TABLE billing.subscription_items IS 'What a subscription is for, as of its last event.';
COMMENT ON COLUMN billing.subscription_items.price_id IS 'Null while the price''s own event has not arrived.';

CREATE TABLE billing.subscription_changes (
    id                uuid        NOT NULL DEFAULT gen_random_uuid() CONSTRAINT subscription_changes_pkey PRIMARY KEY,
    subscription_id   uuid        NOT NULL CONSTRAINT fk_subscription_changes_subscription REFERENCES billing.subscriptions,
    provider_event_id text        NOT NULL CONSTRAINT ck_subscription_changes_provider_event_id CHECK (char_length(provider_event_id) BETWEEN 1 AND 255),
    occurred_at       timestamptz NOT NULL,
    rank              smallint    NOT NULL DEFAULT 0 CONSTRAINT ck_subscription_changes_rank CHECK (rank BETWEEN 0 AND 100),
    status            text        NOT NULL CONSTRAINT ck_subscription_changes_status
        CHECK (status IN ('incomplete', 'incomplete_expired', 'trialing', 'active', 'past_due', 'canceled', 'unpaid', 'paused')),
    product_id        uuid        CONSTRAINT fk_subscription_changes_product REFERENCES billing.products,
    quantity          integer     NOT NULL DEFAULT 1 CONSTRAINT ck_subscription_changes_quantity CHECK (quantity >= 0),
    currency          text        NOT NULL CONSTRAINT ck_subscription_changes_currency CHECK (currency ~ '^[A-Z]{3}$'),
    monthly_cents     bigint      NOT NULL CONSTRAINT ck_subscription_changes_monthly_cents CHECK (monthly_cents BETWEEN 0 AND 1000000000000),
    current_period_end timestamptz,
    created_at        timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT uq_subscription_changes_event UNIQUE (subscription_id, provider_event_id)
);
CREATE INDEX idx_subscription_changes_occurred ON billing.subscription_changes (occurred_at, subscription_id);
CREATE INDEX idx_subscription_changes_product ON billing.subscription_changes (product_id) WHERE product_id IS NOT NULL;
COMMENT ON TABLE billing.subscription_changes IS 'What a subscription was like by each event that told of it, also by those that came too late to matter. Income and churn of any past day are computed from it, whatever the order of arrival.';
COMMENT ON COLUMN billing.subscription_changes.provider_event_id IS 'For what a comparison with the provider found: reconcile: and its time.';
COMMENT ON COLUMN billing.subscription_changes.product_id IS 'Of the item that costs most.';

CREATE TABLE billing.payments (
    id                    uuid        NOT NULL DEFAULT gen_random_uuid() CONSTRAINT payments_pkey PRIMARY KEY,
    user_id               uuid        CONSTRAINT fk_payments_user REFERENCES public.profiles,
    customer_id           uuid        CONSTRAINT fk_payments_customer REFERENCES billing.customers,
    provider              text        NOT NULL CONSTRAINT ck_payments_provider CHECK (provider IN ('stripe', 'chargily', 'manual')),
    provider_id           text        NOT NULL CONSTRAINT ck_payments_provider_id CHECK (char_length(provider_id) BETWEEN 1 AND 255),
    provider_checkout_id  text        CONSTRAINT ck_payments_provider_checkout_id CHECK (char_length(provider_checkout_id) BETWEEN 1 AND 255),
    provider_invoice_id   text        CONSTRAINT ck_payments_provider_invoice_id CHECK (char_length(provider_invoice_id) BETWEEN 1 AND 255),
    provider_charge_id    text        CONSTRAINT ck_payments_provider_charge_id CHECK (char_length(provider_charge_id) BETWEEN 1 AND 255),
    subscription_id       uuid        CONSTRAINT fk_payments_subscription REFERENCES billing.subscriptions,
    price_id              uuid        CONSTRAINT fk_payments_price REFERENCES billing.prices,
    subject_type          text        CONSTRAINT ck_payments_subject_type CHECK (subject_type IN ('course', 'bundle', 'plan', 'fee', 'credits')),
    subject_id            uuid,
    amount_cents          bigint      NOT NULL CONSTRAINT ck_payments_amount_cents CHECK (amount_cents BETWEEN 0 AND 1000000000000),
    currency              text        NOT NULL CONSTRAINT ck_payments_currency CHECK (currency ~ '^[A-Z]{3}$'),
    tax_cents             bigint      NOT NULL DEFAULT 0 CONSTRAINT ck_payments_tax_cents CHECK (tax_cents BETWEEN 0 AND 1000000000000),
    discount_cents        bigint      NOT NULL DEFAULT 0 CONSTRAINT ck_payments_discount_cents CHECK (discount_cents BETWEEN 0 AND 1000000000000),
    refunded_cents        bigint      NOT NULL DEFAULT 0 CONSTRAINT ck_payments_refunded_cents CHECK (refunded_cents >= 0),
    provider_fee_cents    bigint      CONSTRAINT ck_payments_provider_fee_cents CHECK (provider_fee_cents BETWEEN 0 AND 1000000000000),
    status                text        NOT NULL DEFAULT 'pending' CONSTRAINT ck_payments_status
        CHECK (status IN ('pending', 'processing', 'paid', 'failed', 'cancelled', 'refunded', 'disputed')),
    method                text        CONSTRAINT ck_payments_method CHECK (method ~ '^[a-z][a-z0-9_]{1,39}$'),
    paid_at               timestamptz,
    failed_at             timestamptz,
    failure_code          text        CONSTRAINT ck_payments_failure_code CHECK (char_length(failure_code) BETWEEN 1 AND 100),
    failure_reason        text        CONSTRAINT ck_payments_failure_reason CHECK (char_length(failure_reason) <= 1000),
    period_start          timestamptz,
    period_end            timestamptz,
    fulfilled_at          timestamptz,
    created_by            uuid        CONSTRAINT fk_payments_created_by REFERENCES public.profiles,
    metadata              jsonb       NOT NULL DEFAULT '{}' CONSTRAINT ck_payments_metadata CHECK (jsonb_typeof(metadata) = 'object'),
    provider_created_at   timestamptz,
    provider_updated_at   timestamptz,
    provider_event_rank   smallint    NOT NULL DEFAULT 0 CONSTRAINT ck_payments_provider_event_rank CHECK (provider_event_rank BETWEEN 0 AND 100),
    provider_event_id     text        CONSTRAINT ck_payments_provider_event_id CHECK (char_length(provider_event_id) BETWEEN 1 AND 255),
    created_at            timestamptz NOT NULL DEFAULT now(),
    updated_at            timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT uq_payments_provider_id UNIQUE (provider, provider_id),
    CONSTRAINT ck_payments_subject CHECK ((subject_type IS NULL) = (subject_id IS NULL)),
    CONSTRAINT ck_payments_paid CHECK (status NOT IN ('paid', 'refunded', 'disputed') OR paid_at IS NOT NULL),
    CONSTRAINT ck_payments_failed CHECK (status <> 'failed' OR failed_at IS NOT NULL),
    CONSTRAINT ck_payments_refunded CHECK (
        refunded_cents <= amount_cents
        AND (refunded_cents = 0 OR paid_at IS NOT NULL)
        AND (status <> 'refunded' OR refunded_cents = amount_cents)
    ),
    CONSTRAINT ck_payments_period CHECK (period_end >= period_start),
    CONSTRAINT ck_payments_fulfilled CHECK (fulfilled_at IS NULL OR paid_at IS NOT NULL)
);
CREATE INDEX idx_payments_user ON billing.payments (user_id, created_at DESC) WHERE user_id IS NOT NULL;
CREATE INDEX idx_payments_status ON billing.payments (status, created_at) WHERE status <> 'paid';
CREATE INDEX idx_payments_paid ON billing.payments (paid_at) WHERE paid_at IS NOT NULL;
CREATE INDEX idx_payments_unfulfilled ON billing.payments (paid_at) WHERE status = 'paid' AND fulfilled_at IS NULL;
CREATE INDEX idx_payments_subject ON billing.payments (subject_type, subject_id) WHERE subject_id IS NOT NULL;
CREATE INDEX idx_payments_customer ON billing.payments (customer_id) WHERE customer_id IS NOT NULL;
CREATE INDEX idx_payments_subscription ON billing.payments (subscription_id) WHERE subscription_id IS NOT NULL;
CREATE INDEX idx_payments_price ON billing.payments (price_id) WHERE price_id IS NOT NULL;
CREATE INDEX idx_payments_created_by ON billing.payments (created_by) WHERE created_by IS NOT NULL;
CREATE UNIQUE INDEX uq_payments_provider_checkout_id ON billing.payments (provider, provider_checkout_id) WHERE provider_checkout_id IS NOT NULL;
CREATE INDEX idx_payments_provider_invoice ON billing.payments (provider, provider_invoice_id) WHERE provider_invoice_id IS NOT NULL;
CREATE INDEX idx_payments_provider_charge ON billing.payments (provider, provider_charge_id) WHERE provider_charge_id IS NOT NULL;
COMMENT ON TABLE billing.payments IS 'Money that came, or was to come, whoever took it: Stripe, Chargily, or by hand.';
COMMENT ON COLUMN billing.payments.provider_id IS 'Stripe: the payment intent, or the invoice where nothing was to be charged; Chargily: the checkout; by hand: the reference on the receipt.';
COMMENT ON COLUMN billing.payments.subject_id IS 'What it is for: content.courses, school.fees, or billing.products for a bundle, plan or credits.';
COMMENT ON COLUMN billing.payments.refunded_cents IS 'Sum of the refunds that succeeded. In part: the status stays paid.';
COMMENT ON COLUMN billing.payments.fulfilled_at IS 'When what was bought was handed over: enrolment, credits, receipt.';
COMMENT ON COLUMN billing.payments.created_by IS 'Who took down a payment by hand.';

CREATE TABLE billing.refunds (
    id                  uuid        NOT NULL DEFAULT gen_random_uuid() CONSTRAINT refunds_pkey PRIMARY KEY,
    payment_id          uuid        CONSTRAINT fk_refunds_payment REFERENCES billing.payments,
    user_id             uuid        CONSTRAINT fk_refunds_user REFERENCES public.profiles,
    provider            text        NOT NULL CONSTRAINT ck_refunds_provider CHECK (provider IN ('stripe', 'chargily', 'manual')),
    provider_id         text        NOT NULL CONSTRAINT ck_refunds_provider_id CHECK (char_length(provider_id) BETWEEN 1 AND 255),
    provider_payment_id text        NOT NULL CONSTRAINT ck_refunds_provider_payment_id CHECK (char_length(provider_payment_id) BETWEEN 1 AND 255),
    amount_cents        bigint      NOT NULL CONSTRAINT ck_refunds_amount_cents CHECK (amount_cents BETWEEN 1 AND 1000000000000),
    currency            text        NOT NULL CONSTRAINT ck_refunds_currency CHECK (currency ~ '^[A-Z]{3}$'),
    status              text        NOT NULL CONSTRAINT ck_refunds_status CHECK (status IN ('pending', 'requires_action', 'succeeded', 'failed', 'canceled')),
    reason              text        CONSTRAINT ck_refunds_reason CHECK (char_length(reason) BETWEEN 1 AND 100),
    refunded_at         timestamptz,
    applied_at          timestamptz,
    provider_created_at timestamptz,
    provider_updated_at timestamptz,
    provider_event_rank smallint    NOT NULL DEFAULT 0 CONSTRAINT ck_refunds_provider_event_rank CHECK (provider_event_rank BETWEEN 0 AND 100),
    provider_event_id   text        CONSTRAINT ck_refunds_provider_event_id CHECK (char_length(provider_event_id) BETWEEN 1 AND 255),
    created_at          timestamptz NOT NULL DEFAULT now(),
    updated_at          timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT uq_refunds_provider_id UNIQUE (provider, provider_id),
    CONSTRAINT ck_refunds_succeeded CHECK (status <> 'succeeded' OR refunded_at IS NOT NULL),
    CONSTRAINT ck_refunds_applied CHECK (applied_at IS NULL OR payment_id IS NOT NULL)
);
CREATE INDEX idx_refunds_payment ON billing.refunds (payment_id) WHERE payment_id IS NOT NULL;
CREATE INDEX idx_refunds_provider_payment ON billing.refunds (provider, provider_payment_id) WHERE payment_id IS NULL;
CREATE INDEX idx_refunds_user ON billing.refunds (user_id) WHERE user_id IS NOT NULL;
CREATE INDEX idx_refunds_unapplied ON billing.refunds (created_at) WHERE status = 'succeeded' AND applied_at IS NULL;
COMMENT ON TABLE billing.refunds IS 'Money given back. Each of several refunds of a payment reverses its part of the commission once.';
COMMENT ON COLUMN billing.refunds.payment_id IS 'Null while the payment''s own event has not arrived.';
COMMENT ON COLUMN billing.refunds.provider_payment_id IS 'The payment intent or charge that the provider names.';
COMMENT ON COLUMN billing.refunds.applied_at IS 'When the right was taken back and the commission reversed.';

CREATE TABLE billing.disputes (
    id                  uuid        NOT NULL DEFAULT gen_random_uuid() CONSTRAINT disputes_pkey PRIMARY KEY,
    payment_id          uuid        CONSTRAINT fk_disputes_payment REFERENCES billing.payments,
    provider            text        NOT NULL CONSTRAINT ck_disputes_provider CHECK (provider IN ('stripe', 'chargily')),
    provider_id         text        NOT NULL CONSTRAINT ck_disputes_provider_id CHECK (char_length(provider_id) BETWEEN 1 AND 255),
    provider_payment_id text        NOT NULL CONSTRAINT ck_disputes_provider_payment_id CHECK (char_length(provider_payment_id) BETWEEN 1 AND 255),
    amount_cents        bigint      NOT NULL CONSTRAINT ck_disputes_amount_cents CHECK (amount_cents BETWEEN 0 AND 1000000000000),
    currency            text        NOT NULL CONSTRAINT ck_disputes_currency CHECK (currency ~ '^[A-Z]{3}$'),
    status              text        NOT NULL CONSTRAINT ck_disputes_status CHECK (
        status IN ('warning_needs_response', 'warning_under_review', 'warning_closed', 'needs_response', 'under_review', 'won', 'lost', 'prevented')
    ),
    reason              text        CONSTRAINT ck_disputes_reason CHECK (char_length(reason) BETWEEN 1 AND 100),
    respond_until       timestamptz,
    closed_at           timestamptz,
    applied_status      text        CONSTRAINT ck_disputes_applied_status CHECK (applied_status IN ('opened', 'won', 'lost')),
    provider_created_at timestamptz,
    provider_updated_at timestamptz,
    provider_event_rank smallint    NOT NULL DEFAULT 0 CONSTRAINT ck_disputes_provider_event_rank CHECK (provider_event_rank BETWEEN 0 AND 100),
    provider_event_id   text        CONSTRAINT ck_disputes_provider_event_id CHECK (char_length(provider_event_id) BETWEEN 1 AND 255),
    created_at          timestamptz NOT NULL DEFAULT now(),
    updated_at          timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT uq_disputes_provider_id UNIQUE (provider, provider_id),
    CONSTRAINT ck_disputes_closed CHECK (status NOT IN ('won', 'lost', 'warning_closed') OR closed_at IS NOT NULL)
);
CREATE INDEX idx_disputes_payment ON billing.disputes (payment_id) WHERE payment_id IS NOT NULL;
CREATE INDEX idx_disputes_provider_payment ON billing.disputes (provider, provider_payment_id) WHERE payment_id IS NULL;
CREATE INDEX idx_disputes_open ON billing.disputes (respond_until) WHERE closed_at IS NULL;
COMMENT ON TABLE billing.disputes IS 'Payments that a bank was asked to take back.';
COMMENT ON COLUMN billing.disputes.applied_status IS 'How far the right and the commission follow it.';

CREATE TABLE billing.one_off_purchases (
    id           uuid        NOT NULL DEFAULT gen_random_uuid() CONSTRAINT one_off_purchases_pkey PRIMARY KEY,
    user_id      uuid        NOT NULL CONSTRAINT fk_one_off_purchases_user REFERENCES public.profiles,
    payment_id   uuid        NOT NULL CONSTRAINT fk_one_off_purchases_payment REFERENCES billing.payments,
    product_id   uuid        CONSTRAINT fk_one_off_purchases_product REFERENCES billing.products,
    subject_type text        NOT NULL CONSTRAINT ck_one_off_purchases_subject_type CHECK (subject_type IN ('course', 'bundle')),
    subject_id   uuid        NOT NULL,
    status       text        NOT NULL DEFAULT 'active' CONSTRAINT ck_one_off_purchases_status CHECK (status IN ('active', 'revoked')),
    purchased_at timestamptz NOT NULL,
    expires_at   timestamptz,
    revoked_at   timestamptz,
    revoke_reason text       CONSTRAINT ck_one_off_purchases_revoke_reason CHECK (revoke_reason IN ('refund', 'dispute', 'fraud', 'error')),
    created_at   timestamptz NOT NULL DEFAULT now(),
    updated_at   timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT uq_one_off_purchases_payment UNIQUE (payment_id, subject_type, subject_id),
    CONSTRAINT ck_one_off_purchases_revoked CHECK ((status = 'revoked') = (revoked_at IS NOT NULL) AND (revoked_at IS NULL) = (revoke_reason IS NULL)),
    CONSTRAINT ck_one_off_purchases_expires_at CHECK (expires_at > purchased_at)
);
CREATE INDEX idx_one_off_purchases_user ON billing.one_off_purchases (user_id, status);
CREATE INDEX idx_one_off_purchases_product ON billing.one_off_purchases (product_id) WHERE product_id IS NOT NULL;
CREATE INDEX idx_one_off_purchases_subject ON billing.one_off_purchases (subject_type, subject_id);
COMMENT ON TABLE billing.one_off_purchases IS 'The lasting right that a payment bought. The money is in billing.payments; somebody who pays twice has two rights, and a refund of one leaves the other.';
COMMENT ON COLUMN billing.one_off_purchases.subject_id IS 'content.courses, or billing.products for a bundle.';
COMMENT ON COLUMN billing.one_off_purchases.expires_at IS 'Null: for good.';

CREATE TABLE billing.promo_redemptions (
    id                uuid        NOT NULL DEFAULT gen_random_uuid() CONSTRAINT promo_redemptions_pkey PRIMARY KEY,
    user_id           uuid        NOT NULL CONSTRAINT fk_promo_redemptions_user REFERENCES public.profiles,
    coupon_id         uuid        NOT NULL CONSTRAINT fk_promo_redemptions_coupon REFERENCES billing.coupons,
    promotion_code_id uuid        CONSTRAINT fk_promo_redemptions_promotion_code REFERENCES billing.promotion_codes,
    source_key        text        NOT NULL DEFAULT gen_random_uuid()::text CONSTRAINT uq_promo_redemptions_source_key UNIQUE
        CONSTRAINT ck_promo_redemptions_source_key CHECK (char_length(source_key) BETWEEN 1 AND 255),
    payment_id        uuid        CONSTRAINT fk_promo_redemptions_payment REFERENCES billing.payments,
    subscription_id   uuid        CONSTRAINT fk_promo_redemptions_subscription REFERENCES billing.subscriptions,
    amount_off_cents  bigint      CONSTRAINT ck_promo_redemptions_amount_off_cents CHECK (amount_off_cents BETWEEN 0 AND 1000000000000),
    currency          text        CONSTRAINT ck_promo_redemptions_currency CHECK (currency ~ '^[A-Z]{3}$'),
    status            text        NOT NULL DEFAULT 'redeemed' CONSTRAINT ck_promo_redemptions_status CHECK (status IN ('redeemed', 'released')),
    redeemed_at       timestamptz NOT NULL DEFAULT now(),
    released_at       timestamptz,
    created_at        timestamptz NOT NULL DEFAULT now(),
    updated_at        timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT ck_promo_redemptions_amount CHECK ((amount_off_cents IS NULL) = (currency IS NULL)),
    CONSTRAINT ck_promo_redemptions_released CHECK ((status = 'released') = (released_at IS NOT NULL))
);
CREATE INDEX idx_promo_redemptions_user ON billing.promo_redemptions (user_id, promotion_code_id);
CREATE INDEX idx_promo_redemptions_coupon ON billing.promo_redemptions (coupon_id);
CREATE INDEX idx_promo_redemptions_promotion_code ON billing.promo_redemptions (promotion_code_id) WHERE promotion_code_id IS NOT NULL;
CREATE INDEX idx_promo_redemptions_payment ON billing.promo_redemptions (payment_id) WHERE payment_id IS NOT NULL;
CREATE INDEX idx_promo_redemptions_subscription ON billing.promo_redemptions (subscription_id) WHERE subscription_id IS NOT NULL;
COMMENT ON TABLE billing.promo_redemptions IS 'Who used which promotion, and what it took off.';
COMMENT ON COLUMN billing.promo_redemptions.source_key IS 'What it is told by, so that it counts once: the provider''s discount or checkout.';
COMMENT ON COLUMN billing.promo_redemptions.status IS 'released: the purchase did not happen, the promotion may be used again.';

CREATE TABLE billing.credit_rules (
    rule_key    text        NOT NULL CONSTRAINT credit_rules_pkey PRIMARY KEY CONSTRAINT ck_credit_rules_key CHECK (rule_key ~ '^[a-z][a-z0-9_]{1,39}$'),
    credits     bigint      NOT NULL CONSTRAINT ck_credit_rules_credits CHECK (credits BETWEEN 0 AND 1000000),
    description text        NOT NULL DEFAULT '' CONSTRAINT ck_credit_rules_description CHECK (char_length(description) <= 500),
    is_active   boolean     NOT NULL DEFAULT true,
    created_at  timestamptz NOT NULL DEFAULT now(),
    updated_at  timestamptz NOT NULL DEFAULT now()
);
COMMENT ON TABLE billing.credit_rules IS 'What gives credits, or costs them, besides buying: by the name that code asks for.';

CREATE TABLE billing.credit_ledger (
    id              uuid        NOT NULL DEFAULT gen_random_uuid() CONSTRAINT credit_ledger_pkey PRIMARY KEY,
    user_id         uuid        NOT NULL CONSTRAINT fk_credit_ledger_user REFERENCES public.profiles,
    kind            text        NOT NULL CONSTRAINT ck_credit_ledger_kind CHECK (kind IN ('welcome', 'purchase', 'grant', 'spend', 'return', 'revoke', 'expire', 'adjust')),
    credits         bigint      NOT NULL CONSTRAINT ck_credit_ledger_credits CHECK (credits <> 0 AND abs(credits) <= 1000000000),
    idempotency_key text        NOT NULL CONSTRAINT ck_credit_ledger_idempotency_key CHECK (char_length(idempotency_key) BETWEEN 1 AND 255),
    source_type     text        CONSTRAINT ck_credit_ledger_source_type CHECK (source_type ~ '^[a-z][a-z0-9_.]{1,79}$'),
    source_id       uuid,
    payment_id      uuid        CONSTRAINT fk_credit_ledger_payment REFERENCES billing.payments,
    returns_id      uuid        CONSTRAINT fk_credit_ledger_returns REFERENCES billing.credit_ledger CONSTRAINT uq_credit_ledger_returns UNIQUE,
    note            text        CONSTRAINT ck_credit_ledger_note CHECK (char_length(note) BETWEEN 1 AND 500),
    created_by      uuid        CONSTRAINT fk_credit_ledger_created_by REFERENCES public.profiles,
    created_at      timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT uq_credit_ledger_idempotency_key UNIQUE (user_id, idempotency_key),
    CONSTRAINT ck_credit_ledger_sign CHECK (kind = 'adjust' OR (credits > 0) = (kind IN ('welcome', 'purchase', 'grant', 'return'))),
    CONSTRAINT ck_credit_ledger_source CHECK (source_id IS NULL OR source_type IS NOT NULL),
    CONSTRAINT ck_credit_ledger_return CHECK ((kind = 'return') = (returns_id IS NOT NULL))
);
CREATE INDEX idx_credit_ledger_user ON billing.credit_ledger (user_id, created_at DESC) INCLUDE (credits);
CREATE INDEX idx_credit_ledger_source ON billing.credit_ledger (source_type, source_id) WHERE source_id IS NOT NULL;
CREATE INDEX idx_credit_ledger_payment ON billing.credit_ledger (payment_id) WHERE payment_id IS NOT NULL;
CREATE INDEX idx_credit_ledger_created_by ON billing.credit_ledger (created_by) WHERE created_by IS NOT NULL;
COMMENT ON TABLE billing.credit_ledger IS 'Credits that a person got and used, only added to. The balance is the sum, and never negative.';
COMMENT ON COLUMN billing.credit_ledger.idempotency_key IS 'Names the reason: one entry for each, however often it is tried.';
COMMENT ON COLUMN billing.credit_ledger.returns_id IS 'The expense that this gives back, once.';

CREATE TRIGGER trg_subscriptions_set_updated_at BEFORE UPDATE ON billing.subscriptions FOR EACH ROW EXECUTE FUNCTION util.set_updated_at();
CREATE TRIGGER trg_subscription_items_set_updated_at BEFORE UPDATE ON billing.subscription_items FOR EACH ROW EXECUTE FUNCTION util.set_updated_at();
CREATE TRIGGER trg_subscription_changes_refuse_change BEFORE UPDATE OR DELETE ON billing.subscription_changes FOR EACH ROW EXECUTE FUNCTION util.refuse_change();
CREATE TRIGGER trg_payments_set_updated_at BEFORE UPDATE ON billing.payments FOR EACH ROW EXECUTE FUNCTION util.set_updated_at();
CREATE TRIGGER trg_refunds_set_updated_at BEFORE UPDATE ON billing.refunds FOR EACH ROW EXECUTE FUNCTION util.set_updated_at();
CREATE TRIGGER trg_disputes_set_updated_at BEFORE UPDATE ON billing.disputes FOR EACH ROW EXECUTE FUNCTION util.set_updated_at();
CREATE TRIGGER trg_one_off_purchases_set_updated_at BEFORE UPDATE ON billing.one_off_purchases FOR EACH ROW EXECUTE FUNCTION util.set_updated_at();
CREATE TRIGGER trg_promo_redemptions_set_updated_at BEFORE UPDATE ON billing.promo_redemptions FOR EACH ROW EXECUTE FUNCTION util.set_updated_at();
CREATE TRIGGER trg_credit_rules_set_updated_at BEFORE UPDATE ON billing.credit_rules FOR EACH ROW EXECUTE FUNCTION util.set_updated_at();
CREATE TRIGGER trg_credit_ledger_refuse_change BEFORE UPDATE OR DELETE ON billing.credit_ledger FOR EACH ROW EXECUTE FUNCTION util.refuse_change();

SELECT util.protect('billing.subscriptions', 'SELECT, INSERT, UPDATE');
SELECT util.protect('billing.subscription_items');
SELECT util.protect('billing.subscription_changes', 'SELECT, INSERT');
SELECT util.protect('billing.payments', 'SELECT, INSERT, UPDATE');
SELECT util.protect('billing.refunds', 'SELECT, INSERT, UPDATE');
SELECT util.protect('billing.disputes', 'SELECT, INSERT, UPDATE');
SELECT util.protect('billing.one_off_purchases', 'SELECT, INSERT, UPDATE');
SELECT util.protect('billing.promo_redemptions', 'SELECT, INSERT, UPDATE');
SELECT util.protect('billing.credit_rules');
SELECT util.protect('billing.credit_ledger', 'SELECT, INSERT');

-- One's own, and whoever keeps the books.
DO $$
DECLARE
    name text;
BEGIN
    FOREACH name IN ARRAY '{subscriptions,payments,refunds,one_off_purchases,promo_redemptions,credit_ledger}'::text[] LOOP
        EXECUTE format('CREATE POLICY %I ON billing.%I FOR SELECT TO authenticated USING (user_id = (SELECT auth.uid()))', name || '_own', name);
    END LOOP;
    FOREACH name IN ARRAY '{subscriptions,subscription_items,subscription_changes,payments,refunds,disputes,one_off_purchases,promo_redemptions,credit_ledger}'::text[] LOOP
        EXECUTE format('CREATE POLICY %I ON billing.%I FOR SELECT TO authenticated USING ((SELECT rbac.has_permission((SELECT auth.uid()), %L)))', name || '_view', name, 'billing.view');
        EXECUTE format('GRANT SELECT ON billing.%I TO authenticated', name);
    END LOOP;
END $$;
CREATE POLICY subscription_items_own ON billing.subscription_items FOR SELECT TO authenticated
    USING (EXISTS (SELECT FROM billing.subscriptions s WHERE s.id = subscription_items.subscription_id AND s.user_id = (SELECT auth.uid())));
CREATE POLICY credit_rules_read ON billing.credit_rules FOR SELECT TO anon, authenticated USING (is_active);
CREATE POLICY credit_rules_manage ON billing.credit_rules TO authenticated
    USING ((SELECT rbac.has_permission((SELECT auth.uid()), 'billing.manage')))
    WITH CHECK ((SELECT rbac.has_permission((SELECT auth.uid()), 'billing.manage')));
GRANT SELECT ON billing.credit_rules TO anon;
GRANT SELECT, INSERT, UPDATE ON billing.credit_rules TO authenticated;

DO $$
DECLARE
    books constant text := 'Accounts are kept for 60 months; the profile it points to is empty.';
BEGIN
    PERFORM compliance.classify('billing.subscriptions', 'personal', '{metadata,cancel_feedback}', exported => true, on_erasure => 'anonymise');
    PERFORM compliance.classify('billing.subscriptions', 'financial', exported => true, on_erasure => 'keep', reason => books);
    PERFORM compliance.belongs_to('billing.subscriptions', 'user_id = $1');
    PERFORM compliance.classify('billing.subscription_items', 'personal', '{metadata}', exported => true, on_erasure => 'anonymise');
    PERFORM compliance.classify('billing.subscription_items', 'financial', exported => true, on_erasure => 'keep', reason => books);
    PERFORM compliance.belongs_to('billing.subscription_items', 'subscription_id IN (SELECT id FROM billing.subscriptions WHERE user_id = $1)');
    PERFORM compliance.classify('billing.subscription_changes', 'financial', exported => true, on_erasure => 'keep', reason => books);
    PERFORM compliance.belongs_to('billing.subscription_changes', 'subscription_id IN (SELECT id FROM billing.subscriptions WHERE user_id = $1)');
    PERFORM compliance.classify('billing.payments', 'personal', '{metadata,failure_reason}', exported => true, on_erasure => 'anonymise');
    PERFORM compliance.classify('billing.payments', 'financial', exported => true, on_erasure => 'keep', reason => books);
    PERFORM compliance.belongs_to('billing.payments', 'user_id = $1');
    PERFORM compliance.classify('billing.refunds', 'financial', exported => true, on_erasure => 'keep', reason => books);
    PERFORM compliance.belongs_to('billing.refunds', 'user_id = $1');
    PERFORM compliance.classify('billing.disputes', 'financial', exported => true, on_erasure => 'keep', reason => books);
    PERFORM compliance.belongs_to('billing.disputes', 'payment_id IN (SELECT id FROM billing.payments WHERE user_id = $1)');
    PERFORM compliance.classify('billing.one_off_purchases', 'financial', exported => true, on_erasure => 'keep', reason => books);
    PERFORM compliance.belongs_to('billing.one_off_purchases', 'user_id = $1');
    PERFORM compliance.classify('billing.promo_redemptions', 'financial', exported => true, on_erasure => 'keep', reason => books);
    PERFORM compliance.belongs_to('billing.promo_redemptions', 'user_id = $1');
    PERFORM compliance.classify('billing.credit_rules', 'none');
    -- Entries are never changed, so nothing personal is written into their notes.
    PERFORM compliance.classify('billing.credit_ledger', 'financial', exported => true, on_erasure => 'keep', reason => books);
    PERFORM compliance.belongs_to('billing.credit_ledger', 'user_id = $1');
END $$;
