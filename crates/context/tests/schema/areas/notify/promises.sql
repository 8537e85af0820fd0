-- promise: Every kind of message has texts in French and English for each of its channels, but webhooks.
SELECT world.same(
    (SELECT array_agg(t.type_key || ' ' || c || ' ' || l ORDER BY t.type_key, c, l)
    FROM notify.message_types t, unnest(t.default_channels) AS c, unnest('{fr,en}'::text[]) AS l
    WHERE t.is_active AND c <> 'webhook' AND NOT EXISTS (
        SELECT FROM notify.templates x WHERE x.template_key = t.type_key AND x.channel = c AND x.locale = l AND x.is_active
    )),
    NULL::text[]
);

-- promise: Both languages, and both parts of a mail, ask for the same values.
SELECT world.same((SELECT array_agg(f.template_key || ' ' || f.channel) FROM notify.templates f JOIN notify.templates e USING (template_key, channel, version)
    WHERE f.locale = 'fr' AND e.locale = 'en' AND f.variables <> e.variables), NULL::text[]);
SELECT world.same((SELECT array_agg(template_key) FROM notify.templates WHERE channel = 'email'
    AND (body_html IS NULL OR notify.placeholders(body_text) <> notify.placeholders(body_html))), NULL::text[]);

-- promise: A mail that may be opted out of says how, and no other offers it.
SELECT world.same((SELECT array_agg(DISTINCT x.template_key) FROM notify.templates x JOIN notify.message_types t ON t.type_key = x.template_key
    WHERE x.channel = 'email' AND t.is_optional <> ('unsubscribe_url' = ANY (x.variables))), NULL::text[]);

-- promise: No text sends a password, and a link that lets somebody in runs out.
SELECT world.same((SELECT array_agg(DISTINCT template_key) FROM notify.templates WHERE 'password' = ANY (variables)), NULL::text[]);
SELECT world.same((SELECT bool_and(expires_after_seconds IS NOT NULL) FROM notify.message_types WHERE is_secret AND category = 'security'), true);

-- promise: Placeholders are found where they are, and a torn one is refused.
SELECT world.same(notify.placeholders('{{ b }} and {{ a }} and {{ b }} and {{B}} and { c }'), '{a,b}'::text[]);
SELECT world.same(notify.placeholders('nothing'), '{}'::text[]);
SELECT world.fails($$INSERT INTO notify.templates (template_key, channel, locale, version, subject, body_text) VALUES ('ops.alert', 'email', 'fr', 2, 'x', '{{name}}')$$, 'ck_templates_placeholders');

-- promise: A version of a text is never changed; another one takes its place, and only one is active.
SELECT world.permit('{notify.manage}');
SELECT world.fails($$UPDATE notify.templates SET body_text = 'x' WHERE template_key = 'ops.alert'$$, 'trg_templates_keep_template');
SELECT world.act_as('permitted');
INSERT INTO notify.templates (id, template_key, channel, locale, version, subject, body_text) VALUES
    ('c4000000-0000-4000-8000-000000000001', 'ops.alert', 'email', 'fr', 2, 'Nouveau', 'Nouveau {{ title }} ✓ عربي');
SELECT world.fails($$UPDATE notify.templates SET is_active = true WHERE id = 'c4000000-0000-4000-8000-000000000001'$$, 'uq_templates_active');
SELECT world.same(notify.activate_template('c4000000-0000-4000-8000-000000000001'), true);
SELECT world.same((SELECT array_agg(version) FROM notify.templates WHERE template_key = 'ops.alert' AND channel = 'email' AND locale = 'fr' AND is_active), '{2}'::integer[]);
SELECT world.same(notify.activate_template(gen_random_uuid()), false);
SELECT world.fails($$UPDATE notify.templates SET body_text = 'x'$$, '42501');
SELECT world.fails($$INSERT INTO notify.templates (template_key, channel, locale, version, subject, body_text) VALUES ('ops.alert', 'email', 'fr', 2, 'x', 'x')$$, 'uq_templates_version');
SELECT world.fails($$INSERT INTO notify.templates (template_key, channel, locale, subject, body_text) VALUES ('no.kind', 'email', 'fr', 'x', 'x')$$, 'fk_templates_message_type');
SELECT world.fails($$INSERT INTO notify.templates (template_key, channel, locale, version, body_text) VALUES ('ops.alert', 'email', 'fr', 3, 'x')$$, 'ck_templates_has_subject');

