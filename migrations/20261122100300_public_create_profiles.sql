-- People: their profile, settings, links and consents. Policies follow in public_create_policies, after rbac.
-- Owner: crates/api. Locks: none, everything is new.
-- Undo: DROP TABLE public.user_consents, public.profile_links, public.user_settings, public.profiles; DROP the functions below.

GRANT USAGE ON SCHEMA public TO anon, authenticated, service_role;
-- Databases that began before Postgres 15 let everybody make tables here.
REVOKE CREATE ON SCHEMA public FROM PUBLIC, anon, authenticated, service_role;

CREATE TABLE public.profiles (
    id           uuid        NOT NULL CONSTRAINT profiles_pkey PRIMARY KEY,
    account_id   uuid        CONSTRAINT uq_profiles_account UNIQUE CONSTRAINT fk_profiles_account REFERENCES auth.users ON DELETE SET NULL,
    username     text        CONSTRAINT ck_profiles_username CHECK (username ~ '^[a-z0-9][a-z0-9_.-]{1,38}[a-z0-9]$'),
    email        text        CONSTRAINT ck_profiles_email CHECK (email ~ '^[^@\s]+@[^@\s]+$' AND char_length(email) <= 320),
    display_name text        NOT NULL DEFAULT '' CONSTRAINT ck_profiles_display_name CHECK (char_length(display_name) <= 120),
    bio          text        NOT NULL DEFAULT '' CONSTRAINT ck_profiles_bio CHECK (char_length(bio) <= 2000),
    avatar_url   text        CONSTRAINT ck_profiles_avatar_url CHECK (avatar_url ~ '^(https?://|/)' AND char_length(avatar_url) <= 2000),
    profession   text        CONSTRAINT ck_profiles_profession CHECK (char_length(profession) BETWEEN 1 AND 120),
    locale       text        NOT NULL DEFAULT 'fr' CONSTRAINT ck_profiles_locale CHECK (locale ~ '^[a-z]{2}(-[A-Z]{2})?$'),
    time_zone    text        NOT NULL DEFAULT 'UTC' CONSTRAINT ck_profiles_time_zone CHECK (time_zone ~ '^[A-Za-z][A-Za-z0-9_+/-]{0,63}$'),
    is_public    boolean     NOT NULL DEFAULT false,
    last_seen_at timestamptz,
    deletion_requested_at timestamptz,
    erased_at    timestamptz,
    created_at   timestamptz NOT NULL DEFAULT now(),
    updated_at   timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT ck_profiles_account CHECK (account_id = id),
    CONSTRAINT ck_profiles_erased CHECK (
        erased_at IS NULL OR username IS NULL AND email IS NULL AND account_id IS NULL AND NOT is_public
        AND display_name = '' AND bio = '' AND avatar_url IS NULL AND profession IS NULL AND last_seen_at IS NULL
    )
);
CREATE UNIQUE INDEX uq_profiles_username ON public.profiles (username);
CREATE UNIQUE INDEX uq_profiles_email ON public.profiles (lower(email));
CREATE INDEX idx_profiles_public ON public.profiles (username) WHERE is_public;
CREATE INDEX idx_profiles_last_seen ON public.profiles (last_seen_at DESC) WHERE last_seen_at IS NOT NULL;
CREATE INDEX idx_profiles_deletion_requested ON public.profiles (deletion_requested_at) WHERE deletion_requested_at IS NOT NULL;
COMMENT ON TABLE public.profiles IS 'A person. Never deleted: other tables point here, and after an erasure the row stays, empty, as a tombstone.';
COMMENT ON COLUMN public.profiles.id IS 'The id of the account, also after the account is gone.';
COMMENT ON COLUMN public.profiles.account_id IS 'The account while there is one.';
COMMENT ON COLUMN public.profiles.email IS 'For mails to the person. No client reads it here: the own one is in the claims of the token.';
COMMENT ON COLUMN public.profiles.time_zone IS 'An IANA name, such as Africa/Algiers.';
COMMENT ON COLUMN public.profiles.deletion_requested_at IS 'When the person asked to be forgotten; a time of grace begins.';
COMMENT ON COLUMN public.profiles.erased_at IS 'Since when this is a tombstone.';

