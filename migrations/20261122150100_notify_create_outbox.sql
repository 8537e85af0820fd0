-- What is to be sent, what came of it, and what people find in the app.
-- Owner: workers/notify. Locks: none, everything is new.
-- Undo: DROP VIEW notify.my_inbox; DROP TABLE notify.inbox, notify.delivery_events, notify.outbox, notify.digests, notify.suppressions,
-- notify.alert_routes, notify.webhook_targets.

CREATE TABLE notify.webhook_targets (
    id                  uuid        NOT NULL DEFAULT gen_random_uuid() CONSTRAINT webhook_targets_pkey PRIMARY KEY,
    name                text        NOT NULL CONSTRAINT uq_webhook_targets_name UNIQUE CONSTRAINT ck_webhook_targets_name CHECK (char_length(name) BETWEEN 1 AND 100),
    url                 text        NOT NULL CONSTRAINT ck_webhook_targets_url CHECK (url ~ '^https://\S+$' AND char_length(url) <= 2000),
    message_types       text[]      NOT NULL DEFAULT '{}' CONSTRAINT ck_webhook_targets_message_types CHECK (cardinality(message_types) <= 100),
    secret              bytea       NOT NULL CONSTRAINT ck_webhook_targets_secret CHECK (octet_length(secret) BETWEEN 28 AND 1024),
    secret_key_id       text        NOT NULL CONSTRAINT ck_webhook_targets_secret_key_id CHECK (char_length(secret_key_id) BETWEEN 1 AND 100),
    previous_secret     bytea       CONSTRAINT ck_webhook_targets_previous_secret CHECK (octet_length(previous_secret) BETWEEN 28 AND 1024),
    previous_secret_until timestamptz,
    is_enabled          boolean     NOT NULL DEFAULT true,
    failures            integer     NOT NULL DEFAULT 0 CONSTRAINT ck_webhook_targets_failures CHECK (failures >= 0),
    last_success_at     timestamptz,
    last_failure_at     timestamptz,
    disabled_at         timestamptz,
    disabled_reason     text        CONSTRAINT ck_webhook_targets_disabled_reason CHECK (char_length(disabled_reason) BETWEEN 1 AND 500),
    created_by          uuid        CONSTRAINT fk_webhook_targets_created_by REFERENCES public.profiles,
    created_at          timestamptz NOT NULL DEFAULT now(),
    updated_at          timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT ck_webhook_targets_previous CHECK ((previous_secret IS NULL) = (previous_secret_until IS NULL)),
    CONSTRAINT ck_webhook_targets_disabled CHECK (disabled_at IS NULL OR NOT is_enabled)
);
CREATE INDEX idx_webhook_targets_created_by ON notify.webhook_targets (created_by) WHERE created_by IS NOT NULL;
COMMENT ON TABLE notify.webhook_targets IS 'Other systems that are told by signed requests.';
COMMENT ON COLUMN notify.webhook_targets.message_types IS 'What it is told of; none: only what is sent to it by name.';
COMMENT ON COLUMN notify.webhook_targets.secret IS 'The key of its signatures, encrypted with the key that secret_key_id names. No client reads it.';
COMMENT ON COLUMN notify.webhook_targets.previous_secret IS 'Signs too until previous_secret_until, while the other side changes over.';

