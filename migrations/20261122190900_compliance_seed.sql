-- What people may ask, how long things are kept, and which region stands for a country. May run again: what operators changed stays.
-- Owner: workers/gdpr. Locks: none.
-- Undo: DELETE FROM compliance.request_types, compliance.retention_policies, compliance.geo_region_mapping; the permissions below.

INSERT INTO rbac.permissions (permission_key, description, is_dangerous) VALUES
    ('audit.view', 'Read who did what', false),
    ('legal.manage', 'Write and publish terms and policies', true)
ON CONFLICT DO NOTHING;
-- Not again, once somebody has decided otherwise.
INSERT INTO rbac.role_permissions (role_id, permission_id, reason)
SELECT r.id, p.id, 'as delivered'
FROM rbac.roles r, rbac.permissions p
WHERE r.role_name IN ('owner', 'admin') AND p.permission_key IN ('audit.view', 'legal.manage')
    AND NOT EXISTS (SELECT FROM rbac.role_permissions other WHERE other.permission_id = p.id)
ON CONFLICT DO NOTHING;

INSERT INTO compliance.request_types (request_type, description, grace_days, needs_approval, is_staff_only) VALUES
    ('access', 'Know what is kept (GDPR article 15)', 0, false, false),
    ('export', 'Have a copy to take elsewhere (article 20)', 0, false, false),
    ('rectification', 'Have it put right (article 16)', 0, true, false),
    ('restriction', 'Have its use stopped (article 18)', 0, true, false),
    ('objection', 'Object to a use of it (article 21)', 0, true, false),
    ('deletion', 'Be forgotten (article 17)', 30, false, false),
    ('anonymisation', 'Minimise addresses, agents, referrers and places', 0, true, true)
ON CONFLICT DO NOTHING;

INSERT INTO compliance.retention_policies (data_type, schema_name, table_name, time_column, retention_months, archive_after_months, action, archive_table, include_pii, legal_basis) VALUES
    ('xp_events', 'gamification', 'xp_events', 'created_at', 12, NULL, 'delete', NULL, true, 'Opening balances are written before a month goes'),
    ('referral_tracking_clicks', 'referrals', 'tracking_clicks', 'clicked_at', 12, 6, 'archive', NULL, true, NULL),
    ('referral_codes', 'referrals', 'referral_codes', 'created_at', 24, 12, 'archive', NULL, true, NULL),
    ('referrals', 'referrals', 'referrals', 'created_at', 24, 12, 'archive', NULL, true, NULL),
    ('referral_commission_payouts', 'billing', 'payouts', 'created_at', 60, NULL, 'anonymise', NULL, true, 'Accounts are kept 60 months; never archived by itself'),
    ('lesson_analytics', 'learn', 'lesson_analytics', 'created_at', 36, NULL, 'archive', 'learn.lesson_analytics_archive', true, NULL),
    ('verification_logs', 'public', 'certificate_verification_logs', 'created_at', 12, NULL, 'delete', NULL, true, NULL),
    ('audit_log', 'compliance', 'audit_log', 'created_at', 60, NULL, 'delete', NULL, true, 'Claims lapse after five years'),
    ('data_exports', 'compliance', 'data_exports', 'created_at', 12, NULL, 'delete', NULL, true, 'The file goes with its link; the row tells that there was one'),
    ('dpia_test_results', 'compliance', 'dpia_test_results', 'test_timestamp', 60, NULL, 'delete', NULL, false, NULL),
    ('slo_measurements', 'util', 'slo_measurements', 'window_start', 13, NULL, 'delete', NULL, false, NULL),
    ('slo_alerts', 'util', 'slo_alerts', 'opened_at', 36, NULL, 'delete', NULL, false, NULL),
    ('system_anomalies', 'util', 'system_anomalies', 'detection_timestamp', 36, NULL, 'delete', NULL, false, NULL),
    ('error_budget_tracking', 'util', 'error_budget_tracking', 'window_start', 13, NULL, 'delete', NULL, false, NULL),
    ('function_performance_metrics', 'util', 'function_performance_metrics', 'collected_at', 3, NULL, 'delete', NULL, false, NULL),
    ('index_usage_history', 'util', 'index_usage_history', 'collected_at', 6, NULL, 'delete', NULL, false, NULL),
    ('storage_metrics_history', 'util', 'storage_metrics_history', 'collected_at', 24, NULL, 'delete', NULL, false, NULL)