CREATE TABLE public.user_settings (
    user_id              uuid        NOT NULL CONSTRAINT user_settings_pkey PRIMARY KEY CONSTRAINT fk_user_settings_user REFERENCES public.profiles ON DELETE CASCADE,
    notification_settings jsonb      NOT NULL DEFAULT '{}' CONSTRAINT ck_user_settings_notification CHECK (jsonb_typeof(notification_settings) = 'object' AND octet_length(notification_settings::text) <= 65536),
    privacy_settings     jsonb       NOT NULL DEFAULT '{}' CONSTRAINT ck_user_settings_privacy CHECK (jsonb_typeof(privacy_settings) = 'object' AND octet_length(privacy_settings::text) <= 65536),
    learning_preferences jsonb       NOT NULL DEFAULT '{}' CONSTRAINT ck_user_settings_learning CHECK (jsonb_typeof(learning_preferences) = 'object' AND octet_length(learning_preferences::text) <= 65536),
    ui_settings          jsonb       NOT NULL DEFAULT '{}' CONSTRAINT ck_user_settings_ui CHECK (jsonb_typeof(ui_settings) = 'object' AND octet_length(ui_settings::text) <= 65536),
    created_at           timestamptz NOT NULL DEFAULT now(),
    updated_at           timestamptz NOT NULL DEFAULT now()
);
COMMENT ON TABLE public.user_settings IS 'What a person has set, by category. Frontends own the fields.';

CREATE TABLE public.profile_links (
    id         uuid        NOT NULL DEFAULT gen_random_uuid() CONSTRAINT profile_links_pkey PRIMARY KEY,
    user_id    uuid        NOT NULL CONSTRAINT fk_profile_links_user REFERENCES public.profiles ON DELETE CASCADE,
    kind       text        NOT NULL CONSTRAINT ck_profile_links_kind CHECK (kind IN ('website', 'x', 'linkedin', 'github', 'youtube', 'other')),
    url        text        NOT NULL CONSTRAINT ck_profile_links_url CHECK (url ~ '^https?://\S+$' AND char_length(url) <= 2000),
    label      text        CONSTRAINT ck_profile_links_label CHECK (char_length(label) BETWEEN 1 AND 80),
    position   smallint    NOT NULL DEFAULT 0 CONSTRAINT ck_profile_links_position CHECK (position >= 0),
    is_public  boolean     NOT NULL DEFAULT true,
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT uq_profile_links_url UNIQUE (user_id, url)
);
COMMENT ON TABLE public.profile_links IS 'Where else a person is found.';

CREATE TABLE public.user_consents (
    id          uuid        NOT NULL DEFAULT gen_random_uuid() CONSTRAINT user_consents_pkey PRIMARY KEY,
    user_id     uuid        NOT NULL CONSTRAINT fk_user_consents_user REFERENCES public.profiles ON DELETE CASCADE,
    consent_key text        NOT NULL CONSTRAINT ck_user_consents_key CHECK (consent_key ~ '^[a-z][a-z0-9_.]{1,79}$'),
    version     integer     NOT NULL DEFAULT 1 CONSTRAINT ck_user_consents_version CHECK (version > 0),
    granted     boolean     NOT NULL,
    source      text        NOT NULL CONSTRAINT ck_user_consents_source CHECK (source IN ('signup', 'settings', 'banner', 'api', 'import', 'expiry')),
    granted_at  timestamptz NOT NULL DEFAULT now(),
    expires_at  timestamptz,
    revoked_at  timestamptz,
    created_at  timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT ck_user_consents_expires_at CHECK (expires_at > granted_at),
    CONSTRAINT ck_user_consents_revoked_at CHECK (revoked_at >= granted_at)
);
CREATE INDEX idx_user_consents_user ON public.user_consents (user_id, consent_key, granted_at DESC);
-- One answer counts at a time; the others are history.
CREATE UNIQUE INDEX uq_user_consents_current ON public.user_consents (user_id, consent_key) WHERE revoked_at IS NULL;
CREATE INDEX idx_user_consents_expires_at ON public.user_consents (expires_at) WHERE revoked_at IS NULL AND expires_at IS NOT NULL;
COMMENT ON TABLE public.user_consents IS 'What a person agreed to or refused, and when. An answer is never changed: it is revoked, and another one given.';
COMMENT ON COLUMN public.user_consents.version IS 'Of the text that was agreed to; see compliance.legal_docs.';