CREATE TABLE notify.alert_routes (
    id                uuid        NOT NULL DEFAULT gen_random_uuid() CONSTRAINT alert_routes_pkey PRIMARY KEY,
    name              text        NOT NULL CONSTRAINT uq_alert_routes_name UNIQUE CONSTRAINT ck_alert_routes_name CHECK (char_length(name) BETWEEN 1 AND 100),
    severities        text[]      NOT NULL DEFAULT '{warning,critical,emergency}' CONSTRAINT ck_alert_routes_severities
        CHECK (cardinality(severities) > 0 AND severities <@ '{info,warning,critical,emergency}'::text[]),
    categories        text[]      NOT NULL DEFAULT '{}' CONSTRAINT ck_alert_routes_categories CHECK (cardinality(categories) <= 50),
    channel           text        NOT NULL CONSTRAINT fk_alert_routes_channel REFERENCES notify.channels,
    webhook_target_id uuid        CONSTRAINT fk_alert_routes_webhook_target REFERENCES notify.webhook_targets,
    permission_key    text        CONSTRAINT fk_alert_routes_permission REFERENCES rbac.permissions (permission_key) ON UPDATE CASCADE,
    group_seconds     integer     NOT NULL DEFAULT 900 CONSTRAINT ck_alert_routes_group_seconds CHECK (group_seconds BETWEEN 0 AND 86400),
    is_fallback       boolean     NOT NULL DEFAULT false,
    is_active         boolean     NOT NULL DEFAULT true,
    created_at        timestamptz NOT NULL DEFAULT now(),
    updated_at        timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT ck_alert_routes_to CHECK ((channel = 'webhook') = (webhook_target_id IS NOT NULL) AND (webhook_target_id IS NULL) = (permission_key IS NOT NULL))
);
CREATE INDEX idx_alert_routes_channel ON notify.alert_routes (channel);
CREATE INDEX idx_alert_routes_webhook_target ON notify.alert_routes (webhook_target_id) WHERE webhook_target_id IS NOT NULL;
CREATE INDEX idx_alert_routes_permission ON notify.alert_routes (permission_key) WHERE permission_key IS NOT NULL;
COMMENT ON TABLE notify.alert_routes IS 'Whom the service tells when something is wrong with it, by how bad it is and what it is about.';
COMMENT ON COLUMN notify.alert_routes.categories IS 'Such as fraud or latency; none: all.';
COMMENT ON COLUMN notify.alert_routes.permission_key IS 'Everybody who may do this is told.';
COMMENT ON COLUMN notify.alert_routes.group_seconds IS 'The same alert again within this time is counted, and not told.';
COMMENT ON COLUMN notify.alert_routes.is_fallback IS 'Used when another route fails.';

CREATE TABLE notify.suppressions (
    id             uuid        NOT NULL DEFAULT gen_random_uuid() CONSTRAINT suppressions_pkey PRIMARY KEY,
    channel        text        NOT NULL CONSTRAINT fk_suppressions_channel REFERENCES notify.channels,
    address_digest bytea       NOT NULL CONSTRAINT ck_suppressions_address_digest CHECK (octet_length(address_digest) = 32),
    scope          text        NOT NULL DEFAULT 'all' CONSTRAINT ck_suppressions_scope CHECK (scope IN ('all', 'optional')),
    reason         text        NOT NULL CONSTRAINT ck_suppressions_reason CHECK (reason IN ('hard_bounce', 'complaint', 'invalid', 'unsubscribed', 'erased', 'manual')),
    source_key     text        CONSTRAINT ck_suppressions_source_key CHECK (char_length(source_key) BETWEEN 1 AND 255),
    expires_at     timestamptz,
    released_at    timestamptz,
    released_by    uuid        CONSTRAINT fk_suppressions_released_by REFERENCES public.profiles,
    created_at     timestamptz NOT NULL DEFAULT now(),
    updated_at     timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT ck_suppressions_expires_at CHECK (expires_at > created_at)
);
CREATE UNIQUE INDEX uq_suppressions_live ON notify.suppressions (channel, address_digest, scope) WHERE released_at IS NULL;
CREATE INDEX idx_suppressions_expires_at ON notify.suppressions (expires_at) WHERE released_at IS NULL AND expires_at IS NOT NULL;
CREATE INDEX idx_suppressions_released_by ON notify.suppressions (released_by) WHERE released_by IS NOT NULL;
COMMENT ON TABLE notify.suppressions IS 'Addresses that nothing more is sent to. The address itself is not kept.';
COMMENT ON COLUMN notify.suppressions.address_digest IS 'HMAC-SHA-256 of the address in lower case, with a key of the service: without it nobody finds out whose it is.';
COMMENT ON COLUMN notify.suppressions.scope IS 'optional: what people may opt out of; all: security too.';

