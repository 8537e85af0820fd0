-- promise: The catalogue is open to all as far as it is on sale; metadata is not.
SELECT world.act_as('anon');
SELECT world.same((SELECT array_agg(name) FROM billing.products), '{Premium}'::text[]);
SELECT world.same((SELECT count(*) FROM billing.prices), 1::bigint);
SELECT world.fails('SELECT metadata FROM billing.products', '42501');
SELECT world.fails($$INSERT INTO billing.products (provider, provider_id, name) VALUES ('internal', 'x', 'x')$$, '42501');

-- promise: An object of the provider is mirrored once, also when many tell of it.
SELECT world.fails($$INSERT INTO billing.customers (provider, provider_id) VALUES ('stripe', 'cus_1')$$, 'uq_customers_provider_id');
SELECT world.fails($$INSERT INTO billing.products (provider, provider_id, name) VALUES ('stripe', 'prod_1', 'Again')$$, 'uq_products_provider_id');
SELECT world.fails($$INSERT INTO billing.payments (provider, provider_id, amount_cents, currency) VALUES ('stripe', 'pi_1', 1, 'EUR')$$, 'uq_payments_provider_id');
SELECT world.fails($$INSERT INTO billing.webhook_events (provider, provider_event_id, event_type, signature, raw_payload) VALUES ('stripe', 'evt_1', 'x', 't', 'x')$$, 'uq_webhook_events_provider_event_id');
INSERT INTO billing.payments (provider, provider_id, amount_cents, currency) VALUES ('chargily', 'pi_1', 500000, 'DZD'), ('manual', 'pi_1', 1, 'DZD');

-- promise: A price may arrive before its product, and a subscription before its price.
INSERT INTO billing.prices (provider, provider_id, provider_product_id, kind, currency, unit_amount_cents) VALUES ('stripe', 'price_9', 'prod_9', 'one_time', 'EUR', 100);
INSERT INTO billing.subscription_items (subscription_id, provider_id, provider_price_id) VALUES ('b6000000-0000-4000-8000-000000000001', 'si_9', 'price_8');
INSERT INTO billing.refunds (provider, provider_id, provider_payment_id, amount_cents, currency, status, refunded_at) VALUES ('stripe', 're_9', 'pi_9', 100, 'EUR', 'succeeded', now());

-- promise: A deleted object stays as a tombstone, and is not on sale.
SELECT world.fails($$UPDATE billing.products SET deleted_at = now() WHERE provider_id = 'prod_1'$$, 'ck_products_deleted_at');
SELECT world.fails($$UPDATE billing.prices SET deleted_at = now() WHERE provider_id = 'price_1'$$, 'ck_prices_deleted_at');
SELECT world.act_as('service');
SELECT world.fails($$DELETE FROM billing.products$$, '42501');
SELECT world.fails($$DELETE FROM billing.payments$$, '42501');
SELECT world.fails($$DELETE FROM billing.webhook_events$$, '42501');

-- promise: Events are ordered within a second by rank, then by id.
INSERT INTO billing.customers (provider, provider_id, provider_updated_at, provider_event_rank, provider_event_id) VALUES ('stripe', 'cus_2', '2025-01-01', 10, 'evt_b');
UPDATE billing.customers SET is_delinquent = true WHERE provider_id = 'cus_2'
    AND (provider_updated_at, provider_event_rank, provider_event_id) < ('2025-01-01'::timestamptz, 10::smallint, 'evt_a');
SELECT world.same((SELECT is_delinquent FROM billing.customers WHERE provider_id = 'cus_2'), false);

