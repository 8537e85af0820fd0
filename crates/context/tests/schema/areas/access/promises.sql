-- promise: A course is asked about in order: published, no rule, a right to it, a tier that is high enough, the free tier.
CREATE FUNCTION world.course(who uuid, slug text) RETURNS text LANGUAGE sql AS $$
    SELECT v ->> 'can_access' || ' ' || (v ->> 'method') FROM access.user_can_access(who, 'course', (SELECT id FROM content.courses c WHERE c.slug = course.slug)) v
$$;
CREATE FUNCTION world.require(tier text) RETURNS void LANGUAGE sql AS $$
    UPDATE access.course_access_rules SET access_type = 'tier', required_tier_id = access.find_tier(tier)
$$;
-- (1) Who has a right to a course that is not published does not read it.
SELECT world.same(world.course(world.id('owner'), 'nothing'), 'false not_found');
SELECT world.same(world.course(world.id('owner'), 'draft'), 'false not_published');
UPDATE access.user_entitlements SET course_id = 'c0000000-0000-4000-8000-000000000001' WHERE user_id = world.id('owner');
SELECT world.same(world.course(world.id('owner'), 'draft'), 'false not_published');
UPDATE access.user_entitlements SET course_id = 'c0000000-0000-4000-8000-000000000002' WHERE user_id = world.id('owner');
-- (2) Without an account.
SELECT world.same(world.course(NULL, 'published'), 'false sign_in_required');
SELECT world.require('free');
SELECT world.same(world.course(NULL, 'published'), 'false sign_in_required');
UPDATE access.course_access_rules SET is_active = false;
SELECT world.same(world.course(NULL, 'published'), 'true no_rule');
SELECT world.same(world.course(world.id('owner'), 'published'), 'true no_rule');
UPDATE access.course_access_rules SET is_active = true;
-- (3) A right to the course comes before any tier.
SELECT world.require('enterprise');
SELECT world.same(world.course(world.id('owner'), 'published'), 'true course_entitlement');
SELECT world.require('free');
SELECT world.same(world.course(world.id('owner'), 'published'), 'true course_entitlement');
-- (4) Tiers, below, at and above what is asked for.
SELECT world.same(world.course(world.id('other'), 'published'), 'true tier');
SELECT world.require('basic');
SELECT world.same(world.course(world.id('other'), 'published'), 'true tier');
SELECT world.require('premium');
SELECT world.same(world.course(world.id('other'), 'published'), 'false tier_required');
-- (5) Without a tier, the free one.
SELECT world.same(world.course(world.id('boss'), 'published'), 'false tier_required');
SELECT world.require('free');
SELECT world.same(world.course(world.id('boss'), 'published'), 'true free_tier');
SELECT world.same(access.can_read_course(world.id('boss'), 'c0000000-0000-4000-8000-000000000002'), true);
SELECT world.same(access.can_read_course(NULL, 'c0000000-0000-4000-8000-000000000002'), false);
SELECT world.same(access.can_read_course(NULL, NULL), false);

-- promise: What is sold on its own is opened by no tier, but by a right to it.
UPDATE access.course_access_rules SET access_type = 'paid_oneoff', required_tier_id = NULL;
INSERT INTO access.user_entitlements (user_id, entitlement_type, tier_id) VALUES (world.id('other'), 'special_grant', access.find_tier('enterprise'));
SELECT world.same(access.user_can_access(world.id('other'), 'course', 'c0000000-0000-4000-8000-000000000002') ->> 'method', 'purchase_required');
SELECT world.same(access.user_can_access(world.id('owner'), 'course', 'c0000000-0000-4000-8000-000000000002') ->> 'method', 'course_entitlement');

-- promise: A lesson is asked about in order: published, a free preview, its course, an exception.
CREATE FUNCTION world.lesson(who uuid, title text) RETURNS text LANGUAGE sql AS $$
    SELECT v ->> 'can_access' || ' ' || (v ->> 'method') FROM access.user_can_access(who, 'lesson', (SELECT id FROM content.lessons l WHERE l.title = lesson.title)) v
