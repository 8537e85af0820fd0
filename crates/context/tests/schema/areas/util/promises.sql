-- promise: A partitioned table gets this month, three more and a default one, once.
CREATE TABLE world.events (id uuid DEFAULT gen_random_uuid(), at timestamptz NOT NULL, PRIMARY KEY (id, at)) PARTITION BY RANGE (at);
SELECT world.same(util.ensure_partitions('world.events', 3, '2025-11-15'), 5);
SELECT world.same(util.ensure_partitions('world.events', 3, '2025-11-15'), 0);
SELECT world.same(util.ensure_partitions('world.events', 3, '2025-12-15'), 1);
SELECT world.same(
    (SELECT array_agg(inhrelid::regclass::text ORDER BY inhrelid::regclass::text) FROM pg_inherits WHERE inhparent = 'world.events'::regclass),
    '{world.events_2025_11,world.events_2025_12,world.events_2026_01,world.events_2026_02,world.events_2026_03,world.events_default}'::text[]
);

-- promise: Months are those of UTC, whatever the session's zone.
SET LOCAL TIME ZONE 'Asia/Tokyo';
CREATE TABLE world.events (id uuid DEFAULT gen_random_uuid(), at timestamptz NOT NULL, PRIMARY KEY (id, at)) PARTITION BY RANGE (at);
SELECT util.ensure_partitions('world.events', 1, '2025-11-30 20:00+00');
INSERT INTO world.events (at) VALUES ('2025-11-30 23:59:59+00'), ('2025-12-01 00:00+00');
SELECT world.same((SELECT array_agg(tableoid::regclass::text ORDER BY at) FROM world.events), '{world.events_2025_11,world.events_2025_12}'::text[]);

-- promise: Rows that fell into the default partition move when their month is made.
CREATE TABLE world.events (id uuid DEFAULT gen_random_uuid(), at timestamptz NOT NULL, PRIMARY KEY (id, at)) PARTITION BY RANGE (at);
SELECT util.ensure_partitions('world.events', 0, '2025-11-15');
INSERT INTO world.events (at) VALUES ('2026-01-05'), ('2026-05-05');
SELECT world.same((SELECT count(*) FROM world.events_default), 2::bigint);
SELECT util.ensure_partitions('world.events', 2, '2025-11-15');
SELECT world.same((SELECT count(*) FROM world.events_default), 1::bigint);
SELECT world.same((SELECT count(*) FROM world.events_2026_01), 1::bigint);

-- promise: Rows of a log move too, with what is computed from them, and no trigger sees it.
CREATE TABLE world.events (id uuid DEFAULT gen_random_uuid(), n integer, twice integer GENERATED ALWAYS AS (n * 2) STORED, at timestamptz NOT NULL, PRIMARY KEY (id, at)) PARTITION BY RANGE (at);
CREATE TRIGGER trg_events_refuse_change BEFORE UPDATE OR DELETE ON world.events FOR EACH ROW EXECUTE FUNCTION util.refuse_change();
SELECT util.ensure_partitions('world.events', 0, '2025-11-15');
INSERT INTO world.events (n, at) VALUES (1, '2026-01-05');
SELECT util.ensure_partitions('world.events', 2, '2025-11-15');
SELECT world.same((SELECT twice FROM world.events_2026_01), 2);
SELECT world.fails('DELETE FROM world.events', 'trg_events_refuse_change');
INSERT INTO world.events (n, at) VALUES (1, '2027-01-05');
SELECT world.fails('DELETE FROM world.events_default', 'trg_events_refuse_change');

