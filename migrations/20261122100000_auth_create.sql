-- Who a request acts as: the roles anon, authenticated and service_role, and the part of Supabase's schema
-- auth that policies need. Where Supabase's own is there, nothing is made.
-- Owner: crates/api. Locks: none, everything is new.
-- Undo: DROP SCHEMA auth CASCADE; DROP ROLE anon, authenticated, service_role. Roles belong to the whole server.

DO $$
DECLARE
    role_name text;
    -- Since 16, who makes a role is its member, and yet may not act as it.
    acts_as   text := CASE WHEN current_setting('server_version_num')::integer >= 160000 THEN 'SET' ELSE 'MEMBER' END;
BEGIN
    FOREACH role_name IN ARRAY '{anon,authenticated,service_role}'::text[] LOOP
        IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = role_name) THEN
            BEGIN
                EXECUTE format('CREATE ROLE %I NOLOGIN NOINHERIT', role_name);
            EXCEPTION WHEN duplicate_object OR unique_violation THEN
                NULL; -- Another database of this server is being migrated at this moment.
            END;
        END IF;
        IF NOT pg_has_role(current_user, role_name, acts_as) THEN
            EXECUTE format('GRANT %I TO CURRENT_USER', role_name);
        END IF;
    END LOOP;
END $$;

DO $shim$
BEGIN
    IF to_regclass('auth.users') IS NOT NULL THEN
        RETURN;
    END IF;
    CREATE SCHEMA IF NOT EXISTS auth;
    COMMENT ON SCHEMA auth IS 'Accounts and the claims of a request, as far as policies need them. Only crates/api writes here.';

    CREATE TABLE auth.users (
        id                 uuid        NOT NULL DEFAULT gen_random_uuid() CONSTRAINT users_pkey PRIMARY KEY,
        email              text        CONSTRAINT ck_users_email CHECK (email ~ '^[^@\s]+@[^@\s]+$' AND char_length(email) <= 320),
        encrypted_password text,
        email_confirmed_at timestamptz,
        banned_until       timestamptz,
        raw_app_meta_data  jsonb       NOT NULL DEFAULT '{}',
        raw_user_meta_data jsonb       NOT NULL DEFAULT '{}',
        last_sign_in_at    timestamptz,
        created_at         timestamptz NOT NULL DEFAULT now(),
        updated_at         timestamptz NOT NULL DEFAULT now()
    );
    CREATE UNIQUE INDEX uq_users_email ON auth.users (lower(email));
    COMMENT ON TABLE auth.users IS 'Accounts that may sign in. Removed last when a person is erased; the profile stays as a tombstone.';
    COMMENT ON COLUMN auth.users.raw_user_meta_data IS 'What the person said at sign-up: username, display_name, locale, time_zone.';

    CREATE TABLE auth.identities (
        id            uuid        NOT NULL DEFAULT gen_random_uuid() CONSTRAINT identities_pkey PRIMARY KEY,
        user_id       uuid        NOT NULL CONSTRAINT fk_identities_user REFERENCES auth.users ON DELETE CASCADE,
        provider      text        NOT NULL,
        provider_id   text        NOT NULL,
        identity_data jsonb       NOT NULL DEFAULT '{}',
        created_at    timestamptz NOT NULL DEFAULT now(),
        updated_at    timestamptz NOT NULL DEFAULT now(),
        CONSTRAINT uq_identities_provider_id UNIQUE (provider, provider_id)
    );
    CREATE INDEX idx_identities_user ON auth.identities (user_id);
    COMMENT ON TABLE auth.identities IS 'How an account signs in: one row for each provider.';

    -- Nobody but the owner: clients have no business here.
    ALTER TABLE auth.users ENABLE ROW LEVEL SECURITY;
    ALTER TABLE auth.identities ENABLE ROW LEVEL SECURITY;
    REVOKE ALL ON auth.users, auth.identities FROM PUBLIC;

    CREATE FUNCTION auth.jwt() RETURNS jsonb
    LANGUAGE sql STABLE PARALLEL SAFE SET search_path = pg_catalog, pg_temp
    RETURN nullif(current_setting('request.jwt.claims', true), '')::jsonb;
    COMMENT ON FUNCTION auth.jwt IS 'The claims of the request; null where there is none, as for a worker.';

    CREATE FUNCTION auth.uid() RETURNS uuid
    LANGUAGE sql STABLE PARALLEL SAFE SET search_path = pg_catalog, pg_temp
    RETURN nullif(coalesce(nullif(current_setting('request.jwt.claims', true), '')::jsonb ->> 'sub', current_setting('request.jwt.claim.sub', true)), '')::uuid;
    COMMENT ON FUNCTION auth.uid IS 'Whose request it is; null for anonymous ones. In policies as (SELECT auth.uid()): evaluated once for each statement.';

    CREATE FUNCTION auth.role() RETURNS text
    LANGUAGE sql STABLE PARALLEL SAFE SET search_path = pg_catalog, pg_temp
    RETURN nullif(coalesce(auth.jwt() ->> 'role', current_setting('request.jwt.claim.role', true)), '');
    COMMENT ON FUNCTION auth.role IS 'The role that the request claims.';

    REVOKE ALL ON FUNCTION auth.jwt, auth.uid, auth.role FROM PUBLIC;
    GRANT USAGE ON SCHEMA auth TO anon, authenticated, service_role;
    GRANT EXECUTE ON FUNCTION auth.jwt, auth.uid, auth.role TO anon, authenticated, service_role;
    GRANT SELECT, INSERT, UPDATE, DELETE ON auth.users, auth.identities TO service_role;
    CREATE POLICY users_service ON auth.users TO service_role USING (true) WITH CHECK (true);
    CREATE POLICY identities_service ON auth.identities TO service_role USING (true) WITH CHECK (true);
END $shim$;

-- Platforms that show the schema public to clients would show the list of migrations too.
ALTER TABLE IF EXISTS public._sqlx_migrations ENABLE ROW LEVEL SECURITY;
DO $$
BEGIN
    IF to_regclass('public._sqlx_migrations') IS NOT NULL THEN
        REVOKE ALL ON public._sqlx_migrations FROM PUBLIC, anon, authenticated, service_role;
    END IF;
END $$;
