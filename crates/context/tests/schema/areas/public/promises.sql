-- promise: A sign-up brings a profile and settings, and never fails for what it says about itself.
INSERT INTO auth.users (id, email, raw_user_meta_data) VALUES
    ('11111111-1111-4111-8111-111111111111', 'new@example.org', '{"username": "OWNER", "locale": "english", "time_zone": "Mars/Olympus"}');
SELECT world.same((SELECT (username, email, locale, time_zone)::text FROM public.profiles WHERE id = '11111111-1111-4111-8111-111111111111'), '(,new@example.org,fr,UTC)');
SELECT world.same((SELECT count(*) FROM public.user_settings WHERE user_id = '11111111-1111-4111-8111-111111111111'), 1::bigint);

-- promise: An account that goes leaves the profile, without its account.
INSERT INTO auth.users (id, email) VALUES ('11111111-1111-4111-8111-111111111111', 'new@example.org');
DELETE FROM auth.users WHERE id = '11111111-1111-4111-8111-111111111111';
SELECT world.same((SELECT account_id FROM public.profiles WHERE id = '11111111-1111-4111-8111-111111111111'), NULL::uuid);

-- promise: A tombstone has no name, no address and no account.
SELECT world.fails($$UPDATE public.profiles SET erased_at = now() WHERE id = world.id('owner')$$, 'ck_profiles_erased');

-- promise: Nobody reads the address of others or whether they leave, or gives the own profile to somebody else.
SELECT world.act_as('other');
SELECT world.fails($$SELECT email FROM public.profiles$$, '42501');
SELECT world.fails($$SELECT deletion_requested_at FROM public.profiles$$, '42501');
SELECT world.fails($$UPDATE public.profiles SET id = gen_random_uuid()$$, '42501');
SELECT world.act_as('anon');
SELECT world.same((SELECT array_agg(username) FROM public.profiles), '{other}'::text[]);

-- promise: updated_at follows every change.
UPDATE public.profiles SET updated_at = '2000-01-01' WHERE id = world.id('owner');
SELECT world.same((SELECT updated_at = now() FROM public.profiles WHERE id = world.id('owner')), true);

-- promise: One answer to a question of consent counts at a time, and only its end can be added to it.
SELECT world.fails($$INSERT INTO public.user_consents (user_id, consent_key, granted, source) VALUES (world.id('owner'), 'marketing.email', false, 'settings')$$, 'uq_user_consents_current');
SELECT world.act_as('owner');
UPDATE public.user_consents SET revoked_at = now();
INSERT INTO public.user_consents (user_id, consent_key, granted, source) VALUES (world.id('owner'), 'marketing.email', false, 'settings');
SELECT world.fails($$UPDATE public.user_consents SET granted = true$$, '42501');

-- promise: Wrong input is refused by name.
SELECT world.fails($$UPDATE public.profiles SET username = 'No spaces'$$, 'ck_profiles_username');
SELECT world.fails($$UPDATE public.profiles SET username = 'other' WHERE id = world.id('owner')$$, 'uq_profiles_username');
SELECT world.fails($$UPDATE public.profiles SET email = 'OTHER@example.org' WHERE id = world.id('owner')$$, 'uq_profiles_email');
SELECT world.fails($$UPDATE public.profiles SET locale = 'french'$$, 'ck_profiles_locale');
SELECT world.fails($$UPDATE public.profiles SET account_id = world.id('owner') WHERE id = world.id('other')$$, 'ck_profiles_account');
SELECT world.fails($$INSERT INTO public.profile_links (user_id, kind, url) VALUES (world.id('owner'), 'website', 'javascript:alert(1)')$$, 'ck_profile_links_url');
SELECT world.fails($$INSERT INTO public.profile_links (user_id, kind, url) VALUES (gen_random_uuid(), 'website', 'https://example.org')$$, 'fk_profile_links_user');
SELECT world.fails($$INSERT INTO public.user_consents (user_id, consent_key, granted, source) VALUES (world.id('other'), 'terms', true, 'telepathy')$$, 'ck_user_consents_source');
SELECT world.fails($$UPDATE public.user_settings SET ui_settings = '[]'$$, 'ck_user_settings_ui');

