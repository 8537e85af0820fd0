-- promise: A person asks about the own data, has a legal deadline, and is shown the open request when asking again.
DELETE FROM compliance.data_exports; DELETE FROM compliance.erasure_steps; DELETE FROM compliance.rgpd_requests;
SELECT world.act_as('owner');
SELECT world.same(compliance.open_request('export', NULL, 'json') ->> 'success', 'true');
SELECT world.same(compliance.open_request('export', NULL, 'csv') ->> 'error', 'already_open');
SELECT world.same(compliance.open_request('export') ->> 'request_id', (SELECT id::text FROM compliance.rgpd_requests));
SELECT world.same(compliance.open_request('access') ->> 'success', 'true');
SELECT world.same((SELECT (due_at = requested_at + interval '1 month', execute_after, requested_by)::text FROM compliance.rgpd_requests WHERE request_type = 'export'), '(t,,' || world.id('owner') || ')');
SELECT world.act_as('operator');
UPDATE compliance.rgpd_requests SET status = 'processing';
UPDATE compliance.rgpd_requests SET status = 'completed';
SELECT world.act_as('owner');
SELECT world.same(compliance.open_request('export') ->> 'success', 'true', 'after the first was answered');

-- promise: A person may be forgotten on the own word, think again until the grace ends, and then no more.
SELECT world.act_as('owner');
SELECT world.same(compliance.open_request('deletion') ->> 'success', 'true');
SELECT world.same((SELECT execute_after = requested_at + interval '30 days' FROM compliance.rgpd_requests WHERE request_type = 'deletion'), true);
SELECT world.act_as('service');
SELECT world.same((SELECT deletion_requested_at IS NOT NULL FROM public.profiles WHERE id = world.id('owner')), true);
SELECT world.fails($$UPDATE compliance.rgpd_requests SET status = 'processing' WHERE request_type = 'deletion'$$, 'trg_rgpd_requests_in_grace');
SELECT world.act_as('owner');
SELECT world.same(compliance.cancel_request((SELECT id FROM compliance.rgpd_requests WHERE request_type = 'deletion')) ->> 'success', 'true');
SELECT world.act_as('service');
SELECT world.same((SELECT deletion_requested_at FROM public.profiles WHERE id = world.id('owner')), NULL::timestamptz);
SELECT world.act_as('owner');
SELECT world.same(compliance.open_request('deletion') ->> 'success', 'true');
SELECT world.act_as('service');
UPDATE compliance.rgpd_requests SET execute_after = requested_at WHERE request_type = 'deletion';
SELECT world.act_as('owner');
SELECT world.same(compliance.cancel_request((SELECT id FROM compliance.rgpd_requests WHERE request_type = 'deletion' AND status = 'pending')) ->> 'error', 'too_late');

-- promise: Others are erased by those who may, only owners erase owners, and the erased one does not take it back.
SELECT world.act_as('owner');
SELECT world.same(compliance.open_request('deletion', world.id('other')) ->> 'error', 'not_permitted');
SELECT world.same(compliance.open_request('export', world.id('other')) ->> 'error', 'not_permitted');
SELECT world.same(compliance.open_request('anonymisation') ->> 'error', 'not_permitted');
SELECT world.act_as('admin');
SELECT world.same(compliance.open_request('deletion', world.id('boss')) ->> 'error', 'rank_too_high');
SELECT world.same(compliance.open_request('deletion', world.id('other')) ->> 'success', 'true');
SELECT world.act_as('other');
SELECT world.same(compliance.cancel_request((SELECT id FROM compliance.rgpd_requests WHERE request_type = 'deletion')) ->> 'error', 'not_permitted');
SELECT world.act_as('boss');
SELECT world.same(compliance.open_request('deletion', world.id('admin')) ->> 'success', 'true');
SELECT world.act_as('operator');
SELECT set_config('world.asked', (SELECT id::text FROM compliance.rgpd_requests WHERE user_id = world.id('other')), true);
SELECT world.act_as('owner');
SELECT world.same(compliance.cancel_request(current_setting('world.asked')::uuid) ->> 'error', 'unknown_request', 'of somebody else');

-- promise: users.delete without gdpr.process erases and does nothing else.
SELECT world.permit('{users.delete}');
SELECT world.act_as('permitted');
SELECT world.same(compliance.open_request('export', world.id('other')) ->> 'error', 'not_permitted');
SELECT world.same(compliance.open_request('deletion', world.id('other')) ->> 'error', 'rank_too_high', 'a member ranks above');