$$;
SELECT world.same(world.lesson(NULL, 'nothing'), 'false not_found');
SELECT world.same(world.lesson(world.id('owner'), 'In review'), 'false not_published');
SELECT world.same(world.lesson(NULL, 'A preview'), 'true free_preview');
SELECT world.same(world.lesson(world.id('owner'), 'A preview'), 'true free_preview');
SELECT world.same(world.lesson(world.id('owner'), 'A paid one'), 'true course_entitlement');
SELECT world.same(world.lesson(world.id('other'), 'A paid one'), 'false tier_required');
SELECT world.same(world.lesson(NULL, 'A paid one'), 'false sign_in_required');
INSERT INTO access.lesson_access_overrides (lesson_id, override_type, required_tier_id) VALUES ('c2000000-0000-4000-8000-000000000003', 'tier', access.find_tier('basic'));
SELECT world.same(world.lesson(world.id('other'), 'A paid one'), 'true lesson_override');
SELECT world.same(world.lesson(world.id('boss'), 'A paid one'), 'false tier_required');
SELECT world.same(world.lesson(NULL, 'A paid one'), 'false sign_in_required');
UPDATE access.lesson_access_overrides SET required_tier_id = access.find_tier('free') WHERE required_tier_id IS NOT NULL;
SELECT world.same(world.lesson(world.id('boss'), 'A paid one'), 'true lesson_override');
SELECT world.same(world.lesson(NULL, 'A paid one'), 'false sign_in_required');
INSERT INTO access.lesson_access_overrides (lesson_id, override_type) VALUES ('c2000000-0000-4000-8000-000000000003', 'free');
SELECT world.same(world.lesson(NULL, 'A paid one'), 'true lesson_override');
SELECT world.same(world.lesson(world.id('owner'), 'A paid one'), 'true course_entitlement');

-- promise: A module or a course that is not shown hides its lessons, previews too.
UPDATE content.modules SET is_published = false;
SELECT world.same(access.can_read_lesson(NULL, 'c2000000-0000-4000-8000-000000000002'), false);
UPDATE content.modules SET is_published = true;
SELECT world.same(access.can_read_lesson(NULL, 'c2000000-0000-4000-8000-000000000002'), true);
UPDATE content.courses SET workflow_status = 'archived' WHERE slug = 'published';
SELECT world.same(access.can_read_lesson(world.id('owner'), 'c2000000-0000-4000-8000-000000000002'), false);

-- promise: A right that ran out, was revoked or has not begun grants nothing, also before somebody marks it.
UPDATE access.user_entitlements SET starts_at = now() - interval '2 days', expires_at = now() - interval '1 second' WHERE user_id = world.id('owner');
SELECT world.same(access.can_read_lesson(world.id('owner'), 'c2000000-0000-4000-8000-000000000003'), false);
UPDATE access.user_entitlements SET expires_at = now() + interval '1 second' WHERE user_id = world.id('owner');
SELECT world.same(access.can_read_lesson(world.id('owner'), 'c2000000-0000-4000-8000-000000000003'), true);
UPDATE access.user_entitlements SET status = 'revoked' WHERE user_id = world.id('owner');
SELECT world.same(access.can_read_lesson(world.id('owner'), 'c2000000-0000-4000-8000-000000000003'), false);
SELECT world.same((SELECT revoked_at = now() FROM access.user_entitlements WHERE user_id = world.id('owner')), true);
UPDATE access.user_entitlements SET status = 'expired' WHERE user_id = world.id('owner');
SELECT world.same(access.can_read_lesson(world.id('owner'), 'c2000000-0000-4000-8000-000000000003'), false);
UPDATE access.user_entitlements SET status = 'active', starts_at = now() + interval '1 hour', expires_at = NULL WHERE user_id = world.id('owner');
SELECT world.same(access.can_read_lesson(world.id('owner'), 'c2000000-0000-4000-8000-000000000003'), false);
UPDATE access.user_entitlements SET tier_id = access.find_tier('premium') WHERE user_id = world.id('other');
SELECT world.same(access.can_read_lesson(world.id('other'), 'c2000000-0000-4000-8000-000000000003'), true);
UPDATE access.user_entitlements SET status = 'revoked' WHERE user_id = world.id('other');
SELECT world.same(access.can_read_lesson(world.id('other'), 'c2000000-0000-4000-8000-000000000003'), false);
SELECT world.same(access.may_read_premium(world.id('other')), false);

