-- What ambassadors earn and are paid: accounts at the provider, a ledger that is only added to, payouts and their approval.
-- Owner: workers/payouts. Locks: none, everything is new.
-- Undo: DROP TABLE billing.payout_items, billing.payout_ledger, billing.payouts, billing.payout_accounts; DROP VIEW billing.payout_balances.

CREATE TABLE billing.payout_accounts (
    id                   uuid        NOT NULL DEFAULT gen_random_uuid() CONSTRAINT payout_accounts_pkey PRIMARY KEY,
    user_id              uuid        NOT NULL CONSTRAINT fk_payout_accounts_user REFERENCES public.profiles,
    provider             text        NOT NULL CONSTRAINT ck_payout_accounts_provider CHECK (provider IN ('stripe', 'manual')),
    provider_id          text        NOT NULL CONSTRAINT ck_payout_accounts_provider_id CHECK (char_length(provider_id) BETWEEN 1 AND 255),
    country              text        CONSTRAINT ck_payout_accounts_country CHECK (country ~ '^[A-Z]{2}$'),
    currency             text        CONSTRAINT ck_payout_accounts_currency CHECK (currency ~ '^[A-Z]{3}$'),
    status               text        NOT NULL DEFAULT 'pending' CONSTRAINT ck_payout_accounts_status CHECK (status IN ('pending', 'restricted', 'enabled', 'disabled')),
    is_transfers_enabled boolean     NOT NULL DEFAULT false,
    is_payouts_enabled   boolean     NOT NULL DEFAULT false,
    is_details_submitted boolean     NOT NULL DEFAULT false,
    requirements         jsonb       NOT NULL DEFAULT '{}' CONSTRAINT ck_payout_accounts_requirements CHECK (jsonb_typeof(requirements) = 'object'),
    disabled_reason      text        CONSTRAINT ck_payout_accounts_disabled_reason CHECK (char_length(disabled_reason) BETWEEN 1 AND 255),
    metadata             jsonb       NOT NULL DEFAULT '{}' CONSTRAINT ck_payout_accounts_metadata CHECK (jsonb_typeof(metadata) = 'object'),
    synced_at            timestamptz,
    provider_created_at  timestamptz,
    provider_updated_at  timestamptz,
    provider_event_rank  smallint    NOT NULL DEFAULT 0 CONSTRAINT ck_payout_accounts_provider_event_rank CHECK (provider_event_rank BETWEEN 0 AND 100),
    provider_event_id    text        CONSTRAINT ck_payout_accounts_provider_event_id CHECK (char_length(provider_event_id) BETWEEN 1 AND 255),
    deleted_at           timestamptz,
    created_at           timestamptz NOT NULL DEFAULT now(),
    updated_at           timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT uq_payout_accounts_provider_id UNIQUE (provider, provider_id),
    CONSTRAINT ck_payout_accounts_enabled CHECK (status <> 'enabled' OR is_transfers_enabled),
    CONSTRAINT ck_payout_accounts_deleted_at CHECK (deleted_at IS NULL OR status = 'disabled' AND NOT is_transfers_enabled)
);
CREATE INDEX idx_payout_accounts_user ON billing.payout_accounts (user_id);
CREATE UNIQUE INDEX uq_payout_accounts_live ON billing.payout_accounts (user_id, provider) WHERE deleted_at IS NULL;
CREATE INDEX idx_payout_accounts_synced ON billing.payout_accounts (synced_at NULLS FIRST) WHERE deleted_at IS NULL;
COMMENT ON TABLE billing.payout_accounts IS 'Where an ambassador is paid: the connected account at the provider. Bank details are there, and not here.';
COMMENT ON COLUMN billing.payout_accounts.is_transfers_enabled IS 'Whether the provider takes transfers for it. Without, nothing is paid.';
COMMENT ON COLUMN billing.payout_accounts.requirements IS 'What the provider still wants to know, by the names of its fields.';