-- promise: What needs a look gets one before it begins, and a rejection says why.
SELECT world.act_as('owner');
SELECT world.same(compliance.open_request('rectification', details => 'My name is wrong') ->> 'success', 'true');
SELECT world.act_as('service');
SELECT world.fails($$UPDATE compliance.rgpd_requests SET status = 'processing' WHERE request_type = 'rectification'$$, 'trg_rgpd_requests_needs_approval');
SELECT world.act_as('owner');
SELECT world.same(compliance.decide_request((SELECT id FROM compliance.rgpd_requests WHERE request_type = 'rectification'), true) ->> 'error', 'not_permitted');
SELECT world.act_as('admin');
SELECT world.same(compliance.decide_request((SELECT id FROM compliance.rgpd_requests WHERE request_type = 'rectification'), false) ->> 'error', 'reason_missing');
SELECT world.same(compliance.decide_request((SELECT id FROM compliance.rgpd_requests WHERE request_type = 'rectification'), true) ->> 'success', 'true');
SELECT world.act_as('service');
UPDATE compliance.rgpd_requests SET status = 'processing' WHERE request_type = 'rectification';
SELECT world.same((SELECT (decided_by, started_at)::text FROM compliance.rgpd_requests WHERE request_type = 'rectification'), (world.id('admin'), now())::text);
SELECT world.act_as('admin');
SELECT world.same(compliance.decide_request((SELECT id FROM compliance.rgpd_requests WHERE request_type = 'rectification'), false, 'no proof') ->> 'error', 'too_late');

-- promise: A status follows another only as it may, and each refusal has its name.
SELECT world.fails($$UPDATE compliance.rgpd_requests SET status = 'completed'$$, 'trg_rgpd_requests_status_follows');
SELECT world.fails($$UPDATE compliance.rgpd_requests SET status = 'failed', last_error = 'x'$$, 'trg_rgpd_requests_status_follows');
SELECT world.fails($$UPDATE compliance.rgpd_requests SET user_id = world.id('other')$$, 'trg_rgpd_requests_keeps_what_was_asked');
SELECT world.fails($$UPDATE compliance.rgpd_requests SET requested_by = world.id('other')$$, 'trg_rgpd_requests_keeps_what_was_asked');
SELECT world.fails($$INSERT INTO compliance.rgpd_requests (user_id, request_type, status, decided_at) VALUES (world.id('other'), 'access', 'approved', now())$$, 'trg_rgpd_requests_begins_pending');
UPDATE compliance.rgpd_requests SET status = 'processing';
SELECT world.fails($$UPDATE compliance.rgpd_requests SET status = 'failed'$$, 'ck_rgpd_requests_failed');
UPDATE compliance.rgpd_requests SET status = 'failed', last_error = 'the store was away';
UPDATE compliance.rgpd_requests SET status = 'processing';
UPDATE compliance.rgpd_requests SET status = 'completed';
SELECT world.fails($$UPDATE compliance.rgpd_requests SET status = 'processing'$$, 'trg_rgpd_requests_status_follows');
SELECT world.fails($$UPDATE compliance.rgpd_requests SET finished_at = NULL$$, 'ck_rgpd_requests_finished');

-- promise: An erasure is completed when every step is done, and not before.
INSERT INTO compliance.rgpd_requests (user_id, request_type, execute_after) VALUES (world.id('other'), 'deletion', now());
UPDATE compliance.rgpd_requests SET status = 'processing' WHERE request_type = 'deletion';
SELECT world.fails($$UPDATE compliance.rgpd_requests SET status = 'completed' WHERE request_type = 'deletion'$$, 'trg_rgpd_requests_every_step_done');
INSERT INTO compliance.erasure_steps (request_id, step, position) SELECT id, step, nr FROM compliance.rgpd_requests, unnest('{login,profile}'::text[]) WITH ORDINALITY AS s(step, nr) WHERE request_type = 'deletion';
UPDATE compliance.erasure_steps SET status = 'done', started_at = now(), finished_at = now() WHERE step = 'login';
SELECT world.fails($$UPDATE compliance.rgpd_requests SET status = 'completed' WHERE request_type = 'deletion'$$, 'trg_rgpd_requests_every_step_done');
UPDATE compliance.erasure_steps SET status = 'skipped', finished_at = now() WHERE step = 'profile';
UPDATE compliance.rgpd_requests SET status = 'completed' WHERE request_type = 'deletion';

