-- The permission to change what is sold, and what gives credits. May run again: what operators changed stays.
-- Owner: workers/billing. Locks: none. Undo: DELETE FROM rbac.permissions WHERE permission_key = 'billing.manage'; DELETE FROM billing.credit_rules.

WITH permission AS (
    INSERT INTO rbac.permissions (permission_key, description, is_dangerous) VALUES
        ('billing.manage', 'Change what products give, coupons and credits', true)
    ON CONFLICT DO NOTHING
    RETURNING id
)
INSERT INTO rbac.role_permissions (role_id, permission_id, reason)
SELECT r.id, permission.id, 'as delivered'
FROM permission, rbac.roles r
WHERE r.role_name IN ('owner', 'admin')
ON CONFLICT DO NOTHING;

INSERT INTO billing.credit_rules (rule_key, credits, description) VALUES
    ('welcome', 100, 'For whoever signs up')
ON CONFLICT DO NOTHING;