-- promise: Rows do not move when others would be deleted with them.
CREATE TABLE world.events (id uuid DEFAULT gen_random_uuid(), at timestamptz NOT NULL, PRIMARY KEY (id, at)) PARTITION BY RANGE (at);
CREATE TABLE world.details (event_id uuid, at timestamptz, FOREIGN KEY (event_id, at) REFERENCES world.events ON DELETE CASCADE);
SELECT util.ensure_partitions('world.events', 0, '2025-11-15');
WITH e AS (INSERT INTO world.events (at) VALUES ('2026-01-05') RETURNING id, at) SELECT count(*) FROM e;
INSERT INTO world.details SELECT id, at FROM world.events;
SELECT world.fails($$SELECT util.ensure_partitions('world.events', 2, '2025-11-15')$$, '2BP01');
SELECT world.same((SELECT count(*) FROM world.details), 1::bigint);

-- promise: One table that is gone does not keep the others from their partitions.
SELECT world.same(to_regclass('world.events'), NULL::regclass);
CREATE TABLE world.zoo (id uuid DEFAULT gen_random_uuid(), at timestamptz NOT NULL, PRIMARY KEY (id, at)) PARTITION BY RANGE (at);
SELECT util.ensure_partitions('world.zoo', 1, '2025-11-15');
SELECT util.ensure_all_partitions('2025-12-15');
SELECT world.same(to_regclass('world.zoo_2026_01') IS NOT NULL, true);

-- promise: Partitions are protected like their table.
CREATE TABLE world.events (id uuid DEFAULT gen_random_uuid(), at timestamptz NOT NULL, PRIMARY KEY (id, at)) PARTITION BY RANGE (at);
SELECT util.ensure_partitions('world.events', 1, '2025-11-15');
SELECT world.same((SELECT bool_and(relrowsecurity) FROM pg_class WHERE relkind = 'r' AND relname LIKE 'events\_%'), true);

-- promise: Nobody has the owner run what stands in a table of their own.
SELECT world.act_as('service');
CREATE FUNCTION pg_temp.evil() RETURNS integer LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION 'run as %', current_user; END $$;
CREATE TEMP TABLE mine (at timestamptz NOT NULL PRIMARY KEY, n integer DEFAULT pg_temp.evil()) PARTITION BY RANGE (at);
SELECT world.fails($$SELECT util.ensure_partitions('mine')$$, '42809');

-- promise: What has no months is refused.
SELECT world.fails($$SELECT util.ensure_partitions('public.profiles')$$, '42809');
SELECT world.fails($$SELECT util.ensure_partitions('queue.jobs', 99)$$, '22023');

-- promise: The same person stands at the same place for ever, on every server.
SELECT world.same(util.flag_bucket('world', '00000000-0000-4000-8000-00000000000a'), 8);
SELECT world.same((SELECT count(*) BETWEEN 900 AND 1100 FROM generate_series(1, 10000) n WHERE util.flag_bucket('world', ('00000000-0000-4000-8000-' || lpad(n::text, 12, '0'))::uuid) < 10), true);

-- promise: A percentage lets the same people in each time, and those who are in stay in when it grows.
UPDATE util.feature_flags SET is_enabled = true, rollout_percentage = 20 WHERE flag_key = 'world';
CREATE TEMP TABLE early ON COMMIT DROP AS SELECT id FROM (SELECT ('00000000-0000-4000-8000-' || lpad(n::text, 12, '0'))::uuid AS id FROM generate_series(100, 300) n) p WHERE util.check_flag_enabled('world', id);
SELECT world.same((SELECT count(*) BETWEEN 20 AND 60 FROM early), true);
UPDATE util.feature_flags SET rollout_percentage = 60 WHERE flag_key = 'world';
SELECT world.same((SELECT bool_and(util.check_flag_enabled('world', id)) FROM early), true);
UPDATE util.feature_flags SET rollout_percentage = 0 WHERE flag_key = 'world';
SELECT world.same((SELECT bool_or(util.check_flag_enabled('world', id)) FROM early), false);
SELECT world.same(util.check_flag_enabled('world', world.id('owner')), true, 'by name');

