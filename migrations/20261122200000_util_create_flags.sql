-- Features that are turned on for some, for all, or off at once.
-- Owner: workers/maintenance. Locks: none, everything is new.
-- Undo: DROP TABLE util.feature_flag_users, util.feature_flags; DROP FUNCTION util.flag_bucket, util.check_flag_enabled, util.keep_flag.

CREATE TABLE util.feature_flags (
    id                 uuid        NOT NULL DEFAULT gen_random_uuid() CONSTRAINT feature_flags_pkey PRIMARY KEY,
    flag_key           text        NOT NULL CONSTRAINT uq_feature_flags_key UNIQUE CONSTRAINT ck_feature_flags_key CHECK (flag_key ~ '^[a-z][a-z0-9_]{1,79}$'),
    flag_name          text        NOT NULL CONSTRAINT ck_feature_flags_name CHECK (char_length(flag_name) BETWEEN 1 AND 120),
    flag_description   text        NOT NULL DEFAULT '' CONSTRAINT ck_feature_flags_description CHECK (char_length(flag_description) <= 1000),
    flag_category      text        NOT NULL DEFAULT 'general' CONSTRAINT ck_feature_flags_category CHECK (flag_category ~ '^[a-z][a-z_]{1,39}$'),
    is_enabled         boolean     NOT NULL DEFAULT false,
    rollout_percentage smallint    NOT NULL DEFAULT 100 CONSTRAINT ck_feature_flags_rollout CHECK (rollout_percentage BETWEEN 0 AND 100),
    target_conditions  jsonb       NOT NULL DEFAULT '{}',
    flag_type          text        NOT NULL DEFAULT 'permanent' CONSTRAINT ck_feature_flags_type CHECK (flag_type IN ('permanent', 'temporary', 'experimental', 'rollout')),
    flag_value         jsonb       CONSTRAINT ck_feature_flags_value CHECK (octet_length(flag_value::text) <= 10000),
    is_system_critical boolean     NOT NULL DEFAULT false,
    created_by         uuid        DEFAULT auth.uid() CONSTRAINT fk_feature_flags_created_by REFERENCES public.profiles,
    created_at         timestamptz NOT NULL DEFAULT now(),
    updated_at         timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT ck_feature_flags_conditions CHECK (
        jsonb_typeof(target_conditions) = 'object' AND target_conditions - '{roles,locales}'::text[] = '{}'
        AND coalesce(jsonb_typeof(target_conditions -> 'roles'), 'array') = 'array' AND coalesce(jsonb_typeof(target_conditions -> 'locales'), 'array') = 'array'
        AND octet_length(target_conditions::text) <= 10000
    )
);
CREATE INDEX idx_feature_flags_created_by ON util.feature_flags (created_by) WHERE created_by IS NOT NULL;
COMMENT ON TABLE util.feature_flags IS 'What is on, and for whom. Ask util.check_flag_enabled.';
COMMENT ON COLUMN util.feature_flags.is_enabled IS 'The switch: off is off for everybody, whatever the rest says.';
COMMENT ON COLUMN util.feature_flags.rollout_percentage IS 'For how many of those who are meant. The same people stay in when it grows.';
COMMENT ON COLUMN util.feature_flags.target_conditions IS 'Who is meant: {"roles": […], "locales": […]}, all that is named; nothing: everybody.';
COMMENT ON COLUMN util.feature_flags.flag_value IS 'What goes with it, such as a limit or a variant.';
COMMENT ON COLUMN util.feature_flags.is_system_critical IS 'Workers and automatic rollbacks rely on it: it cannot be deleted.';

CREATE TABLE util.feature_flag_users (
    flag_id    uuid        NOT NULL CONSTRAINT fk_feature_flag_users_flag REFERENCES util.feature_flags ON DELETE CASCADE,
    user_id    uuid        NOT NULL CONSTRAINT fk_feature_flag_users_user REFERENCES public.profiles ON DELETE CASCADE,
    is_in      boolean     NOT NULL DEFAULT true,
    created_at timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT feature_flag_users_pkey PRIMARY KEY (flag_id, user_id)
);
CREATE INDEX idx_feature_flag_users_user ON util.feature_flag_users (user_id);
COMMENT ON TABLE util.feature_flag_users IS 'People for whom a feature is on or off by name, before conditions and percentage are looked at.';

