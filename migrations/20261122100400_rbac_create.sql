-- Who may do what: roles, permissions, grants and their log. There is no is_admin: everything asks rbac.has_permission.
-- Owner: crates/api. Locks: none, everything is new. Undo: DROP SCHEMA rbac CASCADE.

CREATE SCHEMA rbac;
COMMENT ON SCHEMA rbac IS 'Roles, permissions and who holds them. Grants are written by its functions only.';
GRANT USAGE ON SCHEMA rbac TO anon, authenticated, service_role;

CREATE TABLE rbac.roles (
    id          uuid        NOT NULL DEFAULT gen_random_uuid() CONSTRAINT roles_pkey PRIMARY KEY,
    role_name   text        NOT NULL CONSTRAINT uq_roles_role_name UNIQUE CONSTRAINT ck_roles_role_name CHECK (role_name ~ '^[a-z][a-z_]{1,39}$'),
    rank        smallint    NOT NULL CONSTRAINT ck_roles_rank CHECK (rank BETWEEN 0 AND 100),
    description text        NOT NULL DEFAULT '' CONSTRAINT ck_roles_description CHECK (char_length(description) <= 500),
    is_system   boolean     NOT NULL DEFAULT false,
    created_at  timestamptz NOT NULL DEFAULT now(),
    updated_at  timestamptz NOT NULL DEFAULT now()
);
COMMENT ON TABLE rbac.roles IS 'Named sets of permissions, for the whole platform. Roles within an organisation are on its memberships.';
COMMENT ON COLUMN rbac.roles.rank IS 'Nobody grants or revokes a role above the own highest rank.';
COMMENT ON COLUMN rbac.roles.is_system IS 'Part of the platform: cannot be deleted.';

CREATE TABLE rbac.permissions (
    id             uuid        NOT NULL DEFAULT gen_random_uuid() CONSTRAINT permissions_pkey PRIMARY KEY,
    permission_key text        NOT NULL CONSTRAINT uq_permissions_key UNIQUE CONSTRAINT ck_permissions_key CHECK (permission_key ~ '^[a-z_]{1,40}\.[a-z_]{1,40}$'),
    description    text        NOT NULL DEFAULT '' CONSTRAINT ck_permissions_description CHECK (char_length(description) <= 500),
    is_dangerous   boolean     NOT NULL DEFAULT false,
    created_at     timestamptz NOT NULL DEFAULT now(),
    updated_at     timestamptz NOT NULL DEFAULT now()
);
COMMENT ON TABLE rbac.permissions IS 'What can be allowed: domain.action.';
COMMENT ON COLUMN rbac.permissions.is_dangerous IS 'Moves money, shows or destroys what cannot be brought back: frontends ask twice.';

CREATE TABLE rbac.role_permissions (
    role_id       uuid        NOT NULL CONSTRAINT fk_role_permissions_role REFERENCES rbac.roles ON DELETE CASCADE,
    permission_id uuid        NOT NULL CONSTRAINT fk_role_permissions_permission REFERENCES rbac.permissions ON DELETE CASCADE,
    granted_by    uuid        CONSTRAINT fk_role_permissions_granted_by REFERENCES public.profiles,
    granted_at    timestamptz NOT NULL DEFAULT now(),
    reason        text        CONSTRAINT ck_role_permissions_reason CHECK (char_length(reason) <= 500),
    CONSTRAINT role_permissions_pkey PRIMARY KEY (role_id, permission_id)
);
CREATE INDEX idx_role_permissions_permission ON rbac.role_permissions (permission_id);
CREATE INDEX idx_role_permissions_granted_by ON rbac.role_permissions (granted_by) WHERE granted_by IS NOT NULL;
COMMENT ON TABLE rbac.role_permissions IS 'What a role may do. A rank inherits nothing: the matrix says all.';