-- promise: An exception ends on time.
INSERT INTO access.lesson_access_overrides (lesson_id, override_type, starts_at, expires_at) VALUES ('c2000000-0000-4000-8000-000000000003', 'free', now() - interval '1 day', now() + interval '1 second');
SELECT world.same(access.can_read_lesson(NULL, 'c2000000-0000-4000-8000-000000000003'), true);
UPDATE access.lesson_access_overrides SET expires_at = now() WHERE lesson_id = 'c2000000-0000-4000-8000-000000000003';
SELECT world.same(access.can_read_lesson(NULL, 'c2000000-0000-4000-8000-000000000003'), false);
UPDATE access.lesson_access_overrides SET expires_at = NULL, is_active = false WHERE lesson_id = 'c2000000-0000-4000-8000-000000000003';
SELECT world.same(access.can_read_lesson(NULL, 'c2000000-0000-4000-8000-000000000003'), false);

-- promise: One source gives one right once, however often it is projected.
INSERT INTO access.user_entitlements (user_id, entitlement_type, tier_id, source_type, source_reference, source_version)
VALUES (world.id('other'), 'tier', access.find_tier('basic'), 'subscription', 'sub-1', 2)
ON CONFLICT ON CONSTRAINT uq_user_entitlements_source DO UPDATE SET source_version = excluded.source_version;
SELECT world.same((SELECT array_agg(source_version) FROM access.user_entitlements WHERE user_id = world.id('other')), '{2}'::bigint[]);
SELECT world.fails($$INSERT INTO access.user_entitlements (user_id, entitlement_type, course_id, source_type, source_reference) VALUES (world.id('owner'), 'course_specific', 'c0000000-0000-4000-8000-000000000002', 'purchase', 'purchase-1')$$, 'uq_user_entitlements_source');
INSERT INTO access.user_entitlements (user_id, entitlement_type, course_id, source_type, source_reference) VALUES (world.id('owner'), 'course_specific', 'c0000000-0000-4000-8000-000000000001', 'purchase', 'purchase-1');

-- promise: A client learns what it has access to itself, and nothing about others.
SELECT world.act_as('other');
SELECT world.same(access.can_read_lesson(world.id('owner'), 'c2000000-0000-4000-8000-000000000003'), false);
SELECT world.same(access.can_read_course(world.id('owner'), 'c0000000-0000-4000-8000-000000000002'), false);
SELECT world.same(access.user_can_access(world.id('owner'), 'course', 'c0000000-0000-4000-8000-000000000002') ->> 'method', 'not_permitted');
SELECT world.same(access.user_can_access(world.id('other'), 'course', 'c0000000-0000-4000-8000-000000000002') ->> 'method', 'tier_required');
SELECT world.same(access.user_can_access(world.id('other'), 'planet', 'c0000000-0000-4000-8000-000000000002') ->> 'method', 'unknown_resource_type');
SELECT world.same(access.user_can_access(NULL, NULL, NULL) ->> 'can_access', 'false');
SELECT world.fails($$SELECT access.decide_course(world.id('owner'), 'c0000000-0000-4000-8000-000000000002')$$, '42501');
SELECT world.act_as('admin');
SELECT world.same(access.user_can_access(world.id('owner'), 'course', 'c0000000-0000-4000-8000-000000000002') ->> 'method', 'course_entitlement');
SELECT world.act_as('anon');
SELECT world.same(access.can_read_lesson(world.id('owner'), 'c2000000-0000-4000-8000-000000000003'), false);
SELECT world.same(access.can_read_lesson(NULL, 'c2000000-0000-4000-8000-000000000002'), true);

