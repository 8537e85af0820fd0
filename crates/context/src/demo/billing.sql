-- demo.billing
-- Two plans by the month and by the year, and the courses that are sold on their own.
CREATE TABLE demo.offers AS
SELECT
    demo.id('product', nth) AS product_id, demo.id('price', nth) AS price_id,
    'demo_' || p.seed || '_' AS prefix, o.*
FROM demo.plan p
CROSS JOIN LATERAL (
    SELECT row_number() OVER (ORDER BY tier_key, every, course_id) AS nth, *
    FROM (
        VALUES
            ('Basic, au mois', 'basic', NULL::uuid, 'month', 900::bigint),
            ('Basic, à l''année', 'basic', NULL, 'year', 9000),
            ('Premium, au mois', 'premium', NULL, 'month', 2900),
            ('Premium, à l''année', 'premium', NULL, 'year', 29000)
        UNION ALL
        SELECT topic, NULL, id, NULL, 4900 + 1000 * (nth % 4) FROM demo.courses WHERE offer = 'paid_oneoff'
    ) f(name, tier_key, course_id, every, cents)
) o;

INSERT INTO billing.products (id, provider, provider_id, name, created_at)
SELECT product_id, 'stripe', 'prod_' || prefix || nth, name, p.now - make_interval(months => p.months::integer)
FROM demo.offers, demo.plan p
ON CONFLICT DO NOTHING;

INSERT INTO billing.product_grants (id, product_id, kind, tier_key, course_id)
SELECT demo.id('grant', nth), product_id, CASE WHEN tier_key IS NULL THEN 'course' ELSE 'tier' END, tier_key, course_id
FROM demo.offers
ON CONFLICT DO NOTHING;

INSERT INTO billing.prices (id, provider, provider_id, product_id, provider_product_id, kind, currency, unit_amount_cents, recurring_interval, recurring_interval_count)
SELECT
    price_id, 'stripe', 'price_' || prefix || nth, product_id, 'prod_' || prefix || nth,
    CASE WHEN every IS NULL THEN 'one_time' ELSE 'recurring' END, 'EUR', cents, every, CASE WHEN every IS NOT NULL THEN 1 END
FROM demo.offers
ON CONFLICT DO NOTHING;

UPDATE access.course_access_rules r SET required_product_id = o.product_id
FROM demo.offers o WHERE r.course_id = o.course_id AND r.required_product_id IS NULL;

-- Who pays: the more somebody learns, the sooner. A third of them leaves again.
CREATE TABLE demo.subscribers AS
SELECT
    p.nth, p.id AS user_id, o.product_id, o.price_id, o.tier_key, o.every, o.cents, o.prefix,
    s.started_at, CASE WHEN demo.chance('leave', p.nth) < 0.33 AND s.started_at + interval '2 months' < t.now THEN
        s.started_at + date_trunc('day', (t.now - s.started_at) * demo.chance('leave when', p.nth)) END AS ended_at
FROM demo.people p
CROSS JOIN demo.plan t
JOIN demo.offers o ON o.tier_key = CASE WHEN demo.chance('plan', p.nth) < 0.65 THEN 'basic' ELSE 'premium' END
    AND o.every = CASE WHEN demo.chance('period', p.nth) < 0.8 THEN 'month' ELSE 'year' END
CROSS JOIN LATERAL (SELECT demo.moment('subscribe', p.nth, p.signed_up_at) AS started_at) s
WHERE demo.chance('buyer', p.nth) < 0.08 + 0.3 * p.zeal;

CREATE TABLE demo.buyers AS
SELECT p.nth, p.id AS user_id, o.product_id, o.price_id, o.course_id, o.cents, o.prefix, demo.moment('buy', p.nth, p.signed_up_at) AS bought_at
FROM demo.people p
CROSS JOIN LATERAL (SELECT * FROM demo.offers f WHERE f.course_id IS NOT NULL ORDER BY demo.chance('which', p.nth * 1000 + f.nth) LIMIT 1) o
WHERE demo.chance('buys a course', p.nth) < 0.07;

INSERT INTO billing.customers (id, user_id, provider, provider_id, is_default, currency, provider_created_at, created_at)
SELECT DISTINCT ON (user_id) demo.id('customer', nth), user_id, 'stripe', 'cus_' || prefix || nth, true, 'EUR', since, since
FROM (
    SELECT nth, user_id, prefix, started_at AS since FROM demo.subscribers
    UNION ALL
    SELECT nth, user_id, prefix, bought_at FROM demo.buyers
) c
ORDER BY user_id, since
ON CONFLICT DO NOTHING;

INSERT INTO billing.subscriptions (
    id, user_id, customer_id, provider, provider_id, status, currency, monthly_cents, started_at, current_period_start, current_period_end,
    canceled_at, ended_at, provider_created_at, provider_updated_at, created_at
)
SELECT
    demo.id('subscription', s.nth), s.user_id, demo.id('customer', s.nth), 'stripe', 'sub_' || s.prefix || s.nth,
    CASE WHEN s.ended_at IS NOT NULL THEN 'canceled' WHEN demo.chance('late', s.nth) < 0.03 THEN 'past_due' ELSE 'active' END,
    'EUR', CASE s.every WHEN 'year' THEN s.cents / 12 ELSE s.cents END, s.started_at, c.since, c.since + c.step,
    s.ended_at, s.ended_at, s.started_at, coalesce(s.ended_at, c.since), s.started_at
