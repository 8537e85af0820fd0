-- Flags, objectives, thresholds and limits that come with the platform. May run again: what operators changed stays.
-- Owner: workers/maintenance. Locks: none.
-- Undo: DELETE FROM util.feature_flags, util.slo_definitions, util.performance_monitoring_config, util.rate_limits.

INSERT INTO util.feature_flags (flag_key, flag_name, flag_description, flag_category, is_enabled, flag_type, is_system_critical) VALUES
    ('conversions_enabled', 'Conversions', 'Referrals turn into commissions. Off: their jobs wait.', 'referrals', true, 'permanent', true),
    ('tracking_clicks_enabled', 'Tracking of clicks', 'Clicks on referral links are recorded. Off: their jobs wait.', 'referrals', true, 'permanent', true),
    ('pii_minimization_enabled', 'Minimisation of personal data', 'Addresses are hashed, places become regions. Not turned off without compliance.override.', 'compliance', true, 'permanent', true),
    ('advanced_analytics_enabled', 'Advanced analytics', 'Figures that cost much to compute.', 'analytics', true, 'permanent', true),
    ('real_time_updates_enabled', 'Updates in real time', 'Changes reach open pages at once.', 'general', true, 'permanent', true),
    ('emergency_read_only_mode', 'Emergency: read only', 'On: workers stop, but for alerts and partitions.', 'operations', false, 'permanent', true),
    ('assessment_analytics_compat_views', 'Views of the old assessment analytics', 'On: views under their old names answer.', 'analytics', true, 'temporary', false)
ON CONFLICT DO NOTHING;

INSERT INTO util.slo_definitions (slo_key, description, service_name, metric_type, unit, percentile, is_better, target_value, alert_threshold, critical_threshold, alert_rule, alert_route) VALUES
    ('assessments_start_attempt_p95', 'Start an attempt', 'assessments', 'latency', 'ms', 95, 'lower', 500, 450, 750, NULL, 'email'),
    ('verify_certificate_p99', 'Verify a certificate', 'certificates', 'latency', 'ms', 99, 'lower', 200, 180, 300, NULL, 'email'),
    ('credit_xp_p95', 'Credit XP', 'gamification', 'latency', 'ms', 95, 'lower', 300, 270, 450, NULL, 'email'),
    ('assessment_completion_success_rate', 'Submitted attempts that are graded', 'assessments', 'success_rate', 'percent', NULL, 'higher', 99.5, 99.0, 98.0, NULL, 'email'),
    ('certificate_issuance_success_rate', 'Certificates issued that were earned', 'certificates', 'success_rate', 'percent', NULL, 'higher', 99.8, 99.5, 99.0, NULL, 'email'),
    ('database_connection_availability', 'Connections to the database', 'database', 'availability', 'percent', NULL, 'higher', 99.95, 99.9, 99.5, NULL, 'pager'),
    ('referral_code_generation_p95', 'Make a referral code', 'referrals', 'latency', 'ms', 95, 'lower', 500, 450, 750, NULL, 'email'),
    -- Where the sources named two numbers, the stricter is the target and the looser alerts.
    ('referral_click_tracking_p95', 'Record a click, through to the database', 'referral_tracking', 'latency', 'ms', 95, 'lower', 100, 200, 300, 'referral_high_latency', 'pager'),
    ('referral_click_latency_p95', 'Answer a click', 'referral_tracking', 'latency', 'ms', 95, 'lower', 100, 200, 300, 'referral_high_latency', 'pager'),
    ('referral_conversion_p95', 'Process a conversion', 'conversion_processing', 'latency', 'ms', 95, 'lower', 1000, 900, 1500, 'referral_high_latency', 'pager'),
    ('referral_system_availability', 'Referrals answer', 'referrals', 'availability', 'percent', NULL, 'higher', 99.5, 99.0, 98.0, NULL, 'pager'),
    ('referral_attribution_error_rate', 'Conversions attributed wrongly', 'referrals', 'error_rate', 'percent', NULL, 'lower', 0.1, 1.5, 3, 'referral_low_accuracy', 'pager'),
    ('referral_attribution_accuracy', 'Conversions attributed rightly', 'referrals', 'accuracy', 'percent', NULL, 'higher', 99.9, 98.5, 97, 'referral_low_accuracy', 'pager'),
    ('referral_commission_success_rate', 'Commissions computed', 'referrals', 'success_rate', 'percent', NULL, 'higher', 99.9, 99.5, 99.0, NULL, 'email'),
    ('referral_click_throughput_per_minute', 'Clicks that can be taken', 'referral_tracking', 'throughput', 'per_minute', NULL, 'higher', 1000, 1000, 500, NULL, 'email'),
    ('referral_fraud_detection_rate', 'Referrals flagged as fraud', 'referrals', 'error_rate', 'percent', NULL, 'lower', 5, 4.5, 10, 'referral_high_fraud_rate', 'chat')
ON CONFLICT DO NOTHING;

INSERT INTO util.performance_monitoring_config (metric_name, service_name, threshold_value, threshold_unit, severity_level, rollback_trigger, rollback_type, rollback_config) VALUES
    ('p95_response_time', 'all', 500, 'ms', 'critical', true, 'feature_disable', '{"flags": ["advanced_analytics_enabled", "real_time_updates_enabled"]}'),
    -- A conversion may take a second: it is left out of the rollback that all others have.
    ('p95_response_time', 'conversion_processing', 1500, 'ms', 'high', false, NULL, '{}'),
    ('error_rate', 'all', 5, 'percent', 'critical', true, 'traffic_throttle', '{}'),
    ('throughput', 'all', 80, 'percent', 'high', false, NULL, '{}'),
    ('connections', 'all', 80, 'percent', 'high', false, NULL, '{}'),
    ('memory', 'all', 90, 'percent', 'critical', false, NULL, '{}'),
    ('job_wait', 'all', 300, 'seconds', 'high', false, NULL, '{}')
ON CONFLICT DO NOTHING;

INSERT INTO util.rate_limits (scope, max_hits, window_seconds, description) VALUES
    ('certificate.verify', 100, 3600, 'Look-ups of certificates from one address'),
    ('referral.click', 10, 3600, 'Clicks on referral links from one address'),
    ('auth.email_available', 20, 3600, 'Whether an address has an account, asked from one address')
ON CONFLICT DO NOTHING;

INSERT INTO util.migration_status (migration_key, status, affected_components, notes, completed_at, rollback_deadline, removal_date)
SELECT 'assessment_analytics', 'completed', '{assessment_analytics,learn.lesson_analytics}', 'Its events are rows of learn.lesson_analytics.', t.at, t.at + interval '30 days', t.at + interval '90 days'
FROM (SELECT now() AS at) t
ON CONFLICT DO NOTHING;
