-- Providers, models, prices, policies and quotas to start with. Prices are only a start: operators compare them with the
-- providers' lists and keep them, with ai.set_price. May run again: what operators changed stays.
-- Owner: crates/api. Locks: none.
-- Undo: DELETE FROM ai.rate_limits, ai.policies, ai.model_prices, ai.models, ai.providers.

INSERT INTO ai.providers (provider_key, display_name, protocol, base_url, secret_ref) VALUES
    ('openai', 'OpenAI', 'openai', 'https://api.openai.com/v1', 'env:OPENAI_API_KEY'),
    ('anthropic', 'Anthropic', 'anthropic', 'https://api.anthropic.com/v1', 'env:ANTHROPIC_API_KEY'),
    ('local', 'This platform', 'local', NULL, NULL)
ON CONFLICT DO NOTHING;

INSERT INTO ai.models (provider_id, model_key, display_name, kind, context_tokens, max_output_tokens, dimensions, tags)
SELECT p.id, m.model_key, m.display_name, m.kind, m.context_tokens, m.max_output_tokens, m.dimensions, m.tags
FROM (VALUES
    ('openai', 'gpt-4.1', 'GPT-4.1', 'chat', 1047576, 32768, NULL::integer, '{standard,vision,tools}'::text[]),
    ('openai', 'gpt-4.1-mini', 'GPT-4.1 mini', 'chat', 1047576, 32768, NULL, '{cheap,vision,tools}'),
    ('openai', 'gpt-4o', 'GPT-4o', 'chat', 128000, 16384, NULL, '{standard,vision,tools}'),
    ('openai', 'gpt-4o-mini', 'GPT-4o mini', 'chat', 128000, 16384, NULL, '{cheap,vision,tools}'),
    ('openai', 'text-embedding-3-small', 'Text embedding 3 small', 'embedding', 8191, NULL, 1536, '{cheap}'),
    ('openai', 'text-embedding-3-large', 'Text embedding 3 large', 'embedding', 8191, NULL, 3072, '{standard}'),
    ('anthropic', 'claude-haiku-4-5', 'Claude Haiku 4.5', 'chat', 200000, 64000, NULL, '{cheap,vision,tools}'),
    ('anthropic', 'claude-sonnet-4-5', 'Claude Sonnet 4.5', 'chat', 200000, 64000, NULL, '{standard,vision,tools}'),
    ('local', 'all-MiniLM-L6-v2', 'MiniLM, on this platform', 'embedding', 256, NULL, 384, '{cheap,on_premises}')
) AS m(provider_key, model_key, display_name, kind, context_tokens, max_output_tokens, dimensions, tags)
JOIN ai.providers p ON p.provider_key = m.provider_key
ON CONFLICT DO NOTHING;

INSERT INTO ai.model_prices (model_id, input_per_million_micro, output_per_million_micro, valid_from)
SELECT m.id, s.input_per_million_micro, s.output_per_million_micro, '2025-01-01 00:00+00'
FROM (VALUES
    ('openai', 'gpt-4.1', 2000000, 8000000),
    ('openai', 'gpt-4.1-mini', 400000, 1600000),
    ('openai', 'gpt-4o', 2500000, 10000000),
    ('openai', 'gpt-4o-mini', 150000, 600000),
    ('openai', 'text-embedding-3-small', 20000, 0),
    ('openai', 'text-embedding-3-large', 130000, 0),
    ('anthropic', 'claude-haiku-4-5', 1000000, 5000000),
    ('anthropic', 'claude-sonnet-4-5', 3000000, 15000000),
    ('local', 'all-MiniLM-L6-v2', 0, 0)
) AS s(provider_key, model_key, input_per_million_micro, output_per_million_micro)
JOIN ai.providers p ON p.provider_key = s.provider_key
JOIN ai.models m ON m.provider_id = p.id AND m.model_key = s.model_key
-- A model that has prices is the operators'.
WHERE NOT EXISTS (SELECT FROM ai.model_prices other WHERE other.model_id = m.id);

INSERT INTO ai.policies (
    policy_key, description, tier, permission_key, priority, max_temperature, max_input_tokens, max_output_tokens, safety_mode, allowed_model_tags, allowed_tools
) VALUES
    ('everybody', 'Who has nothing better', NULL, NULL, 0, 0.7, 8000, 1000, 'strict', '{cheap}', '{search_library}'),
    ('basic', 'Who pays a little', 'basic', NULL, 10, 0.8, 16000, 2000, 'strict', '{cheap}', '{search_library}'),
    ('premium', 'Who pays', 'premium', NULL, 20, 1, 32000, 4000, 'standard', '{cheap,standard}', '{search_library}'),
    ('enterprise', 'Whose company pays', 'enterprise', NULL, 30, 1, 64000, 8000, 'standard', NULL, '{search_library}'),
    ('authors', 'Who makes courses', NULL, 'content.create', 40, 1, 64000, 8000, 'standard', NULL, '{search_library}'),
    ('operators', 'Who looks after the models', NULL, 'ai.manage', 50, 2, 128000, 16000, 'relaxed', NULL, '{search_library}')
ON CONFLICT DO NOTHING;

INSERT INTO ai.rate_limits (tier, permission_key, feature, metric, window_seconds, max_amount) VALUES
    (NULL, NULL, 'assistant', 'messages', 60, 10),
    (NULL, NULL, 'assistant', 'messages', 86400, 20),
    ('basic', NULL, 'assistant', 'messages', 86400, 50),
    ('premium', NULL, 'assistant', 'messages', 86400, 200),
    ('enterprise', NULL, 'assistant', 'messages', 86400, 1000),
    (NULL, 'content.create', 'assistant', 'messages', 86400, 1000),
    (NULL, NULL, '*', 'cost_micro', 2592000, 500000),
    ('basic', NULL, '*', 'cost_micro', 2592000, 1000000),
    ('premium', NULL, '*', 'cost_micro', 2592000, 5000000),
    ('enterprise', NULL, '*', 'cost_micro', 2592000, 20000000),
    (NULL, 'content.create', '*', 'cost_micro', 2592000, 20000000)
ON CONFLICT DO NOTHING;