CREATE TABLE billing.payouts (
    id                      uuid        NOT NULL DEFAULT gen_random_uuid() CONSTRAINT payouts_pkey PRIMARY KEY,
    user_id                 uuid        NOT NULL CONSTRAINT fk_payouts_user REFERENCES public.profiles,
    payout_account_id       uuid        CONSTRAINT fk_payouts_payout_account REFERENCES billing.payout_accounts,
    referral_code_id        uuid,
    period_start            timestamptz NOT NULL,
    period_end              timestamptz NOT NULL,
    total_referrals         integer     NOT NULL DEFAULT 0 CONSTRAINT ck_payouts_total_referrals CHECK (total_referrals >= 0),
    currency                text        NOT NULL CONSTRAINT ck_payouts_currency CHECK (currency ~ '^[A-Z]{3}$'),
    gross_amount_cents      bigint      NOT NULL CONSTRAINT ck_payouts_gross_amount_cents CHECK (gross_amount_cents BETWEEN 1 AND 1000000000000),
    fee_cents               bigint      NOT NULL DEFAULT 0 CONSTRAINT ck_payouts_fee_cents CHECK (fee_cents >= 0),
    net_amount_cents        bigint      NOT NULL CONSTRAINT ck_payouts_net_amount_cents CHECK (net_amount_cents > 0),
    status                  text        NOT NULL DEFAULT 'pending' CONSTRAINT ck_payouts_status
        CHECK (status IN ('pending', 'approved', 'processing', 'paid', 'failed', 'disputed', 'cancelled')),
    payment_method          text        CONSTRAINT ck_payouts_payment_method CHECK (payment_method ~ '^[a-z][a-z0-9_]{1,39}$'),
    payment_provider        text        CONSTRAINT ck_payouts_payment_provider CHECK (payment_provider IN ('stripe', 'manual')),
    payment_reference       text        CONSTRAINT ck_payouts_payment_reference CHECK (char_length(payment_reference) BETWEEN 1 AND 255),
    payment_batch_id        uuid,
    calculated_at           timestamptz NOT NULL DEFAULT now(),
    calculation_version     integer     NOT NULL DEFAULT 1 CONSTRAINT ck_payouts_calculation_version CHECK (calculation_version > 0),
    calculation_details     jsonb       NOT NULL DEFAULT '{}' CONSTRAINT ck_payouts_calculation_details CHECK (jsonb_typeof(calculation_details) = 'object'),
    created_by              uuid        CONSTRAINT fk_payouts_created_by REFERENCES public.profiles,
    approved_by             uuid        CONSTRAINT fk_payouts_approved_by REFERENCES public.profiles,
    approved_at             timestamptz,
    processing_started_at   timestamptz,
    unknown_since           timestamptz,
    paid_at                 timestamptz,
    failed_at               timestamptz,
    disputed_at             timestamptz,
    cancelled_at            timestamptz,
    cancelled_by            uuid        CONSTRAINT fk_payouts_cancelled_by REFERENCES public.profiles,
    cancel_reason           text        CONSTRAINT ck_payouts_cancel_reason CHECK (char_length(cancel_reason) BETWEEN 1 AND 500),
    retry_count             integer     NOT NULL DEFAULT 0 CONSTRAINT ck_payouts_retry_count CHECK (retry_count >= 0),
    max_retries             integer     NOT NULL DEFAULT 3 CONSTRAINT ck_payouts_max_retries CHECK (max_retries BETWEEN 0 AND 20),
    next_retry_at           timestamptz,
    failure_reason          text        CONSTRAINT ck_payouts_failure_reason CHECK (char_length(failure_reason) BETWEEN 1 AND 1000),
    error_details           jsonb       CONSTRAINT ck_payouts_error_details CHECK (jsonb_typeof(error_details) = 'object'),
    payment_confirmation_data jsonb     CONSTRAINT ck_payouts_payment_confirmation_data CHECK (jsonb_typeof(payment_confirmation_data) = 'object'),
    job_id                  uuid,
    created_at              timestamptz NOT NULL DEFAULT now(),
    updated_at              timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT ck_payouts_period CHECK (period_end > period_start),
    CONSTRAINT ck_payouts_net CHECK (net_amount_cents = gross_amount_cents - fee_cents),
    CONSTRAINT ck_payouts_approved CHECK (
        (approved_by IS NULL) = (approved_at IS NULL)
        AND (approved_by IS NOT NULL OR status IN ('pending', 'cancelled'))
        AND (status <> 'pending' OR approved_by IS NULL)
    ),
    CONSTRAINT ck_payouts_approver CHECK (approved_by <> user_id AND (created_by IS NULL OR approved_by <> created_by)),
    CONSTRAINT ck_payouts_account CHECK (status IN ('pending', 'cancelled') OR payout_account_id IS NOT NULL),
    CONSTRAINT ck_payouts_processing CHECK (status <> 'processing' OR processing_started_at IS NOT NULL),
    CONSTRAINT ck_payouts_paid CHECK (status NOT IN ('paid', 'disputed') OR paid_at IS NOT NULL AND payment_reference IS NOT NULL),
    CONSTRAINT ck_payouts_failed CHECK (status <> 'failed' OR failed_at IS NOT NULL AND failure_reason IS NOT NULL),
    CONSTRAINT ck_payouts_disputed CHECK (status <> 'disputed' OR disputed_at IS NOT NULL),
    CONSTRAINT ck_payouts_cancelled CHECK ((status = 'cancelled') = (cancelled_at IS NOT NULL)),
    CONSTRAINT ck_payouts_retries CHECK (retry_count <= max_retries AND (next_retry_at IS NULL OR status IN ('processing', 'failed')))
);
CREATE INDEX idx_payouts_user_period ON billing.payouts (user_id, period_end DESC);
CREATE INDEX idx_payouts_status_calc ON billing.payouts (status, calculated_at);
CREATE INDEX idx_payouts_retry ON billing.payouts (next_retry_at) WHERE next_retry_at IS NOT NULL;
CREATE INDEX idx_payouts_payout_account ON billing.payouts (payout_account_id) WHERE payout_account_id IS NOT NULL;
CREATE INDEX idx_payouts_created_by ON billing.payouts (created_by) WHERE created_by IS NOT NULL;
CREATE INDEX idx_payouts_approved_by ON billing.payouts (approved_by) WHERE approved_by IS NOT NULL;
CREATE INDEX idx_payouts_cancelled_by ON billing.payouts (cancelled_by) WHERE cancelled_by IS NOT NULL;
CREATE INDEX idx_payouts_batch ON billing.payouts (payment_batch_id) WHERE payment_batch_id IS NOT NULL;
-- Calculating a period twice finds it done.
CREATE UNIQUE INDEX uq_payouts_period ON billing.payouts (user_id, currency, period_start, period_end) WHERE status <> 'cancelled';
CREATE UNIQUE INDEX uq_payouts_payment_reference ON billing.payouts (payment_provider, payment_reference) WHERE payment_reference IS NOT NULL;
COMMENT ON TABLE billing.payouts IS 'One transfer to an ambassador for a period. The provider''s idempotency key is the id; nothing is transferred that somebody else has not approved.';
COMMENT ON COLUMN billing.payouts.referral_code_id IS 'Of referrals.referral_codes, where the period was earned with one code.';
COMMENT ON COLUMN billing.payouts.unknown_since IS 'Since when it is not known whether a transfer went out: the provider is asked before anything is tried again.';
COMMENT ON COLUMN billing.payouts.approved_by IS 'Neither who is paid nor who calculated it.';
COMMENT ON COLUMN billing.payouts.created_by IS 'Null: the schedule.';

