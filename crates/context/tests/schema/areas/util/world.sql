INSERT INTO util.partitioned_tables (parent) VALUES ('world.events');
INSERT INTO util.feature_flags (flag_key, flag_name) VALUES ('world', 'Of the tests');
INSERT INTO util.feature_flag_users (flag_id, user_id) SELECT id, world.id('owner') FROM util.feature_flags WHERE flag_key = 'world';
INSERT INTO util.rate_counters (scope, subject_hash, window_start, hits, expires_at) VALUES ('world', sha256('world'), '2026-01-01', 1, '2026-01-02');
INSERT INTO util.slo_measurements (slo_id, window_start, window_end, measured_value, sample_count, health_status)
SELECT id, date_trunc('hour', now()), date_trunc('hour', now()) + interval '5 minutes', 120, 10, 'healthy' FROM util.slo_definitions WHERE slo_key = 'verify_certificate_p99';
INSERT INTO util.slo_alerts (source, dedupe_key, level, title) VALUES ('job', 'world', 'warning', 'A job died');
INSERT INTO util.error_budget_tracking (service_name, time_window, window_start, window_end) VALUES ('world', 'hourly', '2026-01-01 00:00Z', '2026-01-01 01:00Z');
INSERT INTO util.rollback_execution_log (dedupe_key, trigger_metric, trigger_value, trigger_threshold, rollback_type, execution_status, completed_at)
VALUES ('world', 'p95_response_time', 800, 500, 'feature_disable', 'completed', now());
INSERT INTO util.system_anomalies (detector, subject, anomaly_type, severity) VALUES ('world', 'a', 'performance', 'low');
INSERT INTO util.function_performance_metrics (service_name, function_name, window_start, calls, total_ms) VALUES ('world', 'world.id', now() - interval '1 hour', 2, 3);
INSERT INTO util.index_usage_history (schema_name, table_name, index_name, times_used, tuples_read, tuples_fetched, size_bytes) VALUES ('world', 'a', 'idx_a', 0, 0, 0, 8192);
INSERT INTO util.storage_metrics_history (schema_name, table_name, live_rows, dead_rows, table_bytes, index_bytes, toast_bytes) VALUES ('world', 'a', 1, 0, 8192, 8192, 0);
INSERT INTO util.deprecation_timeline (component, removal_date) VALUES ('world.old', now() + interval '90 days');
INSERT INTO util.legacy_ids (system, table_name, legacy_id, new_id) VALUES ('world', 'users', '1', world.id('owner'));