-- promise: Off is off for everybody, and what nobody knows is off.
UPDATE util.feature_flags SET is_enabled = false WHERE flag_key = 'world';
SELECT world.same(util.check_flag_enabled('world', world.id('owner')), false);
SELECT world.same(util.check_flag_enabled('unheard_of', world.id('owner')), false);
SELECT world.same(util.check_flag_enabled('conversions_enabled'), true);
SELECT world.same(util.check_flag_enabled('emergency_read_only_mode'), false);

-- promise: Cohorts are roles and languages; a role that ran out counts no more.
UPDATE util.feature_flags SET is_enabled = true, target_conditions = '{"roles": ["moderator", "admin"], "locales": ["fr"]}' WHERE flag_key = 'world';
SELECT world.same(util.check_flag_enabled('world', world.id('moderator')), true);
SELECT world.same(util.check_flag_enabled('world', world.id('other')), false);
SELECT world.same(util.check_flag_enabled('world'), false, 'without a person');
UPDATE public.profiles SET locale = 'en' WHERE id = world.id('moderator');
SELECT world.same(util.check_flag_enabled('world', world.id('moderator')), false);
UPDATE rbac.user_roles SET granted_at = now() - interval '2 hours', expires_at = now() - interval '1 hour' WHERE user_id = world.id('admin') AND role_id = (SELECT id FROM rbac.roles WHERE role_name = 'admin');
SELECT world.same(util.check_flag_enabled('world', world.id('admin')), false);

-- promise: A client asks for itself; for others the answer is that of nobody.
UPDATE util.feature_flags SET is_enabled = true, target_conditions = '{"roles": ["moderator"]}' WHERE flag_key = 'world';
SELECT world.act_as('other');
SELECT world.same(util.check_flag_enabled('world', world.id('moderator')), false);
SELECT world.same(util.check_flag_enabled('world', world.id('owner')), false);
SELECT world.act_as('owner');
SELECT world.same(util.check_flag_enabled('world'), true);
SELECT world.act_as('anon');
SELECT world.same(util.check_flag_enabled('world', world.id('owner')), false);
SELECT world.same(util.check_flag_enabled('conversions_enabled'), true);

-- promise: The minimisation of personal data is turned on by those who manage flags, and off by nobody without compliance.override.
SELECT world.permit('{flags.manage}');
SELECT world.act_as('permitted');
SELECT world.fails($$UPDATE util.feature_flags SET is_enabled = false WHERE flag_key = 'pii_minimization_enabled'$$, 'trg_feature_flags_keep_minimisation');
SELECT world.fails($$UPDATE util.feature_flags SET rollout_percentage = 0 WHERE flag_key = 'pii_minimization_enabled'$$, 'trg_feature_flags_keep_minimisation');
SELECT world.fails($$UPDATE util.feature_flags SET target_conditions = '{"roles": []}' WHERE flag_key = 'pii_minimization_enabled'$$, 'trg_feature_flags_keep_minimisation');
SELECT world.fails($$INSERT INTO util.feature_flag_users (flag_id, user_id, is_in) SELECT id, world.id('other'), false FROM util.feature_flags WHERE flag_key = 'pii_minimization_enabled'$$, 'trg_feature_flag_users_keep_minimisation');
SELECT world.fails($$DELETE FROM util.feature_flags WHERE flag_key = 'pii_minimization_enabled'$$, 'trg_feature_flags_keep_critical');
SELECT world.act_as('service');
SELECT world.fails($$UPDATE util.feature_flags SET is_enabled = false WHERE flag_key = 'pii_minimization_enabled'$$, 'trg_feature_flags_keep_minimisation');
SELECT world.act_as('operator');
SELECT world.fails($$UPDATE util.feature_flags SET is_enabled = false WHERE flag_key = 'pii_minimization_enabled'$$, 'trg_feature_flags_keep_minimisation');
SELECT world.permit('{flags.manage,compliance.override}');
SELECT world.act_as('permitted');
UPDATE util.feature_flags SET is_enabled = false WHERE flag_key = 'pii_minimization_enabled';
SELECT world.act_as('operator');
SELECT world.permit('{flags.manage}');
SELECT world.act_as('permitted');
UPDATE util.feature_flags SET is_enabled = true WHERE flag_key = 'pii_minimization_enabled';
SELECT world.act_as('operator');
SELECT world.same((SELECT count(*) FROM compliance.audit_log WHERE target_table = 'util.feature_flags' AND target_id = 'pii_minimization_enabled' AND actor_id = world.id('permitted') AND action = 'update'), 2::bigint);