CREATE TRIGGER trg_profiles_set_updated_at BEFORE UPDATE ON public.profiles FOR EACH ROW EXECUTE FUNCTION util.set_updated_at();
CREATE TRIGGER trg_user_settings_set_updated_at BEFORE UPDATE ON public.user_settings FOR EACH ROW EXECUTE FUNCTION util.set_updated_at();
CREATE TRIGGER trg_profile_links_set_updated_at BEFORE UPDATE ON public.profile_links FOR EACH ROW EXECUTE FUNCTION util.set_updated_at();

CREATE FUNCTION public.check_time_zone() RETURNS trigger
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    IF NOT util.is_time_zone(NEW.time_zone) THEN
        RAISE EXCEPTION 'there is no time zone %', NEW.time_zone
            USING ERRCODE = 'check_violation', CONSTRAINT = TG_NAME, SCHEMA = TG_TABLE_SCHEMA, TABLE = TG_TABLE_NAME;
    END IF;
    RETURN NEW;
END $$;
COMMENT ON FUNCTION public.check_time_zone IS 'Refuses time zones that the server does not know: one of them would stop the nightly work of all.';
CREATE TRIGGER trg_profiles_check_time_zone BEFORE INSERT OR UPDATE OF time_zone ON public.profiles FOR EACH ROW EXECUTE FUNCTION public.check_time_zone();

CREATE FUNCTION public.keep_consent() RETURNS trigger
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    IF TG_OP = 'INSERT' THEN
        IF util.is_client() AND NEW.source IN ('import', 'expiry') THEN
            RAISE EXCEPTION 'only workers record consents as %', NEW.source
                USING ERRCODE = 'insufficient_privilege', CONSTRAINT = TG_NAME, SCHEMA = TG_TABLE_SCHEMA, TABLE = TG_TABLE_NAME;
        END IF;
    ELSIF to_jsonb(NEW) - 'revoked_at' <> to_jsonb(OLD) - 'revoked_at' OR OLD.revoked_at IS NOT NULL AND NEW.revoked_at IS DISTINCT FROM OLD.revoked_at THEN
        RAISE EXCEPTION 'a consent is revoked once, and otherwise never changed'
            USING ERRCODE = 'integrity_constraint_violation', CONSTRAINT = TG_NAME, SCHEMA = TG_TABLE_SCHEMA, TABLE = TG_TABLE_NAME;
    ELSIF NEW.revoked_at IS NOT NULL AND OLD.revoked_at IS NULL AND util.is_client() THEN
        -- Neither before it was given nor at some time to come.
        NEW.revoked_at := now();
    END IF;
    RETURN NEW;
END $$;
COMMENT ON FUNCTION public.keep_consent IS 'Keeps the history of consents true: an answer is given now, revoked once, and not changed.';
CREATE TRIGGER trg_user_consents_keep BEFORE INSERT OR UPDATE ON public.user_consents FOR EACH ROW EXECUTE FUNCTION public.keep_consent();

-- An account brings its profile --------------------------------------------------------------------

CREATE FUNCTION public.insert_profile(account uuid, username text, email text, said jsonb) RETURNS void
LANGUAGE sql SET search_path = pg_catalog, pg_temp
BEGIN ATOMIC
    INSERT INTO public.profiles (id, account_id, username, email, display_name, locale, time_zone)
    VALUES (
        account, account, insert_profile.username, insert_profile.email, left(coalesce(said ->> 'display_name', ''), 120),
        CASE WHEN said ->> 'locale' ~ '^[a-z]{2}(-[A-Z]{2})?$' THEN said ->> 'locale' ELSE 'fr' END,
        CASE WHEN util.is_time_zone(said ->> 'time_zone') THEN said ->> 'time_zone' ELSE 'UTC' END
    )
    ON CONFLICT (id) DO NOTHING;
END;
COMMENT ON FUNCTION public.insert_profile IS 'The profile of a new account, from what it said at sign-up as far as that is sound.';