CREATE TABLE notify.digests (
    id              uuid        NOT NULL DEFAULT gen_random_uuid() CONSTRAINT digests_pkey PRIMARY KEY,
    user_id         uuid        NOT NULL CONSTRAINT fk_digests_user REFERENCES public.profiles,
    channel         text        NOT NULL CONSTRAINT fk_digests_channel REFERENCES notify.channels,
    digest_key      text        NOT NULL CONSTRAINT ck_digests_key CHECK (char_length(digest_key) BETWEEN 1 AND 120),
    frequency       text        NOT NULL CONSTRAINT ck_digests_frequency CHECK (frequency IN ('daily', 'weekly', 'burst')),
    status          text        NOT NULL DEFAULT 'open' CONSTRAINT ck_digests_status CHECK (status IN ('open', 'closed', 'sent', 'empty', 'cancelled')),
    opened_at       timestamptz NOT NULL DEFAULT now(),
    due_at          timestamptz NOT NULL,
    closed_at       timestamptz,
    message_count   integer     NOT NULL DEFAULT 0 CONSTRAINT ck_digests_message_count CHECK (message_count >= 0),
    outbox_id       uuid,
    job_id          uuid,
    created_at      timestamptz NOT NULL DEFAULT now(),
    updated_at      timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT ck_digests_due_at CHECK (due_at >= opened_at),
    CONSTRAINT ck_digests_closed CHECK ((status = 'open') = (closed_at IS NULL))
);
-- However many messages come in the same instant, they open one digest.
CREATE UNIQUE INDEX uq_digests_open ON notify.digests (user_id, channel, digest_key) WHERE status = 'open';
CREATE INDEX idx_digests_due ON notify.digests (due_at) WHERE status = 'open';
CREATE INDEX idx_digests_user ON notify.digests (user_id, channel, opened_at DESC);
CREATE INDEX idx_digests_channel ON notify.digests (channel);
CREATE INDEX idx_digests_outbox ON notify.digests (outbox_id) WHERE outbox_id IS NOT NULL;
COMMENT ON TABLE notify.digests IS 'Messages of a person that are sent as one, later. Its messages are those of the outbox that name it.';
COMMENT ON COLUMN notify.digests.digest_key IS 'What is gathered: all, a kind of message, or a thread.';
COMMENT ON COLUMN notify.digests.outbox_id IS 'The message that it became.';