-- promise: A text is found in the locale, else in its language, else in the default one.
INSERT INTO notify.templates (template_key, channel, locale, subject, body_text, is_active) VALUES ('ops.alert', 'email', 'fr-CA', 'Alerte', 'Alerte', true);
SELECT world.same((SELECT locale FROM notify.find_template('ops.alert', 'email', 'fr-CA')), 'fr-CA');
SELECT world.same((SELECT locale FROM notify.find_template('ops.alert', 'email', 'en-GB')), 'en');
SELECT world.same((SELECT locale FROM notify.find_template('ops.alert', 'email', 'de')), 'fr');
SELECT world.same((SELECT count(*) FROM notify.find_template('ops.alert', 'push', 'fr')), 0::bigint);

-- promise: What is told is put in once for each channel and key, and not at all when its cause did not happen.
SELECT world.same((SELECT count(*) FROM notify.enqueue(world.id('other'), 'billing.payment_receipt', '{"amount": "19 €"}', 'payment:1')), 2::bigint);
SELECT world.same((SELECT count(*) FROM notify.enqueue(world.id('other'), 'billing.payment_receipt', '{"amount": "19 €"}', 'payment:1')), 0::bigint);
SELECT world.same((SELECT count(*) FROM notify.enqueue(world.id('other'), 'billing.payment_receipt', '{}', 'payment:2', '{push}')), 1::bigint);
SELECT world.same((SELECT count(*) FROM notify.enqueue(gen_random_uuid(), 'billing.payment_receipt', '{}', 'payment:1')), 0::bigint);
SELECT world.same((SELECT count(*) FROM notify.enqueue(world.id('other'), 'world.retired', '{}', 'x')), 0::bigint);
SELECT world.same((SELECT array_agg(DISTINCT (priority, status, attempts, locale, next_attempt_at = now())::text) FROM notify.outbox WHERE user_id = world.id('other')), '{"(7,pending,0,fr,t)"}'::text[]);
SELECT world.same((SELECT array_agg(max_attempts ORDER BY channel) FROM notify.outbox WHERE user_id = world.id('other') AND dedupe_key LIKE '%payment:1'), '{8,5}'::smallint[]);
SELECT world.fails($$INSERT INTO notify.outbox (message_type, channel, user_id, dedupe_key) VALUES ('ops.alert', 'email', world.id('other'), 'answer:1')$$, 'uq_outbox_dedupe_key');
SELECT world.act_as('other');
SELECT world.fails($$SELECT notify.enqueue(world.id('other'), 'billing.payment_receipt', '{}', 'mine')$$, '42501');

-- promise: A message that is due later waits, and one that ran out says when.
SELECT notify.enqueue(world.id('other'), 'account.password_reset', '{}', 'r', scheduled_for => now() + interval '1 hour');
SELECT world.same((SELECT (next_attempt_at - now(), expires_at - now())::text FROM notify.outbox WHERE user_id = world.id('other')), '(01:00:00,02:00:00)');
SELECT world.fails($$UPDATE notify.outbox SET next_attempt_at = now() WHERE scheduled_for IS NOT NULL$$, 'ck_outbox_next_attempt_at');

-- promise: The state of a message and what belongs to it never part.
SELECT world.fails($$UPDATE notify.outbox SET status = 'lost', next_attempt_at = NULL$$, 'ck_outbox_status');
SELECT world.fails($$UPDATE notify.outbox SET status = 'sent', next_attempt_at = NULL$$, 'ck_outbox_sent');
SELECT world.fails($$UPDATE notify.outbox SET status = 'sending', next_attempt_at = NULL$$, 'ck_outbox_sending');
SELECT world.fails($$UPDATE notify.outbox SET status = 'sending', locked_at = now()$$, 'ck_outbox_next_attempt_at');
SELECT world.fails($$UPDATE notify.outbox SET status = 'failed'$$, 'ck_outbox_failed');
SELECT world.fails($$UPDATE notify.outbox SET status = 'suppressed', next_attempt_at = NULL$$, 'ck_outbox_suppressed');
SELECT world.fails($$UPDATE notify.outbox SET status = 'suppressed', next_attempt_at = NULL, suppressed_reason = 'mood'$$, 'ck_outbox_suppressed_reason');
SELECT world.fails($$UPDATE notify.outbox SET attempts = 9$$, 'ck_outbox_attempts_left');
SELECT world.fails($$UPDATE notify.outbox SET priority = 10$$, 'ck_outbox_priority');
SELECT world.fails($$UPDATE notify.outbox SET user_id = NULL, channel = 'email'$$, 'ck_outbox_to');
SELECT world.fails($$UPDATE notify.outbox SET webhook_target_id = 'c1000000-0000-4000-8000-000000000001'$$, 'ck_outbox_webhook');
SELECT world.fails($$UPDATE notify.outbox SET variables = '[]'$$, 'ck_outbox_variables');
SELECT world.fails($$UPDATE notify.outbox SET user_id = gen_random_uuid()$$, 'fk_outbox_user');
UPDATE notify.outbox SET status = 'sending', locked_at = now(), next_attempt_at = NULL, attempts = 1;
UPDATE notify.outbox SET status = 'sent', locked_at = NULL, sent_at = now(), provider = 'inbox', provider_response = '{}';

