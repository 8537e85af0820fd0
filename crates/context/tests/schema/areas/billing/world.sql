INSERT INTO billing.customers (id, user_id, provider, provider_id, is_default) VALUES ('b1000000-0000-4000-8000-000000000001', world.id('owner'), 'stripe', 'cus_1', true);
INSERT INTO billing.products (id, provider, provider_id, name, is_active) VALUES
    ('b2000000-0000-4000-8000-000000000001', 'stripe', 'prod_1', 'Premium', true),
    ('b2000000-0000-4000-8000-000000000002', 'stripe', 'prod_2', 'Bundle of old', false);
INSERT INTO billing.prices (id, provider, provider_id, product_id, provider_product_id, kind, currency, unit_amount_cents, recurring_interval, recurring_interval_count, is_active) VALUES
    ('b3000000-0000-4000-8000-000000000001', 'stripe', 'price_1', 'b2000000-0000-4000-8000-000000000001', 'prod_1', 'recurring', 'EUR', 1900, 'month', 1, true),
    ('b3000000-0000-4000-8000-000000000002', 'stripe', 'price_2', 'b2000000-0000-4000-8000-000000000001', 'prod_1', 'recurring', 'EUR', 900, 'month', 1, false);
INSERT INTO billing.product_grants (product_id, kind, tier_key) VALUES
    ('b2000000-0000-4000-8000-000000000001', 'tier', 'premium'), ('b2000000-0000-4000-8000-000000000002', 'tier', 'premium');
INSERT INTO billing.coupons (id, provider, provider_id, percent_off, duration) VALUES
    ('b4000000-0000-4000-8000-000000000001', 'internal', 'welcome', 20, 'once'), ('b4000000-0000-4000-8000-000000000002', 'stripe', 'co_1', 10, 'forever');
INSERT INTO billing.promotion_codes (id, coupon_id, provider, provider_id, code, max_redemptions) VALUES
    ('b5000000-0000-4000-8000-000000000001', 'b4000000-0000-4000-8000-000000000001', 'internal', 'welcome', 'WELCOME20', 2),
    ('b5000000-0000-4000-8000-000000000002', 'b4000000-0000-4000-8000-000000000002', 'stripe', 'promo_1', 'FRIENDS', NULL);
INSERT INTO billing.subscriptions (id, user_id, customer_id, provider, provider_id, status, currency, monthly_cents, started_at, current_period_start, current_period_end, provider_updated_at) VALUES
    ('b6000000-0000-4000-8000-000000000001', world.id('owner'), 'b1000000-0000-4000-8000-000000000001', 'stripe', 'sub_1', 'active', 'EUR', 1900, now(), now(), now() + interval '1 month', now());
INSERT INTO billing.subscription_items (subscription_id, provider_id, price_id, provider_price_id) VALUES
    ('b6000000-0000-4000-8000-000000000001', 'si_1', 'b3000000-0000-4000-8000-000000000001', 'price_1');
INSERT INTO billing.subscription_changes (subscription_id, provider_event_id, occurred_at, status, product_id, currency, monthly_cents) VALUES
    ('b6000000-0000-4000-8000-000000000001', 'evt_1', now(), 'active', 'b2000000-0000-4000-8000-000000000001', 'EUR', 1900);
INSERT INTO billing.payments (id, user_id, customer_id, provider, provider_id, subscription_id, subject_type, subject_id, amount_cents, currency, status, paid_at) VALUES
    ('b7000000-0000-4000-8000-000000000001', world.id('owner'), 'b1000000-0000-4000-8000-000000000001', 'stripe', 'pi_1', 'b6000000-0000-4000-8000-000000000001',
        'plan', 'b2000000-0000-4000-8000-000000000001', 1900, 'EUR', 'paid', now());
INSERT INTO billing.refunds (payment_id, user_id, provider, provider_id, provider_payment_id, amount_cents, currency, status) VALUES
    ('b7000000-0000-4000-8000-000000000001', world.id('owner'), 'stripe', 're_1', 'pi_1', 500, 'EUR', 'pending');
INSERT INTO billing.disputes (payment_id, provider, provider_id, provider_payment_id, amount_cents, currency, status) VALUES
    ('b7000000-0000-4000-8000-000000000001', 'stripe', 'dp_1', 'pi_1', 1900, 'EUR', 'needs_response');
INSERT INTO billing.one_off_purchases (user_id, payment_id, subject_type, subject_id, purchased_at) VALUES
    (world.id('owner'), 'b7000000-0000-4000-8000-000000000001', 'course', gen_random_uuid(), now());
INSERT INTO billing.promo_redemptions (user_id, coupon_id, source_key) VALUES (world.id('owner'), 'b4000000-0000-4000-8000-000000000002', 'di_1');
INSERT INTO billing.webhook_events (provider, provider_event_id, event_type, object_id, provider_customer_id, signature, raw_payload, payload) VALUES
    ('stripe', 'evt_1', 'customer.subscription.created', 'sub_1', 'cus_1', 't=1,v1=00', '{"id": "evt_1"}', '{"id": "evt_1"}');
INSERT INTO billing.provider_cursors (provider, stream) VALUES ('stripe', 'events');
INSERT INTO billing.payout_accounts (id, user_id, provider, provider_id, status, is_transfers_enabled) VALUES
    ('b8000000-0000-4000-8000-000000000001', world.id('owner'), 'stripe', 'acct_1', 'enabled', true);

-- A commission of 1000 that has matured, and the payout that claims it.
CREATE FUNCTION world.enter(kind text, source_key text, from_account text, to_account text, amount_cents bigint, payout uuid DEFAULT NULL) RETURNS void LANGUAGE sql AS $$
    WITH transaction AS (SELECT gen_random_uuid() AS id)
    INSERT INTO billing.payout_ledger (transaction_id, user_id, account, kind, amount_cents, currency, source_key, payout_id, payable_from)
    SELECT transaction.id, world.id('owner'), e.account, enter.kind, e.amount_cents, 'EUR', enter.source_key, payout, now()
    FROM transaction, (VALUES (from_account, -enter.amount_cents), (to_account, enter.amount_cents)) AS e(account, amount_cents)
$$;
SELECT world.enter('accrue', 'payment:pi_1', 'expense', 'pending', 1000);
SELECT world.enter('mature', 'payment:pi_1', 'pending', 'available', 1000);
INSERT INTO billing.payouts (id, user_id, period_start, period_end, currency, gross_amount_cents, fee_cents, net_amount_cents, total_referrals) VALUES
    ('b9000000-0000-4000-8000-000000000001', world.id('owner'), '2025-01-01', '2025-02-01', 'EUR', 1000, 50, 950, 1);
INSERT INTO billing.payout_items (payout_id, ledger_entry_id, commission_amount_cents)
SELECT 'b9000000-0000-4000-8000-000000000001', id, 1000 FROM billing.payout_ledger WHERE kind = 'accrue' AND account = 'pending';
SELECT world.enter('claim', 'payout:1', 'available', 'in_flight', 1000, 'b9000000-0000-4000-8000-000000000001');