-- promise: No more than a limit is let through in a window, refusals are not counted, and others are not touched.
CREATE TEMP TABLE hits ON COMMIT DROP AS SELECT n, (util.count_and_check('world.test', 'somebody', 5, interval '1 hour')).* FROM generate_series(1, 8) n;
SELECT world.same((SELECT count(*) FROM hits WHERE allowed), 5::bigint);
SELECT world.same((SELECT hits FROM util.rate_counters WHERE scope = 'world.test'), 5);
SELECT world.same((SELECT (remaining, retry_at > now())::text FROM hits WHERE n = 8), '(0,t)');
SELECT world.same((SELECT allowed FROM util.count_and_check('world.test', 'somebody else', 5, interval '1 hour')), true);
SELECT world.same((SELECT allowed FROM util.count_and_check('world.other', 'somebody', 5, interval '1 hour')), true);
SELECT world.same((SELECT allowed FROM util.count_and_check('world.none', 'somebody', 0, interval '1 hour')), false);

-- promise: The window slides: what was let through just before it began still counts.
INSERT INTO util.rate_counters (scope, subject_hash, window_start, hits, expires_at)
SELECT 'world.test', sha256('somebody'), to_timestamp(floor(extract(epoch FROM clock_timestamp()) / 86400) * 86400) - interval '1 day', 1000000, now() + interval '1 day';
SELECT world.same((SELECT allowed FROM util.count_and_check('world.test', 'somebody', 5, interval '1 day')), false);

-- promise: A day of a window has 24 hours, whatever the session's zone and its summer time.
SET LOCAL TIME ZONE 'Europe/Paris';
SELECT count(*) FROM util.count_and_check('world.test', 'somebody', 5, interval '1 day');
SELECT count(*) FROM util.count_and_check('world.test', 'somebody', 5, interval '1 month');
SELECT world.same((SELECT array_agg(DISTINCT extract(epoch FROM expires_at - window_start)::bigint) FROM util.rate_counters WHERE scope = 'world.test'), '{172800,5184000}'::bigint[]);

-- promise: The hour over midnight counts what was done under yesterday's hash of the address.
SELECT compliance.rotate_ip_salt(now() - interval '1 day');
SELECT count(*) FROM generate_series(1, 5) n, LATERAL util.count_and_check('world.test', (compliance.recent_ip_hashes('192.0.2.7'))[2], 5 + n * 0, interval '1 hour');
SELECT world.same((SELECT allowed FROM util.count_and_check('world.test', (compliance.recent_ip_hashes('192.0.2.7'))[1], 5, interval '1 hour')), true, 'alone');
SELECT world.same((SELECT allowed FROM util.count_and_check('world.test', (compliance.recent_ip_hashes('192.0.2.7'))[1], 5, interval '1 hour', (compliance.recent_ip_hashes('192.0.2.7'))[2])), false);

-- promise: Limits are rows; one that is not active lets all through, and one that is not there is an error.
UPDATE util.rate_limits SET max_hits = 1 WHERE scope = 'referral.click';
SELECT world.same((SELECT allowed FROM util.check_rate('referral.click', 'somebody')), true);
SELECT world.same((SELECT allowed FROM util.check_rate('referral.click', 'somebody')), false);
UPDATE util.rate_limits SET is_active = false WHERE scope = 'referral.click';
SELECT world.same((SELECT allowed FROM util.check_rate('referral.click', 'somebody')), true);
SELECT world.fails($$SELECT * FROM util.check_rate('unheard.of', 'somebody')$$, '22023');
SELECT world.fails($$SELECT * FROM util.count_and_check('world.test', 'somebody', 5, interval '0')$$, '22023');
SELECT world.fails($$SELECT * FROM util.count_and_check('world.test', NULL, 5, interval '1 hour')$$, '22023');
SELECT world.act_as('owner');
SELECT world.fails($$SELECT * FROM util.count_and_check('world.test', 'victim', 5, interval '1 hour')$$, '42501');