CREATE TABLE billing.payout_ledger (
    id             uuid        NOT NULL DEFAULT gen_random_uuid() CONSTRAINT payout_ledger_pkey PRIMARY KEY,
    transaction_id uuid        NOT NULL,
    user_id        uuid        NOT NULL CONSTRAINT fk_payout_ledger_user REFERENCES public.profiles,
    account        text        NOT NULL CONSTRAINT ck_payout_ledger_account CHECK (account IN ('expense', 'pending', 'available', 'in_flight', 'paid', 'debt')),
    kind           text        NOT NULL CONSTRAINT ck_payout_ledger_kind
        CHECK (kind IN ('accrue', 'mature', 'claim', 'settle', 'release', 'reverse', 'offset', 'adjust')),
    amount_cents   bigint      NOT NULL CONSTRAINT ck_payout_ledger_amount_cents CHECK (amount_cents <> 0 AND abs(amount_cents) <= 1000000000000),
    currency       text        NOT NULL CONSTRAINT ck_payout_ledger_currency CHECK (currency ~ '^[A-Z]{3}$'),
    source_key     text        NOT NULL CONSTRAINT ck_payout_ledger_source_key CHECK (char_length(source_key) BETWEEN 1 AND 255),
    origin_id      uuid        CONSTRAINT fk_payout_ledger_origin REFERENCES billing.payout_ledger,
    referral_id    uuid,
    payment_id     uuid        CONSTRAINT fk_payout_ledger_payment REFERENCES billing.payments,
    refund_id      uuid        CONSTRAINT fk_payout_ledger_refund REFERENCES billing.refunds,
    dispute_id     uuid        CONSTRAINT fk_payout_ledger_dispute REFERENCES billing.disputes,
    payout_id      uuid        CONSTRAINT fk_payout_ledger_payout REFERENCES billing.payouts,
    payable_from   timestamptz,
    details        jsonb       NOT NULL DEFAULT '{}' CONSTRAINT ck_payout_ledger_details CHECK (jsonb_typeof(details) = 'object'),
    occurred_at    timestamptz NOT NULL DEFAULT now(),
    created_by     uuid        CONSTRAINT fk_payout_ledger_created_by REFERENCES public.profiles,
    created_at     timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT uq_payout_ledger_source UNIQUE (source_key, kind, account),
    CONSTRAINT ck_payout_ledger_payout CHECK (kind NOT IN ('claim', 'settle', 'release') OR payout_id IS NOT NULL),
    CONSTRAINT ck_payout_ledger_payable_from CHECK (kind <> 'accrue' OR account <> 'pending' OR payable_from IS NOT NULL)
);
CREATE INDEX idx_payout_ledger_balance ON billing.payout_ledger (user_id, currency, account) INCLUDE (amount_cents);
CREATE INDEX idx_payout_ledger_transaction ON billing.payout_ledger (transaction_id, user_id, currency) INCLUDE (amount_cents);
CREATE INDEX idx_payout_ledger_payable ON billing.payout_ledger (payable_from) WHERE kind = 'accrue' AND account = 'pending';
CREATE INDEX idx_payout_ledger_origin ON billing.payout_ledger (origin_id) WHERE origin_id IS NOT NULL;
CREATE INDEX idx_payout_ledger_referral ON billing.payout_ledger (referral_id) WHERE referral_id IS NOT NULL;
CREATE INDEX idx_payout_ledger_payment ON billing.payout_ledger (payment_id) WHERE payment_id IS NOT NULL;
CREATE INDEX idx_payout_ledger_refund ON billing.payout_ledger (refund_id) WHERE refund_id IS NOT NULL;
CREATE INDEX idx_payout_ledger_dispute ON billing.payout_ledger (dispute_id) WHERE dispute_id IS NOT NULL;
CREATE INDEX idx_payout_ledger_payout ON billing.payout_ledger (payout_id) WHERE payout_id IS NOT NULL;
CREATE INDEX idx_payout_ledger_created_by ON billing.payout_ledger (created_by) WHERE created_by IS NOT NULL;
COMMENT ON TABLE billing.payout_ledger IS 'Commissions in double entry, only added to. The entries of a transaction come to nothing; what an ambassador has earned is what expense is below it, and it is always paid, in_flight, available, pending or debt.';
COMMENT ON COLUMN billing.payout_ledger.account IS 'expense: the platform''s, negative; pending: may still be refunded; available: may be paid; in_flight: in a payout; paid: transferred; debt: paid and refunded since, never above zero.';
COMMENT ON COLUMN billing.payout_ledger.kind IS 'accrue: expense to pending; mature: to available; claim: to in_flight; settle: to paid; release: a payout that did not happen, back to available; reverse: back to expense after a refund; offset: available against debt.';
COMMENT ON COLUMN billing.payout_ledger.source_key IS 'What it follows from, such as refund:re_1:referral:…; the same thing is never entered twice.';
COMMENT ON COLUMN billing.payout_ledger.origin_id IS 'The accrual whose money this moves.';
COMMENT ON COLUMN billing.payout_ledger.referral_id IS 'Of referrals.referrals.';
COMMENT ON COLUMN billing.payout_ledger.payable_from IS 'End of the time in which a refund takes the commission back.';