-- promise: A tombstone keeps no name, no words about the person, and is filled by nobody with an old token.
SELECT world.fails($$UPDATE public.profiles SET username = NULL, email = NULL, account_id = NULL, erased_at = now() WHERE id = world.id('owner')$$, 'ck_profiles_erased');
UPDATE public.profiles SET username = NULL, email = NULL, account_id = NULL, display_name = '', erased_at = now() WHERE id = world.id('owner');
SELECT world.act_as('owner');
UPDATE public.profiles SET bio = 'still here';
SELECT world.act_as('operator');
SELECT world.same((SELECT bio FROM public.profiles WHERE id = world.id('owner')), '');

-- promise: A time zone that the server does not know is refused, so that no work of the night stops over it.
SELECT world.act_as('owner');
SELECT world.fails($$UPDATE public.profiles SET time_zone = 'Mars/Olympus'$$, 'trg_profiles_check_time_zone');
UPDATE public.profiles SET time_zone = 'Africa/Algiers';

-- promise: Mails follow the address of the account, and nobody's address goes to a second profile.
UPDATE auth.users SET email = 'moved@example.org' WHERE id = world.id('owner');
SELECT world.same((SELECT email FROM public.profiles WHERE id = world.id('owner')), 'moved@example.org');
UPDATE public.profiles SET email = 'taken@example.org' WHERE id = world.id('other');
UPDATE auth.users SET email = 'taken@example.org' WHERE id = world.id('owner');
SELECT world.same((SELECT email FROM public.profiles WHERE id = world.id('owner')), NULL::text);

-- promise: Accounts that were there before get what a sign-up gets, once.
ALTER TABLE auth.users DISABLE TRIGGER trg_users_create_profile;
INSERT INTO auth.users (id, email, raw_user_meta_data) VALUES ('11111111-1111-4111-8111-111111111111', 'early@example.org', '{"username": "early"}');
SELECT public.adopt_account(id, email, raw_user_meta_data) FROM auth.users;
SELECT public.adopt_account(id, email, raw_user_meta_data) FROM auth.users;
SELECT world.same((SELECT (username, email)::text FROM public.profiles WHERE id = '11111111-1111-4111-8111-111111111111'), '(early,early@example.org)');
SELECT world.same(rbac.has_role('11111111-1111-4111-8111-111111111111', 'member'), true);
SELECT world.same((SELECT count(*) FROM public.profiles), 7::bigint);

-- promise: The history of consents cannot be made up: not its time, not its end, not its origin.
SELECT world.act_as('owner');
SELECT world.fails($$INSERT INTO public.user_consents (user_id, consent_key, granted, source, granted_at) VALUES (world.id('owner'), 'ads', true, 'settings', '2020-01-01')$$, '42501');
SELECT world.fails($$INSERT INTO public.user_consents (user_id, consent_key, granted, source) VALUES (world.id('owner'), 'ads', true, 'import')$$, 'trg_user_consents_keep');
SELECT world.fails($$INSERT INTO public.user_consents (user_id, consent_key, granted, source) VALUES (world.id('other'), 'ads', true, 'settings')$$, '42501');
UPDATE public.user_consents SET revoked_at = now() + interval '10 years';
SELECT world.same((SELECT revoked_at = now() FROM public.user_consents), true);
SELECT world.fails($$UPDATE public.user_consents SET revoked_at = NULL$$, 'trg_user_consents_keep');
SELECT world.act_as('service');
SELECT world.fails($$UPDATE public.user_consents SET granted = NOT granted$$, 'trg_user_consents_keep');

-- promise: What frontends keep in settings has a bound.
SELECT world.act_as('owner');
SELECT world.fails($$UPDATE public.user_settings SET ui_settings = jsonb_build_object('a', repeat('x', 70000))$$, 'ck_user_settings_ui');

-- promise: Clients make nothing in the schema public.
SELECT world.same(has_schema_privilege('anon', 'public', 'CREATE') OR has_schema_privilege('authenticated', 'public', 'CREATE'), false);

