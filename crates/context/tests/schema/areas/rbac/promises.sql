-- promise: Whoever signs up is a member, and that is logged.
SELECT world.same(rbac.has_role(world.id('owner'), 'member'), true);
SELECT world.same((SELECT action FROM rbac.role_grants_log WHERE user_id = world.id('owner')), 'GRANT');

-- promise: A role is granted and revoked by those who may, and both are logged with who and why.
SELECT world.act_as('admin');
SELECT world.same(rbac.grant_role(world.id('owner'), 'instructor', NULL, 'wrote a course') ->> 'success', 'true');
SELECT world.same(rbac.revoke_role(world.id('owner'), 'instructor', 'left') ->> 'success', 'true');
SELECT world.act_as('operator');
SELECT world.same(
    (SELECT array_agg(action || ' ' || reason ORDER BY created_at, action) FROM rbac.role_grants_log WHERE performed_by = world.id('admin')),
    '{GRANT wrote a course,REVOKE left}'::text[]
);
SELECT world.same(rbac.has_role(world.id('owner'), 'instructor'), false);

-- promise: A grant that has run out allows nothing, also before it is marked.
SELECT rbac.grant_role(world.id('owner'), 'moderator', now() + interval '1 hour');
SELECT world.same(rbac.has_permission(world.id('owner'), 'comment.moderate'), true);
UPDATE rbac.user_roles SET granted_at = now() - interval '2 hours', expires_at = now() - interval '1 hour'
WHERE user_id = world.id('owner') AND expires_at IS NOT NULL;
SELECT world.same(rbac.has_permission(world.id('owner'), 'comment.moderate'), false);
UPDATE rbac.user_roles SET is_active = false WHERE user_id = world.id('owner') AND expires_at <= now();
SELECT world.same((SELECT count(*) FROM rbac.role_grants_log WHERE user_id = world.id('owner') AND action = 'EXPIRE'), 1::bigint);

-- promise: An admin does not change the own roles.
SELECT world.act_as('admin');
SELECT world.same(rbac.revoke_role(world.id('admin'), 'admin') ->> 'error', 'own_role');
SELECT world.same(rbac.grant_role(world.id('admin'), 'moderator') ->> 'error', 'own_role');

-- promise: Nobody gives a role above the own, or takes one from somebody above.
SELECT world.act_as('admin');
SELECT world.same(rbac.grant_role(world.id('owner'), 'owner') ->> 'error', 'rank_too_high');
SELECT world.same(rbac.revoke_role(world.id('boss'), 'member') ->> 'error', 'rank_too_high');
SELECT world.act_as('boss');
SELECT world.same(rbac.grant_role(world.id('other'), 'owner') ->> 'success', 'true');

-- promise: Without users.manage nobody grants, and a role or person that is not there is named as such.
SELECT world.act_as('owner');
SELECT world.same(rbac.grant_role(world.id('other'), 'member') ->> 'error', 'not_permitted');
SELECT world.act_as('admin');
SELECT world.same(rbac.grant_role(world.id('other'), 'emperor') ->> 'error', 'unknown_role');
SELECT world.same(rbac.grant_role(gen_random_uuid(), 'member') ->> 'error', 'unknown_user');
SELECT world.same(rbac.grant_role(world.id('other'), 'member', now() - interval '1 day') ->> 'error', 'expires_in_the_past');
SELECT world.same(rbac.revoke_role(world.id('other'), 'moderator') ->> 'error', 'not_held');

-- promise: A client asks what it may do itself, and learns nothing about others.
SELECT world.act_as('other');
SELECT world.same(rbac.has_permission(world.id('admin'), 'users.manage'), false);
SELECT world.same((SELECT count(*) FROM rbac.get_user_permissions(world.id('admin'))), 0::bigint);
SELECT world.same((SELECT count(*) > 0 FROM rbac.get_user_permissions(world.id('other'))), true);

-- promise: The log of grants is never changed, by nobody.
SELECT world.fails('DELETE FROM rbac.role_grants_log', 'trg_role_grants_log_refuse_change');
SELECT world.fails('UPDATE rbac.role_grants_log SET reason = NULL', 'trg_role_grants_log_refuse_change');

-- promise: Roles of the platform cannot be deleted.
SELECT world.fails($$DELETE FROM rbac.roles WHERE role_name = 'visitor'$$, 'trg_roles_keep_system_role');

-- promise: Wrong input is refused by name.
SELECT world.fails($$INSERT INTO rbac.roles (role_name, rank) VALUES ('x1', 20)$$, 'ck_roles_role_name');
SELECT world.fails($$INSERT INTO rbac.roles (role_name, rank) VALUES ('king', 200)$$, 'ck_roles_rank');
SELECT world.fails($$INSERT INTO rbac.roles (role_name, rank) VALUES ('admin', 1)$$, 'uq_roles_role_name');
SELECT world.fails($$INSERT INTO rbac.permissions (permission_key) VALUES ('manage')$$, 'ck_permissions_key');
SELECT world.fails($$INSERT INTO rbac.user_roles (user_id, role_id) SELECT gen_random_uuid(), id FROM rbac.roles LIMIT 1$$, 'fk_user_roles_user');
