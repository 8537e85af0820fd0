INSERT INTO compliance.rgpd_requests (user_id, request_type, format, details, requested_by) VALUES (world.id('owner'), 'export', 'json', 'all of it', world.id('owner'));
INSERT INTO compliance.data_exports (request_id, user_id, format) SELECT id, user_id, 'json' FROM compliance.rgpd_requests WHERE user_id = world.id('owner');
INSERT INTO compliance.erasure_steps (request_id, step, position) SELECT id, 'world', 1 FROM compliance.rgpd_requests WHERE user_id = world.id('owner');
INSERT INTO compliance.legal_docs (kind, locale, version, title, body, consent_key, published_at) VALUES
    ('terms', 'fr', 1, 'Conditions', 'Soyez gentils.', 'terms.accepted', now() - interval '2 days'),
    ('terms', 'fr', 2, 'Conditions', 'Soyez très gentils.', 'terms.accepted', NULL);
INSERT INTO compliance.ip_salts (salted_on, salt) VALUES ('2026-01-01', sha256('world'));
INSERT INTO compliance.dpia_test_results (test_execution_id, test_name, test_category, test_status, risk_level) VALUES (gen_random_uuid(), 'raw_ip_scan', 'raw_ip', 'pass', 'low');
INSERT INTO compliance.audit_log (actor_kind, actor_name, action, target_table, target_id, subject_id, before, after) VALUES
    ('service', 'world', 'profile.renamed', 'public.profiles', world.id('owner')::text, world.id('owner'), '{"username": "old"}', '{"username": "owner"}');