CREATE FUNCTION util.flag_bucket(flag_key text, user_id uuid) RETURNS integer
LANGUAGE sql IMMUTABLE PARALLEL SAFE SET search_path = pg_catalog, pg_temp
RETURN ('x' || left(encode(sha256(convert_to(flag_key || ':' || user_id, 'UTF8')), 'hex'), 8))::bit(32)::bigint % 100;
COMMENT ON FUNCTION util.flag_bucket IS 'Where a person stands between 0 and 99 for one flag. The same for ever, on every server, and for each flag another.';

CREATE FUNCTION util.check_flag_enabled(flag_key text, user_id uuid DEFAULT NULL) RETURNS boolean
LANGUAGE sql STABLE SECURITY DEFINER PARALLEL RESTRICTED SET search_path = pg_catalog, pg_temp
BEGIN ATOMIC
    SELECT coalesce((
        SELECT f.is_enabled AND coalesce(
            named.is_in,
            (asked.id IS NOT NULL OR f.rollout_percentage = 100 AND f.target_conditions = '{}')
                AND (f.target_conditions -> 'roles' IS NULL OR EXISTS (
                    SELECT FROM rbac.user_roles u
                    JOIN rbac.roles r ON r.id = u.role_id
                    WHERE u.user_id = asked.id AND u.is_active AND (u.expires_at IS NULL OR u.expires_at > now())
                        AND f.target_conditions -> 'roles' ? r.role_name
                ))
                AND (f.target_conditions -> 'locales' IS NULL OR EXISTS (
                    SELECT FROM public.profiles p WHERE p.id = asked.id AND f.target_conditions -> 'locales' ? p.locale
                ))
                AND (asked.id IS NULL OR util.flag_bucket(f.flag_key, asked.id) < f.rollout_percentage)
        )
        FROM util.feature_flags f
        -- A client asks for itself: who else is in an experiment is nobody's business.
        CROSS JOIN (SELECT CASE WHEN util.is_client() THEN nullif(auth.uid(), CASE WHEN check_flag_enabled.user_id <> auth.uid() THEN auth.uid() END) ELSE check_flag_enabled.user_id END AS id) asked
        LEFT JOIN util.feature_flag_users named ON named.flag_id = f.id AND named.user_id = asked.id
        WHERE f.flag_key = check_flag_enabled.flag_key
    ), false);
END;
COMMENT ON FUNCTION util.check_flag_enabled IS 'Whether a feature is on for a person; without one, for a client it is the client, and for a worker everybody. Unknown flags are off.';

CREATE FUNCTION util.keep_flag() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    broken text;
    why    text;
BEGIN
    IF TG_OP = 'DELETE' THEN
        IF OLD.is_system_critical THEN
            broken := 'trg_feature_flags_keep_critical';
            why := format('workers rely on the flag %s', OLD.flag_key);
        END IF;
    ELSIF NEW.flag_key <> OLD.flag_key OR OLD.is_system_critical AND NOT NEW.is_system_critical THEN
        broken := 'trg_feature_flags_keep_critical';
        why := format('workers know the flag %s by its name', OLD.flag_key);
    ELSIF OLD.flag_key = 'pii_minimization_enabled' AND OLD.is_enabled AND NOT (NEW.is_enabled AND NEW.rollout_percentage = 100 AND NEW.target_conditions = '{}')
        -- Workers and operators too: an automatic rollback does not trade people's protection for speed.
        AND NOT coalesce(rbac.has_permission(auth.uid(), 'compliance.override'), false)
    THEN
        broken := 'trg_feature_flags_keep_minimisation';
        why := 'the minimisation of personal data is turned off by nobody without compliance.override';
    END IF;
    IF broken IS NOT NULL THEN
        RAISE EXCEPTION '%', why USING ERRCODE = 'integrity_constraint_violation', CONSTRAINT = broken, SCHEMA = TG_TABLE_SCHEMA, TABLE = TG_TABLE_NAME;
    END IF;
    RETURN CASE WHEN TG_OP = 'DELETE' THEN OLD ELSE NEW END;