CREATE TABLE notify.outbox (
    id                  uuid        NOT NULL DEFAULT gen_random_uuid() CONSTRAINT outbox_pkey PRIMARY KEY,
    message_type        text        NOT NULL CONSTRAINT fk_outbox_message_type REFERENCES notify.message_types,
    channel             text        NOT NULL CONSTRAINT fk_outbox_channel REFERENCES notify.channels,
    user_id             uuid        CONSTRAINT fk_outbox_user REFERENCES public.profiles,
    recipient           text        CONSTRAINT ck_outbox_recipient CHECK (char_length(recipient) BETWEEN 3 AND 2000),
    webhook_target_id   uuid        CONSTRAINT fk_outbox_webhook_target REFERENCES notify.webhook_targets,
    dedupe_key          text        NOT NULL CONSTRAINT uq_outbox_dedupe_key UNIQUE CONSTRAINT ck_outbox_dedupe_key CHECK (char_length(dedupe_key) BETWEEN 1 AND 400),
    locale              text        CONSTRAINT ck_outbox_locale CHECK (locale ~ '^[a-z]{2}(-[A-Z]{2})?$'),
    template_id         uuid        CONSTRAINT fk_outbox_template REFERENCES notify.templates,
    variables           jsonb       NOT NULL DEFAULT '{}' CONSTRAINT ck_outbox_variables CHECK (jsonb_typeof(variables) = 'object' AND octet_length(variables::text) <= 131072),
    source_type         text        CONSTRAINT ck_outbox_source_type CHECK (source_type ~ '^[a-z][a-z0-9_.]{1,79}$'),
    source_id           uuid,
    group_key           text        CONSTRAINT ck_outbox_group_key CHECK (char_length(group_key) BETWEEN 1 AND 255),
    digest_id           uuid        CONSTRAINT fk_outbox_digest REFERENCES notify.digests ON DELETE SET NULL,
    fallback_of_id      uuid        CONSTRAINT fk_outbox_fallback_of REFERENCES notify.outbox ON DELETE SET NULL,
    status              text        NOT NULL DEFAULT 'pending' CONSTRAINT ck_outbox_status CHECK (status IN ('pending', 'sending', 'sent', 'failed', 'suppressed', 'cancelled')),
    priority            smallint    NOT NULL DEFAULT 5 CONSTRAINT ck_outbox_priority CHECK (priority BETWEEN 1 AND 9),
    scheduled_for       timestamptz,
    expires_at          timestamptz,
    attempts            integer     NOT NULL DEFAULT 0 CONSTRAINT ck_outbox_attempts CHECK (attempts >= 0),
    max_attempts        smallint    NOT NULL DEFAULT 8 CONSTRAINT ck_outbox_max_attempts CHECK (max_attempts BETWEEN 1 AND 50),
    next_attempt_at     timestamptz DEFAULT now(),
    locked_at           timestamptz,
    job_id              uuid,
    provider            text        CONSTRAINT ck_outbox_provider CHECK (provider ~ '^[a-z][a-z0-9_]{1,39}$'),
    provider_message_id text        CONSTRAINT ck_outbox_provider_message_id CHECK (char_length(provider_message_id) BETWEEN 1 AND 255),
    provider_response   jsonb       CONSTRAINT ck_outbox_provider_response CHECK (jsonb_typeof(provider_response) = 'object' AND octet_length(provider_response::text) <= 131072),
    is_outcome_unknown  boolean     NOT NULL DEFAULT false,
    error_kind          text        CONSTRAINT ck_outbox_error_kind CHECK (error_kind IN ('transient', 'permanent', 'poison')),
    error               text        CONSTRAINT ck_outbox_error CHECK (char_length(error) <= 4000),
    suppressed_reason   text        CONSTRAINT ck_outbox_suppressed_reason CHECK (suppressed_reason IN (
        'opted_out', 'no_consent', 'suppressed_address', 'no_address', 'no_device', 'expired', 'seen_elsewhere', 'erased', 'inactive_type', 'rate'
    )),
    sent_at             timestamptz,
    delivered_at        timestamptz,
    seen_at             timestamptz,
    cancelled_at        timestamptz,
    created_at          timestamptz NOT NULL DEFAULT now(),
    updated_at          timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT ck_outbox_to CHECK (user_id IS NOT NULL OR recipient IS NOT NULL OR webhook_target_id IS NOT NULL),
    CONSTRAINT ck_outbox_in_app CHECK (channel <> 'in_app' OR user_id IS NOT NULL),
    CONSTRAINT ck_outbox_webhook CHECK (webhook_target_id IS NULL OR channel = 'webhook'),
    CONSTRAINT ck_outbox_source CHECK (source_id IS NULL OR source_type IS NOT NULL),
    CONSTRAINT ck_outbox_sending CHECK ((status = 'sending') = (locked_at IS NOT NULL)),
    CONSTRAINT ck_outbox_sent CHECK ((status = 'sent') = (sent_at IS NOT NULL)),
    CONSTRAINT ck_outbox_failed CHECK (status <> 'failed' OR error IS NOT NULL AND error_kind IS NOT NULL),
    CONSTRAINT ck_outbox_suppressed CHECK ((status = 'suppressed') = (suppressed_reason IS NOT NULL)),
    CONSTRAINT ck_outbox_cancelled CHECK ((status = 'cancelled') = (cancelled_at IS NOT NULL)),
    CONSTRAINT ck_outbox_next_attempt_at CHECK (next_attempt_at IS NULL OR status IN ('pending', 'failed') AND (scheduled_for IS NULL OR next_attempt_at >= scheduled_for)),
    CONSTRAINT ck_outbox_expires_at CHECK (expires_at > created_at),
    CONSTRAINT ck_outbox_attempts_left CHECK (attempts <= max_attempts OR next_attempt_at IS NULL)
);
CREATE INDEX idx_outbox_due ON notify.outbox (next_attempt_at, priority DESC) WHERE next_attempt_at IS NOT NULL;
CREATE INDEX idx_outbox_sending ON notify.outbox (locked_at) WHERE status = 'sending';
-- Messages to one person by one channel go in the order in which they came.
CREATE INDEX idx_outbox_user ON notify.outbox (user_id, channel, created_at) WHERE user_id IS NOT NULL;
CREATE INDEX idx_outbox_status ON notify.outbox (status, created_at) WHERE status IN ('pending', 'sending', 'failed');
CREATE INDEX idx_outbox_message_type ON notify.outbox (message_type, created_at);
CREATE INDEX idx_outbox_channel ON notify.outbox (channel, created_at);
CREATE INDEX idx_outbox_provider_message ON notify.outbox (provider, provider_message_id) WHERE provider_message_id IS NOT NULL;
CREATE INDEX idx_outbox_group ON notify.outbox (group_key, created_at DESC) WHERE group_key IS NOT NULL;
CREATE INDEX idx_outbox_source ON notify.outbox (source_type, source_id) WHERE source_id IS NOT NULL;
CREATE INDEX idx_outbox_webhook_target ON notify.outbox (webhook_target_id, created_at) WHERE webhook_target_id IS NOT NULL;
CREATE INDEX idx_outbox_digest ON notify.outbox (digest_id, created_at, id) WHERE digest_id IS NOT NULL;
CREATE INDEX idx_outbox_template ON notify.outbox (template_id) WHERE template_id IS NOT NULL;
CREATE INDEX idx_outbox_fallback_of ON notify.outbox (fallback_of_id) WHERE fallback_of_id IS NOT NULL;
CREATE INDEX idx_outbox_created ON notify.outbox (created_at);
ALTER TABLE notify.digests ADD CONSTRAINT fk_digests_outbox FOREIGN KEY (outbox_id) REFERENCES notify.outbox ON DELETE SET NULL;
COMMENT ON TABLE notify.outbox IS 'Messages to be sent, one row for each way, and what came of them. Inserted with what they tell of, in the same transaction.';
COMMENT ON COLUMN notify.outbox.recipient IS 'An address where it is not the person''s own: of an invitation, or of somebody whose account is gone by the time it is sent.';
COMMENT ON COLUMN notify.outbox.dedupe_key IS 'Names what is told, to whom and how: a second one is not inserted.';
COMMENT ON COLUMN notify.outbox.template_id IS 'The version that was rendered; null until then.';
COMMENT ON COLUMN notify.outbox.variables IS 'What is filled in; for a target the body. Of secret types emptied when sent. Not for staff''s eyes.';
COMMENT ON COLUMN notify.outbox.group_key IS 'Alerts that are told once in a while.';
COMMENT ON COLUMN notify.outbox.digest_id IS 'Waits for this digest, and is sent with it.';
COMMENT ON COLUMN notify.outbox.fallback_of_id IS 'Sent because this one failed, or was not seen.';
COMMENT ON COLUMN notify.outbox.next_attempt_at IS 'When it is due, at first at scheduled_for. Null: not by itself, as it is done, given up, or in a digest.';
COMMENT ON COLUMN notify.outbox.is_outcome_unknown IS 'A worker died while sending: it may have arrived.';
COMMENT ON COLUMN notify.outbox.provider_message_id IS 'Of a mail the Message-ID, which is made from the id: the same at every attempt.';
COMMENT ON COLUMN notify.outbox.job_id IS 'The job that sends it, of queue.jobs.';

