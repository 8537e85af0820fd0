-- Promotions that people redeem and credits that they spend: what has to be true under many at once.
-- Owner: workers/billing. Locks: short ones on tables that are new. Undo: DROP FUNCTION each of them.

CREATE FUNCTION billing.redeem_promotion(code text) RETURNS jsonb
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    person     constant uuid := auth.uid();
    promotion  billing.promotion_codes;
    coupon     billing.coupons;
    refusal    text;
    redemption uuid;
BEGIN
    IF person IS NULL THEN
        RETURN jsonb_build_object('success', false, 'error', 'not_signed_in');
    END IF;
    -- Both rows stay locked until the redemption is there: the last one is given once.
    SELECT * INTO promotion FROM billing.promotion_codes p
    WHERE p.provider = 'internal' AND upper(p.code) = upper(redeem_promotion.code) AND p.is_active FOR UPDATE;
    SELECT * INTO coupon FROM billing.coupons c WHERE c.id = promotion.coupon_id AND c.is_active FOR UPDATE;
    refusal := CASE
        WHEN coupon.id IS NULL THEN 'unknown_code'
        WHEN promotion.starts_at > now() OR promotion.expires_at <= now() OR coupon.redeem_until <= now() THEN 'expired'
        WHEN promotion.customer_id IS NOT NULL AND NOT EXISTS (
            SELECT FROM billing.customers c WHERE c.id = promotion.customer_id AND c.user_id = person
        ) THEN 'unknown_code'
        WHEN promotion.is_first_purchase_only AND EXISTS (
            SELECT FROM billing.payments p WHERE p.user_id = person AND p.paid_at IS NOT NULL
        ) THEN 'not_first_purchase'
        WHEN (
            SELECT count(*) FROM billing.promo_redemptions r
            WHERE r.user_id = person AND r.promotion_code_id = promotion.id AND r.status = 'redeemed'
        ) >= promotion.max_redemptions_per_user THEN 'already_redeemed'
        WHEN promotion.times_redeemed >= promotion.max_redemptions OR coupon.times_redeemed >= coupon.max_redemptions THEN 'used_up'
    END;
    IF refusal IS NOT NULL THEN
        RETURN jsonb_build_object('success', false, 'error', refusal);
    END IF;
    UPDATE billing.promotion_codes p SET times_redeemed = p.times_redeemed + 1 WHERE p.id = promotion.id;
    UPDATE billing.coupons c SET times_redeemed = c.times_redeemed + 1 WHERE c.id = coupon.id;
    INSERT INTO billing.promo_redemptions (user_id, coupon_id, promotion_code_id) VALUES (person, coupon.id, promotion.id)
    RETURNING id INTO redemption;
    RETURN jsonb_build_object(
        'success', true, 'redemption_id', redemption, 'percent_off', coupon.percent_off, 'amount_off_cents', coupon.amount_off_cents,
        'currency', coupon.currency, 'duration', coupon.duration, 'duration_months', coupon.duration_months
    );
END $$;
COMMENT ON FUNCTION billing.redeem_promotion IS 'Uses one of the platform''s own promotion codes for the one who asks. Answers success and what it takes off, or false with the error: not_signed_in, unknown_code, expired, not_first_purchase, already_redeemed, used_up. Codes of a provider are redeemed at its checkout.';

CREATE FUNCTION billing.release_promotion(redemption_id uuid) RETURNS boolean
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    released billing.promo_redemptions;
BEGIN
    UPDATE billing.promo_redemptions r SET status = 'released', released_at = now()
    WHERE r.id = release_promotion.redemption_id AND r.status = 'redeemed' RETURNING * INTO released;
    -- The provider counts its own.
    UPDATE billing.promotion_codes p SET times_redeemed = p.times_redeemed - 1 WHERE p.id = released.promotion_code_id AND p.provider = 'internal';
    UPDATE billing.coupons c SET times_redeemed = c.times_redeemed - 1 WHERE c.id = released.coupon_id AND c.provider = 'internal';
    RETURN released.id IS NOT NULL;
END $$;
COMMENT ON FUNCTION billing.release_promotion IS 'Gives back a promotion whose purchase did not happen. False: it was not redeemed, or is given back already.';