CREATE TABLE rbac.user_roles (
    id         uuid        NOT NULL DEFAULT gen_random_uuid() CONSTRAINT user_roles_pkey PRIMARY KEY,
    user_id    uuid        NOT NULL CONSTRAINT fk_user_roles_user REFERENCES public.profiles ON DELETE CASCADE,
    role_id    uuid        NOT NULL CONSTRAINT fk_user_roles_role REFERENCES rbac.roles,
    is_active  boolean     NOT NULL DEFAULT true,
    expires_at timestamptz,
    granted_by uuid        CONSTRAINT fk_user_roles_granted_by REFERENCES public.profiles,
    granted_at timestamptz NOT NULL DEFAULT now(),
    reason     text        CONSTRAINT ck_user_roles_reason CHECK (char_length(reason) <= 500),
    CONSTRAINT uq_user_roles_role UNIQUE (user_id, role_id),
    CONSTRAINT ck_user_roles_expires_at CHECK (expires_at > granted_at)
);
CREATE INDEX idx_user_roles_active ON rbac.user_roles (user_id, is_active) WHERE is_active;
CREATE INDEX idx_user_roles_role ON rbac.user_roles (role_id);
CREATE INDEX idx_user_roles_granted_by ON rbac.user_roles (granted_by) WHERE granted_by IS NOT NULL;
CREATE INDEX idx_user_roles_expires_at ON rbac.user_roles (expires_at) WHERE is_active AND expires_at IS NOT NULL;
COMMENT ON TABLE rbac.user_roles IS 'Who holds which role, and until when. One that has expired grants nothing, also before somebody marks it.';