CREATE TABLE billing.payout_items (
    id                      uuid        NOT NULL DEFAULT gen_random_uuid() CONSTRAINT payout_items_pkey PRIMARY KEY,
    payout_id               uuid        NOT NULL CONSTRAINT fk_payout_items_payout REFERENCES billing.payouts,
    ledger_entry_id         uuid        NOT NULL CONSTRAINT fk_payout_items_ledger_entry REFERENCES billing.payout_ledger,
    referral_id             uuid,
    commission_amount_cents bigint      NOT NULL CONSTRAINT ck_payout_items_commission_amount_cents CHECK (commission_amount_cents <> 0 AND abs(commission_amount_cents) <= 1000000000000),
    order_amount_cents      bigint      CONSTRAINT ck_payout_items_order_amount_cents CHECK (order_amount_cents BETWEEN 0 AND 1000000000000),
    commission_rate_percent numeric(5, 2) CONSTRAINT ck_payout_items_commission_rate_percent CHECK (commission_rate_percent BETWEEN 0 AND 100),
    calculated_at           timestamptz NOT NULL DEFAULT now(),
    released_at             timestamptz,
    metadata                jsonb       NOT NULL DEFAULT '{}' CONSTRAINT ck_payout_items_metadata CHECK (jsonb_typeof(metadata) = 'object')
);
CREATE INDEX idx_payout_items_payout ON billing.payout_items (payout_id);
CREATE INDEX idx_payout_items_ledger_entry ON billing.payout_items (ledger_entry_id);
-- A commission is in one payout, until that is cancelled.
CREATE UNIQUE INDEX uq_payout_items_ledger_entry ON billing.payout_items (ledger_entry_id) WHERE released_at IS NULL;
CREATE INDEX idx_payout_items_referral ON billing.payout_items (referral_id) WHERE referral_id IS NOT NULL;
COMMENT ON TABLE billing.payout_items IS 'What a payout is made of; the items come to its gross amount.';
COMMENT ON COLUMN billing.payout_items.ledger_entry_id IS 'The accrual that is paid, or the reversal that is set off.';
COMMENT ON COLUMN billing.payout_items.commission_amount_cents IS 'Negative: a debt of before.';
COMMENT ON COLUMN billing.payout_items.released_at IS 'When its payout was cancelled.';