-- promise: Subscriptions have the states of the provider and what belongs to them.
SELECT world.fails($$UPDATE billing.subscriptions SET status = 'expired'$$, 'ck_subscriptions_status');
SELECT world.fails($$UPDATE billing.subscriptions SET status = 'canceled'$$, 'ck_subscriptions_canceled');
SELECT world.fails($$UPDATE billing.subscriptions SET ended_at = now()$$, 'ck_subscriptions_ended');
SELECT world.fails($$UPDATE billing.subscriptions SET current_period_start = NULL, current_period_end = NULL$$, 'ck_subscriptions_period');
SELECT world.fails($$UPDATE billing.subscriptions SET current_period_end = current_period_start - interval '1 day'$$, 'ck_subscriptions_period');
SELECT world.fails($$UPDATE billing.subscriptions SET trial_end_at = now()$$, 'ck_subscriptions_trial');
SELECT world.fails($$UPDATE billing.subscriptions SET monthly_cents = -1$$, 'ck_subscriptions_monthly_cents');
SELECT world.fails($$UPDATE billing.subscriptions SET customer_id = gen_random_uuid()$$, 'fk_subscriptions_customer');
UPDATE billing.subscriptions SET status = 'canceled', ended_at = now();

-- promise: The past of a subscription is only added to, once for each event.
SELECT world.fails($$UPDATE billing.subscription_changes SET monthly_cents = 0$$, 'trg_subscription_changes_refuse_change');
SELECT world.fails($$DELETE FROM billing.subscription_changes$$, 'trg_subscription_changes_refuse_change');
SELECT world.fails($$INSERT INTO billing.subscription_changes (subscription_id, provider_event_id, occurred_at, status, currency, monthly_cents)
    VALUES ('b6000000-0000-4000-8000-000000000001', 'evt_1', now(), 'active', 'EUR', 1)$$, 'uq_subscription_changes_event');

-- promise: A payment is for something or for nothing, in cents, and gives back no more than came.
SELECT world.fails($$UPDATE billing.payments SET amount_cents = -1$$, 'ck_payments_amount_cents');
SELECT world.fails($$UPDATE billing.payments SET currency = 'euro'$$, 'ck_payments_currency');
SELECT world.fails($$UPDATE billing.payments SET status = 'done'$$, 'ck_payments_status');
SELECT world.fails($$UPDATE billing.payments SET subject_id = NULL$$, 'ck_payments_subject');
SELECT world.fails($$UPDATE billing.payments SET subject_type = 'car'$$, 'ck_payments_subject_type');
SELECT world.fails($$UPDATE billing.payments SET paid_at = NULL$$, 'ck_payments_paid');
SELECT world.fails($$UPDATE billing.payments SET refunded_cents = 1901$$, 'ck_payments_refunded');
SELECT world.fails($$UPDATE billing.payments SET status = 'refunded', refunded_cents = 1$$, 'ck_payments_refunded');
SELECT world.fails($$UPDATE billing.payments SET status = 'failed'$$, 'ck_payments_failed');
SELECT world.fails($$UPDATE billing.payments SET user_id = gen_random_uuid()$$, 'fk_payments_user');
SELECT world.fails($$UPDATE billing.refunds SET amount_cents = 0$$, 'ck_refunds_amount_cents');
SELECT world.fails($$UPDATE billing.refunds SET status = 'succeeded'$$, 'ck_refunds_succeeded');
SELECT world.fails($$UPDATE billing.disputes SET status = 'lost'$$, 'ck_disputes_closed');
UPDATE billing.payments SET status = 'refunded', refunded_cents = 1900;

-- promise: Who pays twice for a course has two rights, one for each payment.
SELECT world.fails($$INSERT INTO billing.one_off_purchases (user_id, payment_id, subject_type, subject_id, purchased_at)
    SELECT user_id, payment_id, subject_type, subject_id, now() FROM billing.one_off_purchases$$, 'uq_one_off_purchases_payment');
