-- Who wants what, how and when; on which devices; and how anything else asks for a message.
-- Owner: workers/notify. Locks: none, everything is new. Undo: DROP TABLE notify.user_subscriptions, notify.devices; DROP the functions below.

CREATE TABLE notify.user_subscriptions (
    id           uuid        NOT NULL DEFAULT gen_random_uuid() CONSTRAINT user_subscriptions_pkey PRIMARY KEY,
    user_id      uuid        NOT NULL CONSTRAINT fk_user_subscriptions_user REFERENCES public.profiles,
    message_type text        CONSTRAINT fk_user_subscriptions_message_type REFERENCES notify.message_types ON DELETE CASCADE,
    channel      text        NOT NULL CONSTRAINT fk_user_subscriptions_channel REFERENCES notify.channels,
    is_enabled   boolean     NOT NULL DEFAULT true,
    frequency    text        CONSTRAINT ck_user_subscriptions_frequency CHECK (frequency IN ('immediate', 'daily', 'weekly')),
    quiet_from   time,
    quiet_until  time,
    source       text        NOT NULL DEFAULT 'settings' CONSTRAINT ck_user_subscriptions_source CHECK (source IN ('settings', 'one_click', 'complaint', 'api', 'import')),
    created_at   timestamptz NOT NULL DEFAULT now(),
    updated_at   timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT uq_user_subscriptions_type UNIQUE NULLS NOT DISTINCT (user_id, channel, message_type),
    CONSTRAINT ck_user_subscriptions_quiet CHECK ((quiet_from IS NULL) = (quiet_until IS NULL) AND quiet_from <> quiet_until)
);
CREATE INDEX idx_user_subscriptions_message_type ON notify.user_subscriptions (message_type) WHERE message_type IS NOT NULL;
CREATE INDEX idx_user_subscriptions_channel ON notify.user_subscriptions (channel);
COMMENT ON TABLE notify.user_subscriptions IS 'What a person chose, by kind of message and channel. Without a row the kind''s own defaults hold.';
COMMENT ON COLUMN notify.user_subscriptions.message_type IS 'Null: all kinds of the channel that have no row of their own.';
COMMENT ON COLUMN notify.user_subscriptions.quiet_from IS 'Begin of the quiet hours by the person''s clock (profiles.time_zone); they may cross midnight.';

CREATE TABLE notify.devices (
    id              uuid        NOT NULL DEFAULT gen_random_uuid() CONSTRAINT devices_pkey PRIMARY KEY,
    user_id         uuid        NOT NULL CONSTRAINT fk_devices_user REFERENCES public.profiles,
    platform        text        NOT NULL CONSTRAINT ck_devices_platform CHECK (platform IN ('web', 'ios', 'android')),
    token           text        NOT NULL CONSTRAINT uq_devices_token UNIQUE CONSTRAINT ck_devices_token CHECK (char_length(token) BETWEEN 8 AND 1000),
    p256dh          bytea       CONSTRAINT ck_devices_p256dh CHECK (octet_length(p256dh) = 65),
    auth_secret     bytea       CONSTRAINT ck_devices_auth_secret CHECK (octet_length(auth_secret) = 16),
    name            text        CONSTRAINT ck_devices_name CHECK (char_length(name) BETWEEN 1 AND 120),
    app_version     text        CONSTRAINT ck_devices_app_version CHECK (char_length(app_version) BETWEEN 1 AND 40),
    locale          text        CONSTRAINT ck_devices_locale CHECK (locale ~ '^[a-z]{2}(-[A-Z]{2})?$'),
    last_seen_at    timestamptz NOT NULL DEFAULT now(),
    failures        integer     NOT NULL DEFAULT 0 CONSTRAINT ck_devices_failures CHECK (failures >= 0),
    disabled_at     timestamptz,
    disabled_reason text        CONSTRAINT ck_devices_disabled_reason CHECK (disabled_reason IN ('gone', 'invalid', 'signed_out', 'stale')),
    created_at      timestamptz NOT NULL DEFAULT now(),
    updated_at      timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT ck_devices_web CHECK ((platform = 'web') = (p256dh IS NOT NULL) AND (p256dh IS NULL) = (auth_secret IS NULL)),
    CONSTRAINT ck_devices_web_token CHECK (platform <> 'web' OR token ~ '^https://\S+$'),
    CONSTRAINT ck_devices_disabled CHECK ((disabled_at IS NULL) = (disabled_reason IS NULL))
);
CREATE INDEX idx_devices_user ON notify.devices (user_id) WHERE disabled_at IS NULL;
CREATE INDEX idx_devices_owner ON notify.devices (user_id);
CREATE INDEX idx_devices_last_seen ON notify.devices (last_seen_at);
COMMENT ON TABLE notify.devices IS 'Where push messages of a person go. A device belongs to who used it last.';
COMMENT ON COLUMN notify.devices.token IS 'What the push service knows it by; in a browser the address of its subscription. No client reads it back.';
COMMENT ON COLUMN notify.devices.p256dh IS 'Public key of the browser, for which messages are encrypted.';