CREATE VIEW billing.payout_balances WITH (security_invoker = true) AS
SELECT
    user_id, currency,
    coalesce(sum(amount_cents) FILTER (WHERE account = 'pending'), 0)::bigint AS pending_cents,
    coalesce(sum(amount_cents) FILTER (WHERE account = 'available'), 0)::bigint AS available_cents,
    coalesce(sum(amount_cents) FILTER (WHERE account = 'in_flight'), 0)::bigint AS in_flight_cents,
    coalesce(sum(amount_cents) FILTER (WHERE account = 'paid'), 0)::bigint AS paid_cents,
    coalesce(sum(amount_cents) FILTER (WHERE account = 'debt'), 0)::bigint AS debt_cents,
    coalesce(-sum(amount_cents) FILTER (WHERE account = 'expense'), 0)::bigint AS earned_cents
FROM billing.payout_ledger
GROUP BY user_id, currency;
COMMENT ON VIEW billing.payout_balances IS 'What each ambassador has, by currency. earned = pending + available + in_flight + paid + debt, always.';

-- Promises of the ledger ----------------------------------------------------------------------------

-- A plan that was made while the ledger was small would read all of it for each row of a bulk load: no sequential scans.
CREATE FUNCTION billing.check_entry() RETURNS trigger
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp SET enable_seqscan = off AS $$
BEGIN
    IF EXISTS (
        SELECT FROM billing.payout_ledger
        WHERE transaction_id = NEW.transaction_id
        GROUP BY user_id, currency
        HAVING sum(amount_cents) <> 0
    ) THEN
        RAISE EXCEPTION 'the entries of transaction % do not come to nothing', NEW.transaction_id
            USING ERRCODE = 'check_violation', CONSTRAINT = 'trg_payout_ledger_check_entry', SCHEMA = TG_TABLE_SCHEMA, TABLE = TG_TABLE_NAME;
    END IF;
    IF NEW.account IN ('pending', 'available', 'in_flight') AND NEW.amount_cents < 0 OR NEW.account = 'debt' AND NEW.amount_cents > 0 THEN
        -- Two transactions that take from one balance come one after the other, and the second sees the first.
        PERFORM pg_advisory_xact_lock(1111834952, hashtext(NEW.user_id::text || NEW.currency));
        IF (
            SELECT CASE NEW.account WHEN 'debt' THEN sum(amount_cents) > 0 ELSE sum(amount_cents) < 0 END
            FROM billing.payout_ledger
            WHERE (user_id, currency, account) = (NEW.user_id, NEW.currency, NEW.account)
        ) THEN
            RAISE EXCEPTION 'there is not as much % as is taken from it', NEW.account
                USING ERRCODE = 'check_violation', CONSTRAINT = 'trg_payout_ledger_check_balance', SCHEMA = TG_TABLE_SCHEMA, TABLE = TG_TABLE_NAME;
        END IF;
    END IF;
    RETURN NULL;
END $$;
COMMENT ON FUNCTION billing.check_entry IS 'At the end of a transaction: its entries come to nothing, and no balance is overdrawn.';
CREATE CONSTRAINT TRIGGER trg_payout_ledger_check_entry AFTER INSERT ON billing.payout_ledger
    DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION billing.check_entry();
CREATE TRIGGER trg_payout_ledger_refuse_change BEFORE UPDATE OR DELETE ON billing.payout_ledger FOR EACH ROW EXECUTE FUNCTION util.refuse_change();

-- Promises of payouts -------------------------------------------------------------------------------