CREATE FUNCTION public.adopt_account(account uuid, mail text, said jsonb) RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    wanted text := lower(said ->> 'username');
BEGIN
    -- A sign-up never fails for what a profile does not like: people can mend it later.
    IF wanted !~ '^[a-z0-9][a-z0-9_.-]{1,38}[a-z0-9]$' OR EXISTS (SELECT FROM public.profiles WHERE username = wanted) THEN
        wanted := NULL;
    END IF;
    IF mail !~ '^[^@\s]+@[^@\s]+$' OR char_length(mail) > 320 OR EXISTS (SELECT FROM public.profiles WHERE lower(email) = lower(mail)) THEN
        mail := NULL;
    END IF;
    BEGIN
        PERFORM public.insert_profile(account, wanted, mail, said);
    EXCEPTION WHEN unique_violation THEN
        -- Somebody took the name or the address at this moment.
        PERFORM public.insert_profile(account, NULL, CASE WHEN NOT EXISTS (SELECT FROM public.profiles WHERE lower(email) = lower(mail)) THEN mail END, said);
    END;
    INSERT INTO public.user_settings (user_id) VALUES (account) ON CONFLICT DO NOTHING;
END $$;
COMMENT ON FUNCTION public.adopt_account IS 'Gives an account its profile and settings, if it has none.';

CREATE FUNCTION public.create_profile() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    PERFORM public.adopt_account(NEW.id, NEW.email::text, coalesce(NEW.raw_user_meta_data, '{}'));
    RETURN NEW;
END $$;
COMMENT ON FUNCTION public.create_profile IS 'Gives a new account its profile and settings.';
CREATE TRIGGER trg_users_create_profile AFTER INSERT ON auth.users FOR EACH ROW EXECUTE FUNCTION public.create_profile();

CREATE FUNCTION public.follow_email() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    UPDATE public.profiles p
    SET email = CASE
        WHEN NEW.email ~ '^[^@\s]+@[^@\s]+$' AND char_length(NEW.email) <= 320
            AND NOT EXISTS (SELECT FROM public.profiles other WHERE lower(other.email) = lower(NEW.email) AND other.id <> NEW.id)
        THEN NEW.email::text
    END
    WHERE p.account_id = NEW.id;
    RETURN NULL;
END $$;
COMMENT ON FUNCTION public.follow_email IS 'When the address of an account changes, mails go to the new one, and to the old one no more.';
CREATE TRIGGER trg_users_follow_email AFTER UPDATE OF email ON auth.users
    FOR EACH ROW WHEN (NEW.email IS DISTINCT FROM OLD.email) EXECUTE FUNCTION public.follow_email();

SELECT util.protect('public.profiles', 'SELECT, INSERT, UPDATE');
SELECT util.protect('public.user_settings');
SELECT util.protect('public.profile_links');
SELECT util.protect('public.user_consents');
REVOKE ALL ON FUNCTION public.check_time_zone, public.keep_consent, public.insert_profile, public.adopt_account, public.create_profile, public.follow_email FROM PUBLIC, anon, authenticated, service_role;

SELECT compliance.classify('public.profiles', 'personal', '{username,email,display_name,bio,avatar_url,profession,locale,time_zone,is_public,last_seen_at,account_id}', exported => true, on_erasure => 'anonymise');
SELECT compliance.classify('public.profiles', 'pseudonymous', '{id,deletion_requested_at,erased_at,created_at,updated_at}', exported => true, on_erasure => 'keep', reason => 'The tombstone that other rows point to.');
SELECT compliance.belongs_to('public.profiles', 'id = $1');
SELECT compliance.classify('public.user_settings', 'personal', exported => true, on_erasure => 'delete');
SELECT compliance.belongs_to('public.user_settings', 'user_id = $1');
SELECT compliance.classify('public.profile_links', 'personal', exported => true, on_erasure => 'delete');
SELECT compliance.belongs_to('public.profile_links', 'user_id = $1');
SELECT compliance.classify('public.user_consents', 'personal', exported => true, on_erasure => 'keep', reason => 'Proof of what was agreed to, for as long as claims may be made; the profile it points to is empty.');
SELECT compliance.belongs_to('public.user_consents', 'user_id = $1');
