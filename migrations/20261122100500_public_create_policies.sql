-- Who sees and changes profiles, settings, links and consents.
-- Owner: crates/api. Locks: short ones on tables that are new. Undo: DROP POLICY each of them.

CREATE POLICY profiles_read ON public.profiles FOR SELECT TO anon, authenticated USING (is_public);
CREATE POLICY profiles_own ON public.profiles FOR SELECT TO authenticated
    USING (id = (SELECT auth.uid()) OR (SELECT rbac.has_permission((SELECT auth.uid()), 'users.manage')));
CREATE POLICY profiles_change_own ON public.profiles FOR UPDATE TO authenticated
    -- A token outlives its account: a tombstone stays empty.
    USING (id = (SELECT auth.uid()) AND erased_at IS NULL) WITH CHECK (id = (SELECT auth.uid()));
-- The address, and whether somebody wants to leave, is not for other people's eyes, and columns are the only border within a row.
GRANT SELECT (id, username, display_name, bio, avatar_url, profession, locale, is_public, created_at) ON public.profiles TO anon;
GRANT SELECT (id, username, display_name, bio, avatar_url, profession, locale, time_zone, is_public, last_seen_at, erased_at, created_at, updated_at)
    ON public.profiles TO authenticated;
GRANT UPDATE (username, display_name, bio, avatar_url, profession, locale, time_zone, is_public) ON public.profiles TO authenticated;

CREATE POLICY user_settings_own ON public.user_settings TO authenticated
    USING (user_id = (SELECT auth.uid())) WITH CHECK (user_id = (SELECT auth.uid()));
CREATE POLICY user_settings_manage ON public.user_settings FOR SELECT TO authenticated
    USING ((SELECT rbac.has_permission((SELECT auth.uid()), 'users.manage')));
GRANT SELECT, INSERT, UPDATE ON public.user_settings TO authenticated;

CREATE POLICY profile_links_read ON public.profile_links FOR SELECT TO anon, authenticated
    USING (is_public AND EXISTS (SELECT FROM public.profiles p WHERE p.id = profile_links.user_id AND p.is_public));
CREATE POLICY profile_links_own ON public.profile_links TO authenticated
    USING (user_id = (SELECT auth.uid())) WITH CHECK (user_id = (SELECT auth.uid()));
GRANT SELECT ON public.profile_links TO anon;
GRANT SELECT, INSERT, UPDATE, DELETE ON public.profile_links TO authenticated;

-- An answer is given by an insert and taken back by revoked_at: nothing else of it changes, and none goes.
CREATE POLICY user_consents_own ON public.user_consents TO authenticated
    USING (user_id = (SELECT auth.uid())) WITH CHECK (user_id = (SELECT auth.uid()));
CREATE POLICY user_consents_audit ON public.user_consents FOR SELECT TO authenticated
    USING ((SELECT rbac.has_permission((SELECT auth.uid()), 'gdpr.process')));
GRANT SELECT, INSERT (user_id, consent_key, version, granted, source, expires_at), UPDATE (revoked_at) ON public.user_consents TO authenticated;