CREATE FUNCTION billing.check_payout_change() RETURNS trigger
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    IF NEW.status <> OLD.status AND (OLD.status, NEW.status) NOT IN (
        ('pending', 'approved'), ('pending', 'cancelled'),
        ('approved', 'pending'), ('approved', 'processing'), ('approved', 'cancelled'),
        ('processing', 'paid'), ('processing', 'failed'),
        ('failed', 'processing'), ('failed', 'cancelled'),
        ('paid', 'disputed'), ('disputed', 'paid'), ('disputed', 'failed')
    ) THEN
        RAISE EXCEPTION 'a payout that is % does not become %', OLD.status, NEW.status
            USING ERRCODE = 'integrity_constraint_violation', CONSTRAINT = TG_NAME, SCHEMA = TG_TABLE_SCHEMA, TABLE = TG_TABLE_NAME;
    END IF;
    IF OLD.status <> 'pending' AND (
        (NEW.user_id, NEW.currency, NEW.period_start, NEW.period_end, NEW.gross_amount_cents, NEW.fee_cents, NEW.created_by)
            IS DISTINCT FROM (OLD.user_id, OLD.currency, OLD.period_start, OLD.period_end, OLD.gross_amount_cents, OLD.fee_cents, OLD.created_by)
        OR NEW.status <> 'pending' AND (NEW.payout_account_id, NEW.approved_by, NEW.approved_at) IS DISTINCT FROM (OLD.payout_account_id, OLD.approved_by, OLD.approved_at)
    ) THEN
        RAISE EXCEPTION 'what was approved is not changed: payout %', OLD.id
            USING ERRCODE = 'integrity_constraint_violation', CONSTRAINT = TG_NAME, SCHEMA = TG_TABLE_SCHEMA, TABLE = TG_TABLE_NAME;
    END IF;
    RETURN NEW;
END $$;
COMMENT ON FUNCTION billing.check_payout_change IS 'Keeps payouts to the order of their states, and what was approved as it was.';
CREATE TRIGGER trg_payouts_check_change BEFORE UPDATE ON billing.payouts FOR EACH ROW EXECUTE FUNCTION billing.check_payout_change();

-- Inside billing.approve_payout the owner of the function writes.
CREATE FUNCTION billing.check_payout_approval() RETURNS trigger
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    IF current_user = 'service_role' AND NEW.approved_by IS NOT NULL AND (TG_OP = 'INSERT' OR NEW.approved_by IS DISTINCT FROM OLD.approved_by) THEN
        RAISE EXCEPTION 'a payout is approved by a person, through billing.approve_payout'
            USING ERRCODE = 'insufficient_privilege', CONSTRAINT = TG_NAME, SCHEMA = TG_TABLE_SCHEMA, TABLE = TG_TABLE_NAME;
    END IF;
    RETURN NEW;
END $$;
COMMENT ON FUNCTION billing.check_payout_approval IS 'No worker puts a person''s name under an approval.';
CREATE TRIGGER trg_payouts_check_approval BEFORE INSERT OR UPDATE ON billing.payouts FOR EACH ROW EXECUTE FUNCTION billing.check_payout_approval();
CREATE TRIGGER trg_payouts_set_updated_at BEFORE UPDATE ON billing.payouts FOR EACH ROW EXECUTE FUNCTION util.set_updated_at();
CREATE TRIGGER trg_payout_accounts_set_updated_at BEFORE UPDATE ON billing.payout_accounts FOR EACH ROW EXECUTE FUNCTION util.set_updated_at();

CREATE FUNCTION billing.check_payout_items() RETURNS trigger
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp SET enable_seqscan = off AS $$
DECLARE
    payout uuid := CASE TG_TABLE_NAME WHEN 'payouts' THEN (to_jsonb(NEW) ->> 'id')::uuid ELSE (to_jsonb(NEW) ->> 'payout_id')::uuid END;
BEGIN
    IF EXISTS (
        SELECT FROM billing.payouts p
        WHERE p.id = payout
            AND p.gross_amount_cents <> (SELECT coalesce(sum(i.commission_amount_cents), 0) FROM billing.payout_items i WHERE i.payout_id = p.id)
    ) THEN
        RAISE EXCEPTION 'the items of payout % do not come to its gross amount', payout
            USING ERRCODE = 'check_violation', CONSTRAINT = TG_NAME, SCHEMA = TG_TABLE_SCHEMA, TABLE = TG_TABLE_NAME;
    END IF;
    RETURN NULL;
END $$;
COMMENT ON FUNCTION billing.check_payout_items IS 'At the end of a transaction: the items of a payout come to its gross amount.';
CREATE CONSTRAINT TRIGGER trg_payouts_check_items AFTER INSERT OR UPDATE OF gross_amount_cents ON billing.payouts
    DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION billing.check_payout_items();
CREATE CONSTRAINT TRIGGER trg_payout_items_check_items AFTER INSERT ON billing.payout_items
    DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION billing.check_payout_items();

CREATE FUNCTION billing.check_item_change() RETURNS trigger
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    IF TG_OP = 'DELETE' OR to_jsonb(NEW) - 'released_at' <> to_jsonb(OLD) - 'released_at' OR OLD.released_at IS NOT NULL THEN
        RAISE EXCEPTION 'an item of a payout is not changed'
            USING ERRCODE = 'integrity_constraint_violation', CONSTRAINT = TG_NAME, SCHEMA = TG_TABLE_SCHEMA, TABLE = TG_TABLE_NAME;
    END IF;
    RETURN NEW;