END $$;
COMMENT ON FUNCTION util.keep_flag IS 'Critical flags stay, and what protects people is not turned off.';
CREATE TRIGGER trg_feature_flags_keep BEFORE UPDATE OR DELETE ON util.feature_flags FOR EACH ROW EXECUTE FUNCTION util.keep_flag();

CREATE FUNCTION util.keep_flag_users() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    IF NOT NEW.is_in AND NOT coalesce(rbac.has_permission(auth.uid(), 'compliance.override'), false)
        AND EXISTS (SELECT FROM util.feature_flags f WHERE f.id = NEW.flag_id AND f.flag_key = 'pii_minimization_enabled')
    THEN
        RAISE EXCEPTION 'nobody is left out of the minimisation of personal data without compliance.override'
            USING ERRCODE = 'integrity_constraint_violation', CONSTRAINT = 'trg_feature_flag_users_keep_minimisation', SCHEMA = TG_TABLE_SCHEMA, TABLE = TG_TABLE_NAME;
    END IF;
    RETURN NEW;
END $$;
COMMENT ON FUNCTION util.keep_flag_users IS 'What protects people protects each of them.';
CREATE TRIGGER trg_feature_flag_users_keep BEFORE INSERT OR UPDATE ON util.feature_flag_users FOR EACH ROW EXECUTE FUNCTION util.keep_flag_users();

CREATE TRIGGER trg_feature_flags_set_updated_at BEFORE UPDATE ON util.feature_flags FOR EACH ROW EXECUTE FUNCTION util.set_updated_at();
CREATE TRIGGER trg_feature_flags_log_change AFTER INSERT OR UPDATE OR DELETE ON util.feature_flags
    FOR EACH ROW EXECUTE FUNCTION compliance.log_change('flag_key');
CREATE TRIGGER trg_feature_flag_users_log_change AFTER INSERT OR UPDATE OR DELETE ON util.feature_flag_users
    FOR EACH ROW EXECUTE FUNCTION compliance.log_change('flag_id,user_id', '', 'user_id');

SELECT util.protect('util.feature_flags');
SELECT util.protect('util.feature_flag_users');
CREATE POLICY feature_flags_read ON util.feature_flags FOR SELECT TO authenticated USING ((SELECT auth.uid()) IS NOT NULL);
CREATE POLICY feature_flags_manage ON util.feature_flags TO authenticated
    USING ((SELECT rbac.has_permission((SELECT auth.uid()), 'flags.manage'))) WITH CHECK ((SELECT rbac.has_permission((SELECT auth.uid()), 'flags.manage')));
GRANT SELECT, DELETE,
    INSERT (flag_key, flag_name, flag_description, flag_category, is_enabled, rollout_percentage, target_conditions, flag_type, flag_value, is_system_critical),
    UPDATE (flag_name, flag_description, flag_category, is_enabled, rollout_percentage, target_conditions, flag_type, flag_value, is_system_critical)
    ON util.feature_flags TO authenticated;
CREATE POLICY feature_flag_users_manage ON util.feature_flag_users TO authenticated
    USING ((SELECT rbac.has_permission((SELECT auth.uid()), 'flags.manage'))) WITH CHECK ((SELECT rbac.has_permission((SELECT auth.uid()), 'flags.manage')));
GRANT SELECT, INSERT, UPDATE, DELETE ON util.feature_flag_users TO authenticated;
REVOKE ALL ON FUNCTION util.flag_bucket, util.check_flag_enabled, util.keep_flag, util.keep_flag_users FROM PUBLIC;
GRANT EXECUTE ON FUNCTION util.check_flag_enabled TO anon, authenticated, service_role;
GRANT EXECUTE ON FUNCTION util.flag_bucket TO service_role;

SELECT compliance.classify('util.feature_flags', 'pseudonymous', '{created_by}', on_erasure => 'keep', reason => 'Who made it; the profile it points to is empty.');
SELECT compliance.classify('util.feature_flags', 'none');
SELECT compliance.classify('util.feature_flag_users', 'pseudonymous', exported => true, on_erasure => 'delete');
SELECT compliance.belongs_to('util.feature_flag_users', 'user_id = $1');
