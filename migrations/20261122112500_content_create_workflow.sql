-- The workflow of courses and lessons: which change of status is possible, who may make it, and its record.
-- Owner: crates/api. Locks: short ones on tables that are new. Undo: DROP the triggers and functions below.

-- The rules of the workflow stand here and nowhere else.
CREATE FUNCTION content.transition_permission(from_status text, to_status text) RETURNS text
LANGUAGE sql IMMUTABLE PARALLEL SAFE SET search_path = pg_catalog, pg_temp
RETURN CASE from_status || ' ' || to_status
    WHEN 'draft in_review' THEN 'content.edit'
    WHEN 'in_review published' THEN 'content.publish'
    WHEN 'in_review draft' THEN 'content.publish'
    WHEN 'published draft' THEN 'content.publish'
    WHEN 'draft archived' THEN 'content.archive'
    WHEN 'in_review archived' THEN 'content.archive'
    WHEN 'published archived' THEN 'content.archive'
    WHEN 'archived draft' THEN 'content.edit'
END;
COMMENT ON FUNCTION content.transition_permission IS 'What it takes to bring content from one status into another; null: it cannot be done. Whoever made a draft may hand it in as well.';

CREATE FUNCTION content.keep_workflow() RETURNS trigger
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    IF TG_OP = 'UPDATE' THEN
        IF NEW.workflow_status = OLD.workflow_status THEN
            RETURN NEW;
        ELSIF content.transition_permission(OLD.workflow_status, NEW.workflow_status) IS NULL THEN
            RAISE EXCEPTION 'what is % does not become %', OLD.workflow_status, NEW.workflow_status
                USING ERRCODE = 'check_violation', CONSTRAINT = TG_NAME, SCHEMA = TG_TABLE_SCHEMA, TABLE = TG_TABLE_NAME;
        END IF;
    END IF;
    IF NEW.workflow_status = 'published' THEN
        NEW.published_at := coalesce(NEW.published_at, now());
    END IF;
    NEW.archived_at := CASE WHEN NEW.workflow_status = 'archived' THEN now() END;
    RETURN NEW;
END $$;
COMMENT ON FUNCTION content.keep_workflow IS 'Refuses changes of status that the workflow does not know, whoever makes them, and keeps the times beside it.';
CREATE TRIGGER trg_courses_keep_workflow BEFORE INSERT OR UPDATE OF workflow_status ON content.courses FOR EACH ROW EXECUTE FUNCTION content.keep_workflow();
CREATE TRIGGER trg_lessons_keep_workflow BEFORE INSERT OR UPDATE OF workflow_status ON content.lessons FOR EACH ROW EXECUTE FUNCTION content.keep_workflow();

CREATE FUNCTION content.log_transition() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    INSERT INTO content.workflow_transitions (content_type, content_id, course_id, from_status, to_status, comment, performed_by)
    VALUES (
        CASE TG_TABLE_NAME WHEN 'courses' THEN 'course' ELSE 'lesson' END, NEW.id,
        CASE TG_TABLE_NAME WHEN 'courses' THEN NEW.id ELSE (SELECT m.course_id FROM content.modules m WHERE m.id = (to_jsonb(NEW) ->> 'module_id')::uuid) END,
        OLD.workflow_status, NEW.workflow_status, nullif(current_setting('content.transition_comment', true), ''), auth.uid()
    );
    RETURN NULL;
END $$;
COMMENT ON FUNCTION content.log_transition IS 'Writes content.workflow_transitions. The comment comes from content.transition_workflow_status, by a setting of the transaction.';
CREATE TRIGGER trg_courses_log_transition AFTER UPDATE OF workflow_status ON content.courses FOR EACH ROW
    WHEN (OLD.workflow_status <> NEW.workflow_status) EXECUTE FUNCTION content.log_transition();
CREATE TRIGGER trg_lessons_log_transition AFTER UPDATE OF workflow_status ON content.lessons FOR EACH ROW
    WHEN (OLD.workflow_status <> NEW.workflow_status) EXECUTE FUNCTION content.log_transition();

CREATE FUNCTION content.transition_workflow_status(content_type text, content_id uuid, status text, comment text DEFAULT NULL) RETURNS jsonb
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    kind    constant text := transition_workflow_status.content_type;
    target  constant uuid := transition_workflow_status.content_id;
    becomes constant text := transition_workflow_status.status;
    said    constant text := nullif(btrim(transition_workflow_status.comment), '');
    was     text;
    author  uuid;
    custom  boolean;
    needed  text;
    refusal text;
