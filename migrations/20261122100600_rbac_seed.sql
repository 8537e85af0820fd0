-- The platform's roles and permissions, and which role has which. May run again: what operators changed stays.
-- Owner: crates/api. Locks: none. Undo: DELETE FROM rbac.role_permissions, rbac.permissions, rbac.roles.

INSERT INTO rbac.roles (role_name, rank, description, is_system) VALUES
    ('owner', 100, 'Owns the platform. Only an owner changes an owner.', true),
    ('admin', 90, 'Runs the platform.', true),
    ('moderator', 60, 'Keeps the community in order.', true),
    ('instructor', 50, 'Makes courses.', true),
    ('premium_member', 30, 'Learns, and pays for it.', true),
    ('member', 20, 'Learns.', true),
    ('visitor', 0, 'Looks around.', true)
ON CONFLICT DO NOTHING;

INSERT INTO rbac.permissions (permission_key, description, is_dangerous) VALUES
    ('content.create', 'Create courses, modules and lessons', false),
    ('content.edit', 'Change everybody''s content', false),
    ('content.publish', 'Approve and publish content', false),
    ('content.archive', 'Archive content', false),
    ('comment.moderate', 'Hide, lock and restore what people write', false),
    ('ai.use_assistant', 'Ask the assistant', false),
    ('ai.manage', 'Change providers, models, prompts and quotas', false),
    ('users.manage', 'See people and change what they may do', false),
    ('users.delete', 'Ask for the erasure of others', true),
    ('rbac.manage', 'Change roles and what they may do', true),
    ('access.manage', 'Change tiers, rules and entitlements', false),
    ('analytics.view', 'See figures and journeys', false),
    ('media.manage', 'Change everybody''s media', false),
    ('notify.manage', 'Change channels and templates', false),
    ('assessments.create', 'Create assessments', false),
    ('assessments.read', 'See everybody''s attempts', false),
    ('assessments.update', 'Change assessments', false),
    ('assessments.delete', 'Delete assessments', false),
    ('assessments.grade', 'Grade attempts', false),
    ('referrals.manage', 'Change programmes and codes', true),
    ('referrals.view', 'See referrals', false),
    ('referrals.payout', 'Prepare payouts', true),
    ('payouts.approve', 'Approve payouts', true),
    ('billing.view', 'See payments and subscriptions', false),
    ('billing.replay', 'Apply stored webhooks again', true),
    ('themes.manage', 'Change themes', false),
    ('onboarding.manage', 'Change the onboarding', false),
    ('jobs.enqueue', 'Push jobs', false),
    ('jobs.view', 'See jobs', false),
    ('jobs.operate', 'Cancel, retry and move jobs', false),
    ('queues.manage', 'Pause queues and change their rules', false),
    ('cron.trigger', 'Trigger schedules', false),
    ('gdpr.process', 'Process requests of people about their data', true),
    ('compliance.override', 'Loosen a rule that protects people', true),
    ('flags.manage', 'Turn features on and off', false),
    ('slo.manage', 'Change objectives and answer alerts', false),
    ('orgs.manage', 'Change organisations', false),
    ('studio.publish', 'Publish to other platforms', false)
ON CONFLICT DO NOTHING;

INSERT INTO rbac.role_permissions (role_id, permission_id, reason)
SELECT r.id, p.id, 'as delivered'
FROM (VALUES
    ('owner', '{%}'::text[]),
    ('admin', '{content.%,comment.%,ai.%,users.%,access.%,analytics.%,media.%,notify.%,assessments.%,referrals.%,payouts.%,billing.%,themes.%,onboarding.%,jobs.%,queues.%,cron.%,gdpr.%,flags.%,slo.%,orgs.%,studio.%}'),
    ('moderator', '{comment.moderate,ai.use_assistant,analytics.view,content.publish}'),
    ('instructor', '{content.create,ai.use_assistant,assessments.create,assessments.read,assessments.update,assessments.grade}'),
    ('premium_member', '{ai.use_assistant}'),
    ('member', '{ai.use_assistant}')
) AS m(role_name, patterns)
JOIN rbac.roles r ON r.role_name = m.role_name
JOIN rbac.permissions p ON p.permission_key LIKE ANY (m.patterns)
-- A role that operators have changed is theirs.
WHERE NOT EXISTS (SELECT FROM rbac.role_permissions other WHERE other.role_id = r.id)
ON CONFLICT DO NOTHING;
