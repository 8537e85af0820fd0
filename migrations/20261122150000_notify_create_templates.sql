-- What is told to people: channels, kinds of messages, and their texts.
-- Owner: workers/notify. Locks: none, everything is new. Undo: DROP SCHEMA notify CASCADE.

CREATE SCHEMA notify;
COMMENT ON SCHEMA notify IS 'Messages to people and to other systems: texts, what is to be sent, who wants what. Written by workers/notify; whatever is to be told is a row of notify.outbox.';
GRANT USAGE ON SCHEMA notify TO anon, authenticated, service_role;

CREATE TABLE notify.channels (
    channel_key           text        NOT NULL CONSTRAINT channels_pkey PRIMARY KEY CONSTRAINT ck_channels_key CHECK (channel_key ~ '^[a-z][a-z_]{1,19}$'),
    name                  text        NOT NULL CONSTRAINT ck_channels_name CHECK (char_length(name) BETWEEN 1 AND 80),
    is_enabled            boolean     NOT NULL DEFAULT true,
    max_attempts          smallint    NOT NULL DEFAULT 8 CONSTRAINT ck_channels_max_attempts CHECK (max_attempts BETWEEN 1 AND 50),
    max_per_second        integer     CONSTRAINT ck_channels_max_per_second CHECK (max_per_second BETWEEN 1 AND 100000),
    max_per_user_hour     integer     CONSTRAINT ck_channels_max_per_user_hour CHECK (max_per_user_hour BETWEEN 1 AND 100000),
    stuck_after_seconds   integer     NOT NULL DEFAULT 600 CONSTRAINT ck_channels_stuck_after_seconds CHECK (stuck_after_seconds BETWEEN 10 AND 86400),
    settings              jsonb       NOT NULL DEFAULT '{}' CONSTRAINT ck_channels_settings CHECK (jsonb_typeof(settings) = 'object' AND octet_length(settings::text) <= 65536),
    created_at            timestamptz NOT NULL DEFAULT now(),
    updated_at            timestamptz NOT NULL DEFAULT now()
);
COMMENT ON TABLE notify.channels IS 'By which ways messages go, how fast, and how often a failing one is tried.';
COMMENT ON COLUMN notify.channels.is_enabled IS 'Off: messages wait, and none is lost.';
COMMENT ON COLUMN notify.channels.settings IS 'Of the adapter. No secrets: these come from the environment.';

CREATE TABLE notify.message_types (
    type_key             text        NOT NULL CONSTRAINT message_types_pkey PRIMARY KEY CONSTRAINT ck_message_types_key CHECK (type_key ~ '^[a-z][a-z_]{1,29}\.[a-z][a-z0-9_]{1,49}$'),
    description          text        NOT NULL DEFAULT '' CONSTRAINT ck_message_types_description CHECK (char_length(description) <= 500),
    category             text        NOT NULL CONSTRAINT ck_message_types_category CHECK (category IN ('security', 'transactional', 'activity', 'social', 'marketing', 'operations')),
    is_optional          boolean     NOT NULL DEFAULT true,
    consent_key          text        CONSTRAINT ck_message_types_consent_key CHECK (consent_key ~ '^[a-z][a-z0-9_.]{1,79}$'),
    default_channels     text[]      NOT NULL CONSTRAINT ck_message_types_default_channels CHECK (cardinality(default_channels) BETWEEN 1 AND 4),
    default_frequency    text        NOT NULL DEFAULT 'immediate' CONSTRAINT ck_message_types_default_frequency CHECK (default_frequency IN ('immediate', 'daily', 'weekly')),
    priority             smallint    NOT NULL DEFAULT 5 CONSTRAINT ck_message_types_priority CHECK (priority BETWEEN 1 AND 9),
    is_quiet_at_night    boolean     NOT NULL DEFAULT true,
    expires_after_seconds integer    CONSTRAINT ck_message_types_expires_after_seconds CHECK (expires_after_seconds BETWEEN 60 AND 31536000),
    on_unknown_outcome   text        NOT NULL DEFAULT 'retry' CONSTRAINT ck_message_types_on_unknown_outcome CHECK (on_unknown_outcome IN ('retry', 'park')),
    is_secret            boolean     NOT NULL DEFAULT false,
    is_active            boolean     NOT NULL DEFAULT true,
    created_at           timestamptz NOT NULL DEFAULT now(),
    updated_at           timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT ck_message_types_optional CHECK (is_optional = (category IN ('activity', 'social', 'marketing'))),
    CONSTRAINT ck_message_types_marketing CHECK (category <> 'marketing' OR consent_key IS NOT NULL),
    CONSTRAINT ck_message_types_mandatory CHECK (is_optional OR consent_key IS NULL AND default_frequency = 'immediate' AND NOT is_quiet_at_night)
);
COMMENT ON TABLE notify.message_types IS 'Kinds of messages and their rules. Those of security, contracts and operations cannot be opted out of; advertising needs a consent.';
COMMENT ON COLUMN notify.message_types.is_quiet_at_night IS 'Waits for the end of the quiet hours of who it is for.';
COMMENT ON COLUMN notify.message_types.on_unknown_outcome IS 'When a worker died while sending: send again, perhaps twice, or leave it to a person.';
COMMENT ON COLUMN notify.message_types.is_secret IS 'Its variables hold links that let somebody in: they are emptied when it is sent.';