END $$;
COMMENT ON FUNCTION billing.check_item_change IS 'An item is released once, and else stays as it is.';
CREATE TRIGGER trg_payout_items_check_change BEFORE UPDATE OR DELETE ON billing.payout_items FOR EACH ROW EXECUTE FUNCTION billing.check_item_change();

CREATE FUNCTION billing.release_payout() RETURNS trigger
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    transaction constant uuid := gen_random_uuid();
BEGIN
    UPDATE billing.payout_items SET released_at = now() WHERE payout_id = NEW.id AND released_at IS NULL;
    -- What the payout had claimed goes back to where it came from.
    INSERT INTO billing.payout_ledger (transaction_id, user_id, account, kind, amount_cents, currency, source_key, payout_id, created_by)
    SELECT transaction, e.user_id, e.account, 'release', -sum(e.amount_cents), e.currency, 'payout:' || NEW.id || ':cancelled', NEW.id, NEW.cancelled_by
    FROM billing.payout_ledger e
    WHERE e.payout_id = NEW.id
    GROUP BY e.user_id, e.account, e.currency
    HAVING sum(e.amount_cents) <> 0;
    RETURN NULL;
END $$;
COMMENT ON FUNCTION billing.release_payout IS 'Gives back what a cancelled payout held: its items may be paid by another.';
CREATE TRIGGER trg_payouts_release AFTER UPDATE OF status ON billing.payouts FOR EACH ROW
    WHEN (NEW.status = 'cancelled' AND OLD.status <> 'cancelled') EXECUTE FUNCTION billing.release_payout();

-- Approval ------------------------------------------------------------------------------------------

CREATE FUNCTION billing.approve_payout(payout_id uuid) RETURNS jsonb
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    payout  billing.payouts;
    account uuid;
    refusal text;
BEGIN
    IF auth.uid() IS NULL OR NOT rbac.has_permission(auth.uid(), 'payouts.approve') THEN
        RETURN jsonb_build_object('success', false, 'error', 'not_permitted');
    END IF;
    SELECT * INTO payout FROM billing.payouts p WHERE p.id = approve_payout.payout_id FOR UPDATE;
    SELECT a.id INTO account FROM billing.payout_accounts a
    WHERE a.user_id = payout.user_id AND (payout.payout_account_id IS NULL OR a.id = payout.payout_account_id)
        AND a.deleted_at IS NULL AND a.status = 'enabled' AND a.is_transfers_enabled
    ORDER BY a.created_at, a.id
    LIMIT 1;
    refusal := CASE
        WHEN payout.id IS NULL THEN 'unknown_payout'
        WHEN payout.user_id = auth.uid() THEN 'own_payout'
        WHEN payout.created_by = auth.uid() THEN 'own_calculation'
        WHEN payout.status <> 'pending' THEN 'not_pending'
        WHEN account IS NULL THEN 'account_not_ready'
    END;
    IF refusal IS NOT NULL THEN
        RETURN jsonb_build_object('success', false, 'error', refusal);
    END IF;
    UPDATE billing.payouts p SET status = 'approved', approved_by = auth.uid(), approved_at = now(), payout_account_id = account WHERE p.id = payout.id;
    RETURN jsonb_build_object('success', true, 'payout_id', payout.id);
END $$;
COMMENT ON FUNCTION billing.approve_payout IS 'Lets a payout be transferred. Answers success, or false with the error: not_permitted, unknown_payout, own_payout, own_calculation, not_pending, account_not_ready.';

CREATE FUNCTION billing.cancel_payout(payout_id uuid, reason text) RETURNS jsonb
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    payout  billing.payouts;
    refusal text;
BEGIN
    IF auth.uid() IS NULL OR NOT rbac.has_permission(auth.uid(), 'payouts.approve') THEN
        RETURN jsonb_build_object('success', false, 'error', 'not_permitted');
    END IF;
    SELECT * INTO payout FROM billing.payouts p WHERE p.id = cancel_payout.payout_id FOR UPDATE;
    refusal := CASE
        WHEN payout.id IS NULL THEN 'unknown_payout'
        WHEN payout.status NOT IN ('pending', 'approved', 'failed') THEN 'too_late'
        -- Until the provider has been asked, the money may be on its way.
        WHEN payout.unknown_since IS NOT NULL THEN 'outcome_unknown'
        WHEN coalesce(char_length(cancel_payout.reason), 0) NOT BETWEEN 1 AND 500 THEN 'no_reason'
    END;
    IF refusal IS NOT NULL THEN
        RETURN jsonb_build_object('success', false, 'error', refusal);
    END IF;
    UPDATE billing.payouts p
    SET status = 'cancelled', cancelled_at = now(), cancelled_by = auth.uid(), cancel_reason = cancel_payout.reason, next_retry_at = NULL
    WHERE p.id = payout.id;
    RETURN jsonb_build_object('success', true, 'payout_id', payout.id);