CREATE TABLE notify.delivery_events (
    id                  uuid        NOT NULL DEFAULT gen_random_uuid() CONSTRAINT delivery_events_pkey PRIMARY KEY,
    provider            text        NOT NULL CONSTRAINT ck_delivery_events_provider CHECK (provider ~ '^[a-z][a-z0-9_]{1,39}$'),
    provider_event_id   text        NOT NULL CONSTRAINT ck_delivery_events_provider_event_id CHECK (char_length(provider_event_id) BETWEEN 1 AND 255),
    provider_message_id text        CONSTRAINT ck_delivery_events_provider_message_id CHECK (char_length(provider_message_id) BETWEEN 1 AND 255),
    outbox_id           uuid        CONSTRAINT fk_delivery_events_outbox REFERENCES notify.outbox ON DELETE CASCADE,
    kind                text        NOT NULL CONSTRAINT ck_delivery_events_kind
        CHECK (kind IN ('delivered', 'deferred', 'soft_bounce', 'hard_bounce', 'complaint', 'opened', 'clicked', 'unsubscribed', 'rejected', 'unclassified')),
    address_digest      bytea       CONSTRAINT ck_delivery_events_address_digest CHECK (octet_length(address_digest) = 32),
    status_code         text        CONSTRAINT ck_delivery_events_status_code CHECK (char_length(status_code) BETWEEN 1 AND 20),
    diagnostic          text        CONSTRAINT ck_delivery_events_diagnostic CHECK (char_length(diagnostic) <= 2000),
    occurred_at         timestamptz NOT NULL,
    processed_at        timestamptz,
    created_at          timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT uq_delivery_events_provider_event_id UNIQUE (provider, provider_event_id)
);
CREATE INDEX idx_delivery_events_outbox ON notify.delivery_events (outbox_id, occurred_at) WHERE outbox_id IS NOT NULL;
CREATE INDEX idx_delivery_events_message ON notify.delivery_events (provider, provider_message_id) WHERE outbox_id IS NULL;
CREATE INDEX idx_delivery_events_address ON notify.delivery_events (address_digest, kind, occurred_at) WHERE address_digest IS NOT NULL;
CREATE INDEX idx_delivery_events_waiting ON notify.delivery_events (created_at) WHERE processed_at IS NULL;
COMMENT ON TABLE notify.delivery_events IS 'What providers say became of messages: delivered, bounced, complained of. Each is applied once, also when it comes before the answer to the sending.';
COMMENT ON COLUMN notify.delivery_events.outbox_id IS 'Null while the message that it is about is not known.';
COMMENT ON COLUMN notify.delivery_events.address_digest IS 'As in notify.suppressions.';