-- promise: Staff see that a message was sent, and not what it says.
SELECT world.permit('{notify.manage}');
SELECT world.act_as('permitted');
SELECT world.same((SELECT count(*) FROM (SELECT status, attempts FROM notify.outbox) o), 1::bigint);
SELECT world.fails('SELECT variables FROM notify.outbox', '42501');
SELECT world.fails('SELECT recipient FROM notify.outbox', '42501');
SELECT world.fails('SELECT secret FROM notify.webhook_targets', '42501');
SELECT world.same((SELECT count(*) FROM notify.inbox), 0::bigint);

-- promise: The inbox shows unread ones first, by priority, and none that ran out or was put away.
INSERT INTO notify.inbox (user_id, message_type, title, priority, read_at, archived_at, expires_at, created_at) VALUES
    (world.id('owner'), 'community.answer', 'read', 9, now(), NULL, NULL, now() - interval '1 day'),
    (world.id('owner'), 'community.answer', 'urgent', 9, NULL, NULL, now() + interval '1 day', now() - interval '1 day'),
    (world.id('owner'), 'community.answer', 'ran out', 9, NULL, NULL, now() - interval '1 hour', now() - interval '1 day'),
    (world.id('owner'), 'community.answer', 'put away', 9, NULL, now(), NULL, now() - interval '1 day'),
    (world.id('other'), 'community.answer', 'of another', 9, NULL, NULL, NULL, now());
SELECT world.act_as('owner');
SELECT world.same((SELECT array_agg(title) FROM notify.my_inbox), '{urgent,"An answer",read}'::text[]);
SELECT world.act_as('admin');
SELECT world.same((SELECT count(*) FROM notify.my_inbox), 0::bigint);

-- promise: A person says that a message is read or put away, and changes nothing else of it.
SELECT world.act_as('owner');
UPDATE notify.inbox SET read_at = now(), archived_at = now();
SELECT world.fails($$UPDATE notify.inbox SET title = 'x'$$, '42501');
SELECT world.fails($$UPDATE notify.inbox SET user_id = world.id('other')$$, '42501');
SELECT world.fails('DELETE FROM notify.inbox', '42501');
SELECT world.fails($$UPDATE notify.inbox SET read_at = created_at - interval '1 day'$$, 'ck_inbox_read_at');
SELECT world.act_as('operator');
SELECT world.fails($$UPDATE notify.inbox SET action_url = 'javascript:alert(1)'$$, 'ck_inbox_action_url');

-- promise: What people chose holds: for a kind before a channel, and a channel before the defaults.
SELECT world.same((SELECT (is_wanted, reason)::text FROM notify.resolve_subscription(world.id('owner'), 'community.answer', 'email')), '(f,opted_out)');
SELECT world.same((SELECT (is_wanted, reason)::text FROM notify.resolve_subscription(world.id('owner'), 'community.answer', 'in_app')), '(t,default)');
SELECT world.same((SELECT (is_wanted, reason)::text FROM notify.resolve_subscription(world.id('owner'), 'community.answer', 'push')), '(f,opted_out)');
INSERT INTO notify.user_subscriptions (user_id, channel, is_enabled, frequency, quiet_from, quiet_until) VALUES (world.id('other'), 'email', false, 'daily', '22:00', '07:00');
INSERT INTO notify.user_subscriptions (user_id, message_type, channel) VALUES (world.id('other'), 'community.answer', 'email');
SELECT world.same((SELECT (is_wanted, reason, frequency, quiet_from, quiet_until, time_zone)::text FROM notify.resolve_subscription(world.id('other'), 'community.answer', 'email')), '(t,chosen,daily,22:00:00,07:00:00,UTC)');
SELECT world.same((SELECT reason FROM notify.resolve_subscription(world.id('other'), 'content.approved', 'email')), 'opted_out');
SELECT world.same((SELECT reason FROM notify.resolve_subscription(world.id('other'), 'world.retired', 'email')), 'inactive_type');
SELECT world.same((SELECT count(*) FROM notify.resolve_subscription(world.id('other'), 'no.kind', 'email')), 0::bigint);