-- promise: A step is once in a request, and says what it did.
SELECT world.fails($$INSERT INTO compliance.erasure_steps (request_id, step, position) SELECT request_id, step, 9 FROM compliance.erasure_steps$$, 'uq_erasure_steps_step');
SELECT world.fails($$INSERT INTO compliance.erasure_steps (request_id, step, position) SELECT request_id, 'login', position FROM compliance.erasure_steps$$, 'uq_erasure_steps_position');
SELECT world.fails($$UPDATE compliance.erasure_steps SET status = 'done', started_at = now()$$, 'ck_erasure_steps_finished');
SELECT world.fails($$UPDATE compliance.erasure_steps SET status = 'running'$$, 'ck_erasure_steps_started');
SELECT world.fails($$UPDATE compliance.erasure_steps SET status = 'failed', started_at = now()$$, 'ck_erasure_steps_failed');
SELECT world.fails($$UPDATE compliance.erasure_steps SET rows_deleted = -1$$, 'ck_erasure_steps_rows_deleted');

-- promise: A part of an export is never shown as one, and where the file is stays between worker and API.
SELECT world.fails($$UPDATE compliance.data_exports SET status = 'ready', ready_at = now(), link_expires_at = now() + interval '1 day'$$, 'ck_data_exports_ready');
UPDATE compliance.data_exports SET status = 'ready', ready_at = now(), link_expires_at = now() + interval '1 day', object_key = 'exports/1', sha256 = repeat('0', 64), size_bytes = 1, manifest = '{}';
SELECT world.fails($$UPDATE compliance.data_exports SET object_deleted_at = now()$$, 'ck_data_exports_object_deleted_at');
SELECT world.fails($$UPDATE compliance.data_exports SET download_count = 1$$, 'ck_data_exports_downloaded');
SELECT world.fails($$INSERT INTO compliance.data_exports (request_id, user_id, format) SELECT request_id, user_id, format FROM compliance.data_exports$$, 'uq_data_exports_format');
SELECT world.act_as('owner');
SELECT world.same((SELECT count(*) FROM (SELECT status, sha256 FROM compliance.data_exports) e), 1::bigint);
SELECT world.fails($$SELECT object_key FROM compliance.data_exports$$, '42501');
SELECT world.fails($$SELECT last_error FROM compliance.rgpd_requests$$, '42501');

-- promise: The audit log is only added to; an erasure empties what it says about a person, once, and nothing else.
SELECT world.fails('DELETE FROM compliance.audit_log', 'trg_audit_log_keep');
SELECT world.fails($$UPDATE compliance.audit_log SET action = 'nothing'$$, 'trg_audit_log_keep');
SELECT world.fails($$UPDATE compliance.audit_log SET before = NULL, after = NULL$$, 'trg_audit_log_keep');
SELECT world.fails($$UPDATE compliance.audit_log SET pseudonymised_at = now(), before = NULL, after = NULL, actor_name = 'somebody else'$$, 'trg_audit_log_keep');
SELECT world.act_as('service');
SELECT world.fails('UPDATE compliance.audit_log SET action = action', '42501');
SELECT world.same(compliance.pseudonymise_audit_log(world.id('owner')) > 0, true);
SELECT world.same(compliance.pseudonymise_audit_log(world.id('owner')), 0::bigint);
SELECT world.same((SELECT (before, after, target_id, pseudonymised_at = now())::text FROM compliance.audit_log WHERE actor_name = 'world'), '(,,' || world.id('owner') || ',t)');
SELECT world.act_as('owner');
SELECT world.fails($$SELECT compliance.pseudonymise_audit_log(world.id('owner'))$$, '42501');

-- promise: A change of settings is logged with who made it, in which request, and only what changed.
SELECT set_config('request.id', 'req-1', true);
SELECT world.act_as('admin');
UPDATE compliance.retention_policies SET retention_months = 13 WHERE data_type = 'audit_log';
SELECT world.act_as('operator');
SELECT world.same((SELECT (actor_kind, target_table, target_id, before, after, request_id)::text FROM compliance.audit_log WHERE actor_id = world.id('admin')),
    '(user,compliance.retention_policies,audit_log,"{""retention_months"": 60}","{""retention_months"": 13}",req-1)');