SELECT world.fails($$UPDATE billing.one_off_purchases SET status = 'revoked'$$, 'ck_one_off_purchases_revoked');
INSERT INTO billing.payments (id, provider, provider_id, amount_cents, currency) VALUES ('b7000000-0000-4000-8000-000000000002', 'stripe', 'pi_2', 1, 'EUR');
INSERT INTO billing.one_off_purchases (user_id, payment_id, subject_type, subject_id, purchased_at)
SELECT user_id, 'b7000000-0000-4000-8000-000000000002', subject_type, subject_id, now() FROM billing.one_off_purchases;

-- promise: What a product gives is one thing a row, and no provider writes it.
SELECT world.fails($$INSERT INTO billing.product_grants (product_id, kind) VALUES ('b2000000-0000-4000-8000-000000000001', 'course')$$, 'ck_product_grants_what');
SELECT world.fails($$INSERT INTO billing.product_grants (product_id, kind, tier_key) VALUES ('b2000000-0000-4000-8000-000000000001', 'tier', 'premium')$$, 'uq_product_grants_what');
SELECT world.fails($$INSERT INTO billing.product_grants (product_id, kind, credits) VALUES ('b2000000-0000-4000-8000-000000000001', 'credits', 0)$$, 'ck_product_grants_credits');

-- promise: Prices and coupons say what they are.
SELECT world.fails($$UPDATE billing.prices SET unit_amount_cents = -1$$, 'ck_prices_unit_amount_cents');
SELECT world.fails($$UPDATE billing.prices SET recurring_interval = NULL$$, 'ck_prices_recurring');
SELECT world.fails($$UPDATE billing.prices SET recurring_interval = 'decade'$$, 'ck_prices_recurring_interval');
SELECT world.fails($$UPDATE billing.coupons SET percent_off = 101$$, 'ck_coupons_percent_off');
SELECT world.fails($$UPDATE billing.coupons SET amount_off_cents = 100$$, 'ck_coupons_off');
SELECT world.fails($$UPDATE billing.coupons SET duration = 'repeating'$$, 'ck_coupons_repeating');
SELECT world.fails($$INSERT INTO billing.promotion_codes (coupon_id, provider, provider_id, code) VALUES ('b4000000-0000-4000-8000-000000000001', 'internal', 'again', 'welcome20')$$, 'uq_promotion_codes_code');

-- promise: How often a coupon was redeemed and who made it are not for staff to say.
SELECT world.permit('{billing.manage,billing.view}');
SELECT world.act_as('permitted');
SELECT world.fails($$UPDATE billing.coupons SET times_redeemed = 0$$, '42501');
SELECT world.fails($$UPDATE billing.promotion_codes SET times_redeemed = 0$$, '42501');
SELECT world.fails($$INSERT INTO billing.coupons (provider, provider_id, percent_off, duration, created_by) VALUES ('internal', 'forged', 100, 'forever', world.id('boss'))$$, '42501');
SELECT world.fails($$UPDATE billing.product_grants SET created_by = world.id('boss')$$, '42501');
INSERT INTO billing.coupons (provider, provider_id, percent_off, duration) VALUES ('internal', 'signed', 10, 'once');
SELECT world.same((SELECT created_by FROM billing.coupons WHERE provider_id = 'signed'), world.id('permitted'));

-- promise: Staff change the platform's own coupons, and none of the provider's.
SELECT world.permit('{billing.manage,billing.view}');
SELECT world.act_as('permitted');
WITH changed AS (UPDATE billing.coupons SET name = 'x' RETURNING provider)
SELECT world.same((SELECT array_agg(provider) FROM changed), '{internal}'::text[]);
SELECT world.fails($$INSERT INTO billing.coupons (provider, provider_id, percent_off, duration) VALUES ('stripe', 'co_9', 10, 'once')$$, '42501');

