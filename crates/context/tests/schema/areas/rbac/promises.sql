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

-- promise: Whether somebody else may do something is no for every client, also for one without a name: never null.
SELECT world.act_as('anon');
SELECT world.same(rbac.has_permission(world.id('admin'), 'users.manage'), false);
SELECT world.same(rbac.has_permission(world.id('other'), 'users.manage'), false);
SELECT world.same(rbac.has_role(world.id('admin'), 'admin'), false);
SELECT world.same(rbac.has_permission(NULL, 'users.manage'), false);

-- promise: Nobody gives away through a low role what is dangerous and not one's own.
INSERT INTO rbac.role_permissions (role_id, permission_id)
SELECT r.id, p.id FROM rbac.roles r, rbac.permissions p WHERE r.role_name = 'visitor' AND p.permission_key = 'rbac.manage';
SELECT world.act_as('admin');
SELECT world.same(rbac.grant_role(world.id('owner'), 'visitor') ->> 'error', 'more_than_own');
SELECT world.same(rbac.grant_role(world.id('owner'), 'moderator') ->> 'success', 'true');
SELECT world.act_as('boss');
SELECT world.same(rbac.grant_role(world.id('owner'), 'visitor') ->> 'success', 'true');
SELECT world.act_as('admin');
SELECT world.same(rbac.revoke_role(world.id('owner'), 'visitor') ->> 'success', 'true', 'taking is not giving');

-- promise: Who may change roles changes none above the own, neither its rank nor what it may do, nor lifts the own.
SELECT world.permit('{rbac.manage}');
SELECT world.act_as('permitted');
SELECT world.fails($$UPDATE rbac.roles SET rank = 99 WHERE role_name = 'permitted'$$, 'trg_roles_keep_rank');
SELECT world.fails($$UPDATE rbac.roles SET rank = 0 WHERE role_name = 'owner'$$, 'trg_roles_keep_rank');
SELECT world.fails($$DELETE FROM rbac.role_permissions WHERE role_id = (SELECT id FROM rbac.roles WHERE role_name = 'owner')$$, 'trg_role_permissions_keep_rank');
SELECT world.fails($$INSERT INTO rbac.role_permissions (role_id, permission_id) SELECT r.id, p.id FROM rbac.roles r, rbac.permissions p WHERE r.role_name = 'member' AND p.permission_key = 'payouts.approve'$$, 'trg_role_permissions_keep_rank');
INSERT INTO rbac.roles (role_name, rank) VALUES ('helper', 0);

-- promise: Who may change roles lets none do what they may not do themselves, the own role least of all.
SELECT world.permit('{rbac.manage,jobs.view}');
SELECT world.act_as('permitted');
SELECT world.fails($$INSERT INTO rbac.role_permissions (role_id, permission_id) SELECT r.id, p.id FROM rbac.roles r, rbac.permissions p WHERE r.role_name = 'permitted' AND p.permission_key = 'payouts.approve'$$, 'trg_role_permissions_keep_own');
SELECT world.fails($$INSERT INTO rbac.role_permissions (role_id, permission_id) SELECT r.id, p.id FROM rbac.roles r, rbac.permissions p WHERE r.role_name = 'visitor' AND p.permission_key = 'content.edit'$$, 'trg_role_permissions_keep_own');
INSERT INTO rbac.role_permissions (role_id, permission_id) SELECT r.id, p.id FROM rbac.roles r, rbac.permissions p WHERE r.role_name = 'visitor' AND p.permission_key = 'jobs.view';

-- promise: Who changed what a role may do is not for the client to say.
SELECT world.act_as('boss');
SELECT world.fails($$INSERT INTO rbac.role_permissions (role_id, permission_id, granted_by) SELECT r.id, p.id, world.id('admin') FROM rbac.roles r, rbac.permissions p WHERE r.role_name = 'member' AND p.permission_key = 'jobs.view'$$, '42501');
INSERT INTO rbac.role_permissions (role_id, permission_id, reason) SELECT r.id, p.id, 'for a day' FROM rbac.roles r, rbac.permissions p WHERE r.role_name = 'member' AND p.permission_key = 'jobs.view';
SELECT world.act_as('operator');
SELECT world.same((SELECT granted_by FROM rbac.role_permissions WHERE reason = 'for a day'), world.id('boss'));

-- promise: Roles of the platform keep their names, by which sign-ups find them.
SELECT world.fails($$UPDATE rbac.roles SET role_name = 'learner' WHERE role_name = 'member'$$, 'trg_roles_keep_system_role');
SELECT world.fails($$UPDATE rbac.roles SET is_system = false WHERE role_name = 'member'$$, 'trg_roles_keep_system_role');

-- promise: A grant does not silently become one of another role or person.
SELECT world.act_as('service');
SELECT world.fails($$UPDATE rbac.user_roles SET role_id = (SELECT id FROM rbac.roles WHERE role_name = 'owner') WHERE user_id = world.id('owner')$$, 'trg_user_roles_log_grant');
SELECT world.fails($$UPDATE rbac.user_roles SET user_id = world.id('owner') WHERE user_id = world.id('boss') AND role_id = (SELECT id FROM rbac.roles WHERE role_name = 'owner')$$, 'trg_user_roles_log_grant');

-- promise: Seven roles come with the platform, in this order, and what is dangerous is marked.
SELECT world.same((SELECT string_agg(role_name || ' ' || rank, ', ' ORDER BY rank DESC) FROM rbac.roles WHERE is_system),
    'owner 100, admin 90, moderator 60, instructor 50, premium_member 30, member 20, visitor 0');
SELECT world.same((SELECT array_agg(key) FROM unnest('{content.create,content.edit,content.publish,content.archive,comment.moderate,ai.use_assistant,users.manage,
    users.delete,analytics.view,media.manage,assessments.create,assessments.read,assessments.update,assessments.delete,assessments.grade,referrals.manage,referrals.view,
    referrals.payout,payouts.approve,themes.manage,onboarding.manage,jobs.enqueue,jobs.view,jobs.operate,cron.trigger,billing.replay,gdpr.process,compliance.override,
    orgs.manage,studio.publish}'::text[]) AS key WHERE NOT EXISTS (SELECT FROM rbac.permissions WHERE permission_key = key)), NULL);
SELECT world.same((SELECT count(*) FROM rbac.permissions WHERE is_dangerous
    AND permission_key IN ('referrals.manage', 'referrals.payout', 'payouts.approve', 'billing.replay', 'gdpr.process', 'compliance.override')), 6::bigint);
SELECT world.same((SELECT array_agg(permission_key) FROM rbac.permissions p WHERE NOT EXISTS (
    SELECT FROM rbac.role_permissions rp JOIN rbac.roles r ON r.id = rp.role_id WHERE r.role_name = 'owner' AND rp.permission_id = p.id)), NULL, 'an owner has not');

-- promise: No worker writes into the log of grants what nobody did; what it does is written there.
SELECT world.act_as('service');
SELECT world.fails($$INSERT INTO rbac.role_grants_log SELECT * FROM rbac.role_grants_log LIMIT 1$$, '42501');
SELECT world.same(rbac.grant_role(world.id('other'), 'moderator') ->> 'success', 'true');
SELECT world.same((SELECT count(*) > 0 FROM rbac.role_grants_log WHERE user_id = world.id('other') AND created_at = now() AND action = 'GRANT'), true);