-- promise: A window without requests has no rate, and is no error.
SELECT world.same((SELECT error_rate_percent IS NULL AND slow_rate_percent IS NULL FROM util.error_budget_tracking WHERE service_name = 'world'), true);
UPDATE util.error_budget_tracking SET total_requests = 200, failed_requests = 3 WHERE service_name = 'world';
SELECT world.same((SELECT error_rate_percent FROM util.error_budget_tracking WHERE service_name = 'world'), 1.5);
SELECT world.fails($$UPDATE util.error_budget_tracking SET failed_requests = 201$$, 'ck_error_budget_tracking_failed');
SELECT world.fails($$INSERT INTO util.error_budget_tracking (service_name, time_window, window_start, window_end) SELECT service_name, time_window, window_start, window_end FROM util.error_budget_tracking$$, 'uq_error_budget_tracking_window');

-- promise: The same finding opens one anomaly, and after it is resolved another.
SELECT world.fails($$INSERT INTO util.system_anomalies (detector, subject, anomaly_type, severity) VALUES ('world', 'a', 'security', 'high')$$, 'uq_system_anomalies_open');
SELECT world.fails($$UPDATE util.system_anomalies SET status = 'resolved'$$, 'ck_system_anomalies_resolved');
UPDATE util.system_anomalies SET status = 'resolved', resolved_at = now();
INSERT INTO util.system_anomalies (detector, subject, anomaly_type, severity, current_value, baseline_value) VALUES ('world', 'a', 'security', 'high', 5, 0), ('world', 'b', 'security', 'high', 15, 10);
SELECT world.same((SELECT array_agg(deviation_percentage ORDER BY subject) FROM util.system_anomalies WHERE status = 'detected'), '{NULL,50.00}'::numeric[]);

-- promise: One alert about a thing is open at a time, and nobody answers in another's name.
SELECT world.fails($$INSERT INTO util.slo_alerts (source, dedupe_key, level, title) VALUES ('job', 'world', 'critical', 'again')$$, 'uq_slo_alerts_open');
SELECT world.permit('{slo.manage}');
SELECT world.act_as('permitted');
SELECT world.fails($$UPDATE util.slo_alerts SET status = 'acknowledged', acknowledged_at = now(), acknowledged_by = world.id('admin')$$, 'trg_slo_alerts_check_signature');
UPDATE util.slo_alerts SET status = 'acknowledged', acknowledged_at = now(), acknowledged_by = world.id('permitted');
SELECT world.fails($$UPDATE util.system_anomalies SET status = 'resolved', resolved_at = now(), resolved_by = world.id('admin')$$, 'trg_system_anomalies_check_signature');
SELECT world.fails($$UPDATE util.deprecation_timeline SET status = 'approved', approved_at = now(), approved_by = world.id('admin')$$, 'trg_deprecation_timeline_check_signature');
SELECT world.act_as('admin');
UPDATE util.slo_alerts SET status = 'resolved', resolved_at = now();
SELECT world.same((SELECT acknowledged_by FROM util.slo_alerts), world.id('permitted'), 'resolved by another');
SELECT world.act_as('permitted');
SELECT world.fails($$SELECT alert_webhook_url FROM util.performance_monitoring_config$$, '42501');