-- promise: A promotion is redeemed once by each, and no more often than there are.
SELECT world.act_as('owner');
SELECT world.same(billing.redeem_promotion('welcome20') ->> 'percent_off', '20.00');
SELECT world.same(billing.redeem_promotion('WELCOME20') ->> 'error', 'already_redeemed');
SELECT world.same(billing.redeem_promotion('NOTHING') ->> 'error', 'unknown_code');
SELECT world.same(billing.redeem_promotion('FRIENDS') ->> 'error', 'unknown_code');
SELECT world.act_as('other');
SELECT world.same(billing.redeem_promotion('WELCOME20') ->> 'success', 'true');
SELECT world.act_as('moderator');
SELECT world.same(billing.redeem_promotion('WELCOME20') ->> 'error', 'used_up');
SELECT world.act_as('anon');
SELECT world.fails($$SELECT billing.redeem_promotion('WELCOME20')$$, '42501');
SELECT world.act_as('service');
SELECT world.same((SELECT array_agg(billing.release_promotion(id)) FROM billing.promo_redemptions WHERE user_id = world.id('other')), '{t}'::boolean[]);
SELECT world.same((SELECT array_agg(billing.release_promotion(id)) FROM billing.promo_redemptions WHERE user_id = world.id('other')), '{f}'::boolean[]);
SELECT world.same((SELECT times_redeemed FROM billing.promotion_codes WHERE code = 'WELCOME20'), 1);
SELECT world.act_as('moderator');
SELECT world.same(billing.redeem_promotion('WELCOME20') ->> 'success', 'true');
SELECT world.act_as('operator');
SELECT world.fails($$UPDATE billing.promotion_codes SET times_redeemed = 3 WHERE code = 'WELCOME20'$$, 'ck_promotion_codes_limit');

-- promise: A promotion keeps to its times, its customer and first purchases.
UPDATE billing.promotion_codes SET starts_at = now() + interval '1 day';
SELECT world.act_as('other');
SELECT world.same(billing.redeem_promotion('WELCOME20') ->> 'error', 'expired');
SELECT world.act_as('operator');
UPDATE billing.promotion_codes SET starts_at = NULL, customer_id = 'b1000000-0000-4000-8000-000000000001', is_first_purchase_only = true;
SELECT world.act_as('other');
SELECT world.same(billing.redeem_promotion('WELCOME20') ->> 'error', 'unknown_code');
SELECT world.act_as('owner');
SELECT world.same(billing.redeem_promotion('WELCOME20') ->> 'error', 'not_first_purchase');

-- promise: An event keeps its bytes until the person it speaks of is erased, and then it can be told.
SELECT world.fails($$UPDATE billing.webhook_events SET raw_payload = 'forged'$$, 'trg_webhook_events_keep_event');
SELECT world.fails($$UPDATE billing.webhook_events SET event_type = 'invoice.paid'$$, 'trg_webhook_events_keep_event');
SELECT world.fails($$UPDATE billing.webhook_events SET redacted_at = now()$$, 'ck_webhook_events_redacted');
UPDATE billing.webhook_events SET raw_payload = NULL, payload = '{}';
SELECT world.same((SELECT bool_and(redacted_at = now()) FROM billing.webhook_events), true);

-- promise: An event is parked with its reason, retried only where that may help, and signed where it was sent.
SELECT world.fails($$UPDATE billing.webhook_events SET status = 'done'$$, 'ck_webhook_events_status');
SELECT world.fails($$UPDATE billing.webhook_events SET status = 'failed'$$, 'ck_webhook_events_failed');
SELECT world.fails($$UPDATE billing.webhook_events SET status = 'processed'$$, 'ck_webhook_events_processed');
SELECT world.fails($$UPDATE billing.webhook_events SET status = 'processing'$$, 'ck_webhook_events_processing');
SELECT world.fails($$UPDATE billing.webhook_events SET status = 'failed', error = 'x', error_kind = 'poison', next_retry_at = now()$$, 'ck_webhook_events_next_retry_at');
SELECT world.fails($$INSERT INTO billing.webhook_events (provider, provider_event_id, event_type, raw_payload) VALUES ('stripe', 'evt_9', 'x', 'x')$$, 'ck_webhook_events_signed');
INSERT INTO billing.webhook_events (provider, provider_event_id, event_type, raw_payload, source) VALUES ('stripe', 'evt_9', 'x', 'x', 'recovery');
UPDATE billing.webhook_events SET status = 'failed', error = 'x', error_kind = 'transient', next_retry_at = now();

