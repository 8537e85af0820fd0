INSERT INTO analytics.activity_log (user_id, activity_type, action) VALUES (world.id('owner'), 'lesson', 'opened');
INSERT INTO analytics.user_sessions (user_id, network) VALUES (world.id('owner'), '192.0.2.0/24');
INSERT INTO analytics.kpis_daily (day_on, metric, value) VALUES ('2026-01-01', 'dau', 6);
INSERT INTO analytics.ai_costs_daily (day_on, provider_key, model_key, feature, requests, tokens_in, tokens_out, cost_micro) VALUES ('2026-01-01', 'openai', 'gpt-4o-mini', 'assistant', 1, 1000, 200, 270);