-- promise: One automatic rollback runs at a time, and one crossing has one.
INSERT INTO util.rollback_execution_log (dedupe_key, trigger_metric, trigger_value, trigger_threshold, rollback_type) VALUES ('world 2', 'error_rate', 9, 5, 'traffic_throttle');
SELECT world.fails($$INSERT INTO util.rollback_execution_log (dedupe_key, trigger_metric, trigger_value, trigger_threshold, rollback_type) VALUES ('world 3', 'error_rate', 9, 5, 'traffic_throttle')$$, 'uq_rollback_execution_log_running');
SELECT world.fails($$INSERT INTO util.rollback_execution_log (dedupe_key, trigger_metric, trigger_value, trigger_threshold, rollback_type, execution_status, completed_at) VALUES ('world', 'error_rate', 9, 5, 'traffic_throttle', 'completed', now())$$, 'uq_rollback_execution_log_dedupe_key');

-- promise: Where the sources named two numbers, the stricter is the target and the looser alerts; a conversion may take its second.
SELECT world.same((SELECT (target_value, alert_threshold)::text FROM util.slo_definitions WHERE slo_key = 'referral_click_tracking_p95'), '(100,200)');
SELECT world.same((SELECT (target_value, alert_threshold)::text FROM util.slo_definitions WHERE slo_key = 'referral_attribution_error_rate'), '(0.1,1.5)');
SELECT world.same((SELECT rollback_trigger FROM util.performance_monitoring_config WHERE metric_name = 'p95_response_time' AND service_name = 'conversion_processing'), false);
SELECT world.same((SELECT (threshold_value, rollback_trigger)::text FROM util.performance_monitoring_config WHERE metric_name = 'p95_response_time' AND service_name = 'all'), '(500,t)');
SELECT world.same((SELECT array_agg(flag_key ORDER BY flag_key) FROM util.feature_flags WHERE is_system_critical),
    '{advanced_analytics_enabled,conversions_enabled,emergency_read_only_mode,pii_minimization_enabled,real_time_updates_enabled,tracking_clicks_enabled}'::text[]);

-- promise: Objectives contradict themselves by name only.
SELECT world.fails($$UPDATE util.slo_definitions SET critical_threshold = 100 WHERE slo_key = 'verify_certificate_p99'$$, 'ck_slo_definitions_thresholds');
SELECT world.fails($$UPDATE util.slo_definitions SET critical_threshold = 99.9 WHERE slo_key = 'referral_system_availability'$$, 'ck_slo_definitions_thresholds');
SELECT world.fails($$UPDATE util.slo_definitions SET target_value = 101 WHERE slo_key = 'referral_system_availability'$$, 'ck_slo_definitions_percent');
SELECT world.fails($$UPDATE util.slo_definitions SET percentile = NULL WHERE slo_key = 'verify_certificate_p99'$$, 'ck_slo_definitions_latency');
SELECT world.fails($$INSERT INTO util.slo_measurements (slo_id, window_start, window_end, measured_value, sample_count, health_status) SELECT slo_id, window_start, window_end, 1, 1, 'healthy' FROM util.slo_measurements$$, '23505');
SELECT world.fails($$INSERT INTO util.slo_measurements (slo_id, window_start, window_end, sample_count, health_status) SELECT slo_id, now(), now() + interval '1 minute', 0, 'healthy' FROM util.slo_measurements$$, 'ck_slo_measurements_no_data');

-- promise: Nothing on its way out goes without somebody's word.
SELECT world.fails($$UPDATE util.deprecation_timeline SET status = 'removed', removed_at = now()$$, 'ck_deprecation_timeline_approved');
UPDATE util.deprecation_timeline SET status = 'removed', removed_at = now(), approved_at = now(), approved_by = world.id('admin');

-- promise: A row of an earlier system became one row of this one.
SELECT world.fails($$INSERT INTO util.legacy_ids (system, table_name, legacy_id, new_id) VALUES ('world', 'users', '1', gen_random_uuid())$$, 'legacy_ids_pkey');
INSERT INTO util.legacy_ids (system, table_name, legacy_id, new_id) VALUES ('elsewhere', 'users', '1', world.id('owner'));