-- promise: What an erasure has to look at includes the events of a person's customers and accounts.
DO $$
DECLARE
    found bigint;
BEGIN
    INSERT INTO billing.webhook_events (provider, provider_event_id, provider_account, event_type, source, raw_payload) VALUES
        ('stripe', 'evt_8', 'acct_1', 'account.updated', 'import', 'x'), ('stripe', 'evt_7', 'acct_2', 'account.updated', 'import', 'x');
    EXECUTE (SELECT 'SELECT count(*) FROM billing.webhook_events WHERE ' || condition FROM compliance.data_subjects WHERE table_name = 'webhook_events')
    INTO found USING world.id('owner');
    PERFORM world.same(found, 2::bigint);
END $$;

-- promise: Whoever signs up has the credits of the rule, and the balance never goes below zero.
SELECT world.same(billing.credit_balance(world.id('owner')), 100::bigint);
SELECT world.same(billing.spend_credits(world.id('owner'), 60, 'script:1') ->> 'success', 'true');
SELECT world.same(billing.spend_credits(world.id('owner'), 60, 'script:1') ->> 'is_repeated', 'true');
SELECT world.same(billing.spend_credits(world.id('owner'), 50, 'script:1') ->> 'error', 'key_used_otherwise');
SELECT world.same(billing.spend_credits(world.id('owner'), 60, 'script:2') ->> 'error', 'not_enough_credits');
SELECT world.same(billing.credit_balance(world.id('owner')), 40::bigint);
SELECT world.fails($$INSERT INTO billing.credit_ledger (user_id, kind, credits, idempotency_key) VALUES (world.id('owner'), 'spend', -41, 'k')$$, 'trg_credit_ledger_check_balance');

-- promise: An expense comes back once, and in full.
SELECT billing.spend_credits(world.id('owner'), 60, 'script:1');
SELECT world.fails($$INSERT INTO billing.credit_ledger (user_id, kind, credits, idempotency_key, returns_id)
    SELECT user_id, 'return', 61, 'r', id FROM billing.credit_ledger WHERE idempotency_key = 'script:1'$$, 'trg_credit_ledger_check_return');
INSERT INTO billing.credit_ledger (user_id, kind, credits, idempotency_key, returns_id)
SELECT user_id, 'return', 60, 'r1', id FROM billing.credit_ledger WHERE idempotency_key = 'script:1';
SELECT world.fails($$INSERT INTO billing.credit_ledger (user_id, kind, credits, idempotency_key, returns_id)
    SELECT user_id, 'return', 60, 'r2', id FROM billing.credit_ledger WHERE idempotency_key = 'script:1'$$, 'uq_credit_ledger_returns');
SELECT world.same(billing.credit_balance(world.id('owner')), 100::bigint);

-- promise: Credits are only added to, and nobody sees those of others.
SELECT world.fails($$UPDATE billing.credit_ledger SET credits = 1000$$, 'trg_credit_ledger_refuse_change');
SELECT world.fails($$INSERT INTO billing.credit_ledger (user_id, kind, credits, idempotency_key) VALUES (world.id('owner'), 'grant', -1, 'k')$$, 'ck_credit_ledger_sign');
SELECT world.fails($$INSERT INTO billing.credit_ledger (user_id, kind, credits, idempotency_key) VALUES (world.id('owner'), 'grant', 1, 'welcome')$$, 'uq_credit_ledger_idempotency_key');
SELECT world.act_as('other');
SELECT world.same(billing.credit_balance(world.id('owner')), 0::bigint);
SELECT world.same(billing.credit_balance(world.id('other')), 100::bigint);
SELECT world.fails($$SELECT billing.spend_credits(world.id('other'), 1, 'k')$$, '42501');