UPDATE compliance.retention_policies SET last_rows = 5;
SELECT world.same((SELECT count(*) FROM compliance.audit_log WHERE target_table = 'compliance.retention_policies' AND created_at = now()), 1::bigint, 'a run is no change');

-- promise: Who changed what a role may do is logged.
SELECT world.act_as('boss');
INSERT INTO rbac.role_permissions (role_id, permission_id, reason) SELECT r.id, p.id, 'for a day' FROM rbac.roles r, rbac.permissions p WHERE r.role_name = 'member' AND p.permission_key = 'jobs.view';
SELECT world.same((SELECT actor_id FROM compliance.audit_log WHERE target_table = 'rbac.role_permissions' AND after ->> 'reason' = 'for a day'), world.id('boss'));

-- promise: What was published is retired, and never changed or deleted.
SELECT world.fails($$UPDATE compliance.legal_docs SET body = 'Be mean.' WHERE version = 1$$, 'trg_legal_docs_keep_published');
SELECT world.fails($$DELETE FROM compliance.legal_docs WHERE version = 1$$, 'trg_legal_docs_keep_published');
SELECT world.fails($$UPDATE compliance.legal_docs SET published_at = NULL WHERE version = 1$$, 'trg_legal_docs_keep_published');
UPDATE compliance.legal_docs SET retired_at = now() WHERE version = 1;
UPDATE compliance.legal_docs SET body = 'Be very nice.' WHERE version = 2;
SELECT world.fails($$INSERT INTO compliance.legal_docs (kind, locale, version, title, body) VALUES ('terms', 'fr', 1, 'a', 'b')$$, 'uq_legal_docs_version');
SELECT world.fails($$INSERT INTO compliance.legal_docs (kind, locale, version, title, body) VALUES ('poem', 'fr', 1, 'a', 'b')$$, 'ck_legal_docs_kind');

-- promise: A new version asks again, a refusal is an answer, mended spelling asks nobody, and nobody answers ahead.
SELECT world.act_as('owner');
SELECT world.same((SELECT (consent_key, version)::text FROM compliance.consents_to_ask(world.id('owner'))), '(terms.accepted,1)');
SELECT world.fails($$INSERT INTO public.user_consents (user_id, consent_key, version, granted, source) VALUES (world.id('owner'), 'terms.accepted', 2, true, 'settings')$$, 'trg_user_consents_check_version');
INSERT INTO public.user_consents (user_id, consent_key, version, granted, source) VALUES (world.id('owner'), 'terms.accepted', 1, false, 'settings');
SELECT world.same((SELECT count(*) FROM compliance.consents_to_ask(world.id('owner'))), 0::bigint);
SELECT world.act_as('operator');
UPDATE compliance.legal_docs SET published_at = now(), asks_again = false WHERE version = 2;
SELECT world.same((SELECT count(*) FROM compliance.consents_to_ask(world.id('owner'))), 0::bigint);
INSERT INTO compliance.legal_docs (kind, locale, version, title, body, consent_key, published_at) VALUES ('terms', 'fr', 3, 'a', 'b', 'terms.accepted', now());
SELECT world.same((SELECT version FROM compliance.consents_to_ask(world.id('owner'))), 3);
UPDATE public.user_consents SET revoked_at = now() WHERE consent_key = 'terms.accepted';
INSERT INTO public.user_consents (user_id, consent_key, version, granted, source, granted_at, expires_at) VALUES (world.id('owner'), 'terms.accepted', 3, true, 'api', now() - interval '2 days', now() - interval '1 day');
SELECT world.same((SELECT count(*) FROM compliance.consents_to_ask(world.id('owner'))), 1::bigint, 'it has run out');
SELECT world.act_as('anon');
SELECT world.same((SELECT version FROM compliance.current_legal_docs), 3);

