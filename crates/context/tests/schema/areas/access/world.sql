-- The published course asks for the tier premium. The owner has a right to it; other has the tier basic.
INSERT INTO access.course_access_rules (id, course_id, access_type, required_tier_id) VALUES
    ('d0000000-0000-4000-8000-000000000001', 'c0000000-0000-4000-8000-000000000002', 'tier', access.find_tier('premium')),
    ('d0000000-0000-4000-8000-000000000002', 'c0000000-0000-4000-8000-000000000001', 'tier', access.find_tier('premium'));
INSERT INTO access.lesson_access_overrides (id, lesson_id, override_type) VALUES
    ('d1000000-0000-4000-8000-000000000001', 'c2000000-0000-4000-8000-000000000001', 'free');
INSERT INTO access.user_entitlements (id, user_id, entitlement_type, course_id, source_type, source_reference, metadata) VALUES
    ('d2000000-0000-4000-8000-000000000001', world.id('owner'), 'course_specific', 'c0000000-0000-4000-8000-000000000002', 'purchase', 'purchase-1', '{}');
INSERT INTO access.user_entitlements (id, user_id, entitlement_type, tier_id, source_type, source_reference) VALUES
    ('d2000000-0000-4000-8000-000000000002', world.id('other'), 'tier', access.find_tier('basic'), 'subscription', 'sub-1');