-- promise: Nobody opts out of security and contracts, and quiet hours do not hold them back.
SELECT world.fails($$INSERT INTO notify.user_subscriptions (user_id, message_type, channel, is_enabled) VALUES (world.id('owner'), 'security.new_session', 'email', false)$$, 'trg_user_subscriptions_check_type');
INSERT INTO notify.user_subscriptions (user_id, channel, is_enabled, frequency, quiet_from, quiet_until) VALUES (world.id('owner'), 'email', false, 'weekly', '22:00', '07:00');
SELECT world.same((SELECT (is_wanted, reason, frequency, quiet_from)::text FROM notify.resolve_subscription(world.id('owner'), 'security.new_session', 'email')), '(t,mandatory,immediate,)');
SELECT world.fails($$UPDATE notify.message_types SET is_optional = true WHERE type_key = 'security.new_session'$$, 'ck_message_types_optional');
SELECT world.fails($$UPDATE notify.message_types SET default_frequency = 'daily' WHERE type_key = 'security.new_session'$$, 'ck_message_types_mandatory');

-- promise: Advertising needs a consent that holds now.
SELECT world.same((SELECT reason FROM notify.resolve_subscription(world.id('other'), 'marketing.newsletter', 'email')), 'no_consent');
INSERT INTO public.user_consents (user_id, consent_key, granted, source) VALUES (world.id('other'), 'marketing.email', true, 'settings');
SELECT world.same((SELECT is_wanted FROM notify.resolve_subscription(world.id('other'), 'marketing.newsletter', 'email')), true);
UPDATE public.user_consents SET revoked_at = now() WHERE user_id = world.id('other');
SELECT world.same((SELECT is_wanted FROM notify.resolve_subscription(world.id('other'), 'marketing.newsletter', 'email')), false);
SELECT world.fails($$UPDATE notify.message_types SET consent_key = NULL WHERE type_key = 'marketing.newsletter'$$, 'ck_message_types_marketing');

-- promise: A person has one row for a channel and one for each kind in it.
INSERT INTO notify.user_subscriptions (user_id, channel) VALUES (world.id('owner'), 'email');
SELECT world.fails($$INSERT INTO notify.user_subscriptions (user_id, channel) VALUES (world.id('owner'), 'email')$$, 'uq_user_subscriptions_type');
SELECT world.fails($$INSERT INTO notify.user_subscriptions (user_id, channel, quiet_from) VALUES (world.id('owner'), 'push', '22:00')$$, 'ck_user_subscriptions_quiet');
SELECT world.fails($$INSERT INTO notify.user_subscriptions (user_id, channel, frequency) VALUES (world.id('owner'), 'push', 'hourly')$$, 'ck_user_subscriptions_frequency');
SELECT world.fails($$INSERT INTO notify.user_subscriptions (user_id, channel) VALUES (world.id('owner'), 'pigeon')$$, 'fk_user_subscriptions_channel');
SELECT world.act_as('owner');
SELECT world.fails($$INSERT INTO notify.user_subscriptions (user_id, channel) VALUES (world.id('other'), 'email')$$, '42501');

-- promise: However many messages come at once, they open one digest.
SELECT world.fails($$INSERT INTO notify.digests (user_id, channel, digest_key, frequency, due_at) VALUES (world.id('owner'), 'email', 'all', 'daily', now() + interval '1 day')$$, 'uq_digests_open');
SELECT world.fails($$UPDATE notify.digests SET status = 'sent'$$, 'ck_digests_closed');
UPDATE notify.digests SET status = 'sent', closed_at = now();
INSERT INTO notify.digests (user_id, channel, digest_key, frequency, due_at) VALUES (world.id('owner'), 'email', 'all', 'daily', now() + interval '1 day');

