INSERT INTO notify.message_types (type_key, category, default_channels, is_active) VALUES ('world.retired', 'activity', '{email}', false);
INSERT INTO notify.webhook_targets (id, name, url, secret, secret_key_id) VALUES ('c1000000-0000-4000-8000-000000000001', 'chat', 'https://example.org/hook', sha256('secret'), 'k1');
INSERT INTO notify.suppressions (channel, address_digest, reason) VALUES ('email', sha256('gone@example.org'), 'hard_bounce');
INSERT INTO notify.digests (id, user_id, channel, digest_key, frequency, due_at) VALUES
    ('c2000000-0000-4000-8000-000000000001', world.id('owner'), 'email', 'all', 'daily', now() + interval '1 day');
INSERT INTO notify.outbox (id, message_type, channel, user_id, dedupe_key, variables) VALUES
    ('c3000000-0000-4000-8000-000000000001', 'community.answer', 'in_app', world.id('owner'), 'answer:1', '{"title": "How?"}');
INSERT INTO notify.delivery_events (provider, provider_event_id, outbox_id, kind, occurred_at) VALUES ('smtp', 'e1', 'c3000000-0000-4000-8000-000000000001', 'delivered', now());
INSERT INTO notify.inbox (user_id, message_type, title) VALUES (world.id('owner'), 'community.answer', 'An answer');
INSERT INTO notify.user_subscriptions (user_id, message_type, channel, is_enabled) VALUES (world.id('owner'), 'community.answer', 'email', false);
INSERT INTO notify.devices (user_id, platform, token) VALUES (world.id('owner'), 'android', 'device-of-owner');
