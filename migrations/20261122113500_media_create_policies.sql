-- Who sees and changes media, and the figures of those who run it.
-- Owner: workers/media. Locks: short ones on tables that are new. Undo: DROP the policies, the view and the function below.

-- A course's media is seen by who sees the lesson, or the attachment, that shows it: their policies answer here.
CREATE POLICY assets_owner_read ON media.assets FOR SELECT TO authenticated USING (uploaded_by = (SELECT auth.uid()));
CREATE POLICY assets_admin_read ON media.assets FOR SELECT TO authenticated
    USING ((SELECT rbac.has_permission((SELECT auth.uid()), 'media.manage')));
CREATE POLICY assets_premium_read ON media.assets FOR SELECT TO authenticated
    USING (access_level = 'premium_only' AND upload_status = 'ready' AND (SELECT access.may_read_premium((SELECT auth.uid()))));
CREATE POLICY assets_public_read ON media.assets FOR SELECT TO anon, authenticated
    USING (access_level = 'public' AND upload_status = 'ready');
CREATE POLICY assets_course_access_read ON media.assets FOR SELECT TO anon, authenticated
    USING (access_level = 'course_access' AND upload_status = 'ready' AND (
        EXISTS (SELECT FROM content.lessons l WHERE l.primary_media_id = assets.id)
        OR EXISTS (SELECT FROM content.attachments a WHERE a.asset_id = assets.id)
    ));
-- Everybody uploads for themselves; for others to see, who makes content. Files elsewhere are entered by who manages media.
CREATE POLICY assets_owner_insert ON media.assets FOR INSERT TO authenticated
    WITH CHECK (uploaded_by = (SELECT auth.uid()) AND external_provider IS NULL
        AND (access_level = 'private' OR (SELECT rbac.has_permission((SELECT auth.uid()), 'content.create'))));
CREATE POLICY assets_owner_update ON media.assets FOR UPDATE TO authenticated
    USING (uploaded_by = (SELECT auth.uid()))
    WITH CHECK (uploaded_by = (SELECT auth.uid()) AND (access_level = 'private' OR (SELECT rbac.has_permission((SELECT auth.uid()), 'content.create'))));
CREATE POLICY assets_owner_delete ON media.assets FOR DELETE TO authenticated USING (uploaded_by = (SELECT auth.uid()));
CREATE POLICY assets_admin_insert ON media.assets FOR INSERT TO authenticated
    WITH CHECK ((SELECT rbac.has_permission((SELECT auth.uid()), 'media.manage')));
CREATE POLICY assets_admin_update ON media.assets FOR UPDATE TO authenticated
    USING ((SELECT rbac.has_permission((SELECT auth.uid()), 'media.manage')));
CREATE POLICY assets_admin_delete ON media.assets FOR DELETE TO authenticated
    USING ((SELECT rbac.has_permission((SELECT auth.uid()), 'media.manage')));
-- Not the key of the object, which is signed for and not shown, nor what the work on it left behind.
GRANT SELECT (id, asset_type, access_level, upload_status, title, description, language, external_provider, external_id, external_url, mime_type,
    file_size_bytes, duration_seconds, width, height, view_count, ready_at, created_at, updated_at) ON media.assets TO anon;
GRANT SELECT (id, uploaded_by, asset_type, purpose, access_level, upload_status, title, description, language, original_filename, external_provider, external_id,
    external_url, mime_type, sha256, file_size_bytes, duration_seconds, width, height, wants_transcript, error_message, view_count, last_accessed_at, last_synced_at,
    ready_at, created_at, updated_at) ON media.assets TO authenticated;
GRANT INSERT (id, asset_type, purpose, access_level, title, description, language, original_filename, external_provider, external_id, external_url, wants_transcript),
    UPDATE (access_level, title, description, language, wants_transcript), DELETE ON media.assets TO authenticated;

