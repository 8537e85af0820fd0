-- Nothing personal is written for somebody who has been erased: a token outlives its account.
-- Owner: crates/api. Locks: short ones on tables that are new.
-- Undo: DROP FUNCTION public.refuse_erased CASCADE.

CREATE FUNCTION public.refuse_erased() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    IF util.is_client() AND EXISTS (SELECT FROM public.profiles p WHERE p.id = auth.uid() AND p.erased_at IS NOT NULL) THEN
        RAISE EXCEPTION 'the account of this token is gone'
            USING ERRCODE = 'insufficient_privilege', CONSTRAINT = TG_NAME, SCHEMA = TG_TABLE_SCHEMA, TABLE = TG_TABLE_NAME;
    END IF;
    RETURN NULL;
END $$;
COMMENT ON FUNCTION public.refuse_erased IS 'For statement triggers on what people write themselves: trg_<table>_refuse_erased. Asked once for each statement.';
REVOKE ALL ON FUNCTION public.refuse_erased FROM PUBLIC, anon, authenticated, service_role;

DO $$
DECLARE
    target regclass;
BEGIN
    -- Each table about people that clients write to, themselves or through a function.
    FOREACH target IN ARRAY '{public.user_settings,public.profile_links,public.user_consents,content.courses,content.attachments,content.exercises,media.assets,media.uploads,
        billing.promo_redemptions,notify.devices,notify.user_subscriptions,ai.assistant_sessions,ai.assistant_messages,ai.tool_invocations,ai.user_memories,ai.projects,
        vector.collections,vector.documents,analytics.activity_log}'::regclass[]
    LOOP
        EXECUTE format(
            'CREATE TRIGGER %I BEFORE INSERT OR UPDATE ON %s FOR EACH STATEMENT EXECUTE FUNCTION public.refuse_erased()',
            'trg_' || (SELECT relname FROM pg_class WHERE oid = target) || '_refuse_erased', target
        );
    END LOOP;
END $$;
