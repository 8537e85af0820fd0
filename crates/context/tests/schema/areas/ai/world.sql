INSERT INTO ai.models (provider_id, model_key, display_name, kind, is_enabled) SELECT id, 'gone', 'No longer offered', 'chat', false FROM ai.providers WHERE provider_key = 'openai';
INSERT INTO ai.policies (policy_key, max_input_tokens, max_output_tokens, is_active) VALUES ('asleep', 1, 1, false);
INSERT INTO ai.rate_limits (user_id, feature, metric, window_seconds, max_amount) VALUES (world.id('owner'), 'generate', 'requests', 3600, 5);
INSERT INTO ai.prompt_templates (template_key) VALUES ('world.greeting');
INSERT INTO ai.prompt_variants (template_id, body, is_active) SELECT id, 'Say hello to {{name}}.', true FROM ai.prompt_templates;
INSERT INTO ai.assistant_sessions (id, user_id, title) VALUES
    ('0a100000-0000-4000-8000-000000000001', world.id('owner'), 'Fractions'), ('0a100000-0000-4000-8000-000000000002', world.id('other'), 'Verbs');
SELECT ai.append_message('0a100000-0000-4000-8000-000000000001', '{"type": "text", "text": "What is a half?"}', client_message_id => 'first');
SELECT ai.append_message('0a100000-0000-4000-8000-000000000001', '{"type": "text", "text": "One of two."}', 'assistant', NULL, m.id, 1000, 200, 350)
FROM ai.models m WHERE m.model_key = 'gpt-4o-mini';
INSERT INTO ai.tool_invocations (session_id, user_id, tool_name) VALUES ('0a100000-0000-4000-8000-000000000001', world.id('owner'), 'search_library');
SELECT ai.merge_memory('{"likes": {"topic": "fractions"}}', world.id('owner'));
SELECT ai.log_usage('world-1', 'assistant', m.id, 1000, 200, user_id => world.id('owner')) FROM ai.models m WHERE m.model_key = 'gpt-4o-mini';
INSERT INTO ai.projects (id, user_id, name) VALUES ('0b100000-0000-4000-8000-000000000001', world.id('owner'), 'Thesis');
INSERT INTO ai.tasks (user_id, project_id, task_type) VALUES (world.id('owner'), '0b100000-0000-4000-8000-000000000001', 'summarise');
INSERT INTO ai.generated_content (id, request_id, requested_by, content_type, model_id, content, confidence, status)
SELECT '0b100000-0000-4000-8000-000000000002', gen_random_uuid(), world.id('owner'), 'hint', id, '{"text": "Think of a pie."}', 0.8, 'generated' FROM ai.models WHERE model_key = 'gpt-4o-mini';