CREATE TRIGGER trg_user_subscriptions_set_updated_at BEFORE UPDATE ON notify.user_subscriptions FOR EACH ROW EXECUTE FUNCTION util.set_updated_at();
CREATE TRIGGER trg_devices_set_updated_at BEFORE UPDATE ON notify.devices FOR EACH ROW EXECUTE FUNCTION util.set_updated_at();

CREATE FUNCTION notify.check_subscription() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    IF EXISTS (SELECT FROM notify.message_types t WHERE t.type_key = NEW.message_type AND NOT t.is_optional) THEN
        RAISE EXCEPTION 'messages of the kind % cannot be chosen', NEW.message_type
            USING ERRCODE = 'check_violation', CONSTRAINT = 'trg_user_subscriptions_check_type', SCHEMA = TG_TABLE_SCHEMA, TABLE = TG_TABLE_NAME;
    END IF;
    RETURN NEW;
END $$;
COMMENT ON FUNCTION notify.check_subscription IS 'Nobody opts out of messages about security or a contract, or delays them.';
CREATE TRIGGER trg_user_subscriptions_check_type BEFORE INSERT OR UPDATE OF message_type ON notify.user_subscriptions
    FOR EACH ROW EXECUTE FUNCTION notify.check_subscription();

CREATE FUNCTION notify.resolve_subscription(user_id uuid, message_type text, channel text)
RETURNS TABLE (is_wanted boolean, reason text, frequency text, quiet_from time, quiet_until time, time_zone text)
LANGUAGE sql STABLE ROWS 1 SET search_path = pg_catalog, pg_temp
BEGIN ATOMIC
    SELECT
        r.reason IN ('mandatory', 'default', 'chosen'), r.reason,
        coalesce(CASE WHEN t.is_optional THEN coalesce(own.frequency, rest.frequency) END, t.default_frequency),
        CASE WHEN t.is_quiet_at_night THEN CASE WHEN own.quiet_from IS NOT NULL THEN own.quiet_from ELSE rest.quiet_from END END,
        CASE WHEN t.is_quiet_at_night THEN CASE WHEN own.quiet_from IS NOT NULL THEN own.quiet_until ELSE rest.quiet_until END END,
        p.time_zone
    FROM notify.message_types t
    JOIN public.profiles p ON p.id = resolve_subscription.user_id
    LEFT JOIN notify.user_subscriptions own
        ON own.user_id = p.id AND own.channel = resolve_subscription.channel AND own.message_type = t.type_key
    LEFT JOIN notify.user_subscriptions rest
        ON rest.user_id = p.id AND rest.channel = resolve_subscription.channel AND rest.message_type IS NULL
    CROSS JOIN LATERAL (SELECT CASE
        WHEN NOT t.is_active THEN 'inactive_type'
        WHEN p.erased_at IS NOT NULL THEN 'erased'
        WHEN NOT t.is_optional THEN 'mandatory'
        WHEN t.consent_key IS NOT NULL AND NOT EXISTS (
            SELECT FROM public.user_consents c
            WHERE c.user_id = p.id AND c.consent_key = t.consent_key AND c.revoked_at IS NULL AND c.granted AND (c.expires_at IS NULL OR c.expires_at > now())
        ) THEN 'no_consent'
        WHEN NOT coalesce(own.is_enabled, rest.is_enabled, true) THEN 'opted_out'
        WHEN own.is_enabled THEN 'chosen'
        WHEN resolve_subscription.channel = ANY (t.default_channels) THEN 'default'
        ELSE 'opted_out'
    END AS reason) r
    WHERE t.type_key = resolve_subscription.message_type;
END;
COMMENT ON FUNCTION notify.resolve_subscription IS 'Whether a person wants a kind of message by a channel now, why, how often and when not. Asked when it is sent, and not only when it is put in. No row: no such kind or person.';

