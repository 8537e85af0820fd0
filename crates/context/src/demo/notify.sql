-- demo.notify
-- What was sent: a welcome to everybody and a receipt for each payment. Nothing is left to be sent.
CREATE TABLE demo.notices AS
SELECT 'account.welcome' AS message_type, p.nth, p.id AS user_id, p.locale, p.signed_up_at + interval '1 minute' AS at, '{}'::jsonb AS variables, NULL::uuid AS source_id
FROM demo.people p
UNION ALL
SELECT 'billing.payment_receipt', 0, y.user_id, p.locale, y.paid_at + interval '1 minute', jsonb_build_object('amount_cents', y.amount_cents, 'currency', y.currency), y.id
FROM demo.people p
JOIN billing.payments y ON y.user_id = p.id AND y.status = 'paid';

INSERT INTO notify.outbox (
    id, message_type, channel, user_id, dedupe_key, locale, variables, source_type, source_id, status, attempts, next_attempt_at, sent_at, delivered_at, created_at
)
SELECT
    md5('demo ' || channel || message_type || user_id || coalesce(source_id::text, ''))::uuid, message_type, channel, user_id,
    'demo:' || channel || ':' || message_type || ':' || coalesce(source_id, user_id), locale, variables,
    CASE WHEN source_id IS NOT NULL THEN 'billing.payments' END, source_id, 'sent', 1, NULL, at + interval '2 seconds', at + interval '5 seconds', at
FROM demo.notices
CROSS JOIN unnest('{email,in_app}'::text[]) AS channel
ON CONFLICT DO NOTHING;

INSERT INTO notify.inbox (id, user_id, outbox_id, message_type, title, body, read_at, created_at)
SELECT
    md5('demo inbox ' || o.id)::uuid, n.user_id, o.id, n.message_type,
    CASE WHEN n.message_type = 'account.welcome' THEN
        CASE n.locale WHEN 'fr' THEN 'Bienvenue' ELSE 'Welcome' END
    ELSE CASE n.locale WHEN 'fr' THEN 'Paiement reçu' ELSE 'Payment received' END END,
    CASE WHEN n.message_type = 'account.welcome' THEN '' ELSE to_char((n.variables ->> 'amount_cents')::bigint / 100.0, 'FM999990.00') || ' ' || (n.variables ->> 'currency') END,
    CASE WHEN n.at < t.now - interval '20 days' THEN n.at + interval '3 hours' END, n.at
FROM demo.notices n
CROSS JOIN demo.plan t
JOIN notify.outbox o ON o.dedupe_key = 'demo:in_app:' || n.message_type || ':' || coalesce(n.source_id, n.user_id)
ON CONFLICT DO NOTHING;