CREATE POLICY variants_inherit_read ON media.asset_variants FOR SELECT TO anon, authenticated
    USING (EXISTS (SELECT FROM media.assets a WHERE a.id = asset_variants.asset_id));
GRANT SELECT (id, asset_id, variant_type, language, quality_label, status, external_url, mime_type, width, height, bitrate, file_size_bytes, created_at, updated_at)
    ON media.asset_variants TO anon, authenticated;

CREATE POLICY transcode_jobs_read ON media.transcode_jobs FOR SELECT TO authenticated
    USING ((SELECT rbac.has_permission((SELECT auth.uid()), 'media.manage'))
        OR EXISTS (SELECT FROM media.assets a WHERE a.id = transcode_jobs.asset_id AND a.uploaded_by = (SELECT auth.uid())));
GRANT SELECT ON media.transcode_jobs TO authenticated;

-- What arrived is for the API and the object store to say.
CREATE POLICY uploads_own ON media.uploads FOR SELECT TO authenticated
    USING (user_id = (SELECT auth.uid()) OR (SELECT rbac.has_permission((SELECT auth.uid()), 'media.manage')));
CREATE POLICY uploads_insert_own ON media.uploads FOR INSERT TO authenticated
    WITH CHECK (user_id = (SELECT auth.uid()) AND EXISTS (
        SELECT FROM media.assets a
        WHERE a.id = uploads.asset_id AND a.uploaded_by = (SELECT auth.uid()) AND a.upload_status = 'pending' AND a.external_provider IS NULL
    ));
GRANT SELECT, INSERT (id, asset_id, method, filename, mime_type, expected_size_bytes, expected_sha256, part_size_bytes) ON media.uploads TO authenticated;

CREATE FUNCTION media.may_read(asset_id uuid) RETURNS boolean
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    RETURN EXISTS (SELECT FROM media.assets a WHERE a.id = may_read.asset_id AND a.upload_status = 'ready');
END $$;
COMMENT ON FUNCTION media.may_read IS 'Whether the caller may be given the file of an asset now: policies of media.assets decide. Asked before a URL is signed.';
REVOKE ALL ON FUNCTION media.may_read FROM PUBLIC;
GRANT EXECUTE ON FUNCTION media.may_read TO anon, authenticated, service_role;

CREATE VIEW media.admin_dashboard WITH (security_invoker = true) AS
SELECT a.asset_type,
    count(*) AS assets,
    count(*) FILTER (WHERE a.upload_status = 'pending') AS pending,
    count(*) FILTER (WHERE a.upload_status = 'processing') AS processing,
    count(*) FILTER (WHERE a.upload_status = 'ready') AS ready,
    count(*) FILTER (WHERE a.upload_status = 'error') AS failed,
    round(count(*) FILTER (WHERE a.upload_status = 'error') / nullif(count(*) FILTER (WHERE a.upload_status IN ('ready', 'error')), 0)::numeric, 4) AS error_rate,
    min(a.created_at) FILTER (WHERE a.upload_status IN ('pending', 'processing')) AS oldest_unfinished_at,
    coalesce(sum(a.file_size_bytes), 0)::bigint AS source_bytes,
    coalesce(sum(v.bytes), 0)::bigint AS variant_bytes,
    coalesce(sum(v.failed), 0)::bigint AS failed_variants
FROM media.assets a
LEFT JOIN (
    SELECT asset_id, sum(file_size_bytes) AS bytes, count(*) FILTER (WHERE status = 'error') AS failed
    FROM media.asset_variants GROUP BY asset_id
) v ON v.asset_id = a.id
WHERE (SELECT rbac.has_permission((SELECT auth.uid()), 'media.manage')) OR NOT util.is_client()
GROUP BY a.asset_type;
COMMENT ON VIEW media.admin_dashboard IS 'Storage, state and failures of media, by kind: for who manages it.';
GRANT SELECT ON media.admin_dashboard TO authenticated, service_role;