BEGIN
    -- Locked, so that of two reviewers one decides.
    IF kind = 'course' THEN
        SELECT c.workflow_status, c.created_by, c.course_type = 'custom' INTO was, author, custom
        FROM content.courses c WHERE c.id = target FOR NO KEY UPDATE;
    ELSIF kind = 'lesson' THEN
        SELECT l.workflow_status, c.created_by, c.course_type = 'custom' INTO was, author, custom
        FROM content.lessons l
        JOIN content.modules m ON m.id = l.module_id
        JOIN content.courses c ON c.id = m.course_id
        WHERE l.id = target FOR NO KEY UPDATE OF l;
    END IF;
    needed := content.transition_permission(was, becomes);
    refusal := CASE
        WHEN kind IS NULL OR kind NOT IN ('course', 'lesson') THEN 'unknown_type'
        WHEN was IS NULL THEN 'not_found'
        WHEN needed IS NULL OR custom AND becomes IN ('in_review', 'published') THEN 'not_possible'
        WHEN char_length(said) > 2000 THEN 'comment_too_long'
        WHEN NOT util.is_client() OR rbac.has_permission(auth.uid(), needed) THEN NULL
        WHEN was = 'draft' AND becomes = 'in_review' AND author = auth.uid() THEN NULL
        ELSE 'not_permitted'
    END;
    IF refusal IS NOT NULL THEN
        RETURN jsonb_build_object('success', false, 'error', refusal);
    END IF;
    PERFORM set_config('content.transition_comment', coalesce(said, ''), true);
    IF kind = 'course' THEN
        UPDATE content.courses c SET workflow_status = becomes WHERE c.id = target;
    ELSE
        UPDATE content.lessons l SET workflow_status = becomes WHERE l.id = target;
    END IF;
    PERFORM set_config('content.transition_comment', '', true);
    RETURN jsonb_build_object('success', true, 'content_type', kind, 'content_id', target, 'from', was, 'to', becomes);
END $$;
COMMENT ON FUNCTION content.transition_workflow_status IS 'Brings a course or a lesson into another status. Answers success, or false with the error: unknown_type, not_found, not_possible, not_permitted, comment_too_long.';

CREATE FUNCTION content.submit_for_review(content_type text, content_id uuid, comment text DEFAULT NULL) RETURNS jsonb
LANGUAGE sql SET search_path = pg_catalog, pg_temp
RETURN content.transition_workflow_status(content_type, content_id, 'in_review', comment);
COMMENT ON FUNCTION content.submit_for_review IS 'Hands in a draft: who made it, or content.edit.';

CREATE FUNCTION content.approve_content(content_type text, content_id uuid, comment text DEFAULT NULL) RETURNS jsonb
LANGUAGE sql SET search_path = pg_catalog, pg_temp
RETURN content.transition_workflow_status(content_type, content_id, 'published', comment);
COMMENT ON FUNCTION content.approve_content IS 'Publishes what is in review: content.publish.';

CREATE FUNCTION content.reject_content(content_type text, content_id uuid, comment text DEFAULT NULL) RETURNS jsonb
LANGUAGE sql SET search_path = pg_catalog, pg_temp
RETURN content.transition_workflow_status(content_type, content_id, 'draft', comment);
COMMENT ON FUNCTION content.reject_content IS 'Gives content back to be worked on, from review or after it was published: content.publish.';

CREATE FUNCTION content.archive_content(content_type text, content_id uuid, comment text DEFAULT NULL) RETURNS jsonb
LANGUAGE sql SET search_path = pg_catalog, pg_temp
RETURN content.transition_workflow_status(content_type, content_id, 'archived', comment);
COMMENT ON FUNCTION content.archive_content IS 'Takes content out of sight for good: content.archive.';

REVOKE ALL ON FUNCTION content.transition_permission, content.keep_workflow, content.log_transition, content.transition_workflow_status,
    content.submit_for_review, content.approve_content, content.reject_content, content.archive_content FROM PUBLIC;
-- Inserting and updating rows runs the trigger that asks it.
GRANT EXECUTE ON FUNCTION content.transition_permission TO authenticated, service_role;
GRANT EXECUTE ON FUNCTION content.transition_workflow_status, content.submit_for_review, content.approve_content, content.reject_content, content.archive_content
    TO authenticated, service_role;