ON CONFLICT DO NOTHING;

INSERT INTO compliance.geo_region_mapping (country_code, region_code, region_name, gdpr_applicable, data_localization_required, privacy_level, compliance_notes) VALUES
    ('FR', 'EU_WEST', 'Western Europe', true, false, 'public', NULL),
    ('BE', 'EU_WEST', 'Western Europe', true, false, 'public', NULL),
    ('NL', 'EU_WEST', 'Western Europe', true, false, 'public', NULL),
    ('LU', 'EU_WEST', 'Western Europe', true, false, 'sensitive', 'Small: a country says much about a person'),
    ('IE', 'EU_WEST', 'Western Europe', true, false, 'public', NULL),
    ('DE', 'EU_CENTRAL', 'Central Europe', true, false, 'public', NULL),
    ('AT', 'EU_CENTRAL', 'Central Europe', true, false, 'public', NULL),
    ('PL', 'EU_CENTRAL', 'Central Europe', true, false, 'public', NULL),
    ('ES', 'EU_SOUTH', 'Southern Europe', true, false, 'public', NULL),
    ('IT', 'EU_SOUTH', 'Southern Europe', true, false, 'public', NULL),
    ('PT', 'EU_SOUTH', 'Southern Europe', true, false, 'public', NULL),
    ('GR', 'EU_SOUTH', 'Southern Europe', true, false, 'public', NULL),
    ('SE', 'EU_NORTH', 'Northern Europe', true, false, 'public', NULL),
    ('DK', 'EU_NORTH', 'Northern Europe', true, false, 'public', NULL),
    ('FI', 'EU_NORTH', 'Northern Europe', true, false, 'public', NULL),
    ('RO', 'EU_EAST', 'Eastern Europe', true, false, 'public', NULL),
    ('NO', 'EEA', 'European Economic Area outside the Union', true, false, 'public', NULL),
    ('CH', 'ALPINE', 'Switzerland', false, false, 'public', 'Federal Act on Data Protection'),
    ('GB', 'BRITISH_ISLES', 'United Kingdom', true, false, 'public', 'UK GDPR'),
    ('US', 'NORTH_AMERICA', 'North America', false, false, 'public', 'CCPA in California'),
    ('CA', 'NORTH_AMERICA', 'North America', false, false, 'public', 'PIPEDA'),
    ('BR', 'LATIN_AMERICA', 'Latin America', false, false, 'public', 'LGPD'),
    ('MX', 'LATIN_AMERICA', 'Latin America', false, false, 'public', NULL),
    ('DZ', 'MAGHREB', 'Maghreb', false, true, 'sensitive', 'Law 18-07: a transfer abroad needs leave'),
    ('MA', 'MAGHREB', 'Maghreb', false, false, 'sensitive', 'Law 09-08'),
    ('TN', 'MAGHREB', 'Maghreb', false, false, 'sensitive', 'Law 2004-63'),
    ('AE', 'MIDDLE_EAST', 'Middle East', false, true, 'restricted', 'Federal Decree-Law 45 of 2021'),
    ('SN', 'WEST_AFRICA', 'West Africa', false, false, 'sensitive', 'Law 2008-12'),
    ('JP', 'EAST_ASIA', 'East Asia', false, false, 'public', 'APPI'),
    ('IN', 'SOUTH_ASIA', 'South Asia', false, false, 'public', 'DPDP Act 2023'),
    ('AU', 'OCEANIA', 'Oceania', false, false, 'public', 'Privacy Act 1988')
ON CONFLICT DO NOTHING;
