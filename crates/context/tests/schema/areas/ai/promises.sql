-- promise: A model has one price at a time, and a change that leaves none twice may be made in any order.
SELECT ai.set_price(id, 200000, 800000, '2026-06-01') FROM ai.models WHERE model_key = 'gpt-4o-mini';
SET CONSTRAINTS ALL IMMEDIATE;
SELECT world.same((SELECT array_agg((ai.price_at(id, at)).input_per_million_micro ORDER BY at) FROM ai.models, unnest('{2024-12-31 23:59+00,2026-05-31 12:00+00,2026-06-01,2030-01-01}'::timestamptz[]) AS at WHERE model_key = 'gpt-4o-mini'), '{NULL,150000,200000,200000}'::bigint[]);
SELECT world.fails($$INSERT INTO ai.model_prices (model_id, input_per_million_micro, output_per_million_micro, valid_from) SELECT id, 1, 1, '2027-01-01' FROM ai.models WHERE model_key = 'gpt-4o-mini'$$, 'trg_model_prices_refuse_overlap');
SELECT world.fails($$UPDATE ai.model_prices SET valid_until = '2026-06-02' WHERE valid_until = '2026-06-01'$$, 'trg_model_prices_refuse_overlap');
SET CONSTRAINTS ALL DEFERRED;
UPDATE ai.model_prices SET valid_until = '2026-06-02' WHERE valid_until = '2026-06-01';
UPDATE ai.model_prices SET valid_from = '2026-06-02' WHERE valid_from = '2026-06-01';
SET CONSTRAINTS ALL IMMEDIATE;

-- promise: A price that is found overlapping when the transaction ends takes all of it back.
INSERT INTO ai.model_prices (model_id, input_per_million_micro, output_per_million_micro, valid_from) SELECT id, 1, 1, '2027-01-01' FROM ai.models WHERE model_key = 'gpt-4o-mini';
SELECT world.fails('SET CONSTRAINTS ALL IMMEDIATE', 'trg_model_prices_refuse_overlap');

-- promise: What tokens cost is by the price at the time, rounded up, and unknown where there is none.
SELECT ai.set_price(id, 200000, 800000, '2026-06-01') FROM ai.models WHERE model_key = 'gpt-4o-mini';
SELECT world.same((SELECT ai.cost_micro(id, 1000, 200, '2026-01-01') FROM ai.models WHERE model_key = 'gpt-4o-mini'), 270::bigint);
SELECT world.same((SELECT ai.cost_micro(id, 1000, 200, '2026-06-01') FROM ai.models WHERE model_key = 'gpt-4o-mini'), 360::bigint);
SELECT world.same((SELECT ai.cost_micro(id, 1, 0, '2026-01-01') FROM ai.models WHERE model_key = 'gpt-4o-mini'), 1::bigint);
SELECT world.same((SELECT ai.cost_micro(id, 5000, NULL) FROM ai.models WHERE model_key = 'all-MiniLM-L6-v2'), 0::bigint);
SELECT world.same((SELECT ai.cost_micro(id, 1000, 200) FROM ai.models WHERE model_key = 'gone'), NULL::bigint);
SELECT world.same((SELECT ai.cost_micro(id, 1000000000, 1000000000, '2026-01-01') FROM ai.models WHERE model_key = 'claude-sonnet-4-5'), 18000000000::bigint);

-- promise: Prices are for operators to change, and for nobody else to see.
SELECT world.act_as('owner');
SELECT world.same((SELECT ai.cost_micro(id, 1000, 200) FROM ai.models WHERE model_key = 'gpt-4o-mini'), NULL::bigint);
SELECT world.fails($$SELECT ai.set_price(id, 0, 0) FROM ai.models WHERE model_key = 'gpt-4o-mini'$$, '42501');
SELECT world.act_as('admin');
SELECT world.same((SELECT ai.set_price(id, 1, 1) IS NOT NULL FROM ai.models WHERE model_key = 'gpt-4o-mini'), true);

-- promise: Every chat and embedding model that is delivered has a price, and the local one is free.
SELECT world.same((SELECT count(*) FROM ai.models WHERE is_enabled AND (ai.price_at(id)).id IS NULL), 0::bigint);
SELECT world.same((SELECT (m.dimensions, p.input_per_million_micro)::text FROM ai.models m CROSS JOIN LATERAL ai.price_at(m.id) p WHERE m.model_key = 'all-MiniLM-L6-v2'), '(384,0)');