-- promise: Workers see which migrations ran, and clients do not.
SELECT world.act_as('service');
SELECT world.same((SELECT is_applied FROM util.migrations_meta WHERE migration_name = 'auth create'), true);
SELECT world.act_as('admin');
SELECT world.fails('SELECT * FROM util.migrations_meta', '42501');

-- promise: Wrong input is refused by name.
SELECT world.fails($$UPDATE util.system_anomalies SET current_value = 'NaN'$$, 'ck_system_anomalies_current_value');
SELECT world.fails($$UPDATE util.slo_alerts SET measured_value = 'NaN'$$, 'ck_slo_alerts_measured_value');
SELECT world.fails($$UPDATE util.function_performance_metrics SET max_ms = 'NaN'$$, 'ck_function_performance_metrics_max');
SELECT world.fails($$INSERT INTO util.feature_flags (flag_key, flag_name) VALUES ('world', 'again')$$, 'uq_feature_flags_key');
SELECT world.fails($$UPDATE util.feature_flags SET rollout_percentage = 101$$, 'ck_feature_flags_rollout');
SELECT world.fails($$UPDATE util.feature_flags SET target_conditions = '{"planets": ["Mars"]}' WHERE flag_key = 'world'$$, 'ck_feature_flags_conditions');
SELECT world.fails($$UPDATE util.feature_flags SET target_conditions = '{"roles": "admin"}' WHERE flag_key = 'world'$$, 'ck_feature_flags_conditions');
SELECT world.fails($$UPDATE util.feature_flags SET flag_type = 'eternal' WHERE flag_key = 'world'$$, 'ck_feature_flags_type');
SELECT world.fails($$INSERT INTO util.feature_flag_users (flag_id, user_id) SELECT id, gen_random_uuid() FROM util.feature_flags WHERE flag_key = 'world'$$, 'fk_feature_flag_users_user');
SELECT world.fails($$INSERT INTO util.rate_limits (scope, max_hits, window_seconds) VALUES ('a.b', -1, 60)$$, 'ck_rate_limits_max_hits');
SELECT world.fails($$UPDATE util.performance_monitoring_config SET rollback_trigger = true WHERE metric_name = 'memory'$$, 'ck_performance_monitoring_config_rollback');
SELECT world.fails($$INSERT INTO util.function_performance_metrics (service_name, function_name, window_start, calls, errors, total_ms) VALUES ('world', 'f', now(), 1, 2, 0)$$, 'ck_function_performance_metrics_errors');
SELECT world.fails($$INSERT INTO util.index_usage_history (schema_name, table_name, index_name, times_used, tuples_read, tuples_fetched, size_bytes) VALUES ('a', 'b', 'c', -1, 0, 0, 0)$$, 'ck_index_usage_history_times_used');
SELECT world.fails($$UPDATE util.slo_alerts SET level = 'panic'$$, 'ck_slo_alerts_level');

-- promise: Six critical flags and one for old views come with the platform, and the objectives of the sources.
SELECT world.same((SELECT string_agg(flag_key, ' ' ORDER BY flag_key) FROM util.feature_flags WHERE is_system_critical),
    'advanced_analytics_enabled conversions_enabled emergency_read_only_mode pii_minimization_enabled real_time_updates_enabled tracking_clicks_enabled');
SELECT world.same((SELECT count(*) FROM util.feature_flags WHERE flag_key = 'assessment_analytics_compat_views' AND NOT is_system_critical), 1::bigint);
SELECT world.same((SELECT string_agg(concat_ws('/', target_value, alert_threshold, critical_threshold), ' ' ORDER BY slo_key) FROM util.slo_definitions
    WHERE slo_key IN ('assessments_start_attempt_p95', 'verify_certificate_p99', 'credit_xp_p95', 'database_connection_availability')),
    '500/450/750 300/270/450 99.95/99.9/99.5 200/180/300');