CREATE FUNCTION notify.placeholders(template text) RETURNS text[]
LANGUAGE sql IMMUTABLE PARALLEL SAFE SET search_path = pg_catalog, pg_temp
BEGIN ATOMIC
    SELECT coalesce(array_agg(DISTINCT found.name[1] ORDER BY found.name[1]), '{}')
    FROM regexp_matches(template, '\{\{ ([a-z][a-z0-9_]*) \}\}', 'g') AS found(name);
END;
COMMENT ON FUNCTION notify.placeholders IS 'The names between {{ and }} in a text, each once, in order.';

CREATE TABLE notify.templates (
    id           uuid        NOT NULL DEFAULT gen_random_uuid() CONSTRAINT templates_pkey PRIMARY KEY,
    template_key text        NOT NULL CONSTRAINT fk_templates_message_type REFERENCES notify.message_types,
    channel      text        NOT NULL CONSTRAINT fk_templates_channel REFERENCES notify.channels,
    locale       text        NOT NULL CONSTRAINT ck_templates_locale CHECK (locale ~ '^[a-z]{2}(-[A-Z]{2})?$'),
    version      integer     NOT NULL DEFAULT 1 CONSTRAINT ck_templates_version CHECK (version > 0),
    subject      text        CONSTRAINT ck_templates_subject CHECK (char_length(subject) BETWEEN 1 AND 255 AND subject !~ '[\r\n]'),
    body_text    text        NOT NULL CONSTRAINT ck_templates_body_text CHECK (char_length(body_text) BETWEEN 1 AND 131072),
    body_html    text        CONSTRAINT ck_templates_body_html CHECK (char_length(body_html) BETWEEN 1 AND 262144),
    variables    text[]      NOT NULL GENERATED ALWAYS AS (notify.placeholders(coalesce(subject, '') || ' ' || body_text || ' ' || coalesce(body_html, ''))) STORED,
    is_active    boolean     NOT NULL DEFAULT false,
    created_by   uuid        CONSTRAINT fk_templates_created_by REFERENCES public.profiles,
    created_at   timestamptz NOT NULL DEFAULT now(),
    updated_at   timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT uq_templates_version UNIQUE (template_key, channel, locale, version),
    CONSTRAINT ck_templates_has_subject CHECK (subject IS NOT NULL OR channel = 'webhook'),
    CONSTRAINT ck_templates_html_channel CHECK (body_html IS NULL OR channel = 'email'),
    CONSTRAINT ck_templates_placeholders CHECK (
        regexp_replace(coalesce(subject, '') || body_text || coalesce(body_html, ''), '\{\{ [a-z][a-z0-9_]* \}\}', '', 'g') !~ '\{\{|\}\}'
    )
);
CREATE UNIQUE INDEX uq_templates_active ON notify.templates (template_key, channel, locale) WHERE is_active;
CREATE INDEX idx_templates_channel ON notify.templates (channel);
CREATE INDEX idx_templates_created_by ON notify.templates (created_by) WHERE created_by IS NOT NULL;
COMMENT ON TABLE notify.templates IS 'Texts of messages, with {{ name }} for what is filled in. A version is never changed, so that what was sent can be told; one version is active.';
COMMENT ON COLUMN notify.templates.subject IS 'Of a mail; in the app and on a phone the title.';
COMMENT ON COLUMN notify.templates.body_html IS 'Values are escaped when they are filled in.';
COMMENT ON COLUMN notify.templates.variables IS 'What a message has to bring, found in the texts.';

CREATE FUNCTION notify.keep_template() RETURNS trigger
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    RAISE EXCEPTION 'a version of a template is not changed: add another one'
        USING ERRCODE = 'integrity_constraint_violation', CONSTRAINT = TG_NAME, SCHEMA = TG_TABLE_SCHEMA, TABLE = TG_TABLE_NAME;
END $$;
COMMENT ON FUNCTION notify.keep_template IS 'Refuses to change the text of a version.';
CREATE TRIGGER trg_templates_keep_template BEFORE UPDATE ON notify.templates FOR EACH ROW
    WHEN ((OLD.template_key, OLD.channel, OLD.locale, OLD.version, OLD.subject, OLD.body_text, OLD.body_html)
        IS DISTINCT FROM (NEW.template_key, NEW.channel, NEW.locale, NEW.version, NEW.subject, NEW.body_text, NEW.body_html))
    EXECUTE FUNCTION notify.keep_template();
