-- Who may read what: tiers, rules of courses, exceptions for lessons, and the rights that people have.
-- Owner: workers/billing. Locks: none, everything is new. Undo: DROP SCHEMA access CASCADE.

CREATE SCHEMA access;
COMMENT ON SCHEMA access IS 'The paywall. What people paid or were given is projected into user_entitlements, and only that decides. Written by workers/billing.';
GRANT USAGE ON SCHEMA access TO anon, authenticated, service_role;

CREATE TABLE access.tiers (
    id                  uuid        NOT NULL DEFAULT gen_random_uuid() CONSTRAINT tiers_pkey PRIMARY KEY,
    tier_key            text        NOT NULL CONSTRAINT uq_tiers_tier_key UNIQUE CONSTRAINT ck_tiers_tier_key CHECK (tier_key ~ '^[a-z][a-z_]{1,39}$'),
    aliases             text[]      NOT NULL DEFAULT '{}' CONSTRAINT ck_tiers_aliases CHECK (cardinality(aliases) <= 20 AND array_position(aliases, NULL) IS NULL AND char_length(array_to_string(aliases, '')) <= 800),
    display_name        text        NOT NULL CONSTRAINT ck_tiers_display_name CHECK (char_length(display_name) BETWEEN 1 AND 80),
    description         text        NOT NULL DEFAULT '' CONSTRAINT ck_tiers_description CHECK (char_length(description) <= 2000),
    rank                smallint    NOT NULL CONSTRAINT uq_tiers_rank UNIQUE CONSTRAINT ck_tiers_rank CHECK (rank BETWEEN 0 AND 100),
    monthly_price_cents bigint      CONSTRAINT ck_tiers_monthly_price_cents CHECK (monthly_price_cents BETWEEN 0 AND 1000000000000),
    yearly_price_cents  bigint      CONSTRAINT ck_tiers_yearly_price_cents CHECK (yearly_price_cents BETWEEN 0 AND 1000000000000),
    currency            text        NOT NULL DEFAULT 'EUR' CONSTRAINT ck_tiers_currency CHECK (currency ~ '^[A-Z]{3}$'),
    features            jsonb       NOT NULL DEFAULT '{}' CONSTRAINT ck_tiers_features CHECK (jsonb_typeof(features) = 'object' AND octet_length(features::text) <= 65536),
    limits              jsonb       NOT NULL DEFAULT '{}' CONSTRAINT ck_tiers_limits CHECK (jsonb_typeof(limits) = 'object' AND octet_length(limits::text) <= 65536),
    is_active           boolean     NOT NULL DEFAULT true,
    created_at          timestamptz NOT NULL DEFAULT now(),
    updated_at          timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX idx_tiers_aliases ON access.tiers USING gin (aliases);
COMMENT ON TABLE access.tiers IS 'Levels of membership. A higher rank may read all that a lower one may.';
COMMENT ON COLUMN access.tiers.aliases IS 'What other systems call it; see access.find_tier.';
COMMENT ON COLUMN access.tiers.rank IS '0 is what everybody has who is signed in.';
COMMENT ON COLUMN access.tiers.monthly_price_cents IS 'For showing; null: not on sale by the month. What is charged is in billing.prices.';
COMMENT ON COLUMN access.tiers.is_active IS 'Still offered. Who has one that is no longer offered keeps what it opens.';

CREATE TABLE access.course_access_rules (
    id                  uuid        NOT NULL DEFAULT gen_random_uuid() CONSTRAINT course_access_rules_pkey PRIMARY KEY,
    course_id           uuid        NOT NULL CONSTRAINT uq_course_access_rules_course UNIQUE CONSTRAINT fk_course_access_rules_course REFERENCES content.courses ON DELETE CASCADE,
    access_type         text        NOT NULL CONSTRAINT ck_course_access_rules_access_type CHECK (access_type IN ('tier', 'paid_oneoff')),
    required_tier_id    uuid        CONSTRAINT fk_course_access_rules_required_tier REFERENCES access.tiers,
    required_product_id uuid,
    is_active           boolean     NOT NULL DEFAULT true,
    created_at          timestamptz NOT NULL DEFAULT now(),
    updated_at          timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT ck_course_access_rules_required CHECK (
        CASE access_type WHEN 'tier' THEN required_tier_id IS NOT NULL AND required_product_id IS NULL ELSE required_tier_id IS NULL END
    )
);
CREATE INDEX idx_course_access_rules_required_tier ON access.course_access_rules (required_tier_id) WHERE required_tier_id IS NOT NULL;
COMMENT ON TABLE access.course_access_rules IS 'What a course asks for. A course without an active rule is open to everybody.';
COMMENT ON COLUMN access.course_access_rules.access_type IS 'tier: that tier or a higher one; paid_oneoff: bought on its own, no tier opens it. A right to the course itself always does.';

CREATE TABLE access.lesson_access_overrides (
    id               uuid        NOT NULL DEFAULT gen_random_uuid() CONSTRAINT lesson_access_overrides_pkey PRIMARY KEY,
    lesson_id        uuid        NOT NULL CONSTRAINT fk_lesson_access_overrides_lesson REFERENCES content.lessons ON DELETE CASCADE,
    override_type    text        NOT NULL CONSTRAINT ck_lesson_access_overrides_override_type CHECK (override_type IN ('free', 'tier')),
    required_tier_id uuid        CONSTRAINT fk_lesson_access_overrides_required_tier REFERENCES access.tiers,
    reason           text        CONSTRAINT ck_lesson_access_overrides_reason CHECK (char_length(reason) BETWEEN 1 AND 500),
    is_active        boolean     NOT NULL DEFAULT true,
    starts_at        timestamptz NOT NULL DEFAULT now(),
    expires_at       timestamptz,
    created_at       timestamptz NOT NULL DEFAULT now(),
    updated_at       timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT ck_lesson_access_overrides_required_tier CHECK ((override_type = 'tier') = (required_tier_id IS NOT NULL)),
    CONSTRAINT ck_lesson_access_overrides_expires_at CHECK (expires_at > starts_at)
);
CREATE INDEX idx_lesson_access_overrides_lesson ON access.lesson_access_overrides (lesson_id);
CREATE UNIQUE INDEX uq_lesson_access_overrides_active ON access.lesson_access_overrides (lesson_id, override_type, required_tier_id) NULLS NOT DISTINCT WHERE is_active;
CREATE INDEX idx_lesson_access_overrides_required_tier ON access.lesson_access_overrides (required_tier_id) WHERE required_tier_id IS NOT NULL;
CREATE INDEX idx_lesson_access_overrides_expires_at ON access.lesson_access_overrides (expires_at) WHERE is_active AND expires_at IS NOT NULL;
COMMENT ON TABLE access.lesson_access_overrides IS 'Lessons that are open to more people than their course, for good or for a time. Never to fewer: the course is asked first.';
COMMENT ON COLUMN access.lesson_access_overrides.override_type IS 'free: to everybody, also without an account; tier: from a tier on.';

CREATE TABLE access.user_entitlements (
    id               uuid        NOT NULL DEFAULT gen_random_uuid() CONSTRAINT user_entitlements_pkey PRIMARY KEY,
    user_id          uuid        NOT NULL CONSTRAINT fk_user_entitlements_user REFERENCES public.profiles,
    entitlement_type text        NOT NULL CONSTRAINT ck_user_entitlements_entitlement_type CHECK (entitlement_type IN ('tier', 'course_specific', 'time_limited', 'special_grant')),
    tier_id          uuid        CONSTRAINT fk_user_entitlements_tier REFERENCES access.tiers,
    course_id        uuid        CONSTRAINT fk_user_entitlements_course REFERENCES content.courses,
    status           text        NOT NULL DEFAULT 'active' CONSTRAINT ck_user_entitlements_status CHECK (status IN ('active', 'expired', 'revoked')),
    starts_at        timestamptz NOT NULL DEFAULT now(),
    expires_at       timestamptz,
    revoked_at       timestamptz,
    source_type      text        NOT NULL DEFAULT 'manual' CONSTRAINT ck_user_entitlements_source_type CHECK (source_type IN ('subscription', 'purchase', 'payment', 'reward', 'role', 'organization', 'certificate', 'manual', 'import')),
    source_reference text        NOT NULL DEFAULT gen_random_uuid()::text CONSTRAINT ck_user_entitlements_source_reference CHECK (char_length(source_reference) BETWEEN 1 AND 300),
    source_version   bigint      NOT NULL DEFAULT 0 CONSTRAINT ck_user_entitlements_source_version CHECK (source_version >= 0),
    granted_by       uuid        DEFAULT auth.uid() CONSTRAINT fk_user_entitlements_granted_by REFERENCES public.profiles,
    reason           text        CONSTRAINT ck_user_entitlements_reason CHECK (char_length(reason) BETWEEN 1 AND 500),
    metadata         jsonb       NOT NULL DEFAULT '{}' CONSTRAINT ck_user_entitlements_metadata CHECK (jsonb_typeof(metadata) = 'object' AND octet_length(metadata::text) <= 65536),
    created_at       timestamptz NOT NULL DEFAULT now(),
    updated_at       timestamptz NOT NULL DEFAULT now(),
    -- One source gives one right once, however often it is projected; a bundle gives several.
    CONSTRAINT uq_user_entitlements_source UNIQUE NULLS NOT DISTINCT (user_id, source_type, source_reference, tier_id, course_id),
    CONSTRAINT ck_user_entitlements_ref CHECK (num_nonnulls(tier_id, course_id) = 1),
    CONSTRAINT ck_user_entitlements_tier CHECK (entitlement_type <> 'tier' OR tier_id IS NOT NULL),
    CONSTRAINT ck_user_entitlements_course CHECK (entitlement_type <> 'course_specific' OR course_id IS NOT NULL),
    CONSTRAINT ck_user_entitlements_time_limited CHECK (entitlement_type <> 'time_limited' OR expires_at IS NOT NULL),
    CONSTRAINT ck_user_entitlements_expires_at CHECK (expires_at > starts_at),
    CONSTRAINT ck_user_entitlements_expired CHECK (status <> 'expired' OR expires_at IS NOT NULL),
    CONSTRAINT ck_user_entitlements_revoked CHECK ((status = 'revoked') = (revoked_at IS NOT NULL))
);
-- Rights to one course are found by the first two columns, tiers where the second is null.
CREATE INDEX idx_user_entitlements_user_active ON access.user_entitlements (user_id, course_id, tier_id) WHERE status = 'active';
CREATE INDEX idx_user_entitlements_tier ON access.user_entitlements (tier_id) WHERE tier_id IS NOT NULL;
CREATE INDEX idx_user_entitlements_course ON access.user_entitlements (course_id) WHERE course_id IS NOT NULL;
CREATE INDEX idx_user_entitlements_granted_by ON access.user_entitlements (granted_by) WHERE granted_by IS NOT NULL;
CREATE INDEX idx_user_entitlements_expires_at ON access.user_entitlements (expires_at) WHERE status = 'active' AND expires_at IS NOT NULL;
CREATE INDEX idx_user_entitlements_source ON access.user_entitlements (source_type, source_reference);
COMMENT ON TABLE access.user_entitlements IS 'What a person has a right to: a tier or a course. A projection of billing, rewards, roles and grants by hand. Rows that ended stay.';
COMMENT ON COLUMN access.user_entitlements.expires_at IS 'From then on it grants nothing, also before somebody marks it.';
COMMENT ON COLUMN access.user_entitlements.source_reference IS 'What it comes from: the id of a subscription, a purchase, a payment. One of its own when it was given by hand.';
COMMENT ON COLUMN access.user_entitlements.source_version IS 'Of the source, as last projected: an older one changes nothing.';

CREATE TRIGGER trg_tiers_set_updated_at BEFORE UPDATE ON access.tiers FOR EACH ROW EXECUTE FUNCTION util.set_updated_at();
CREATE TRIGGER trg_course_access_rules_set_updated_at BEFORE UPDATE ON access.course_access_rules FOR EACH ROW EXECUTE FUNCTION util.set_updated_at();
CREATE TRIGGER trg_lesson_access_overrides_set_updated_at BEFORE UPDATE ON access.lesson_access_overrides FOR EACH ROW EXECUTE FUNCTION util.set_updated_at();
CREATE TRIGGER trg_user_entitlements_set_updated_at BEFORE UPDATE ON access.user_entitlements FOR EACH ROW EXECUTE FUNCTION util.set_updated_at();

CREATE FUNCTION access.check_aliases() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    PERFORM pg_advisory_xact_lock(1111834951, TG_RELID::integer);
    IF NEW.tier_key = ANY (NEW.aliases) OR EXISTS (
        SELECT FROM access.tiers t
        WHERE t.id <> NEW.id AND (t.aliases && (NEW.aliases || NEW.tier_key) OR t.tier_key = ANY (NEW.aliases))
    ) THEN
        RAISE EXCEPTION 'a name of the tier % is that of another', NEW.tier_key
            USING ERRCODE = 'unique_violation', CONSTRAINT = TG_NAME, SCHEMA = TG_TABLE_SCHEMA, TABLE = TG_TABLE_NAME;
    END IF;
    RETURN NULL;
END $$;
COMMENT ON FUNCTION access.check_aliases IS 'Sees to it that a name means one tier.';
CREATE TRIGGER trg_tiers_check_aliases AFTER INSERT OR UPDATE OF tier_key, aliases ON access.tiers FOR EACH ROW EXECUTE FUNCTION access.check_aliases();

CREATE FUNCTION access.stamp_revocation() RETURNS trigger
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    NEW.revoked_at := CASE WHEN NEW.status = 'revoked' THEN coalesce(NEW.revoked_at, now()) END;
    RETURN NEW;
END $$;
COMMENT ON FUNCTION access.stamp_revocation IS 'Keeps the time of a revocation beside the status.';
CREATE TRIGGER trg_user_entitlements_stamp_revocation BEFORE INSERT OR UPDATE OF status, revoked_at ON access.user_entitlements FOR EACH ROW EXECUTE FUNCTION access.stamp_revocation();

-- Questions ----------------------------------------------------------------------------------------
-- They run for every row that a policy looks at: plpgsql keeps the plans of their queries, and each is a
-- look-up or two in an index. They read as their owner, since policies on the tables they read call them.

CREATE TYPE access.verdict AS (can_access boolean, method text);
COMMENT ON TYPE access.verdict IS 'Whether something may be read, and what decided it.';

CREATE FUNCTION access.find_tier(tier_name text) RETURNS uuid
LANGUAGE sql STABLE PARALLEL SAFE SET search_path = pg_catalog, pg_temp
BEGIN ATOMIC
    SELECT t.id FROM access.tiers t WHERE t.tier_key = find_tier.tier_name OR t.aliases @> ARRAY[find_tier.tier_name];
END;
COMMENT ON FUNCTION access.find_tier IS 'The tier of that key or alias; null if there is none.';

CREATE FUNCTION access.tier_rank(reader uuid) RETURNS smallint
LANGUAGE plpgsql STABLE PARALLEL SAFE SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    RETURN (
        SELECT coalesce(max(t.rank), 0::smallint)
        FROM access.user_entitlements e
        JOIN access.tiers t ON t.id = e.tier_id
        WHERE e.user_id = reader AND e.course_id IS NULL AND e.status = 'active'
            AND e.starts_at <= now() AND (e.expires_at IS NULL OR e.expires_at > now())
    );
END $$;
COMMENT ON FUNCTION access.tier_rank IS 'The rank of the highest tier that a person has now; 0 is the free one.';

CREATE FUNCTION access.decide_course(reader uuid, course uuid) RETURNS access.verdict
LANGUAGE plpgsql STABLE PARALLEL SAFE SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    status        text;
    access_type   text;
    required_rank smallint;
    held_rank     smallint;
BEGIN
    SELECT c.workflow_status, r.access_type, t.rank INTO status, access_type, required_rank
    FROM content.courses c
    LEFT JOIN access.course_access_rules r ON r.course_id = c.id AND r.is_active
    LEFT JOIN access.tiers t ON t.id = r.required_tier_id
    WHERE c.id = course;
    IF status IS NULL THEN
        RETURN (false, 'not_found')::access.verdict;
    ELSIF status <> 'published' THEN
        RETURN (false, 'not_published')::access.verdict;
    ELSIF access_type IS NULL THEN
        RETURN (true, 'no_rule')::access.verdict;
    ELSIF reader IS NULL THEN
        RETURN (false, 'sign_in_required')::access.verdict;
    ELSIF EXISTS (
        SELECT FROM access.user_entitlements e
        WHERE e.user_id = reader AND e.course_id = course AND e.status = 'active'
            AND e.starts_at <= now() AND (e.expires_at IS NULL OR e.expires_at > now())
    ) THEN
        RETURN (true, 'course_entitlement')::access.verdict;
    ELSIF access_type = 'paid_oneoff' THEN
        RETURN (false, 'purchase_required')::access.verdict;
    END IF;
    held_rank := access.tier_rank(reader);
    IF held_rank < required_rank THEN
        RETURN (false, 'tier_required')::access.verdict;
    ELSIF held_rank > 0 THEN
        RETURN (true, 'tier')::access.verdict;
    END IF;
    RETURN (true, 'free_tier')::access.verdict;
END $$;
COMMENT ON FUNCTION access.decide_course IS 'Whether a person may read a course, asked in this order: is it published, has it no rule, has the person a right to it, is the tier high enough, is the free tier enough.';

CREATE FUNCTION access.decide_lesson(reader uuid, lesson uuid) RETURNS access.verdict
LANGUAGE plpgsql STABLE PARALLEL SAFE SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    course     uuid;
    is_shown   boolean;
    is_preview boolean;
    verdict    access.verdict;
BEGIN
    SELECT m.course_id, l.workflow_status = 'published' AND m.is_published AND c.workflow_status = 'published', l.is_free_preview
    INTO course, is_shown, is_preview
    FROM content.lessons l
    JOIN content.modules m ON m.id = l.module_id
    JOIN content.courses c ON c.id = m.course_id
    WHERE l.id = lesson;
    IF course IS NULL THEN
        RETURN (false, 'not_found')::access.verdict;
    ELSIF NOT is_shown THEN
        RETURN (false, 'not_published')::access.verdict;
    ELSIF is_preview THEN
        RETURN (true, 'free_preview')::access.verdict;
    END IF;
    verdict := access.decide_course(reader, course);
    IF NOT verdict.can_access AND EXISTS (
        SELECT FROM access.lesson_access_overrides o
        LEFT JOIN access.tiers t ON t.id = o.required_tier_id
        WHERE o.lesson_id = lesson AND o.is_active AND o.starts_at <= now() AND (o.expires_at IS NULL OR o.expires_at > now())
            AND (o.override_type = 'free' OR reader IS NOT NULL AND t.rank <= access.tier_rank(reader))
    ) THEN
        RETURN (true, 'lesson_override')::access.verdict;
    END IF;
    RETURN verdict;
END $$;
COMMENT ON FUNCTION access.decide_lesson IS 'Whether a person may read a lesson, asked in this order: is it published with its module and course, is it a free preview, may the course be read, is there an exception for the lesson.';

-- What others may read is nobody's business: a client asks for itself, or for nobody.
CREATE FUNCTION access.may_ask_about(reader uuid) RETURNS boolean
LANGUAGE plpgsql STABLE PARALLEL SAFE SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    RETURN reader IS NULL OR reader IS NOT DISTINCT FROM auth.uid() OR NOT util.is_client();
END $$;
COMMENT ON FUNCTION access.may_ask_about IS 'Whether the one who asks may know what that person has access to.';

CREATE FUNCTION access.can_read_course(user_id uuid, course_id uuid) RETURNS boolean
LANGUAGE plpgsql STABLE SECURITY DEFINER PARALLEL SAFE SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    RETURN access.may_ask_about(can_read_course.user_id)
        AND (access.decide_course(can_read_course.user_id, can_read_course.course_id)).can_access;
END $$;
COMMENT ON FUNCTION access.can_read_course IS 'Whether a person, or somebody without an account (null), may read a course now; see access.decide_course.';

CREATE FUNCTION access.can_read_lesson(user_id uuid, lesson_id uuid) RETURNS boolean
LANGUAGE plpgsql STABLE SECURITY DEFINER PARALLEL SAFE SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    RETURN access.may_ask_about(can_read_lesson.user_id)
        AND (access.decide_lesson(can_read_lesson.user_id, can_read_lesson.lesson_id)).can_access;
END $$;
COMMENT ON FUNCTION access.can_read_lesson IS 'Whether a person, or somebody without an account (null), may read a lesson now; see access.decide_lesson.';

CREATE FUNCTION access.may_read_premium(user_id uuid) RETURNS boolean
LANGUAGE plpgsql STABLE SECURITY DEFINER PARALLEL SAFE SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    RETURN access.may_ask_about(may_read_premium.user_id) AND may_read_premium.user_id IS NOT NULL
        AND access.tier_rank(may_read_premium.user_id) >= (SELECT t.rank FROM access.tiers t WHERE t.tier_key = 'premium');
END $$;
COMMENT ON FUNCTION access.may_read_premium IS 'Whether a person has the tier premium or a higher one now.';

CREATE FUNCTION access.user_can_access(user_id uuid, resource_type text, resource_id uuid) RETURNS jsonb
LANGUAGE plpgsql STABLE SECURITY DEFINER PARALLEL SAFE SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    reader  constant uuid := user_can_access.user_id;
    verdict access.verdict;
BEGIN
    verdict := CASE
        WHEN NOT access.may_ask_about(reader) AND NOT rbac.has_permission(auth.uid(), 'access.manage') THEN (false, 'not_permitted')::access.verdict
        WHEN user_can_access.resource_type = 'course' THEN access.decide_course(reader, user_can_access.resource_id)
        WHEN user_can_access.resource_type = 'lesson' THEN access.decide_lesson(reader, user_can_access.resource_id)
        ELSE (false, 'unknown_resource_type')::access.verdict
    END;
    RETURN jsonb_build_object(
        'can_access', verdict.can_access, 'method', verdict.method,
        'resource_type', user_can_access.resource_type, 'resource_id', user_can_access.resource_id
    );
END $$;
COMMENT ON FUNCTION access.user_can_access IS 'Whether a person may read a course or a lesson, and what decided it. One''s own, or with access.manage anybody''s. Yes: no_rule, course_entitlement, tier, free_tier, free_preview, lesson_override. No: not_found, not_published, sign_in_required, purchase_required, tier_required, not_permitted, unknown_resource_type.';

-- Rights -------------------------------------------------------------------------------------------

SELECT util.protect('access.tiers');
SELECT util.protect('access.course_access_rules');
SELECT util.protect('access.lesson_access_overrides');
SELECT util.protect('access.user_entitlements', 'SELECT, INSERT, UPDATE');

CREATE POLICY tiers_read ON access.tiers FOR SELECT TO anon, authenticated USING (true);
CREATE POLICY tiers_manage ON access.tiers TO authenticated
    USING ((SELECT rbac.has_permission((SELECT auth.uid()), 'access.manage'))) WITH CHECK ((SELECT rbac.has_permission((SELECT auth.uid()), 'access.manage')));
GRANT SELECT ON access.tiers TO anon, authenticated;
GRANT INSERT, UPDATE, DELETE ON access.tiers TO authenticated;

-- Terms of what may be bought are public, and those of a course that nobody sees yet are not.
CREATE POLICY course_access_rules_read ON access.course_access_rules FOR SELECT TO anon, authenticated
    USING (is_active AND EXISTS (SELECT FROM content.courses c WHERE c.id = course_access_rules.course_id AND c.workflow_status = 'published'));
CREATE POLICY course_access_rules_manage ON access.course_access_rules TO authenticated
    USING ((SELECT rbac.has_permission((SELECT auth.uid()), 'access.manage'))) WITH CHECK ((SELECT rbac.has_permission((SELECT auth.uid()), 'access.manage')));
GRANT SELECT ON access.course_access_rules TO anon, authenticated;
GRANT INSERT, UPDATE, DELETE ON access.course_access_rules TO authenticated;

CREATE POLICY lesson_access_overrides_manage ON access.lesson_access_overrides TO authenticated
    USING ((SELECT rbac.has_permission((SELECT auth.uid()), 'access.manage'))) WITH CHECK ((SELECT rbac.has_permission((SELECT auth.uid()), 'access.manage')));
GRANT SELECT, INSERT, UPDATE, DELETE ON access.lesson_access_overrides TO authenticated;

CREATE POLICY user_entitlements_own ON access.user_entitlements FOR SELECT TO authenticated USING (user_id = (SELECT auth.uid()));
CREATE POLICY user_entitlements_manage ON access.user_entitlements TO authenticated
    USING ((SELECT rbac.has_permission((SELECT auth.uid()), 'access.manage'))) WITH CHECK ((SELECT rbac.has_permission((SELECT auth.uid()), 'access.manage')));
-- What people give by hand says that it was them, and is never passed off as bought.
GRANT SELECT, INSERT (user_id, entitlement_type, tier_id, course_id, starts_at, expires_at, reason), UPDATE (status, expires_at, reason)
    ON access.user_entitlements TO authenticated;

REVOKE ALL ON FUNCTION access.check_aliases, access.stamp_revocation, access.find_tier, access.tier_rank, access.decide_course, access.decide_lesson,
    access.may_ask_about, access.can_read_course, access.can_read_lesson, access.may_read_premium, access.user_can_access FROM PUBLIC;
GRANT EXECUTE ON FUNCTION access.find_tier, access.can_read_course, access.can_read_lesson, access.may_read_premium, access.user_can_access
    TO anon, authenticated, service_role;

SELECT compliance.classify('access.tiers', 'none');
SELECT compliance.classify('access.course_access_rules', 'none');
SELECT compliance.classify('access.lesson_access_overrides', 'none');
SELECT compliance.classify('access.user_entitlements', 'pseudonymous', exported => true, on_erasure => 'keep', reason => 'What somebody had a right to belongs to accounts that are kept; the profile it points to is empty.');
SELECT compliance.classify('access.user_entitlements', 'personal', '{reason,metadata}', exported => true, on_erasure => 'anonymise');
SELECT compliance.belongs_to('access.user_entitlements', 'user_id = $1');