-- promise: The entries of a transaction come to nothing.
INSERT INTO billing.payout_ledger (transaction_id, user_id, account, kind, amount_cents, currency, source_key, payable_from)
VALUES (gen_random_uuid(), world.id('owner'), 'pending', 'accrue', 500, 'EUR', 'payment:pi_2', now());
SELECT world.fails('SET CONSTRAINTS ALL IMMEDIATE', 'trg_payout_ledger_check_entry');

-- promise: No balance of commissions is overdrawn, and a debt is never a gain.
SAVEPOINT before;
SELECT world.enter('claim', 'payout:2', 'available', 'in_flight', 1, 'b9000000-0000-4000-8000-000000000001');
SELECT world.fails('SET CONSTRAINTS ALL IMMEDIATE', 'trg_payout_ledger_check_balance');
ROLLBACK TO before;
SELECT world.enter('offset', 'debt:1', 'expense', 'debt', 1);
SELECT world.fails('SET CONSTRAINTS ALL IMMEDIATE', 'trg_payout_ledger_check_balance');

-- promise: Earned is always pending, available, in flight, paid or debt; a refund after the payout is a debt.
SELECT world.enter('settle', 'payout:1', 'in_flight', 'paid', 1000, 'b9000000-0000-4000-8000-000000000001');
SELECT world.enter('reverse', 'refund:re_1', 'debt', 'expense', 400);
SET CONSTRAINTS ALL IMMEDIATE;
SELECT world.same(
    (SELECT (pending_cents, available_cents, in_flight_cents, paid_cents, debt_cents, earned_cents)::text FROM billing.payout_balances WHERE user_id = world.id('owner')),
    '(0,0,0,1000,-400,600)'
);
SELECT world.act_as('other');
SELECT world.same((SELECT count(*) FROM billing.payout_balances), 0::bigint);

-- promise: The ledger is only added to, and the same thing is entered once.
SELECT world.fails($$UPDATE billing.payout_ledger SET amount_cents = 1$$, 'trg_payout_ledger_refuse_change');
SELECT world.fails($$DELETE FROM billing.payout_ledger$$, 'trg_payout_ledger_refuse_change');
SELECT world.fails($$SELECT world.enter('accrue', 'payment:pi_1', 'expense', 'pending', 1000)$$, 'uq_payout_ledger_source');
SELECT world.fails($$SELECT world.enter('accrue', 'payment:pi_2', 'expense', 'pocket', 1000)$$, 'ck_payout_ledger_account');
SELECT world.fails($$SELECT world.enter('accrue', 'payment:pi_2', 'expense', 'pending', 0)$$, 'ck_payout_ledger_amount_cents');
SELECT world.act_as('service');
SELECT world.fails($$DELETE FROM billing.payout_ledger$$, '42501');

-- promise: A payout comes to what its items come to, and is never nothing or less.
SELECT world.fails($$UPDATE billing.payouts SET fee_cents = 1000, net_amount_cents = 0$$, 'ck_payouts_net_amount_cents');
SELECT world.fails($$UPDATE billing.payouts SET net_amount_cents = 1000$$, 'ck_payouts_net');
UPDATE billing.payouts SET gross_amount_cents = 999, net_amount_cents = 949;
SELECT world.fails('SET CONSTRAINTS ALL IMMEDIATE', 'trg_payouts_check_items');

-- promise: A period is paid once in a currency, and a commission is in one payout.
SELECT world.fails($$INSERT INTO billing.payouts (user_id, period_start, period_end, currency, gross_amount_cents, net_amount_cents)
    SELECT user_id, period_start, period_end, currency, 1, 1 FROM billing.payouts$$, 'uq_payouts_period');