CREATE TABLE notify.inbox (
    id           uuid        NOT NULL DEFAULT gen_random_uuid() CONSTRAINT inbox_pkey PRIMARY KEY,
    user_id      uuid        NOT NULL CONSTRAINT fk_inbox_user REFERENCES public.profiles,
    outbox_id    uuid        CONSTRAINT fk_inbox_outbox REFERENCES notify.outbox ON DELETE SET NULL,
    message_type text        NOT NULL CONSTRAINT fk_inbox_message_type REFERENCES notify.message_types,
    title        text        NOT NULL CONSTRAINT ck_inbox_title CHECK (char_length(title) BETWEEN 1 AND 255),
    body         text        NOT NULL DEFAULT '' CONSTRAINT ck_inbox_body CHECK (char_length(body) <= 10000),
    data         jsonb       NOT NULL DEFAULT '{}' CONSTRAINT ck_inbox_data CHECK (jsonb_typeof(data) = 'object' AND octet_length(data::text) <= 65536),
    action_url   text        CONSTRAINT ck_inbox_action_url CHECK (action_url ~ '^(https?://|/)' AND char_length(action_url) <= 2000),
    priority     smallint    NOT NULL DEFAULT 5 CONSTRAINT ck_inbox_priority CHECK (priority BETWEEN 1 AND 9),
    expires_at   timestamptz,
    read_at      timestamptz,
    archived_at  timestamptz,
    created_at   timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT ck_inbox_expires_at CHECK (expires_at > created_at),
    CONSTRAINT ck_inbox_read_at CHECK (read_at >= created_at),
    CONSTRAINT ck_inbox_archived_at CHECK (archived_at >= created_at)
);
-- A message that is sent twice is found once.
CREATE UNIQUE INDEX uq_inbox_outbox ON notify.inbox (outbox_id) WHERE outbox_id IS NOT NULL;
CREATE INDEX idx_inbox_user ON notify.inbox (user_id, created_at DESC);
CREATE INDEX idx_inbox_unread ON notify.inbox (user_id, priority DESC, created_at DESC) WHERE read_at IS NULL AND archived_at IS NULL;
CREATE INDEX idx_inbox_message_type ON notify.inbox (message_type);
CREATE INDEX idx_inbox_expires_at ON notify.inbox (expires_at) WHERE expires_at IS NOT NULL;
COMMENT ON TABLE notify.inbox IS 'Messages in the app. The person changes nothing of them but whether they are read or put away.';