-- promise: The views list what the caller may read, and why, for nobody else.
SELECT world.act_as('owner');
SELECT world.same((SELECT array_agg(slug || ' ' || method) FROM access.my_course_access), '{published course_entitlement}'::text[]);
SELECT world.same((SELECT array_agg(title || ' ' || method ORDER BY title) FROM access.my_lesson_access), '{A paid one course_entitlement,A preview free_preview}'::text[]);
SELECT world.same((SELECT array_agg(resource_type || ' ' || access ORDER BY resource_type) FROM access.effective_access WHERE user_id = world.id('owner')), '{course read,lesson read,lesson read}'::text[]);
SELECT world.act_as('other');
SELECT world.same((SELECT count(*) FROM access.my_course_access), 0::bigint);
SELECT world.same((SELECT array_agg(title) FROM access.my_lesson_access), '{A preview}'::text[]);
SELECT world.same((SELECT array_agg(resource_type || ' ' || access ORDER BY resource_type) FROM access.effective_access), '{course none,lesson read}'::text[]);
SELECT world.act_as('anon');
SELECT world.same((SELECT array_agg(title) FROM access.my_lesson_access), '{A preview}'::text[]);
-- Staff see lessons for their work; that is not access.
SELECT world.act_as('admin');
SELECT world.same((SELECT array_agg(title) FROM access.my_lesson_access), '{A preview}'::text[]);

-- promise: What somebody gives by hand says who gave it, and is never passed off as bought.
SELECT world.act_as('admin');
INSERT INTO access.user_entitlements (user_id, entitlement_type, tier_id, reason) VALUES (world.id('boss'), 'special_grant', access.find_tier('premium'), 'a jubilee');
SELECT world.same((SELECT source_type || ' ' || (granted_by = world.id('admin'))::text FROM access.user_entitlements WHERE user_id = world.id('boss')), 'manual true');
SELECT world.fails($$INSERT INTO access.user_entitlements (user_id, entitlement_type, tier_id, source_type) VALUES (world.id('boss'), 'tier', access.find_tier('premium'), 'subscription')$$, '42501');
SELECT world.fails($$UPDATE access.user_entitlements SET tier_id = access.find_tier('enterprise')$$, '42501');
SELECT world.act_as('owner');
SELECT world.fails($$INSERT INTO access.user_entitlements (user_id, entitlement_type, tier_id) VALUES (world.id('owner'), 'tier', access.find_tier('premium'))$$, '42501');

-- promise: The four tiers are ranked, and found by what other systems call them.
SELECT world.same((SELECT array_agg(tier_key || ' ' || rank ORDER BY rank) FROM access.tiers), '{free 0,basic 10,premium 20,enterprise 30}'::text[]);
SELECT world.same(access.find_tier('premium_member'), access.find_tier('premium'));
SELECT world.same(access.find_tier('member'), access.find_tier('basic'));
SELECT world.same(access.find_tier('paid_oneoff'), NULL::uuid);
SELECT world.fails($$UPDATE access.tiers SET aliases = '{member}' WHERE tier_key = 'free'$$, 'trg_tiers_check_aliases');
SELECT world.fails($$UPDATE access.tiers SET aliases = '{free}' WHERE tier_key = 'free'$$, 'trg_tiers_check_aliases');
SELECT world.fails($$INSERT INTO access.tiers (tier_key, display_name, rank) VALUES ('member', 'X', 5)$$, 'trg_tiers_check_aliases');
-- A tier that is no longer offered still opens what it opened.
UPDATE access.tiers SET is_active = false WHERE tier_key = 'basic';
UPDATE access.course_access_rules SET required_tier_id = access.find_tier('basic');
SELECT world.same(access.can_read_course(world.id('other'), 'c0000000-0000-4000-8000-000000000002'), true);