-- promise: The policy of a person is the one of the highest priority among those of the tier and of what the person may do.
SELECT world.same((ai.policy_for(world.id('owner'), 'free')).policy_key, 'everybody');
SELECT world.same((ai.policy_for(world.id('owner'), 'premium')).policy_key, 'premium');
SELECT world.same((ai.policy_for(world.id('admin'), 'free')).policy_key, 'operators');
SELECT rbac.grant_role(world.id('owner'), 'instructor');
SELECT world.same((ai.policy_for(world.id('owner'), 'premium')).policy_key, 'authors');

-- promise: Of quotas the own one counts before that of a permission, that before the tier's, and that before everybody's.
SELECT world.same((SELECT max_amount FROM ai.quotas_for(world.id('owner'), 'free', 'assistant') WHERE metric = 'messages' AND window_seconds = 86400), 20::bigint);
SELECT world.same((SELECT max_amount FROM ai.quotas_for(world.id('owner'), 'premium', 'assistant') WHERE metric = 'messages' AND window_seconds = 86400), 200::bigint);
SELECT rbac.grant_role(world.id('owner'), 'instructor');
SELECT world.same((SELECT max_amount FROM ai.quotas_for(world.id('owner'), 'premium', 'assistant') WHERE metric = 'messages' AND window_seconds = 86400), 1000::bigint);
INSERT INTO ai.rate_limits (user_id, feature, metric, window_seconds, max_amount) VALUES (world.id('owner'), 'assistant', 'messages', 86400, 3);
SELECT world.same((SELECT max_amount FROM ai.quotas_for(world.id('owner'), 'premium', 'assistant') WHERE metric = 'messages' AND window_seconds = 86400), 3::bigint);
SELECT world.same((SELECT count(*) FROM ai.quotas_for(world.id('other'), 'free', 'generate')), 1::bigint);

-- promise: Messages are numbered, counted, and kept once for each id of the client, whatever the month.
SELECT world.act_as('owner');
SELECT world.same((ai.append_message('0a100000-0000-4000-8000-000000000001', '{"text": "Again?"}', client_message_id => 'second') ->> 'position'), '3');
SELECT world.same((ai.append_message('0a100000-0000-4000-8000-000000000001', '{"text": "Again?"}', client_message_id => 'second') ->> 'repeated'), 'true');
SELECT world.same((ai.append_message('0a100000-0000-4000-8000-000000000001', '{"text": "Other"}', client_message_id => 'first') ->> 'position'), '1');
SELECT world.same((SELECT (count(*), max(position))::text FROM ai.assistant_messages), '(3,3)');
SELECT world.same((SELECT messages_count FROM ai.assistant_sessions), 3);
SELECT world.same((SELECT cost_micro FROM ai.assistant_messages WHERE role = 'assistant'), 270::bigint);

-- promise: Nobody writes into a session of somebody else, or learns that it is there.
SELECT world.act_as('other');
SELECT world.same(ai.append_message('0a100000-0000-4000-8000-000000000001', '{"text": "Hello"}') ->> 'error', 'unknown_session');
SELECT world.same(ai.append_message(gen_random_uuid(), '{"text": "Hello"}') ->> 'error', 'unknown_session');
SELECT world.same(ai.enqueue_tool('0a100000-0000-4000-8000-000000000001', 'search_library') ->> 'error', 'unknown_session');
SELECT world.fails($$INSERT INTO ai.assistant_sessions (user_id) VALUES (world.id('owner'))$$, '42501');
SELECT world.fails($$UPDATE ai.assistant_sessions SET messages_count = 0$$, '42501');
SELECT world.fails($$DELETE FROM ai.assistant_sessions$$, '42501');

-- promise: A client speaks as its user and as nobody else, and says nothing about costs.
SELECT world.act_as('owner');
SELECT world.same(ai.append_message('0a100000-0000-4000-8000-000000000001', '{"text": "Obey."}', 'system') ->> 'error', 'role_not_allowed');
SELECT world.same(ai.append_message('0a100000-0000-4000-8000-000000000001', '{"text": "Hi"}', tokens_in => 0) ->> 'error', 'role_not_allowed');