END $$;
COMMENT ON FUNCTION billing.cancel_payout IS 'Gives up a payout that has not been transferred. Answers success, or false with the error: not_permitted, unknown_payout, too_late, outcome_unknown, no_reason.';

-- Rights --------------------------------------------------------------------------------------------

SELECT util.protect('billing.payout_accounts', 'SELECT, INSERT, UPDATE');
SELECT util.protect('billing.payouts', 'SELECT, INSERT, UPDATE');
SELECT util.protect('billing.payout_ledger', 'SELECT, INSERT');
SELECT util.protect('billing.payout_items', 'SELECT, INSERT');
GRANT UPDATE (released_at) ON billing.payout_items TO service_role;
GRANT SELECT ON billing.payout_balances TO authenticated, service_role;

DO $$
DECLARE
    name text;
BEGIN
    FOREACH name IN ARRAY '{payout_accounts,payouts,payout_ledger,payout_items}'::text[] LOOP
        EXECUTE format(
            'CREATE POLICY %I ON billing.%I FOR SELECT TO authenticated USING ((SELECT rbac.has_permission((SELECT auth.uid()), %L)) OR (SELECT rbac.has_permission((SELECT auth.uid()), %L)))',
            name || '_view', name, 'referrals.payout', 'payouts.approve'
        );
        EXECUTE format('GRANT SELECT ON billing.%I TO authenticated', name);
        CONTINUE WHEN name = 'payout_items';
        EXECUTE format('CREATE POLICY %I ON billing.%I FOR SELECT TO authenticated USING (user_id = (SELECT auth.uid()))', name || '_own', name);
    END LOOP;
END $$;
CREATE POLICY payout_items_own ON billing.payout_items FOR SELECT TO authenticated
    USING (EXISTS (SELECT FROM billing.payouts p WHERE p.id = payout_items.payout_id AND p.user_id = (SELECT auth.uid())));

REVOKE ALL ON FUNCTION billing.check_entry, billing.check_payout_change, billing.check_payout_approval, billing.check_payout_items, billing.check_item_change, billing.release_payout,
    billing.approve_payout, billing.cancel_payout FROM PUBLIC;
GRANT EXECUTE ON FUNCTION billing.approve_payout, billing.cancel_payout TO authenticated;

DO $$
DECLARE
    books constant text := 'Accounts are kept for 60 months; the profile it points to is empty.';
BEGIN
    PERFORM compliance.classify('billing.payout_accounts', 'personal', '{requirements,metadata,disabled_reason}', exported => true, on_erasure => 'anonymise');
    PERFORM compliance.classify('billing.payout_accounts', 'financial', exported => true, on_erasure => 'keep', reason => books);
    PERFORM compliance.belongs_to('billing.payout_accounts', 'user_id = $1');
    PERFORM compliance.classify('billing.payouts', 'personal', '{error_details,payment_confirmation_data}', exported => true, on_erasure => 'anonymise');
    PERFORM compliance.classify('billing.payouts', 'financial', exported => true, on_erasure => 'keep', reason => books);
    PERFORM compliance.belongs_to('billing.payouts', 'user_id = $1');
    PERFORM compliance.classify('billing.payout_ledger', 'financial', exported => true, on_erasure => 'keep', reason => books);
    PERFORM compliance.belongs_to('billing.payout_ledger', 'user_id = $1');
    PERFORM compliance.classify('billing.payout_items', 'financial', exported => true, on_erasure => 'keep', reason => books);
    PERFORM compliance.belongs_to('billing.payout_items', 'payout_id IN (SELECT id FROM billing.payouts WHERE user_id = $1)');
    -- An event speaks of its customer or of the connected account that it came from; each is found by its own index.
    PERFORM compliance.belongs_to('billing.webhook_events', 'id IN (
        SELECT e.id FROM billing.webhook_events e WHERE e.user_id = $1
        UNION ALL
        SELECT e.id FROM billing.customers c JOIN billing.webhook_events e ON (e.provider, e.provider_customer_id) = (c.provider, c.provider_id) WHERE c.user_id = $1
        UNION ALL
        SELECT e.id FROM billing.payout_accounts a JOIN billing.webhook_events e ON (e.provider, e.provider_account) = (a.provider, a.provider_id) WHERE a.user_id = $1
    )');
END $$;