-- No sequential scans, as in billing.check_entry.
CREATE FUNCTION billing.check_credits() RETURNS trigger
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp SET enable_seqscan = off AS $$
BEGIN
    IF NEW.kind = 'return' AND NOT EXISTS (
        SELECT FROM billing.credit_ledger e WHERE (e.id, e.user_id, e.kind, e.credits) = (NEW.returns_id, NEW.user_id, 'spend', -NEW.credits)
    ) THEN
        RAISE EXCEPTION 'what is given back is not what was spent'
            USING ERRCODE = 'check_violation', CONSTRAINT = 'trg_credit_ledger_check_return', SCHEMA = TG_TABLE_SCHEMA, TABLE = TG_TABLE_NAME;
    END IF;
    IF NEW.credits < 0 THEN
        -- Two expenses of one person come one after the other, and the second sees the first.
        PERFORM pg_advisory_xact_lock(1111834953, hashtext(NEW.user_id::text));
        IF (SELECT coalesce(sum(e.credits), 0) FROM billing.credit_ledger e WHERE e.user_id = NEW.user_id) + NEW.credits < 0 THEN
            RAISE EXCEPTION 'not enough credits'
                USING ERRCODE = 'check_violation', CONSTRAINT = 'trg_credit_ledger_check_balance', SCHEMA = TG_TABLE_SCHEMA, TABLE = TG_TABLE_NAME;
        END IF;
    END IF;
    RETURN NEW;
END $$;
COMMENT ON FUNCTION billing.check_credits IS 'No balance of credits goes below zero, and what comes back is what was spent.';
CREATE TRIGGER trg_credit_ledger_check_credits BEFORE INSERT ON billing.credit_ledger FOR EACH ROW EXECUTE FUNCTION billing.check_credits();

CREATE FUNCTION billing.credit_balance(user_id uuid) RETURNS bigint
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp
BEGIN ATOMIC
    SELECT coalesce(sum(e.credits), 0)::bigint FROM billing.credit_ledger e WHERE e.user_id = credit_balance.user_id;
END;
COMMENT ON FUNCTION billing.credit_balance IS 'How many credits a person has; of others a client sees none.';

CREATE FUNCTION billing.spend_credits(user_id uuid, credits bigint, idempotency_key text, source_type text DEFAULT NULL, source_id uuid DEFAULT NULL) RETURNS jsonb
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
#variable_conflict use_column
DECLARE
    entry billing.credit_ledger;
BEGIN
    PERFORM pg_advisory_xact_lock(1111834953, hashtext(spend_credits.user_id::text));
    SELECT * INTO entry FROM billing.credit_ledger e
    WHERE e.user_id = spend_credits.user_id AND e.idempotency_key = spend_credits.idempotency_key;
    IF FOUND THEN
        RETURN CASE WHEN (entry.kind, entry.credits) = ('spend', -spend_credits.credits)
            THEN jsonb_build_object('success', true, 'entry_id', entry.id, 'is_repeated', true)
            ELSE jsonb_build_object('success', false, 'error', 'key_used_otherwise') END;
    END IF;
    IF billing.credit_balance(spend_credits.user_id) < spend_credits.credits THEN
        RETURN jsonb_build_object('success', false, 'error', 'not_enough_credits');
    END IF;
    INSERT INTO billing.credit_ledger (user_id, kind, credits, idempotency_key, source_type, source_id)
    VALUES (spend_credits.user_id, 'spend', -spend_credits.credits, spend_credits.idempotency_key, spend_credits.source_type, spend_credits.source_id)
    RETURNING * INTO entry;
    RETURN jsonb_build_object('success', true, 'entry_id', entry.id, 'is_repeated', false);
END $$;
COMMENT ON FUNCTION billing.spend_credits IS 'Takes credits, once for a key. Answers success and the entry, or false with the error: not_enough_credits, key_used_otherwise.';

CREATE FUNCTION billing.give_welcome_credits() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    INSERT INTO billing.credit_ledger (user_id, kind, credits, idempotency_key)
    SELECT n.id, 'welcome', r.credits, 'welcome'
    FROM arrived n JOIN billing.credit_rules r ON r.rule_key = 'welcome' AND r.is_active AND r.credits > 0
    WHERE n.erased_at IS NULL
    ON CONFLICT DO NOTHING;
    RETURN NULL;
END $$;
COMMENT ON FUNCTION billing.give_welcome_credits IS 'Whoever has signed up has credits to begin with, as the rule welcome says.';
CREATE TRIGGER trg_profiles_give_welcome_credits AFTER INSERT ON public.profiles
    REFERENCING NEW TABLE AS arrived FOR EACH STATEMENT EXECUTE FUNCTION billing.give_welcome_credits();

REVOKE ALL ON FUNCTION billing.redeem_promotion, billing.release_promotion, billing.check_credits, billing.credit_balance, billing.spend_credits,
    billing.give_welcome_credits FROM PUBLIC;
GRANT EXECUTE ON FUNCTION billing.redeem_promotion TO authenticated;
GRANT EXECUTE ON FUNCTION billing.credit_balance TO authenticated, service_role;
GRANT EXECUTE ON FUNCTION billing.release_promotion, billing.spend_credits TO service_role;