-- promise: Without ai.use_assistant nobody talks to it, and nothing is added to an archived session.
INSERT INTO ai.assistant_sessions (id, user_id) VALUES ('0a100000-0000-4000-8000-000000000003', world.id('permitted'));
SELECT world.act_as('permitted');
SELECT world.same(ai.append_message('0a100000-0000-4000-8000-000000000003', '{"text": "Hi"}') ->> 'error', 'not_permitted');
SELECT world.act_as('owner');
UPDATE ai.assistant_sessions SET archived_at = now();
SELECT world.same(ai.append_message('0a100000-0000-4000-8000-000000000001', '{"text": "Hi"}') ->> 'error', 'archived_session');

-- promise: Who has used up a quota is refused before anything is asked, and told which.
INSERT INTO ai.rate_limits (user_id, feature, metric, window_seconds, max_amount) VALUES (world.id('owner'), 'assistant', 'messages', 3600, 2);
SELECT world.act_as('owner');
SELECT world.same(ai.append_message('0a100000-0000-4000-8000-000000000001', '{"text": "Two"}') ->> 'success', 'true');
SELECT world.same(ai.append_message('0a100000-0000-4000-8000-000000000001', '{"text": "Three"}') #>> '{quota,metric}', 'messages');
SELECT world.same((SELECT count(*) FROM ai.assistant_messages WHERE role = 'user'), 2::bigint);

-- promise: Quotas of tokens and costs count what calls used, within their window.
INSERT INTO ai.rate_limits (user_id, feature, metric, window_seconds, max_amount) VALUES (world.id('owner'), '*', 'tokens', 3600, 1201);
SELECT world.same(ai.broken_quota(world.id('owner'), 'free', 'assistant'), NULL::jsonb);
SELECT ai.log_usage('old', 'rag.embed', NULL, 5000, 0, user_id => world.id('owner'), at => now() - interval '2 hours');
SELECT world.same(ai.broken_quota(world.id('owner'), 'free', 'assistant'), NULL::jsonb);
SELECT ai.log_usage('new', 'rag.embed', NULL, 1, 0, user_id => world.id('owner'));
SELECT world.same(ai.broken_quota(world.id('owner'), 'free', 'assistant') ->> 'used', '1201');

-- promise: Two messages of one person are counted one after the other, in different sessions too, and so no quota is passed at once.
SELECT world.act_as('owner');
SELECT ai.append_message('0a100000-0000-4000-8000-000000000001', '{"text": "Two"}');
SELECT world.act_as('operator');
SELECT world.same((SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND pid = pg_backend_pid() AND granted
    AND classid = 1111834960 AND objid = (hashtext(world.id('owner')::text)::bigint & 4294967295)::oid), 1::bigint);

-- promise: Nobody has more than 20 calls of tools waiting: what waits has cost nothing that a quota counts.
SELECT world.act_as('owner');
SELECT ai.enqueue_tool('0a100000-0000-4000-8000-000000000001', 'search_library') FROM generate_series(1, 19);
SELECT world.same(ai.enqueue_tool('0a100000-0000-4000-8000-000000000001', 'search_library') ->> 'error', 'too_many_waiting');
SELECT world.same((SELECT count(*) FROM ai.tool_invocations), 20::bigint);

-- promise: A tool is run only where the policy allows it.
SELECT world.act_as('owner');
SELECT world.same(ai.enqueue_tool('0a100000-0000-4000-8000-000000000001', 'launch_rocket') ->> 'error', 'tool_not_allowed');
SELECT world.same(ai.enqueue_tool('0a100000-0000-4000-8000-000000000001', 'search_library', '{"query": "half"}') ->> 'status', 'pending');

-- promise: A call is noted once, in whatever month it is noted again.
SELECT world.same(
    (SELECT ai.log_usage('r-1', 'rag.embed', id, 1000, 0, at => '2026-01-15') FROM ai.models WHERE model_key = 'text-embedding-3-small'),
    (SELECT ai.log_usage('r-1', 'rag.embed', id, 1000, 0, at => '2026-12-15') FROM ai.models WHERE model_key = 'text-embedding-3-small')
);
SELECT world.same((SELECT (count(*), sum(cost_micro), min(created_at) = '2026-01-15')::text FROM ai.usage_logs WHERE request_id = 'r-1'), '(1,20,t)');
SELECT world.same((SELECT cost_micro FROM ai.usage_logs WHERE id = ai.log_usage('r-2', 'rag.embed', NULL, 1000, 0)), NULL::bigint);

-- promise: A memory is merged at every depth: what a change does not name stays, and null removes.
SELECT world.act_as('owner');
SELECT world.same(ai.merge_memory('{"likes": {"colour": "blue"}, "goal": "exam"}'), '{"likes": {"topic": "fractions", "colour": "blue"}, "goal": "exam"}'::jsonb);
SELECT world.same(ai.merge_memory('{"likes": {"topic": null}, "goal": null}'), '{"likes": {"colour": "blue"}}'::jsonb);
SELECT world.same(ai.merge_memory('{"likes": ["all"]}'), '{"likes": ["all"]}'::jsonb);
SELECT world.same((SELECT version FROM ai.user_memories), 4);

-- promise: A client changes the own memory, whoever it names, and stores no secret in it.
SELECT world.act_as('other');
SELECT world.same(ai.merge_memory('{"goal": "mine"}', world.id('owner')), '{"goal": "mine"}'::jsonb);
SELECT world.fails($$SELECT ai.merge_memory('{"bank": [{"card_number": "4242"}]}')$$, 'ck_user_memories_sensitive');
SELECT world.fails($$SELECT ai.merge_memory('{"deep": {"API-keys": 1, "Password": "x"}}')$$, 'ck_user_memories_sensitive');
SELECT world.fails($$SELECT ai.merge_memory('[]')$$, '22023');
SELECT world.fails($$UPDATE ai.user_memories SET data = '{}'$$, '42501');
SELECT world.act_as('operator');
SELECT world.same((SELECT data FROM ai.user_memories WHERE user_id = world.id('owner')), '{"likes": {"topic": "fractions"}}'::jsonb);
SELECT world.fails($$SELECT ai.merge_memory('{}')$$, '42501');

-- promise: A session takes its messages, their keys and its tools along.
DELETE FROM ai.assistant_sessions WHERE user_id = world.id('owner');
SELECT world.same((SELECT count(*) FROM ai.assistant_messages) + (SELECT count(*) FROM ai.message_keys) + (SELECT count(*) FROM ai.tool_invocations), 0::bigint);

-- promise: What a model made is approved by a person who may publish, once, and never by itself.
SELECT world.act_as('owner');
SELECT world.same(ai.review_content('0b100000-0000-4000-8000-000000000002', true) ->> 'error', 'not_permitted');
SELECT world.act_as('admin');
SELECT world.same(ai.review_content('0b100000-0000-4000-8000-000000000002', true, '{"stars": 5}') ->> 'status', 'approved');
SELECT world.same(ai.review_content('0b100000-0000-4000-8000-000000000002', false) ->> 'error', 'not_waiting');
SELECT world.same((SELECT (is_approved, reviewed_by = world.id('admin'))::text FROM ai.generated_content), '(t,t)');
SELECT world.act_as('operator');
SELECT world.fails($$UPDATE ai.generated_content SET status = 'approved', reviewed_by = NULL, reviewed_at = NULL$$, 'ck_generated_content_reviewed');

-- promise: A task is of a project of the same person, and goes with it.
SELECT world.fails($$INSERT INTO ai.tasks (user_id, project_id, task_type) SELECT world.id('other'), project_id, task_type FROM ai.tasks$$, 'fk_tasks_project');
SELECT world.act_as('owner');
DELETE FROM ai.projects;
SELECT world.same((SELECT count(*) FROM ai.tasks), 0::bigint);

-- promise: Wrong input is refused by name.
SELECT world.fails($$INSERT INTO ai.providers (provider_key, display_name, protocol) VALUES ('openai', 'Again', 'openai')$$, 'uq_providers_key');
SELECT world.fails($$INSERT INTO ai.providers (provider_key, display_name, protocol) VALUES ('x_ai', 'X', 'telepathy')$$, 'ck_providers_protocol');
SELECT world.fails($$UPDATE ai.providers SET secret_ref = 'sk-live-key'$$, 'ck_providers_secret_ref');
SELECT world.fails($$INSERT INTO ai.models (provider_id, model_key, display_name, kind) VALUES (gen_random_uuid(), 'm', 'M', 'chat')$$, 'fk_models_provider');
SELECT world.fails($$INSERT INTO ai.models (provider_id, model_key, display_name, kind) SELECT id, 'e', 'E', 'embedding' FROM ai.providers$$, 'ck_models_embedding');
SELECT world.fails($$INSERT INTO ai.models (provider_id, model_key, display_name, kind) SELECT provider_id, model_key, 'M', 'chat' FROM ai.models WHERE kind = 'chat'$$, 'uq_models_key');
SELECT world.fails($$UPDATE ai.model_prices SET input_per_million_micro = -1$$, 'ck_model_prices_input');
SELECT world.fails($$UPDATE ai.model_prices SET valid_until = valid_from$$, 'ck_model_prices_valid_until');
SELECT world.fails($$UPDATE ai.policies SET max_temperature = 2.1$$, 'ck_policies_max_temperature');
SELECT world.fails($$UPDATE ai.policies SET permission_key = 'no.such'$$, 'fk_policies_permission');
SELECT world.fails($$INSERT INTO ai.rate_limits (feature, metric, window_seconds, max_amount) VALUES ('assistant', 'messages', 60, 1)$$, 'uq_rate_limits_scope');
SELECT world.fails($$UPDATE ai.rate_limits SET permission_key = 'ai.manage' WHERE tier = 'basic'$$, 'ck_rate_limits_scope');
SELECT world.fails($$UPDATE ai.rate_limits SET window_seconds = 2678401$$, 'ck_rate_limits_window_seconds');
SELECT world.fails($$INSERT INTO ai.prompt_variants (template_id, version, body, is_active) SELECT template_id, 2, body, true FROM ai.prompt_variants$$, 'uq_prompt_variants_active');
SELECT world.fails($$SELECT ai.append_message('0a100000-0000-4000-8000-000000000001', '"text"')$$, 'ck_assistant_messages_content');
SELECT world.fails($$SELECT ai.append_message('0a100000-0000-4000-8000-000000000001', '{}', 'god')$$, 'ck_assistant_messages_role');
SELECT world.fails($$SELECT ai.append_message('0a100000-0000-4000-8000-000000000001', '{}', 'assistant', tokens_in => -1)$$, 'ck_assistant_messages_tokens_in');
SELECT world.fails($$SELECT ai.log_usage('x', 'assistant', gen_random_uuid(), 1, 1)$$, 'fk_usage_logs_model');
SELECT world.fails($$SELECT ai.log_usage('x', 'assistant', NULL, -1, 1)$$, 'ck_usage_logs_tokens_in');
SELECT world.fails($$UPDATE ai.usage_logs SET cost_micro = -1$$, 'ck_usage_logs_cost_micro');
SELECT world.fails($$UPDATE ai.tool_invocations SET status = 'succeeded'$$, '23514');
SELECT world.fails($$UPDATE ai.tool_invocations SET status = 'failed', completed_at = now()$$, 'ck_tool_invocations_failed');
SELECT world.fails($$UPDATE ai.tool_invocations SET status = 'done'$$, 'ck_tool_invocations_status');
SELECT world.fails($$UPDATE ai.user_memories SET data = '[]'$$, 'ck_user_memories_data');
SELECT world.fails($$UPDATE ai.tasks SET status = 'completed', completed_at = now()$$, 'ck_tasks_succeeded');
SELECT world.fails($$UPDATE ai.tasks SET status = 'failed', completed_at = now()$$, 'ck_tasks_failed');
SELECT world.fails($$UPDATE ai.tasks SET priority = 101$$, 'ck_tasks_priority');
SELECT world.fails($$UPDATE ai.generated_content SET confidence = 1.01$$, 'ck_generated_content_confidence');
SELECT world.fails($$UPDATE ai.generated_content SET content = NULL$$, 'ck_generated_content_made');
SELECT world.fails($$INSERT INTO ai.generated_content (request_id, requested_by, content_type) SELECT request_id, requested_by, 'hint' FROM ai.generated_content$$, 'uq_generated_content_seed');