-- promise: Wrong input is refused by name.
SELECT world.fails($$UPDATE access.tiers SET monthly_price_cents = 9000000000000000000$$, 'ck_tiers_monthly_price_cents');
SELECT world.fails($$UPDATE access.tiers SET limits = jsonb_build_object('a', repeat('x', 70000))$$, 'ck_tiers_limits');
SELECT world.fails($$INSERT INTO access.tiers (tier_key, display_name, rank) VALUES ('gold', 'Gold', 20)$$, 'uq_tiers_rank');
SELECT world.fails($$INSERT INTO access.tiers (tier_key, display_name, rank) VALUES ('gold', 'Gold', 101)$$, 'ck_tiers_rank');
SELECT world.fails($$INSERT INTO access.tiers (tier_key, display_name, rank) VALUES ('free', 'Free', 5)$$, 'uq_tiers_tier_key');
SELECT world.fails($$UPDATE access.tiers SET monthly_price_cents = -1$$, 'ck_tiers_monthly_price_cents');
SELECT world.fails($$UPDATE access.tiers SET currency = 'dollars'$$, 'ck_tiers_currency');
SELECT world.fails($$DELETE FROM access.tiers WHERE tier_key = 'premium'$$, 'fk_course_access_rules_required_tier');
SELECT world.fails($$UPDATE access.course_access_rules SET access_type = 'charity'$$, 'ck_course_access_rules_access_type');
SELECT world.fails($$UPDATE access.course_access_rules SET access_type = 'paid_oneoff'$$, 'ck_course_access_rules_required');
SELECT world.fails($$UPDATE access.course_access_rules SET required_tier_id = NULL$$, 'ck_course_access_rules_required');
SELECT world.fails($$INSERT INTO access.course_access_rules (course_id, access_type) VALUES ('c0000000-0000-4000-8000-000000000002', 'paid_oneoff')$$, 'uq_course_access_rules_course');
SELECT world.fails($$INSERT INTO access.course_access_rules (course_id, access_type) VALUES (gen_random_uuid(), 'paid_oneoff')$$, 'fk_course_access_rules_course');
SELECT world.fails($$UPDATE access.lesson_access_overrides SET override_type = 'tier'$$, 'ck_lesson_access_overrides_required_tier');
SELECT world.fails($$UPDATE access.lesson_access_overrides SET override_type = 'closed'$$, 'ck_lesson_access_overrides_override_type');
SELECT world.fails($$INSERT INTO access.lesson_access_overrides (lesson_id, override_type) VALUES ('c2000000-0000-4000-8000-000000000001', 'free')$$, 'uq_lesson_access_overrides_active');
SELECT world.fails($$UPDATE access.lesson_access_overrides SET expires_at = starts_at$$, 'ck_lesson_access_overrides_expires_at');
SELECT world.fails($$INSERT INTO access.user_entitlements (user_id, entitlement_type) VALUES (world.id('owner'), 'special_grant')$$, 'ck_user_entitlements_ref');
SELECT world.fails($$INSERT INTO access.user_entitlements (user_id, entitlement_type, tier_id, course_id) VALUES (world.id('owner'), 'special_grant', access.find_tier('free'), 'c0000000-0000-4000-8000-000000000002')$$, 'ck_user_entitlements_ref');
SELECT world.fails($$INSERT INTO access.user_entitlements (user_id, entitlement_type, tier_id) VALUES (world.id('owner'), 'course_specific', access.find_tier('free'))$$, 'ck_user_entitlements_course');
SELECT world.fails($$INSERT INTO access.user_entitlements (user_id, entitlement_type, tier_id) VALUES (world.id('owner'), 'time_limited', access.find_tier('free'))$$, 'ck_user_entitlements_time_limited');
SELECT world.fails($$UPDATE access.user_entitlements SET status = 'paused'$$, 'ck_user_entitlements_status');
SELECT world.fails($$UPDATE access.user_entitlements SET status = 'expired'$$, 'ck_user_entitlements_expired');
SELECT world.fails($$UPDATE access.user_entitlements SET source_type = 'theft'$$, 'ck_user_entitlements_source_type');
SELECT world.fails($$INSERT INTO access.user_entitlements (user_id, entitlement_type, tier_id) VALUES (gen_random_uuid(), 'tier', access.find_tier('free'))$$, 'fk_user_entitlements_user');