CREATE TABLE rbac.role_grants_log (
    id           uuid        NOT NULL DEFAULT gen_random_uuid() CONSTRAINT role_grants_log_pkey PRIMARY KEY,
    user_id      uuid        NOT NULL CONSTRAINT fk_role_grants_log_user REFERENCES public.profiles,
    role_id      uuid        NOT NULL CONSTRAINT fk_role_grants_log_role REFERENCES rbac.roles,
    action       text        NOT NULL CONSTRAINT ck_role_grants_log_action CHECK (action IN ('GRANT', 'REVOKE', 'EXPIRE')),
    performed_by uuid        CONSTRAINT fk_role_grants_log_performed_by REFERENCES public.profiles,
    reason       text        CONSTRAINT ck_role_grants_log_reason CHECK (char_length(reason) <= 500),
    expires_at   timestamptz,
    created_at   timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX idx_role_grants_log_user ON rbac.role_grants_log (user_id, created_at DESC);
CREATE INDEX idx_role_grants_log_role ON rbac.role_grants_log (role_id);
CREATE INDEX idx_role_grants_log_performed_by ON rbac.role_grants_log (performed_by) WHERE performed_by IS NOT NULL;
COMMENT ON TABLE rbac.role_grants_log IS 'Every grant and revocation, for good.';
COMMENT ON COLUMN rbac.role_grants_log.performed_by IS 'Null: the platform itself, as at its start or when a role ran out.';

CREATE TRIGGER trg_roles_set_updated_at BEFORE UPDATE ON rbac.roles FOR EACH ROW EXECUTE FUNCTION util.set_updated_at();
CREATE TRIGGER trg_permissions_set_updated_at BEFORE UPDATE ON rbac.permissions FOR EACH ROW EXECUTE FUNCTION util.set_updated_at();
CREATE TRIGGER trg_role_grants_log_refuse_change BEFORE UPDATE OR DELETE ON rbac.role_grants_log FOR EACH ROW EXECUTE FUNCTION util.refuse_change();

CREATE FUNCTION rbac.keep_system_role() RETURNS trigger
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    IF OLD.is_system AND (TG_OP = 'DELETE' OR NEW.role_name <> OLD.role_name OR NOT NEW.is_system) THEN
        RAISE EXCEPTION 'the role % is part of the platform', OLD.role_name
            USING ERRCODE = 'integrity_constraint_violation', CONSTRAINT = TG_NAME, SCHEMA = TG_TABLE_SCHEMA, TABLE = TG_TABLE_NAME;
    END IF;
    RETURN CASE WHEN TG_OP = 'DELETE' THEN OLD ELSE NEW END;
END $$;
COMMENT ON FUNCTION rbac.keep_system_role IS 'Refuses to delete or rename roles of the platform.';
CREATE TRIGGER trg_roles_keep_system_role BEFORE UPDATE OR DELETE ON rbac.roles FOR EACH ROW EXECUTE FUNCTION rbac.keep_system_role();

-- Every change of who holds what is logged, whoever makes it.
CREATE FUNCTION rbac.log_grant() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    held  boolean := TG_OP <> 'INSERT' AND OLD.is_active;
    holds boolean := TG_OP <> 'DELETE' AND NEW.is_active;
BEGIN
    IF TG_OP = 'UPDATE' AND (NEW.user_id, NEW.role_id) <> (OLD.user_id, OLD.role_id) THEN
        RAISE EXCEPTION 'a grant does not pass to somebody else, or to another role: revoke it'
            USING ERRCODE = 'integrity_constraint_violation', CONSTRAINT = TG_NAME, SCHEMA = TG_TABLE_SCHEMA, TABLE = TG_TABLE_NAME;
    END IF;
    IF holds AND (NOT held OR NEW.expires_at IS DISTINCT FROM OLD.expires_at) THEN
        INSERT INTO rbac.role_grants_log (user_id, role_id, action, performed_by, reason, expires_at)
        VALUES (NEW.user_id, NEW.role_id, 'GRANT', NEW.granted_by, NEW.reason, NEW.expires_at);
    ELSIF held AND NOT holds THEN
        INSERT INTO rbac.role_grants_log (user_id, role_id, action, performed_by, reason, expires_at)
        VALUES (
            OLD.user_id, OLD.role_id, CASE WHEN OLD.expires_at <= now() THEN 'EXPIRE' ELSE 'REVOKE' END,
            auth.uid(), CASE WHEN TG_OP = 'UPDATE' THEN NEW.reason END, OLD.expires_at
        );
    END IF;
    RETURN NULL;
END $$;
COMMENT ON FUNCTION rbac.log_grant IS 'Writes rbac.role_grants_log.';
CREATE TRIGGER trg_user_roles_log_grant AFTER INSERT OR UPDATE OR DELETE ON rbac.user_roles FOR EACH ROW EXECUTE FUNCTION rbac.log_grant();

-- Questions ----------------------------------------------------------------------------------------

-- What others may do is nobody's business: a client asks about itself, and gets no for everybody else. Never null,
-- which would tell an anonymous client that the answer is not no.
-- In plpgsql, which keeps the plan: Postgres 16 plans a function in SQL anew at each call.
CREATE FUNCTION rbac.has_permission(user_id uuid, permission_key text) RETURNS boolean
LANGUAGE plpgsql STABLE SECURITY DEFINER PARALLEL RESTRICTED SET search_path = pg_catalog, pg_temp AS $$
#variable_conflict use_column
BEGIN
    RETURN (coalesce(has_permission.user_id = auth.uid(), false) OR NOT util.is_client()) AND EXISTS (
        SELECT
        FROM rbac.user_roles u
        JOIN rbac.role_permissions rp ON rp.role_id = u.role_id
        JOIN rbac.permissions p ON p.id = rp.permission_id
        WHERE u.user_id = has_permission.user_id AND u.is_active AND (u.expires_at IS NULL OR u.expires_at > now())
            AND p.permission_key = has_permission.permission_key
    );
END $$;
COMMENT ON FUNCTION rbac.has_permission IS 'Whether a person may do something now. In policies as (SELECT rbac.has_permission((SELECT auth.uid()), …)): evaluated once for each statement.';

CREATE FUNCTION rbac.has_role(user_id uuid, role_name text) RETURNS boolean
LANGUAGE sql STABLE SECURITY DEFINER PARALLEL RESTRICTED SET search_path = pg_catalog, pg_temp
BEGIN ATOMIC
    SELECT (coalesce(has_role.user_id = auth.uid(), false) OR NOT util.is_client()) AND EXISTS (
        SELECT
        FROM rbac.user_roles u
        JOIN rbac.roles r ON r.id = u.role_id
        WHERE u.user_id = has_role.user_id AND u.is_active AND (u.expires_at IS NULL OR u.expires_at > now())
            AND r.role_name = has_role.role_name
    );
END;
COMMENT ON FUNCTION rbac.has_role IS 'Whether a person holds a role now. For showing; rights ask rbac.has_permission.';

CREATE FUNCTION rbac.get_user_permissions(user_id uuid) RETURNS TABLE (permission_key text, is_dangerous boolean, roles text[])
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
BEGIN ATOMIC
    SELECT p.permission_key, p.is_dangerous, array_agg(r.role_name ORDER BY r.rank DESC, r.role_name)
    FROM rbac.user_roles u
    JOIN rbac.roles r ON r.id = u.role_id
    JOIN rbac.role_permissions rp ON rp.role_id = r.id
    JOIN rbac.permissions p ON p.id = rp.permission_id
    WHERE u.user_id = get_user_permissions.user_id AND u.is_active AND (u.expires_at IS NULL OR u.expires_at > now())
        AND (
            NOT util.is_client() OR get_user_permissions.user_id = auth.uid()
            OR rbac.has_permission(auth.uid(), 'users.manage')
        )
    GROUP BY p.id
    ORDER BY p.permission_key;
END;
COMMENT ON FUNCTION rbac.get_user_permissions IS 'All that a person may do now, and through which roles. One''s own, or with users.manage anybody''s.';

CREATE FUNCTION rbac.highest_rank(user_id uuid) RETURNS smallint
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp
BEGIN ATOMIC
    SELECT coalesce(max(r.rank), 0::smallint)
    FROM rbac.user_roles u
    JOIN rbac.roles r ON r.id = u.role_id
    WHERE u.user_id = highest_rank.user_id AND u.is_active AND (u.expires_at IS NULL OR u.expires_at > now());
END;
COMMENT ON FUNCTION rbac.highest_rank IS 'The rank of the highest role that a person holds.';

-- Who may change the matrix stays below what stands above: no role at or under the own rank is lifted over it, and none
-- over it is touched. Workers and operators may.
CREATE FUNCTION rbac.keep_rank() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    touched smallint;
BEGIN
    IF util.is_client() THEN
        IF TG_TABLE_NAME = 'roles' THEN
            touched := greatest(CASE WHEN TG_OP <> 'INSERT' THEN OLD.rank END, CASE WHEN TG_OP <> 'DELETE' THEN NEW.rank END);
        ELSE
            SELECT max(r.rank) INTO touched FROM rbac.roles r
            WHERE r.id IN (CASE WHEN TG_OP <> 'INSERT' THEN OLD.role_id END, CASE WHEN TG_OP <> 'DELETE' THEN NEW.role_id END);
            IF TG_OP <> 'DELETE' THEN
                NEW.granted_by := auth.uid();
            END IF;
        END IF;
        IF touched > rbac.highest_rank(auth.uid()) THEN
            RAISE EXCEPTION 'nobody changes roles above the own rank'
                USING ERRCODE = 'insufficient_privilege', CONSTRAINT = TG_NAME, SCHEMA = TG_TABLE_SCHEMA, TABLE = TG_TABLE_NAME;
        END IF;
        -- Or whoever may change roles could do everything: by the own one.
        IF TG_TABLE_NAME = 'role_permissions' AND TG_OP <> 'DELETE' THEN
            IF NOT EXISTS (SELECT FROM rbac.permissions p WHERE p.id = NEW.permission_id AND rbac.has_permission(auth.uid(), p.permission_key)) THEN
                RAISE EXCEPTION 'nobody lets a role do what they may not do themselves'
                    USING ERRCODE = 'insufficient_privilege', CONSTRAINT = 'trg_role_permissions_keep_own', SCHEMA = TG_TABLE_SCHEMA, TABLE = TG_TABLE_NAME;
            END IF;
        END IF;
    END IF;
    RETURN CASE WHEN TG_OP = 'DELETE' THEN OLD ELSE NEW END;
END $$;
COMMENT ON FUNCTION rbac.keep_rank IS 'Nobody changes roles above the own rank, or what they may do, nor lets one do what they may not do themselves; and who changed it is not for the client to say.';
CREATE TRIGGER trg_roles_keep_rank BEFORE INSERT OR UPDATE OR DELETE ON rbac.roles FOR EACH ROW EXECUTE FUNCTION rbac.keep_rank();
CREATE TRIGGER trg_role_permissions_keep_rank BEFORE INSERT OR UPDATE OR DELETE ON rbac.role_permissions FOR EACH ROW EXECUTE FUNCTION rbac.keep_rank();

-- Grants -------------------------------------------------------------------------------------------

CREATE FUNCTION rbac.why_not_change(target uuid, the_role rbac.roles) RETURNS text
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp
BEGIN ATOMIC
    SELECT CASE
        WHEN (the_role).id IS NULL THEN 'unknown_role'
        WHEN NOT EXISTS (SELECT FROM public.profiles p WHERE p.id = target AND p.erased_at IS NULL) THEN 'unknown_user'
        -- Workers and operators, as at the very start.
        WHEN NOT util.is_client() THEN NULL
        WHEN NOT rbac.has_permission(auth.uid(), 'users.manage') THEN 'not_permitted'
        WHEN target = auth.uid() THEN 'own_role'
        WHEN (the_role).rank > rbac.highest_rank(auth.uid()) OR rbac.highest_rank(target) > rbac.highest_rank(auth.uid()) THEN 'rank_too_high'
    END;
END;
COMMENT ON FUNCTION rbac.why_not_change IS 'Why the one who asks may not change whether a person holds a role; null: may.';

CREATE FUNCTION rbac.grant_role(user_id uuid, role_name text, expires_at timestamptz DEFAULT NULL, reason text DEFAULT NULL) RETURNS jsonb
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
#variable_conflict use_column
DECLARE
    the_role rbac.roles;
    refusal  text;
BEGIN
    SELECT * INTO the_role FROM rbac.roles r WHERE r.role_name = grant_role.role_name;
    refusal := CASE WHEN grant_role.expires_at <= now() THEN 'expires_in_the_past' ELSE rbac.why_not_change(grant_role.user_id, the_role) END;
    -- A rank says nothing about what a role may do: through an accomplice, a low one could give away what is dangerous.
    IF refusal IS NULL AND util.is_client() AND EXISTS (
        SELECT FROM rbac.role_permissions rp JOIN rbac.permissions p ON p.id = rp.permission_id
        WHERE rp.role_id = the_role.id AND p.is_dangerous AND NOT rbac.has_permission(auth.uid(), p.permission_key)
    ) THEN
        refusal := 'more_than_own';
    END IF;
    IF refusal IS NOT NULL THEN
        RETURN jsonb_build_object('success', false, 'error', refusal);
    END IF;
    INSERT INTO rbac.user_roles AS u (user_id, role_id, expires_at, granted_by, reason)
    VALUES (grant_role.user_id, the_role.id, grant_role.expires_at, auth.uid(), grant_role.reason)
    ON CONFLICT ON CONSTRAINT uq_user_roles_role DO UPDATE
    SET is_active = true, expires_at = excluded.expires_at, granted_by = excluded.granted_by, granted_at = now(), reason = excluded.reason;
    RETURN jsonb_build_object('success', true, 'user_id', grant_role.user_id, 'role', grant_role.role_name, 'expires_at', grant_role.expires_at);
END $$;
COMMENT ON FUNCTION rbac.grant_role IS 'Gives a person a role, for a time or for good. Answers success, or false with the error: unknown_role, unknown_user, not_permitted, own_role, rank_too_high, more_than_own, expires_in_the_past.';

CREATE FUNCTION rbac.revoke_role(user_id uuid, role_name text, reason text DEFAULT NULL) RETURNS jsonb
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
#variable_conflict use_column
DECLARE
    the_role rbac.roles;
    refusal  text;
BEGIN
    SELECT * INTO the_role FROM rbac.roles r WHERE r.role_name = revoke_role.role_name;
    refusal := rbac.why_not_change(revoke_role.user_id, the_role);
    IF refusal IS NULL THEN
        UPDATE rbac.user_roles u SET is_active = false, reason = revoke_role.reason
        WHERE u.user_id = revoke_role.user_id AND u.role_id = the_role.id AND u.is_active;
        IF NOT FOUND THEN
            refusal := 'not_held';
        END IF;
    END IF;
    IF refusal IS NOT NULL THEN
        RETURN jsonb_build_object('success', false, 'error', refusal);
    END IF;
    RETURN jsonb_build_object('success', true, 'user_id', revoke_role.user_id, 'role', revoke_role.role_name);
END $$;
COMMENT ON FUNCTION rbac.revoke_role IS 'Takes a role from a person. Answers as rbac.grant_role, or not_held.';

CREATE FUNCTION rbac.grant_member() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    INSERT INTO rbac.user_roles (user_id, role_id, reason)
    SELECT n.id, r.id, 'signed up'
    FROM arrived n JOIN rbac.roles r ON r.role_name = 'member'
    ON CONFLICT DO NOTHING;
    RETURN NULL;
END $$;
COMMENT ON FUNCTION rbac.grant_member IS 'Whoever has signed up is a member.';
CREATE TRIGGER trg_profiles_grant_member AFTER INSERT ON public.profiles
    REFERENCING NEW TABLE AS arrived FOR EACH STATEMENT EXECUTE FUNCTION rbac.grant_member();

-- Rights -------------------------------------------------------------------------------------------

SELECT util.protect('rbac.roles');
SELECT util.protect('rbac.permissions');
SELECT util.protect('rbac.role_permissions');
SELECT util.protect('rbac.user_roles');
-- Written by a trigger alone, as its owner.
SELECT util.protect('rbac.role_grants_log', 'SELECT');

CREATE POLICY roles_read ON rbac.roles FOR SELECT TO anon, authenticated USING (true);
CREATE POLICY permissions_read ON rbac.permissions FOR SELECT TO anon, authenticated USING (true);
CREATE POLICY role_permissions_read ON rbac.role_permissions FOR SELECT TO authenticated USING (true);
GRANT SELECT ON rbac.roles, rbac.permissions TO anon, authenticated;
GRANT SELECT (role_id, permission_id, granted_at) ON rbac.role_permissions TO authenticated;

CREATE POLICY roles_manage ON rbac.roles TO authenticated
    USING ((SELECT rbac.has_permission((SELECT auth.uid()), 'rbac.manage'))) WITH CHECK ((SELECT rbac.has_permission((SELECT auth.uid()), 'rbac.manage')));
CREATE POLICY role_permissions_manage ON rbac.role_permissions TO authenticated
    USING ((SELECT rbac.has_permission((SELECT auth.uid()), 'rbac.manage'))) WITH CHECK ((SELECT rbac.has_permission((SELECT auth.uid()), 'rbac.manage')));
GRANT INSERT, UPDATE, DELETE ON rbac.roles TO authenticated;
GRANT INSERT (role_id, permission_id, reason), DELETE ON rbac.role_permissions TO authenticated;

CREATE POLICY user_roles_read ON rbac.user_roles FOR SELECT TO authenticated
    USING (user_id = (SELECT auth.uid()) OR (SELECT rbac.has_permission((SELECT auth.uid()), 'users.manage')));
CREATE POLICY role_grants_log_read ON rbac.role_grants_log FOR SELECT TO authenticated
    USING (user_id = (SELECT auth.uid()) OR (SELECT rbac.has_permission((SELECT auth.uid()), 'users.manage')));
GRANT SELECT ON rbac.user_roles, rbac.role_grants_log TO authenticated;

REVOKE ALL ON FUNCTION rbac.keep_system_role, rbac.keep_rank, rbac.log_grant, rbac.has_permission, rbac.has_role, rbac.get_user_permissions, rbac.highest_rank,
    rbac.why_not_change, rbac.grant_role, rbac.revoke_role, rbac.grant_member FROM PUBLIC;
GRANT EXECUTE ON FUNCTION rbac.has_permission, rbac.has_role TO anon, authenticated, service_role;
GRANT EXECUTE ON FUNCTION rbac.get_user_permissions, rbac.grant_role, rbac.revoke_role TO authenticated, service_role;

SELECT compliance.classify('rbac.roles', 'none');
SELECT compliance.classify('rbac.permissions', 'none');
SELECT compliance.classify('rbac.role_permissions', 'pseudonymous', '{granted_by}', on_erasure => 'keep', reason => 'Who allowed what; the profile it points to is empty.');
SELECT compliance.classify('rbac.role_permissions', 'none');
SELECT compliance.classify('rbac.user_roles', 'pseudonymous', exported => true, on_erasure => 'delete');
SELECT compliance.belongs_to('rbac.user_roles', 'user_id = $1');
SELECT compliance.classify('rbac.role_grants_log', 'pseudonymous', exported => true, on_erasure => 'keep', reason => 'Proof of who could do what; the profile it points to is empty.');
SELECT compliance.belongs_to('rbac.role_grants_log', 'user_id = $1');
