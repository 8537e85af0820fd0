-- The people of the tests, and what tests say about them. Everything here belongs to the tests alone.
CREATE SCHEMA world;
GRANT USAGE ON SCHEMA world TO anon, authenticated, service_role;

CREATE FUNCTION world.id(who text) RETURNS uuid LANGUAGE sql IMMUTABLE AS $$
    SELECT ('00000000-0000-4000-8000-0000000000' || CASE who
        WHEN 'owner' THEN '0a' WHEN 'other' THEN '0b' WHEN 'permitted' THEN '0c'
        WHEN 'moderator' THEN '0d' WHEN 'admin' THEN '0e' WHEN 'boss' THEN '0f'
    END)::uuid
$$;

INSERT INTO auth.users (id, email, raw_user_meta_data)
SELECT world.id(who), who || '@example.org', jsonb_build_object('username', who, 'display_name', initcap(who))
FROM unnest('{owner,other,permitted,moderator,admin,boss}'::text[]) AS who;

SELECT rbac.grant_role(world.id('moderator'), 'moderator');
SELECT rbac.grant_role(world.id('admin'), 'admin');
SELECT rbac.grant_role(world.id('boss'), 'owner');

-- Holds whatever permission a test gives to this role, and no other: not even those of a member.
INSERT INTO rbac.roles (role_name, rank) VALUES ('permitted', 1);
SELECT rbac.grant_role(world.id('permitted'), 'permitted');
SELECT rbac.revoke_role(world.id('permitted'), 'member');

CREATE FUNCTION world.permit(keys text[]) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    DELETE FROM rbac.role_permissions WHERE role_id = (SELECT id FROM rbac.roles WHERE role_name = 'permitted');
    INSERT INTO rbac.role_permissions (role_id, permission_id)
    SELECT r.id, p.id FROM rbac.roles r, rbac.permissions p WHERE r.role_name = 'permitted' AND p.permission_key = ANY (keys);
    IF (SELECT count(*) FROM unnest(keys)) <> (SELECT count(*) FROM rbac.permissions WHERE permission_key = ANY (keys)) THEN
        RAISE EXCEPTION 'not all of % are permissions', keys;
    END IF;
END $$;

-- Until the transaction ends, or until somebody else acts: anon, service, operator, or a person.
CREATE FUNCTION world.act_as(who text) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    PERFORM set_config('role', CASE who WHEN 'operator' THEN 'none' WHEN 'service' THEN 'service_role' WHEN 'anon' THEN 'anon' ELSE 'authenticated' END, true);
    PERFORM set_config('request.jwt.claims', CASE
        WHEN who IN ('operator', 'service') THEN ''
        WHEN who = 'anon' THEN '{"role": "anon"}'
        ELSE jsonb_build_object('sub', coalesce(world.id(who)::text, who), 'role', 'authenticated')::text
    END, true);
END $$;

CREATE FUNCTION world.same(actual anyelement, expected anyelement, about text DEFAULT '') RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    IF actual IS DISTINCT FROM expected THEN
        RAISE EXCEPTION 'expected %, and it is % %', expected, actual, about;
    END IF;
END $$;

-- The statement has to fail, and for this reason: the name of a constraint, or an SQLSTATE.
CREATE FUNCTION world.fails(statement text, reason text) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    broken text;
BEGIN
    EXECUTE statement;
    RAISE EXCEPTION 'world.fails: nothing failed in %', statement USING ERRCODE = 'XX000';
EXCEPTION WHEN OTHERS THEN
    GET STACKED DIAGNOSTICS broken = CONSTRAINT_NAME;
    IF reason NOT IN (broken, SQLSTATE) THEN
        RAISE EXCEPTION 'expected %, and it is % (% %) in %', reason, SQLERRM, SQLSTATE, broken, statement;
    END IF;
END $$;
GRANT EXECUTE ON ALL FUNCTIONS IN SCHEMA world TO anon, authenticated, service_role;