CREATE FUNCTION notify.enqueue(
    user_id uuid, message_type text, variables jsonb, dedupe_key text,
    channels text[] DEFAULT NULL, scheduled_for timestamptz DEFAULT NULL, source_type text DEFAULT NULL, source_id uuid DEFAULT NULL
) RETURNS SETOF uuid
LANGUAGE sql SET search_path = pg_catalog, pg_temp
BEGIN ATOMIC
    INSERT INTO notify.outbox (message_type, channel, user_id, dedupe_key, locale, variables, priority, max_attempts, scheduled_for, next_attempt_at, expires_at, source_type, source_id)
    SELECT
        t.type_key, c.channel_key, p.id, t.type_key || ':' || p.id || ':' || c.channel_key || ':' || enqueue.dedupe_key, p.locale, enqueue.variables,
        t.priority, c.max_attempts, enqueue.scheduled_for, coalesce(enqueue.scheduled_for, now()),
        coalesce(enqueue.scheduled_for, now()) + make_interval(secs => t.expires_after_seconds), enqueue.source_type, enqueue.source_id
    FROM notify.message_types t
    JOIN notify.channels c ON c.channel_key = ANY (coalesce(enqueue.channels, t.default_channels))
    JOIN public.profiles p ON p.id = enqueue.user_id AND p.erased_at IS NULL
    WHERE t.type_key = enqueue.message_type AND t.is_active
    ON CONFLICT ON CONSTRAINT uq_outbox_dedupe_key DO NOTHING
    RETURNING id;
END;
COMMENT ON FUNCTION notify.enqueue IS 'Puts a message to a person into the outbox, once for each channel and key, in the transaction of what it tells of. Answers those that are new.';

CREATE FUNCTION notify.register_device(
    platform text, token text, p256dh bytea DEFAULT NULL, auth_secret bytea DEFAULT NULL, name text DEFAULT NULL, app_version text DEFAULT NULL, locale text DEFAULT NULL
) RETURNS uuid
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
#variable_conflict use_column
DECLARE
    registered uuid;
BEGIN
    IF auth.uid() IS NULL THEN
        RAISE EXCEPTION 'nobody is signed in' USING ERRCODE = 'insufficient_privilege';
    END IF;
    INSERT INTO notify.devices AS d (user_id, platform, token, p256dh, auth_secret, name, app_version, locale)
    VALUES (
        auth.uid(), register_device.platform, register_device.token, register_device.p256dh, register_device.auth_secret,
        register_device.name, register_device.app_version, register_device.locale
    )
    ON CONFLICT ON CONSTRAINT uq_devices_token DO UPDATE
    SET user_id = excluded.user_id, platform = excluded.platform, p256dh = excluded.p256dh, auth_secret = excluded.auth_secret, name = excluded.name,
        app_version = excluded.app_version, locale = excluded.locale, last_seen_at = now(), failures = 0, disabled_at = NULL, disabled_reason = NULL
    RETURNING d.id INTO registered;
    RETURN registered;
END $$;
COMMENT ON FUNCTION notify.register_device IS 'Sends push messages of the one who asks to this device from now on, and those of whoever used it before no longer.';

SELECT util.protect('notify.user_subscriptions');
SELECT util.protect('notify.devices');
CREATE POLICY user_subscriptions_own ON notify.user_subscriptions TO authenticated
    USING (user_id = (SELECT auth.uid())) WITH CHECK (user_id = (SELECT auth.uid()));
GRANT SELECT, INSERT, UPDATE, DELETE ON notify.user_subscriptions TO authenticated;
CREATE POLICY devices_own ON notify.devices TO authenticated
    USING (user_id = (SELECT auth.uid())) WITH CHECK (user_id = (SELECT auth.uid()));
GRANT SELECT (id, user_id, platform, name, app_version, locale, last_seen_at, disabled_at, disabled_reason, created_at, updated_at), UPDATE (name), DELETE ON notify.devices TO authenticated;

REVOKE ALL ON FUNCTION notify.check_subscription, notify.resolve_subscription, notify.enqueue, notify.register_device FROM PUBLIC;
GRANT EXECUTE ON FUNCTION notify.resolve_subscription, notify.enqueue TO service_role;
GRANT EXECUTE ON FUNCTION notify.register_device TO authenticated;

SELECT compliance.classify('notify.user_subscriptions', 'personal', exported => true, on_erasure => 'delete');
SELECT compliance.belongs_to('notify.user_subscriptions', 'user_id = $1');
SELECT compliance.classify('notify.devices', 'personal', '{token,p256dh,auth_secret}', on_erasure => 'delete');
SELECT compliance.classify('notify.devices', 'personal', exported => true, on_erasure => 'delete');
SELECT compliance.belongs_to('notify.devices', 'user_id = $1');
