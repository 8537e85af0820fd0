-- promise: A client says what it has done itself, and is known as a client.
SELECT world.act_as('owner');
SELECT analytics.append_activity('player', 'video.paused', '{"second": 12}', 'lesson', gen_random_uuid());
SELECT world.act_as('operator');
SELECT world.same((SELECT (user_id = world.id('owner'), source, created_at = now())::text FROM analytics.activity_log WHERE activity_type = 'player'), '(t,client,t)');

-- promise: Somebody without an account notes nothing.
SELECT world.act_as('anon');
SELECT world.fails($$SELECT analytics.append_activity('player', 'video.paused')$$, '42501');

-- promise: No address of a machine is kept, in no field and at no depth.
SELECT world.fails($$UPDATE analytics.user_sessions SET network = '192.0.2.7/32'$$, 'ck_user_sessions_network');
SELECT world.fails($$UPDATE analytics.user_sessions SET network = '2001:db8::/49'$$, 'ck_user_sessions_network');
UPDATE analytics.user_sessions SET network = '2001:db8::/48';
SELECT world.fails($$SELECT analytics.append_activity('login', 'done', '{"ip": "192.0.2.7"}')$$, 'ck_activity_log_no_address');
SELECT world.fails($$SELECT analytics.append_activity('login', 'done', '{"request": [{"Client_IP": "192.0.2.7"}]}')$$, 'ck_activity_log_no_address');
SELECT world.fails($$UPDATE analytics.user_sessions SET device_info = '{"ip_address": "192.0.2.7"}'$$, 'ck_user_sessions_no_address');
SELECT analytics.append_activity('login', 'done', '{"script": "x", "zip": "1", "description": "ip"}');

-- promise: A figure is written again with the same result, over an older version and never over a later one.
SELECT world.same(analytics.record_kpi('2026-01-01', 'dau', 6), false);
SELECT world.same(analytics.record_kpi('2026-01-01', 'dau', 7), true);
SELECT world.same(analytics.record_kpi('2026-01-01', 'dau', 8, version => 2), true);
SELECT world.same(analytics.record_kpi('2026-01-01', 'dau', 9), false);
SELECT world.same(analytics.record_kpi('2026-01-01', 'dau', 3, 'tier=premium', 12), true);
SELECT world.same((SELECT array_agg(value::integer || ' ' || dimension ORDER BY dimension) FROM analytics.kpis_daily), '{"8 ","3 tier=premium"}'::text[]);

-- promise: Events of a month nobody made a partition for are kept.
INSERT INTO analytics.activity_log (activity_type, action, created_at) VALUES ('import', 'done', '2019-05-05');
SELECT world.same((SELECT tableoid::regclass::text FROM analytics.activity_log WHERE activity_type = 'import'), 'analytics.activity_log_default');

-- promise: Wrong input is refused by name.
SELECT world.fails($$INSERT INTO analytics.kpis_daily (day_on, metric, value) VALUES (current_date, 'dau.total', 'NaN')$$, 'ck_kpis_daily_value');
SELECT world.fails($$SELECT analytics.append_activity('No spaces', 'paused')$$, 'ck_activity_log_activity_type');
SELECT world.fails($$SELECT analytics.append_activity('player', 'paused', '[]')$$, 'ck_activity_log_details');
SELECT world.fails($$SELECT analytics.append_activity('player', 'paused', subject_id => gen_random_uuid())$$, 'ck_activity_log_subject');
SELECT world.fails($$INSERT INTO analytics.activity_log (user_id, activity_type, action) VALUES (gen_random_uuid(), 'player', 'paused')$$, 'fk_activity_log_user');
SELECT world.fails($$UPDATE analytics.user_sessions SET last_seen_at = started_at - interval '1 second'$$, 'ck_user_sessions_last_seen_at');
SELECT world.fails($$UPDATE analytics.user_sessions SET ended_at = last_seen_at - interval '1 second'$$, 'ck_user_sessions_ended_at');
SELECT world.fails($$INSERT INTO analytics.kpis_daily (day_on, metric, value) VALUES ('2026-01-01', 'dau', 1)$$, 'kpis_daily_pkey');
SELECT world.fails($$SELECT analytics.record_kpi('2026-01-01', 'dau', 1, 'premium')$$, 'ck_kpis_daily_dimension');
SELECT world.fails($$SELECT analytics.record_kpi('2026-01-01', 'dau', 1, sample_size => -1)$$, 'ck_kpis_daily_sample_size');
SELECT world.fails($$UPDATE analytics.ai_costs_daily SET cost_micro = -1$$, 'ck_ai_costs_daily_cost_micro');
SELECT world.fails($$UPDATE analytics.ai_costs_daily SET failed_requests = 2$$, 'ck_ai_costs_daily_failed_requests');