-- promise: A device belongs to who used it last, and its token is read by nobody.
SELECT world.act_as('other');
SELECT world.same(notify.register_device('android', 'device-of-owner') IS NOT NULL, true);
SELECT world.same((SELECT count(*) FROM notify.devices), 1::bigint);
SELECT world.fails('SELECT token FROM notify.devices', '42501');
SELECT world.fails($$SELECT notify.register_device('web', 'https://push.example.org/1')$$, 'ck_devices_web');
SELECT world.fails($$SELECT notify.register_device('fax', 'device-of-other')$$, 'ck_devices_platform');
SELECT world.fails($$SELECT notify.register_device('web', 'not an address', decode(repeat('00', 65), 'hex'), decode(repeat('00', 16), 'hex'))$$, 'ck_devices_web_token');
SELECT world.act_as('owner');
SELECT world.same((SELECT count(*) FROM notify.devices), 0::bigint);
SELECT world.act_as('anon');
SELECT world.fails($$SELECT notify.register_device('android', 'device-of-anon')$$, '42501');

-- promise: An address is suppressed once, and kept as a digest.
SELECT world.fails($$INSERT INTO notify.suppressions (channel, address_digest, reason) VALUES ('email', sha256('gone@example.org'), 'complaint')$$, 'uq_suppressions_live');
SELECT world.fails($$INSERT INTO notify.suppressions (channel, address_digest, reason) VALUES ('email', 'gone@example.org', 'complaint')$$, 'ck_suppressions_address_digest');
UPDATE notify.suppressions SET released_at = now();
INSERT INTO notify.suppressions (channel, address_digest, reason) VALUES ('email', sha256('gone@example.org'), 'complaint');

-- promise: What a provider says became of a message is applied once, also before the message is known.
SELECT world.fails($$INSERT INTO notify.delivery_events (provider, provider_event_id, kind, occurred_at) VALUES ('smtp', 'e1', 'delivered', now())$$, 'uq_delivery_events_provider_event_id');
SELECT world.fails($$INSERT INTO notify.delivery_events (provider, provider_event_id, kind, occurred_at) VALUES ('smtp', 'e2', 'lost', now())$$, 'ck_delivery_events_kind');
INSERT INTO notify.delivery_events (provider, provider_event_id, provider_message_id, kind, occurred_at) VALUES ('smtp', 'e2', 'unknown@example.org', 'hard_bounce', now());

-- promise: Alerts go to a target or to those who hold a permission, over https, and are grouped.
SELECT world.same((SELECT count(*) FROM notify.alert_routes WHERE is_active AND group_seconds = 900), 2::bigint);
SELECT world.fails($$INSERT INTO notify.alert_routes (name, channel) VALUES ('nobody', 'email')$$, 'ck_alert_routes_to');
SELECT world.fails($$INSERT INTO notify.alert_routes (name, channel, permission_key) VALUES ('nobody', 'email', 'no.permission')$$, 'fk_alert_routes_permission');
SELECT world.fails($$INSERT INTO notify.alert_routes (name, severities, channel, permission_key) VALUES ('x', '{bad}', 'email', 'slo.manage')$$, 'ck_alert_routes_severities');
SELECT world.fails($$UPDATE notify.webhook_targets SET url = 'http://example.org'$$, 'ck_webhook_targets_url');

-- promise: After an erasure nothing is left of what was sent, and suppressions stay.
DO $$
DECLARE
    subject record;
BEGIN
    FOR subject IN SELECT schema_name, table_name, condition FROM compliance.data_subjects WHERE schema_name = 'notify' LOOP
        EXECUTE format('DELETE FROM %I.%I WHERE %s', subject.schema_name, subject.table_name, subject.condition) USING world.id('owner');
    END LOOP;
    PERFORM world.same((SELECT count(*) FROM notify.delivery_events), 0::bigint);
    PERFORM world.same((SELECT count(*) FROM notify.suppressions), 1::bigint);
    PERFORM world.same((SELECT count(*) FROM notify.outbox), 0::bigint);
END $$;

-- promise: Four channels come with the platform.
SELECT world.same((SELECT string_agg(channel_key, ' ' ORDER BY channel_key) FROM notify.channels), 'email in_app push webhook');