-- promise: The log of look-ups holds hashes and no addresses, is counted by the hour from an index, and is not changed.
SELECT world.fails($$INSERT INTO public.certificate_verification_logs (client_ip_hash, success) VALUES ('192.0.2.1', false)$$, 'ck_certificate_verification_logs_ip_hash');
SELECT world.fails($$INSERT INTO public.certificate_verification_logs (client_ip_hash, certificate_hash, success) VALUES (repeat('a', 64), 'DROP TABLE', false)$$, 'ck_certificate_verification_logs_certificate');
SELECT world.fails($$INSERT INTO public.certificate_verification_logs (client_ip_hash, success) VALUES (repeat('a', 64), true)$$, 'ck_certificate_verification_logs_success');
SELECT world.fails($$INSERT INTO public.certificate_verification_logs (client_ip_hash, success, response_time_ms) VALUES (repeat('a', 64), false, -1)$$, 'ck_certificate_verification_logs_time');
SELECT world.fails($$UPDATE public.certificate_verification_logs SET success = false$$, 'trg_certificate_verification_logs_refuse_change');
SET LOCAL enable_seqscan = off;
DO $$
DECLARE
    line text;
    plan text := '';
BEGIN
    FOR line IN EXECUTE $q$EXPLAIN SELECT count(*) FROM public.certificate_verification_logs WHERE client_ip_hash = ANY (ARRAY[repeat('a', 64)]) AND created_at > now() - interval '1 hour'$q$ LOOP
        plan := plan || line;
    END LOOP;
    IF plan !~ 'Index' OR plan ~ 'Seq Scan' THEN
        RAISE EXCEPTION 'no index in %', plan;
    END IF;
END $$;

-- promise: Whether an address has an account is told to a sign-up form, and to nobody who asks for many.
SELECT world.act_as('service');
SELECT world.same(public.check_email_available('OWNER@example.org', '192.0.2.9') ->> 'is_available', 'false');
SELECT world.same(public.check_email_available('nobody@example.org', '192.0.2.9') ->> 'is_available', 'true');
SELECT world.same(public.check_email_available('not an address', '192.0.2.9') ->> 'error', 'invalid');
SELECT count(public.check_email_available('nobody@example.org', '192.0.2.9')) FROM generate_series(1, 18);
SELECT world.same(public.check_email_available('nobody@example.org', '192.0.2.9') ->> 'error', 'rate_limited');
SELECT world.same(public.check_email_available('nobody@example.org', '192.0.2.10') ->> 'success', 'true');
SELECT world.act_as('anon');
SELECT world.fails($$SELECT public.check_email_available('owner@example.org', '192.0.2.9')$$, '42501');

-- promise: A key of the API is kept as a digest, and has a number of calls an hour.
SELECT world.same((SELECT rate_limit FROM identity.api_keys WHERE name = 'world'), 1000);
SELECT world.fails($$UPDATE identity.api_keys SET rate_limit = 0$$, 'ck_api_keys_rate_limit');
SELECT world.fails($$UPDATE identity.api_keys SET digest = 'the key itself'$$, 'ck_api_keys_digest');

-- promise: A token that outlives its account writes nothing: the tombstone stays empty, also in what belongs to it.
INSERT INTO public.profile_links (user_id, kind, url) SELECT world.id('other'), l.kind, 'https://other.example' FROM public.profile_links l LIMIT 1;
UPDATE public.profiles SET erased_at = now(), username = NULL, email = NULL, display_name = '', is_public = false, account_id = NULL WHERE id = world.id('other');
SELECT world.act_as('other');
SELECT world.fails($$INSERT INTO public.profile_links (user_id, kind, url) SELECT user_id, kind, 'https://me.example' FROM public.profile_links WHERE user_id = auth.uid()$$, 'trg_profile_links_refuse_erased');
SELECT world.fails($$UPDATE public.user_settings SET ui_settings = '{"name": "Other"}'$$, 'trg_user_settings_refuse_erased');
SELECT world.fails($$INSERT INTO ai.assistant_sessions (user_id, title) VALUES (auth.uid(), 'My name is Other')$$, 'trg_assistant_sessions_refuse_erased');
SELECT world.fails($$SELECT ai.merge_memory('{"name": "Other"}')$$, 'trg_user_memories_refuse_erased');
SELECT world.fails($$SELECT analytics.append_activity('page', 'page.viewed')$$, 'trg_activity_log_refuse_erased');
SELECT world.fails($$INSERT INTO content.courses (slug, title, course_type) VALUES ('mine', 'Other''s own', 'custom')$$, 'trg_courses_refuse_erased');
SELECT world.act_as('service');
UPDATE public.user_settings SET ui_settings = '{}' WHERE user_id = world.id('other');
SELECT world.act_as('owner');
UPDATE public.user_settings SET ui_settings = '{}';