-- promise: An address hashes to the same for a day, to another the next, and to nothing once its salt is gone.
SELECT world.same(compliance.hash_ip_daily_salt('192.0.2.1'), compliance.hash_ip_daily_salt('192.0.2.1/24'));
SELECT world.same(compliance.hash_ip_daily_salt('192.0.2.1') ~ '^[0-9a-f]{64}$', true);
SELECT world.same(compliance.hash_ip_daily_salt('192.0.2.1') <> compliance.hash_ip_daily_salt('192.0.2.2'), true);
SELECT compliance.rotate_ip_salt(now() - interval '1 day');
SELECT world.same(compliance.hash_ip_daily_salt('192.0.2.1') = ANY (compliance.recent_ip_hashes('192.0.2.1')) AND cardinality(compliance.recent_ip_hashes('192.0.2.1')) = 2, true);
SELECT world.same((compliance.recent_ip_hashes('192.0.2.1'))[1] <> (compliance.recent_ip_hashes('192.0.2.1'))[2], true);
SELECT compliance.rotate_ip_salt();
SELECT compliance.rotate_ip_salt();
SELECT world.same((SELECT array_agg(salted_on ORDER BY salted_on) FROM compliance.ip_salts), ARRAY[(now() AT TIME ZONE 'UTC')::date - 1, (now() AT TIME ZONE 'UTC')::date], 'older ones are gone');
SELECT world.same(compliance.hash_ip_daily_salt('192.0.2.1', (now() AT TIME ZONE 'UTC')::date - 2), NULL::text);
SELECT world.same(compliance.hash_ip_daily_salt(NULL), NULL::text);

-- promise: IPv6 is hashed by the network that one client has, and an IPv4 address in its clothes as what it is.
SELECT world.same(compliance.hash_ip_daily_salt('2001:db8:1:2::1'), compliance.hash_ip_daily_salt('2001:db8:1:2:ffff::9'));
SELECT world.same(compliance.hash_ip_daily_salt('2001:db8:1:2::1') <> compliance.hash_ip_daily_salt('2001:db8:1:3::1'), true);
SELECT world.same(compliance.hash_ip_daily_salt('::ffff:192.0.2.1'), compliance.hash_ip_daily_salt('192.0.2.1'));
SELECT world.same(compliance.truncate_ip_to_network('192.0.2.77'), '192.0.2.0/24'::cidr);
SELECT world.same(compliance.truncate_ip_to_network('192.0.2.77/30'), '192.0.2.0/24'::cidr);
SELECT world.same(compliance.truncate_ip_to_network('::ffff:192.0.2.77'), '192.0.2.0/24'::cidr);
SELECT world.same(compliance.truncate_ip_to_network('2001:db8:1:2::1'), '2001:db8:1::/48'::cidr);

-- promise: No client hashes an address, and nobody at all reads a salt.
SELECT world.act_as('admin');
SELECT world.fails($$SELECT compliance.hash_ip_daily_salt('192.0.2.1')$$, '42501');
SELECT world.act_as('service');
SELECT world.fails('SELECT salt FROM compliance.ip_salts', '42501');
SELECT world.same(compliance.hash_ip_daily_salt('192.0.2.1') IS NOT NULL, true);

-- promise: Of a place remains what its country's level allows, and never the city.
SELECT world.same(compliance.get_region_from_country('fr'), 'EU_WEST');
SELECT world.same(compliance.get_region_from_country('ZZ'), 'OTHER');
SELECT world.same(compliance.get_region_from_country(NULL), 'OTHER');
SELECT world.same(compliance.minimize_geo_data('FR', 'Lyon'), '{"country_code": "FR", "city_region": "EU_WEST"}'::jsonb);
SELECT world.same(compliance.minimize_geo_data('DZ', 'Oran'), '{"country_code": null, "city_region": "MAGHREB"}'::jsonb);
SELECT world.same(compliance.minimize_geo_data('AE', 'Dubai'), '{"country_code": null, "city_region": null}'::jsonb);
SELECT world.same(compliance.minimize_geo_data('ZZ', 'Nowhere'), '{"country_code": null, "city_region": "OTHER"}'::jsonb);
SELECT world.same((SELECT (count(*), count(DISTINCT region_code))::text FROM compliance.geo_region_mapping), '(31,16)');

-- promise: The retention of the sources is there: 12, 24 and 60 months, payouts without an archive.
SELECT world.same((SELECT array_agg(data_type || ' ' || retention_months || coalesce(' ' || archive_after_months, '') ORDER BY data_type) FROM compliance.retention_policies
    WHERE data_type IN ('xp_events', 'referral_tracking_clicks', 'referral_codes', 'referrals', 'referral_commission_payouts')),
    '{referral_codes 24 12,referral_commission_payouts 60,referral_tracking_clicks 12 6,referrals 24 12,xp_events 12}'::text[]);
SELECT world.fails($$UPDATE compliance.retention_policies SET archive_after_months = retention_months$$, 'ck_retention_policies_archive_before_end');