CREATE VIEW notify.my_inbox WITH (security_invoker = true) AS
SELECT id, message_type, title, body, data, action_url, priority, expires_at, read_at, created_at, read_at IS NOT NULL AS is_read
FROM notify.inbox
WHERE user_id = (SELECT auth.uid()) AND archived_at IS NULL AND (expires_at IS NULL OR expires_at > now())
ORDER BY read_at IS NOT NULL, priority DESC, created_at DESC, id;
COMMENT ON VIEW notify.my_inbox IS 'What the one who asks finds in the app: unread ones first, by priority; none that ran out or was put away.';

CREATE TRIGGER trg_webhook_targets_set_updated_at BEFORE UPDATE ON notify.webhook_targets FOR EACH ROW EXECUTE FUNCTION util.set_updated_at();
CREATE TRIGGER trg_alert_routes_set_updated_at BEFORE UPDATE ON notify.alert_routes FOR EACH ROW EXECUTE FUNCTION util.set_updated_at();
CREATE TRIGGER trg_suppressions_set_updated_at BEFORE UPDATE ON notify.suppressions FOR EACH ROW EXECUTE FUNCTION util.set_updated_at();
CREATE TRIGGER trg_digests_set_updated_at BEFORE UPDATE ON notify.digests FOR EACH ROW EXECUTE FUNCTION util.set_updated_at();
CREATE TRIGGER trg_outbox_set_updated_at BEFORE UPDATE ON notify.outbox FOR EACH ROW EXECUTE FUNCTION util.set_updated_at();

SELECT util.protect('notify.webhook_targets', 'SELECT, INSERT, UPDATE');
SELECT util.protect('notify.alert_routes');
SELECT util.protect('notify.suppressions');
SELECT util.protect('notify.digests');
SELECT util.protect('notify.outbox');
SELECT util.protect('notify.delivery_events');
SELECT util.protect('notify.inbox');

DO $$
DECLARE
    name text;