SELECT world.fails($$INSERT INTO billing.payout_items (payout_id, ledger_entry_id, commission_amount_cents) SELECT payout_id, ledger_entry_id, 1 FROM billing.payout_items$$, 'uq_payout_items_ledger_entry');
SELECT world.fails($$UPDATE billing.payout_items SET commission_amount_cents = 1$$, 'trg_payout_items_check_change');
SELECT world.fails($$INSERT INTO billing.payout_accounts (user_id, provider, provider_id) VALUES (world.id('owner'), 'stripe', 'acct_2')$$, 'uq_payout_accounts_live');

-- promise: Nothing is transferred without an approval by somebody else who may.
SELECT world.act_as('service');
SELECT world.fails($$UPDATE billing.payouts SET status = 'processing', processing_started_at = now()$$, 'trg_payouts_check_change');
SELECT world.fails($$INSERT INTO billing.payouts (user_id, payout_account_id, period_start, period_end, currency, gross_amount_cents, net_amount_cents, status, processing_started_at)
    VALUES (world.id('owner'), 'b8000000-0000-4000-8000-000000000001', now(), now() + interval '1 day', 'EUR', 1, 1, 'processing', now())$$, 'ck_payouts_approved');
SELECT world.act_as('operator');
SELECT world.fails($$UPDATE billing.payouts SET status = 'approved', approved_at = now(), approved_by = user_id, payout_account_id = 'b8000000-0000-4000-8000-000000000001'$$, 'ck_payouts_approver');
SELECT world.act_as('owner');
SELECT world.same(billing.approve_payout('b9000000-0000-4000-8000-000000000001') ->> 'error', 'not_permitted');
SELECT world.act_as('operator');
SELECT rbac.grant_role(world.id('owner'), 'admin');
SELECT world.act_as('owner');
SELECT world.same(billing.approve_payout('b9000000-0000-4000-8000-000000000001') ->> 'error', 'own_payout');
SELECT world.act_as('admin');
SELECT world.same(billing.approve_payout(gen_random_uuid()) ->> 'error', 'unknown_payout');
SELECT world.same(billing.approve_payout('b9000000-0000-4000-8000-000000000001') ->> 'success', 'true');
SELECT world.same(billing.approve_payout('b9000000-0000-4000-8000-000000000001') ->> 'error', 'not_pending');
SELECT world.act_as('operator');
SELECT world.same((SELECT (status, approved_by, payout_account_id)::text FROM billing.payouts), '(approved,' || world.id('admin') || ',b8000000-0000-4000-8000-000000000001)');

-- promise: Who calculated a payout does not approve it, and an account that takes no transfers is not paid.
UPDATE billing.payouts SET created_by = world.id('admin');
SELECT world.act_as('admin');
SELECT world.same(billing.approve_payout('b9000000-0000-4000-8000-000000000001') ->> 'error', 'own_calculation');
SELECT world.act_as('operator');
UPDATE billing.payout_accounts SET status = 'restricted', is_transfers_enabled = false;
SELECT world.act_as('boss');
SELECT world.same(billing.approve_payout('b9000000-0000-4000-8000-000000000001') ->> 'error', 'account_not_ready');

-- promise: No worker approves a payout in somebody's name, neither a new one nor one that waits.
SELECT world.act_as('service');
SELECT world.fails($$UPDATE billing.payouts SET status = 'approved', approved_at = now(), approved_by = world.id('boss'), payout_account_id = 'b8000000-0000-4000-8000-000000000001'$$, 'trg_payouts_check_approval');
SELECT world.fails($$INSERT INTO billing.payouts (user_id, payout_account_id, period_start, period_end, currency, gross_amount_cents, net_amount_cents, status, approved_by, approved_at)
    VALUES (world.id('owner'), 'b8000000-0000-4000-8000-000000000001', now(), now() + interval '1 day', 'EUR', 1, 1, 'approved', world.id('boss'), now())$$, 'trg_payouts_check_approval');

