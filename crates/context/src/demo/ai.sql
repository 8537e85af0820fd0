-- demo.ai
-- One person in four has asked the assistant something.
CREATE TABLE demo.chats AS
SELECT
    p.nth * 100 + c AS nth, demo.id('chat', p.nth * 100 + c) AS id, p.id AS user_id, demo.moment('chat', p.nth * 100 + c, p.signed_up_at) AS started_at,
    1 + floor(demo.chance('turns', p.nth * 100 + c) * 4)::integer AS turns, m.id AS model_id
FROM demo.people p
CROSS JOIN LATERAL generate_series(1, 1 + floor(p.zeal * 4)::integer) AS c
CROSS JOIN LATERAL (
    SELECT id FROM ai.models WHERE kind = 'chat' ORDER BY demo.chance('model ' || model_key, p.nth * 100 + c), model_key LIMIT 1
) m
WHERE demo.chance('asks', p.nth) < 0.25;

INSERT INTO ai.assistant_sessions (id, user_id, title, messages_count, last_message_at, created_at)
SELECT
    id, user_id, demo.pick('question', nth, '{Comment lire une courbe ROC ?,Expliquer un embedding,Corriger mon prompt,Pourquoi normaliser ?,What is overfitting?,Idées de projet}'),
    2 * turns, started_at + make_interval(mins => 2 * turns), started_at
FROM demo.chats
ON CONFLICT DO NOTHING;

CREATE TABLE demo.messages AS
SELECT
    c.nth * 10 + t AS nth, demo.id('message', c.nth * 10 + t) AS id, c.id AS session_id, c.user_id, t AS position, c.model_id,
    t % 2 = 0 AS is_answer, c.started_at + make_interval(mins => t) AS created_at,
    (200 + floor(demo.chance('tokens in', c.nth * 10 + t) * 1800))::bigint AS tokens_in,
    (50 + floor(demo.chance('tokens out', c.nth * 10 + t) * 700))::bigint AS tokens_out,
    (400 + floor(demo.chance('latency', c.nth * 10 + t) * 4000))::integer AS latency_ms
FROM demo.chats c CROSS JOIN LATERAL generate_series(1, 2 * c.turns) AS t;

INSERT INTO ai.assistant_messages (id, created_at, session_id, user_id, position, role, content, model_id, finish_reason, latency_ms, tokens_in, tokens_out, cost_micro)
SELECT
    id, created_at, session_id, user_id, position, CASE WHEN is_answer THEN 'assistant' ELSE 'user' END,
    jsonb_build_object('text', CASE WHEN is_answer THEN 'Prenons un exemple, puis la règle qui le porte.' ELSE 'Peux-tu m''expliquer cette leçon autrement ?' END),
    CASE WHEN is_answer THEN model_id END, CASE WHEN is_answer THEN 'stop' END, CASE WHEN is_answer THEN latency_ms END,
    CASE WHEN is_answer THEN tokens_in END, CASE WHEN is_answer THEN tokens_out END,
    CASE WHEN is_answer THEN ai.cost_micro(model_id, tokens_in, tokens_out, created_at) END
FROM demo.messages
ON CONFLICT DO NOTHING;

INSERT INTO ai.usage_requests (request_id, usage_id, created_at)
SELECT 'demo-' || id, demo.id('usage', nth), created_at FROM demo.messages WHERE is_answer
ON CONFLICT DO NOTHING;

INSERT INTO ai.usage_logs (id, created_at, request_id, user_id, model_id, feature, session_id, message_id, tokens_in, tokens_out, cost_micro, latency_ms)
SELECT
    demo.id('usage', nth), created_at, 'demo-' || id, user_id, model_id, 'assistant', session_id, id, tokens_in, tokens_out,
    ai.cost_micro(model_id, tokens_in, tokens_out, created_at), latency_ms
FROM demo.messages WHERE is_answer
ON CONFLICT DO NOTHING;
