-- Whose content and media are; after all tables that may point to them, so that no erasure stops at one of these.
-- Owner: workers/gdpr. Locks: none. Undo: DELETE FROM compliance.data_subjects WHERE schema_name IN ('content', 'media') AND table_name IN (those below).

DO $$
DECLARE
    -- The path that somebody put together for themselves. One that somebody was given a right to, or that is sold, is a course like others.
    paths constant text := 'SELECT c.id FROM content.courses c WHERE c.course_type = ''custom'' AND c.created_by = $1'
        ' AND NOT EXISTS (SELECT FROM access.user_entitlements e WHERE e.course_id = c.id)'
        ' AND NOT EXISTS (SELECT FROM billing.product_grants g WHERE g.course_id = c.id)';
    lessons constant text := format('SELECT l.id FROM content.lessons l JOIN content.modules m ON m.id = l.module_id WHERE m.course_id IN (%s)', paths);
    attachments constant text := format('SELECT t.id FROM content.attachments t WHERE t.course_id IN (%s) UNION ALL SELECT t.id FROM content.attachments t WHERE t.lesson_id IN (%s)', paths, lessons);
    -- What was made for a course is the platform's, and so is what a course shows; the rest goes with the person.
    assets constant text := format('SELECT a.id FROM media.assets a WHERE a.uploaded_by = $1 AND a.purpose NOT IN (''lesson'', ''attachment'')'
        ' AND NOT EXISTS (SELECT FROM content.lessons s WHERE s.primary_media_id = a.id AND s.id NOT IN (%s))'
        ' AND NOT EXISTS (SELECT FROM content.attachments s WHERE s.asset_id = a.id AND s.id NOT IN (%s))', lessons, attachments);
BEGIN
    PERFORM compliance.belongs_to('content.courses', format('id IN (%s)', paths));
    PERFORM compliance.belongs_to('content.modules', format('course_id IN (%s)', paths));
    PERFORM compliance.belongs_to('content.lessons', format('id IN (%s)', lessons));
    PERFORM compliance.belongs_to('content.attachments', format('id IN (%s)', attachments));
    PERFORM compliance.belongs_to('media.assets', format('id IN (%s)', assets));
    PERFORM compliance.belongs_to('media.asset_variants', format('asset_id IN (%s)', assets));
    PERFORM compliance.belongs_to('media.transcode_jobs', format('asset_id IN (%s)', assets));
END $$;