FROM demo.subscribers s
CROSS JOIN demo.plan t
CROSS JOIN LATERAL (
    SELECT max(b) AS since, make_interval(months => CASE s.every WHEN 'year' THEN 12 ELSE 1 END) AS step
    FROM generate_series(s.started_at, coalesce(s.ended_at, t.now), make_interval(months => CASE s.every WHEN 'year' THEN 12 ELSE 1 END)) AS b
) c
ON CONFLICT DO NOTHING;

INSERT INTO billing.subscription_items (id, subscription_id, provider_id, price_id, provider_price_id, current_period_start, current_period_end)
SELECT demo.id('item', s.nth), b.id, 'si_' || s.prefix || s.nth, s.price_id, p.provider_id, b.current_period_start, b.current_period_end
FROM demo.subscribers s
JOIN billing.subscriptions b ON b.id = demo.id('subscription', s.nth)
JOIN billing.prices p ON p.id = s.price_id
ON CONFLICT DO NOTHING;

-- Each period is paid at its beginning; one in forty does not go through the first time.
INSERT INTO billing.payments (
    id, user_id, customer_id, provider, provider_id, subscription_id, price_id, subject_type, subject_id, amount_cents, currency, provider_fee_cents,
    status, method, paid_at, failed_at, failure_code, period_start, period_end, fulfilled_at, provider_created_at, created_at
)
SELECT
    demo.id('payment', s.nth * 100 + b.nth), s.user_id, demo.id('customer', s.nth), 'stripe', 'in_' || s.prefix || s.nth || '_' || b.nth,
    demo.id('subscription', s.nth), s.price_id, 'plan', s.product_id, s.cents, 'EUR', s.cents * 15 / 1000 + 25,
    CASE WHEN f.failed THEN 'failed' ELSE 'paid' END, 'card', CASE WHEN NOT f.failed THEN b.at END, CASE WHEN f.failed THEN b.at END,
    CASE WHEN f.failed THEN 'card_declined' END, b.at, b.at + b.step, CASE WHEN NOT f.failed THEN b.at END, b.at, b.at
FROM demo.subscribers s
CROSS JOIN demo.plan t
CROSS JOIN LATERAL (
    SELECT at, nth, step FROM (SELECT make_interval(months => CASE s.every WHEN 'year' THEN 12 ELSE 1 END) AS step) i
    CROSS JOIN LATERAL generate_series(s.started_at, coalesce(s.ended_at, t.now), i.step) WITH ORDINALITY AS g(at, nth)
) b
CROSS JOIN LATERAL (SELECT demo.chance('declined', s.nth * 100 + b.nth) < 0.025 AS failed) f
ON CONFLICT DO NOTHING;

INSERT INTO billing.payments (
    id, user_id, customer_id, provider, provider_id, price_id, subject_type, subject_id, amount_cents, currency, provider_fee_cents,
    status, method, paid_at, fulfilled_at, provider_created_at, created_at
)
SELECT
    demo.id('purchase', nth), user_id, demo.id('customer', nth), 'stripe', 'pi_' || prefix || nth, price_id, 'course', course_id, cents, 'EUR',
    cents * 15 / 1000 + 25, 'paid', 'card', bought_at, bought_at, bought_at, bought_at
FROM demo.buyers
ON CONFLICT DO NOTHING;

INSERT INTO billing.one_off_purchases (id, user_id, payment_id, product_id, subject_type, subject_id, purchased_at, created_at)
SELECT demo.id('right', nth), user_id, demo.id('purchase', nth), product_id, 'course', course_id, bought_at, bought_at
FROM demo.buyers
ON CONFLICT DO NOTHING;

-- What they have a right to, as the projection of these would say.
INSERT INTO access.user_entitlements (id, user_id, entitlement_type, tier_id, status, starts_at, expires_at, source_type, source_reference, created_at)
SELECT
    demo.id('tier', s.nth), s.user_id, 'tier', access.find_tier(s.tier_key),
    CASE WHEN s.ended_at IS NULL THEN 'active' ELSE 'expired' END, s.started_at,
    CASE WHEN s.ended_at IS NULL THEN b.current_period_end ELSE greatest(s.ended_at, s.started_at + interval '1 second') END,
    'subscription', b.id::text, s.started_at
FROM demo.subscribers s JOIN billing.subscriptions b ON b.id = demo.id('subscription', s.nth)
ON CONFLICT DO NOTHING;

INSERT INTO access.user_entitlements (id, user_id, entitlement_type, course_id, starts_at, source_type, source_reference, created_at)
SELECT demo.id('course right', nth), user_id, 'course_specific', course_id, bought_at, 'purchase', demo.id('right', nth)::text, bought_at
FROM demo.buyers
ON CONFLICT DO NOTHING;