BEGIN
    FOREACH name IN ARRAY '{webhook_targets,alert_routes}'::text[] LOOP
        EXECUTE format('CREATE POLICY %I ON notify.%I TO authenticated USING ((SELECT rbac.has_permission((SELECT auth.uid()), %L))) WITH CHECK ((SELECT rbac.has_permission((SELECT auth.uid()), %L)))',
            name || '_manage', name, 'notify.manage', 'notify.manage');
    END LOOP;
    FOREACH name IN ARRAY '{suppressions,digests,outbox,delivery_events}'::text[] LOOP
        EXECUTE format('CREATE POLICY %I ON notify.%I FOR SELECT TO authenticated USING ((SELECT rbac.has_permission((SELECT auth.uid()), %L)))', name || '_view', name, 'notify.manage');
    END LOOP;
END $$;
GRANT SELECT (id, name, url, message_types, secret_key_id, previous_secret_until, is_enabled, failures, last_success_at, last_failure_at, disabled_at, disabled_reason, created_by, created_at, updated_at)
    ON notify.webhook_targets TO authenticated;
GRANT INSERT, UPDATE ON notify.webhook_targets TO authenticated;
GRANT SELECT, INSERT, UPDATE, DELETE ON notify.alert_routes TO authenticated;
GRANT SELECT ON notify.suppressions, notify.digests, notify.delivery_events TO authenticated;
-- Whether and when, but not what: a message may hold a link that lets its reader in.
GRANT SELECT (
    id, message_type, channel, user_id, webhook_target_id, locale, template_id, source_type, source_id, group_key, digest_id, fallback_of_id, status, priority,
    scheduled_for, expires_at, attempts, max_attempts, next_attempt_at, locked_at, job_id, provider, provider_message_id, is_outcome_unknown, error_kind, suppressed_reason,
    sent_at, delivered_at, seen_at, cancelled_at, created_at, updated_at
) ON notify.outbox TO authenticated;

CREATE POLICY inbox_own ON notify.inbox FOR SELECT TO authenticated USING (user_id = (SELECT auth.uid()));
CREATE POLICY inbox_change_own ON notify.inbox FOR UPDATE TO authenticated
    USING (user_id = (SELECT auth.uid())) WITH CHECK (user_id = (SELECT auth.uid()));
GRANT SELECT, UPDATE (read_at, archived_at) ON notify.inbox TO authenticated;
GRANT SELECT ON notify.my_inbox TO authenticated;

DO $$
DECLARE
    author constant text := 'Who set it up; the profile it points to is empty.';
BEGIN
    PERFORM compliance.classify('notify.webhook_targets', 'pseudonymous', '{created_by}', on_erasure => 'keep', reason => author);
    PERFORM compliance.classify('notify.webhook_targets', 'none');
    PERFORM compliance.classify('notify.alert_routes', 'none');
    PERFORM compliance.classify('notify.suppressions', 'pseudonymous', '{address_digest,source_key}', on_erasure => 'keep',
        reason => 'So that nothing is sent again to who did not want it; a digest with a key, and no address.');
    PERFORM compliance.classify('notify.suppressions', 'pseudonymous', '{released_by}', on_erasure => 'keep', reason => author);
    PERFORM compliance.classify('notify.suppressions', 'none');
    PERFORM compliance.classify('notify.digests', 'personal', exported => true, on_erasure => 'delete');
    PERFORM compliance.belongs_to('notify.digests', 'user_id = $1');
    PERFORM compliance.classify('notify.outbox', 'personal', exported => true, on_erasure => 'delete');
    PERFORM compliance.belongs_to('notify.outbox', 'user_id = $1');
    PERFORM compliance.classify('notify.delivery_events', 'personal', exported => true, on_erasure => 'delete');
    PERFORM compliance.belongs_to('notify.delivery_events', 'outbox_id IN (SELECT id FROM notify.outbox WHERE user_id = $1)');
    PERFORM compliance.classify('notify.inbox', 'personal', exported => true, on_erasure => 'delete');
    PERFORM compliance.belongs_to('notify.inbox', 'user_id = $1');
END $$;