-- promise: Wrong input is refused by name.
SELECT world.act_as('owner');
SELECT world.same(compliance.open_request('poetry') ->> 'error', 'unknown_type');
SELECT world.same(compliance.open_request('access', gen_random_uuid()) ->> 'error', 'unknown_user');
SELECT world.same(compliance.open_request('access', NULL, 'pdf') ->> 'error', 'unknown_format');
SELECT world.same(compliance.open_request('access', NULL, NULL, repeat('x', 4001)) ->> 'error', 'details_too_long');
SELECT world.same(compliance.cancel_request(gen_random_uuid()) ->> 'error', 'unknown_request');
SELECT world.act_as('anon');
SELECT world.fails($$SELECT compliance.open_request('access')$$, '42501');
SELECT world.act_as('operator');
SELECT world.fails($$INSERT INTO compliance.rgpd_requests (user_id, request_type) VALUES (world.id('owner'), 'export')$$, 'uq_rgpd_requests_open');
SELECT world.fails($$INSERT INTO compliance.rgpd_requests (user_id, request_type) VALUES (gen_random_uuid(), 'access')$$, 'fk_rgpd_requests_user');
SELECT world.fails($$INSERT INTO compliance.rgpd_requests (user_id, request_type, due_at) VALUES (world.id('other'), 'access', now() + interval '1 year')$$, 'ck_rgpd_requests_due_at');
SELECT world.fails($$INSERT INTO compliance.rgpd_requests (user_id, request_type, due_at) VALUES (world.id('other'), 'poetry', now() + interval '1 month')$$, 'fk_rgpd_requests_type');
SELECT world.fails($$UPDATE compliance.rgpd_requests SET status = 'lost'$$, 'trg_rgpd_requests_status_follows');
SELECT world.fails($$INSERT INTO compliance.dpia_test_results (test_execution_id, test_name, test_category, test_status, risk_level, findings_count) VALUES (gen_random_uuid(), 'a_b', 'raw_ip', 'fail', 'high', 2)$$, 'ck_dpia_test_results_remediation');
SELECT world.fails($$INSERT INTO compliance.dpia_test_results (test_execution_id, test_name, test_category, test_status, risk_level, findings_count) VALUES (gen_random_uuid(), 'a_b', 'raw_ip', 'pass', 'high', 2)$$, 'ck_dpia_test_results_findings');
SELECT world.fails($$INSERT INTO compliance.geo_region_mapping (country_code, region_code, region_name, gdpr_applicable) VALUES ('FR', 'X_Y', 'x', true)$$, 'uq_geo_region_mapping_country');
SELECT world.fails($$INSERT INTO compliance.geo_region_mapping (country_code, region_code, region_name, gdpr_applicable) VALUES ('fr', 'X_Y', 'x', true)$$, 'ck_geo_region_mapping_country');
SELECT world.fails($$INSERT INTO compliance.audit_log (actor_kind, action) VALUES ('ghost', 'a.b')$$, 'ck_audit_log_actor_kind');
SELECT world.fails($$UPDATE compliance.request_types SET warn_after_days = 28$$, 'ck_request_types_alert_after_warning');

-- promise: A person is exported and erased by the map alone, as the worker, and nothing that says who it was is left.
UPDATE billing.webhook_events SET status = 'failed', error_kind = 'poison', error = 'of owner@example.org' WHERE provider_customer_id = 'cus_1';
-- A path for oneself with its own file; a file that a course of the platform shows; a path that is sold.
INSERT INTO media.assets (id, uploaded_by, asset_type, purpose, object_key, original_filename) VALUES
    ('ae000000-0000-4000-8000-000000000001', world.id('owner'), 'document', 'document', 'e/1', 'owner.pdf'),
    ('ae000000-0000-4000-8000-000000000002', world.id('owner'), 'document', 'document', 'e/2', 'shown.pdf'),
    ('ae000000-0000-4000-8000-000000000003', world.id('owner'), 'image', 'other', 'e/3', 'owner.png');
INSERT INTO content.attachments (course_id, kind, title, asset_id, created_by) VALUES
    ((SELECT id FROM content.courses WHERE slug = 'path'), 'file', 'Of the path', 'ae000000-0000-4000-8000-000000000001', world.id('owner')),
    ((SELECT id FROM content.courses WHERE slug = 'published'), 'file', 'Of the published', 'ae000000-0000-4000-8000-000000000002', world.id('owner'));