CREATE TRIGGER trg_channels_set_updated_at BEFORE UPDATE ON notify.channels FOR EACH ROW EXECUTE FUNCTION util.set_updated_at();
CREATE TRIGGER trg_message_types_set_updated_at BEFORE UPDATE ON notify.message_types FOR EACH ROW EXECUTE FUNCTION util.set_updated_at();
CREATE TRIGGER trg_templates_set_updated_at BEFORE UPDATE ON notify.templates FOR EACH ROW EXECUTE FUNCTION util.set_updated_at();

CREATE FUNCTION notify.activate_template(template_id uuid) RETURNS boolean
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    chosen notify.templates;
BEGIN
    SELECT * INTO chosen FROM notify.templates t WHERE t.id = activate_template.template_id FOR UPDATE;
    IF NOT FOUND THEN
        RETURN false;
    END IF;
    UPDATE notify.templates t SET is_active = false
    WHERE (t.template_key, t.channel, t.locale) = (chosen.template_key, chosen.channel, chosen.locale) AND t.is_active AND t.id <> chosen.id;
    UPDATE notify.templates t SET is_active = true WHERE t.id = chosen.id AND NOT t.is_active;
    RETURN true;
END $$;
COMMENT ON FUNCTION notify.activate_template IS 'Sends with this version from now on, and with no other of its key, channel and locale. False: there is none.';

CREATE FUNCTION notify.find_template(template_key text, channel text, locale text, default_locale text DEFAULT 'fr') RETURNS SETOF notify.templates
LANGUAGE sql STABLE ROWS 1 SET search_path = pg_catalog, pg_temp
BEGIN ATOMIC
    SELECT t.* FROM notify.templates t
    WHERE t.template_key = find_template.template_key AND t.channel = find_template.channel AND t.is_active
        AND t.locale IN (find_template.locale, left(find_template.locale, 2), find_template.default_locale)
    ORDER BY t.locale = find_template.locale DESC, t.locale = left(find_template.locale, 2) DESC
    LIMIT 1;
END;
COMMENT ON FUNCTION notify.find_template IS 'The active text in a locale, else in its language, else in the default one; none where there is none.';

SELECT util.protect('notify.channels');
SELECT util.protect('notify.message_types');
SELECT util.protect('notify.templates', 'SELECT, INSERT, UPDATE');

CREATE POLICY channels_read ON notify.channels FOR SELECT TO authenticated USING (true);
CREATE POLICY channels_manage ON notify.channels FOR UPDATE TO authenticated
    USING ((SELECT rbac.has_permission((SELECT auth.uid()), 'notify.manage'))) WITH CHECK ((SELECT rbac.has_permission((SELECT auth.uid()), 'notify.manage')));
GRANT SELECT (channel_key, name, is_enabled) ON notify.channels TO authenticated;
GRANT UPDATE (name, is_enabled, max_attempts, max_per_second, max_per_user_hour, stuck_after_seconds) ON notify.channels TO authenticated;
-- Whoever sets what to get has to see what there is.
CREATE POLICY message_types_read ON notify.message_types FOR SELECT TO authenticated USING (is_active);
CREATE POLICY message_types_manage ON notify.message_types TO authenticated
    USING ((SELECT rbac.has_permission((SELECT auth.uid()), 'notify.manage'))) WITH CHECK ((SELECT rbac.has_permission((SELECT auth.uid()), 'notify.manage')));
GRANT SELECT, INSERT, UPDATE ON notify.message_types TO authenticated;
CREATE POLICY templates_manage ON notify.templates TO authenticated
    USING ((SELECT rbac.has_permission((SELECT auth.uid()), 'notify.manage'))) WITH CHECK ((SELECT rbac.has_permission((SELECT auth.uid()), 'notify.manage')));
GRANT SELECT, INSERT, UPDATE (is_active) ON notify.templates TO authenticated;

REVOKE ALL ON FUNCTION notify.placeholders, notify.keep_template, notify.activate_template, notify.find_template FROM PUBLIC;
GRANT EXECUTE ON FUNCTION notify.placeholders, notify.activate_template, notify.find_template TO authenticated, service_role;

SELECT compliance.classify('notify.channels', 'none');
SELECT compliance.classify('notify.message_types', 'none');
SELECT compliance.classify('notify.templates', 'pseudonymous', '{created_by}', on_erasure => 'keep', reason => 'Who wrote it; the profile it points to is empty.');
SELECT compliance.classify('notify.templates', 'none');