-- promise: What was approved is not changed.
SELECT world.act_as('admin');
SELECT billing.approve_payout('b9000000-0000-4000-8000-000000000001');
SELECT world.act_as('service');
SELECT world.fails($$UPDATE billing.payouts SET gross_amount_cents = 2000, net_amount_cents = 1950$$, 'trg_payouts_check_change');
SELECT world.fails($$UPDATE billing.payouts SET user_id = world.id('other')$$, 'trg_payouts_check_change');
SELECT world.fails($$UPDATE billing.payouts SET status = 'paid', paid_at = now(), payment_reference = 'tr_1'$$, 'trg_payouts_check_change');
UPDATE billing.payouts SET status = 'processing', processing_started_at = now(), unknown_since = now();
SELECT world.fails($$UPDATE billing.payouts SET status = 'paid', paid_at = now()$$, 'ck_payouts_paid');
SELECT world.fails($$UPDATE billing.payouts SET status = 'failed', failed_at = now()$$, 'ck_payouts_failed');
SELECT world.fails($$UPDATE billing.payouts SET retry_count = 4$$, 'ck_payouts_retries');
UPDATE billing.payouts SET status = 'paid', paid_at = now(), unknown_since = NULL, payment_provider = 'stripe', payment_reference = 'tr_1';

-- promise: A cancelled payout gives back what it held, for another one.
SELECT world.act_as('owner');
SELECT world.same(billing.cancel_payout('b9000000-0000-4000-8000-000000000001', 'mine') ->> 'error', 'not_permitted');
SELECT world.act_as('admin');
SELECT world.same(billing.cancel_payout('b9000000-0000-4000-8000-000000000001', '') ->> 'error', 'no_reason');
SELECT world.same(billing.cancel_payout('b9000000-0000-4000-8000-000000000001', 'wrong period') ->> 'success', 'true');
SELECT world.same(billing.cancel_payout('b9000000-0000-4000-8000-000000000001', 'wrong period') ->> 'error', 'too_late');
SELECT world.act_as('operator');
SET CONSTRAINTS ALL IMMEDIATE;
SELECT world.same((SELECT (available_cents, in_flight_cents)::text FROM billing.payout_balances WHERE user_id = world.id('owner')), '(1000,0)');
SET CONSTRAINTS ALL DEFERRED;
INSERT INTO billing.payouts (id, user_id, period_start, period_end, currency, gross_amount_cents, net_amount_cents)
SELECT 'b9000000-0000-4000-8000-000000000002', user_id, period_start, period_end, currency, 1000, 1000 FROM billing.payouts;
INSERT INTO billing.payout_items (payout_id, ledger_entry_id, commission_amount_cents)
SELECT 'b9000000-0000-4000-8000-000000000002', ledger_entry_id, 1000 FROM billing.payout_items;
SET CONSTRAINTS ALL IMMEDIATE;

-- promise: A payout whose outcome is unknown is not given up.
SELECT world.act_as('admin');
SELECT billing.approve_payout('b9000000-0000-4000-8000-000000000001');
SELECT world.act_as('service');
UPDATE billing.payouts SET status = 'processing', processing_started_at = now();
UPDATE billing.payouts SET status = 'failed', failed_at = now(), failure_reason = 'timeout', unknown_since = now();
SELECT world.act_as('admin');
SELECT world.same(billing.cancel_payout('b9000000-0000-4000-8000-000000000001', 'stuck') ->> 'error', 'outcome_unknown');

-- promise: The role that sells is not the one that pays: permissions are apart.
SELECT world.permit('{billing.manage,billing.view}');
SELECT world.act_as('permitted');
SELECT world.same(billing.approve_payout('b9000000-0000-4000-8000-000000000001') ->> 'error', 'not_permitted');
SELECT world.same((SELECT count(*) FROM billing.payouts), 0::bigint);