INSERT INTO content.courses (slug, title, course_type, created_by) VALUES ('sold-path', 'A path with a right', 'custom', world.id('owner'));
INSERT INTO access.user_entitlements (user_id, entitlement_type, course_id, source_type)
SELECT world.id('other'), 'course_specific', id, 'purchase' FROM content.courses WHERE slug = 'sold-path';
SELECT world.act_as('service');
DO $$
DECLARE
    subject record;
    found bigint;
BEGIN
    FOR subject IN
        SELECT format('%I.%I', s.schema_name, s.table_name) AS name, s.condition, s.erased_by, e.exported, e.sets, e.goes
        FROM compliance.data_subjects s
        CROSS JOIN LATERAL (
            SELECT string_agg(quote_ident(m.column_name), ', ') FILTER (WHERE m.is_exported) AS exported,
                bool_or(m.on_erasure = 'delete') AS goes,
                string_agg(format('%I = %s', m.column_name, CASE WHEN a.attnotnull THEN 'DEFAULT' ELSE 'NULL' END), ', ') FILTER (WHERE m.on_erasure = 'anonymise') AS sets
            FROM compliance.data_map m
            JOIN pg_attribute a ON a.attrelid = format('%I.%I', m.schema_name, m.table_name)::regclass AND a.attname = m.column_name
            WHERE (m.schema_name, m.table_name) = (s.schema_name, s.table_name)
        ) e
        -- The worker of the queue is another role.
        WHERE s.schema_name <> 'queue'
        -- The account last but for the log, which notes the rest.
        ORDER BY s.erased_by IS NOT NULL, s.schema_name = 'auth', s.schema_name, s.table_name
    LOOP
        IF subject.exported IS NOT NULL THEN
            EXECUTE format('SELECT count(to_jsonb(x)) FROM (SELECT %s FROM %s WHERE %s) x', subject.exported, subject.name, subject.condition)
            INTO found USING world.id('owner');
        END IF;
        IF subject.erased_by IS NOT NULL THEN
            EXECUTE format('SELECT %s($1)', subject.erased_by) USING world.id('owner');
        ELSIF subject.goes THEN
            EXECUTE format('DELETE FROM %s WHERE %s', subject.name, subject.condition) USING world.id('owner');
        ELSIF subject.sets IS NOT NULL THEN
            EXECUTE format('UPDATE %s SET %s WHERE %s', subject.name, subject.sets, subject.condition) USING world.id('owner');
        END IF;
    END LOOP;
END $$;
UPDATE public.profiles SET erased_at = now() WHERE id = world.id('owner');
SELECT world.act_as('operator');
SELECT world.same((SELECT count(*) FROM billing.webhook_events WHERE provider_customer_id = 'cus_1' AND redacted_at = now() AND error IS NULL), 1::bigint);
SELECT world.same((SELECT array_agg(original_filename) FROM media.assets WHERE id::text LIKE 'ae%'), '{shown.pdf}'::text[]);
SELECT world.same((SELECT array_agg(slug ORDER BY slug) FROM content.courses WHERE created_by = world.id('owner')), '{draft,sold-path}'::text[]);
DO $$
DECLARE
    name regclass;
    rest text;
BEGIN
    FOR name IN
        SELECT c.oid FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
        WHERE c.relkind IN ('r', 'p') AND NOT c.relispartition AND n.nspname !~ '^pg_|^information_schema$'
    LOOP
        EXECUTE format($q$SELECT min(x::text) FROM %s x WHERE x::text ~ 'owner@example\.org|owner\.(pdf|png)|\mOwner\M' AND x::text !~ 'Owns the platform'$q$, name) INTO rest;
        PERFORM world.same(rest, NULL, 'in ' || name);
    END LOOP;
END $$;

-- promise: What belongs to a person is found by an index in every table.
SET LOCAL enable_seqscan = off;
DO $$
DECLARE
    subject record;
    line text;
    plan text;
BEGIN
    FOR subject IN SELECT format('%I.%I', schema_name, table_name) AS name, condition FROM compliance.data_subjects WHERE schema_name <> 'queue' LOOP
        plan := '';
        FOR line IN EXECUTE format('EXPLAIN SELECT FROM %s WHERE %s', subject.name, replace(subject.condition, '$1', quote_literal(world.id('owner')) || '::uuid')) LOOP
            plan := plan || line || chr(10);
        END LOOP;
        IF plan ~ 'Seq Scan' THEN
            RAISE EXCEPTION 'no index for % in %', subject.name, plan;
        END IF;
    END LOOP;
END $$;
