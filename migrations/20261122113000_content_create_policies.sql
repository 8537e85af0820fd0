-- Who sees and changes content, and the views and lists that show it.
-- Owner: crates/api. Locks: short ones on tables that are new. Undo: DROP the policies, views and functions below.

-- What policies ask is plpgsql: it keeps the plans of its queries, where a function in SQL plans them for every statement.

-- What the caller makes or teaches, found once for a statement: a policy that joined the tables would ask their policies for every row.
CREATE FUNCTION content.authored_courses() RETURNS SETOF uuid
LANGUAGE plpgsql STABLE SECURITY DEFINER PARALLEL SAFE ROWS 10 SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    RETURN QUERY
    SELECT c.id FROM content.courses c WHERE c.created_by = auth.uid()
    UNION
    SELECT c.id FROM content.courses c WHERE c.instructor_id = auth.uid();
END $$;
COMMENT ON FUNCTION content.authored_courses IS 'The courses that the caller made or teaches.';

CREATE FUNCTION content.authored_modules() RETURNS SETOF uuid
LANGUAGE plpgsql STABLE SECURITY DEFINER PARALLEL SAFE ROWS 50 SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    RETURN QUERY
    SELECT m.id FROM content.modules m WHERE m.course_id IN (SELECT content.authored_courses());
END $$;
COMMENT ON FUNCTION content.authored_modules IS 'The modules of courses that the caller made or teaches.';

-- The author's own course, and what of it the author may change. content.create may have been taken away since; a path for oneself needs no permission.
CREATE FUNCTION content.may_write_course(target uuid, needs_draft boolean) RETURNS boolean
LANGUAGE plpgsql STABLE SECURITY DEFINER PARALLEL SAFE SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    RETURN EXISTS (
        SELECT FROM content.courses c
        WHERE c.id = target AND c.created_by = auth.uid() AND (c.workflow_status = 'draft' OR NOT needs_draft)
            AND (c.course_type = 'custom' OR rbac.has_permission(auth.uid(), 'content.create'))
    );
END $$;
COMMENT ON FUNCTION content.may_write_course IS 'Whether the caller made a course and may still work on it; if asked for, only while it is a draft.';

CREATE FUNCTION content.may_write_module(target uuid) RETURNS boolean
LANGUAGE plpgsql STABLE SECURITY DEFINER PARALLEL SAFE SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    RETURN coalesce((SELECT content.may_write_course(m.course_id, false) FROM content.modules m WHERE m.id = target), false);
END $$;
COMMENT ON FUNCTION content.may_write_module IS 'Whether the caller may put lessons into a module.';

CREATE FUNCTION content.may_write_lesson(target uuid) RETURNS boolean
LANGUAGE plpgsql STABLE SECURITY DEFINER PARALLEL SAFE SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    RETURN coalesce((SELECT l.workflow_status = 'draft' AND content.may_write_module(l.module_id) FROM content.lessons l WHERE l.id = target), false);
END $$;
COMMENT ON FUNCTION content.may_write_lesson IS 'Whether the caller made a lesson and may change it now: while it is a draft.';

-- Courses ------------------------------------------------------------------------------------------

CREATE POLICY courses_creator_read_own ON content.courses FOR SELECT TO authenticated
    USING (created_by = (SELECT auth.uid()) OR instructor_id = (SELECT auth.uid()));
CREATE POLICY courses_public_read_published ON content.courses FOR SELECT TO anon, authenticated
    USING (workflow_status = 'published');
CREATE POLICY courses_reviewer_read_review ON content.courses FOR SELECT TO authenticated
    USING (workflow_status = 'in_review' AND (SELECT rbac.has_permission((SELECT auth.uid()), 'content.publish')));
CREATE POLICY courses_staff_read_all ON content.courses FOR SELECT TO authenticated
    USING ((SELECT rbac.has_permission((SELECT auth.uid()), 'content.edit')));
CREATE POLICY courses_creator_insert ON content.courses FOR INSERT TO authenticated
    WITH CHECK (created_by = (SELECT auth.uid()) AND (course_type = 'custom' OR (SELECT rbac.has_permission((SELECT auth.uid()), 'content.create'))));
CREATE POLICY courses_creator_update ON content.courses FOR UPDATE TO authenticated
    USING (created_by = (SELECT auth.uid()) AND workflow_status = 'draft' AND (course_type = 'custom' OR (SELECT rbac.has_permission((SELECT auth.uid()), 'content.create'))));
CREATE POLICY courses_creator_delete ON content.courses FOR DELETE TO authenticated
    USING (created_by = (SELECT auth.uid()) AND workflow_status = 'draft' AND published_at IS NULL AND (course_type = 'custom' OR (SELECT rbac.has_permission((SELECT auth.uid()), 'content.create'))));
CREATE POLICY courses_staff_update ON content.courses FOR UPDATE TO authenticated
    USING ((SELECT rbac.has_permission((SELECT auth.uid()), 'content.edit')));
-- What was published once has learners: it is archived, and not deleted.
CREATE POLICY courses_staff_delete ON content.courses FOR DELETE TO authenticated
    USING (published_at IS NULL AND (SELECT rbac.has_permission((SELECT auth.uid()), 'content.edit')));
GRANT SELECT ON content.courses TO anon, authenticated;
GRANT DELETE ON content.courses TO authenticated;
-- The workflow and who made it are not for clients to write.
GRANT INSERT (id, slug, title, description, category, difficulty, language, currency, course_type, estimated_duration_seconds, cover_image_url, thumbnail_url, metadata, instructor_id),
    UPDATE (slug, title, description, category, difficulty, language, currency, estimated_duration_seconds, cover_image_url, thumbnail_url, metadata, instructor_id)
    ON content.courses TO authenticated;

-- Modules ------------------------------------------------------------------------------------------

CREATE POLICY modules_creator_read_own ON content.modules FOR SELECT TO authenticated
    USING (course_id IN (SELECT content.authored_courses()));
CREATE POLICY modules_public_read_published ON content.modules FOR SELECT TO anon, authenticated
    USING (is_published AND EXISTS (SELECT FROM content.courses c WHERE c.id = modules.course_id AND c.workflow_status = 'published'));
CREATE POLICY modules_staff_read_all ON content.modules FOR SELECT TO authenticated
    USING ((SELECT rbac.has_permission((SELECT auth.uid()), 'content.edit')) OR (SELECT rbac.has_permission((SELECT auth.uid()), 'content.publish')));
-- In a course that people see, an author prepares new modules, and who edits everybody's content shows them.
CREATE POLICY modules_creator_insert ON content.modules FOR INSERT TO authenticated
    WITH CHECK (content.may_write_course(course_id, is_published));
CREATE POLICY modules_creator_update ON content.modules FOR UPDATE TO authenticated
    USING (content.may_write_course(course_id, is_published)) WITH CHECK (content.may_write_course(course_id, is_published));
CREATE POLICY modules_creator_delete ON content.modules FOR DELETE TO authenticated
    USING (content.may_write_course(course_id, is_published)
        AND NOT EXISTS (SELECT FROM content.lessons l WHERE l.module_id = modules.id AND l.published_at IS NOT NULL));
CREATE POLICY modules_staff_insert ON content.modules FOR INSERT TO authenticated
    WITH CHECK ((SELECT rbac.has_permission((SELECT auth.uid()), 'content.edit')));
CREATE POLICY modules_staff_update ON content.modules FOR UPDATE TO authenticated
    USING ((SELECT rbac.has_permission((SELECT auth.uid()), 'content.edit')));
CREATE POLICY modules_staff_delete ON content.modules FOR DELETE TO authenticated
    USING ((SELECT rbac.has_permission((SELECT auth.uid()), 'content.edit'))
        AND NOT EXISTS (SELECT FROM content.lessons l WHERE l.module_id = modules.id AND l.published_at IS NOT NULL));
GRANT SELECT ON content.modules TO anon, authenticated;
GRANT INSERT, UPDATE, DELETE ON content.modules TO authenticated;

-- Lessons ------------------------------------------------------------------------------------------

CREATE POLICY lessons_creator_read_own ON content.lessons FOR SELECT TO authenticated
    USING (module_id IN (SELECT content.authored_modules()));
CREATE POLICY lessons_reviewer_read_review ON content.lessons FOR SELECT TO authenticated
    USING (workflow_status = 'in_review' AND (SELECT rbac.has_permission((SELECT auth.uid()), 'content.publish')));
CREATE POLICY lessons_staff_read_all ON content.lessons FOR SELECT TO authenticated
    USING ((SELECT rbac.has_permission((SELECT auth.uid()), 'content.edit')));
CREATE POLICY lessons_public_read_published ON content.lessons FOR SELECT TO anon, authenticated
    USING (workflow_status = 'published' AND access.can_read_lesson((SELECT auth.uid()), id));
CREATE POLICY lessons_creator_insert ON content.lessons FOR INSERT TO authenticated
    WITH CHECK (content.may_write_module(module_id));
CREATE POLICY lessons_creator_update ON content.lessons FOR UPDATE TO authenticated
    USING (workflow_status = 'draft' AND content.may_write_module(module_id)) WITH CHECK (workflow_status = 'draft' AND content.may_write_module(module_id));
CREATE POLICY lessons_creator_delete ON content.lessons FOR DELETE TO authenticated
    USING (workflow_status = 'draft' AND published_at IS NULL AND content.may_write_module(module_id));
CREATE POLICY lessons_staff_insert ON content.lessons FOR INSERT TO authenticated
    WITH CHECK ((SELECT rbac.has_permission((SELECT auth.uid()), 'content.edit')));
CREATE POLICY lessons_staff_update ON content.lessons FOR UPDATE TO authenticated
    USING ((SELECT rbac.has_permission((SELECT auth.uid()), 'content.edit')));
CREATE POLICY lessons_staff_delete ON content.lessons FOR DELETE TO authenticated
    USING (published_at IS NULL AND (SELECT rbac.has_permission((SELECT auth.uid()), 'content.edit')));
GRANT SELECT ON content.lessons TO anon, authenticated;
GRANT DELETE ON content.lessons TO authenticated;
GRANT INSERT (id, module_id, lesson_order, title, type, duration_seconds, learning_objectives, is_free_preview, content, text_content, quiz_config, project_instructions, resources, transcript, primary_media_id, video_url),
    UPDATE (module_id, lesson_order, title, type, duration_seconds, learning_objectives, is_free_preview, content, text_content, quiz_config, project_instructions, resources, transcript, primary_media_id, video_url)
    ON content.lessons TO authenticated;

-- What belongs to them -----------------------------------------------------------------------------

CREATE POLICY prerequisites_read ON content.prerequisites FOR SELECT TO anon, authenticated
    USING (EXISTS (SELECT FROM content.courses c WHERE c.id = prerequisites.course_id) OR EXISTS (SELECT FROM content.lessons l WHERE l.id = prerequisites.lesson_id));
CREATE POLICY prerequisites_creator_insert ON content.prerequisites FOR INSERT TO authenticated
    WITH CHECK (content.may_write_course(course_id, true) OR content.may_write_lesson(lesson_id));
CREATE POLICY prerequisites_creator_delete ON content.prerequisites FOR DELETE TO authenticated
    USING (content.may_write_course(course_id, true) OR content.may_write_lesson(lesson_id));
CREATE POLICY prerequisites_staff ON content.prerequisites TO authenticated
    USING ((SELECT rbac.has_permission((SELECT auth.uid()), 'content.edit'))) WITH CHECK ((SELECT rbac.has_permission((SELECT auth.uid()), 'content.edit')));
GRANT SELECT ON content.prerequisites TO anon, authenticated;
GRANT INSERT (id, course_id, required_course_id, lesson_id, required_lesson_id, is_mandatory), UPDATE (is_mandatory), DELETE ON content.prerequisites TO authenticated;

CREATE POLICY tags_read ON content.tags FOR SELECT TO anon, authenticated USING (true);
CREATE POLICY tags_staff ON content.tags TO authenticated
    USING ((SELECT rbac.has_permission((SELECT auth.uid()), 'content.edit'))) WITH CHECK ((SELECT rbac.has_permission((SELECT auth.uid()), 'content.edit')));
GRANT SELECT ON content.tags TO anon, authenticated;
GRANT INSERT (id, slug, name, description, tag_category, is_featured), UPDATE (slug, name, description, tag_category, is_featured), DELETE ON content.tags TO authenticated;

CREATE POLICY course_tags_read ON content.course_tags FOR SELECT TO anon, authenticated
    USING (EXISTS (SELECT FROM content.courses c WHERE c.id = course_tags.course_id));
CREATE POLICY course_tags_creator_insert ON content.course_tags FOR INSERT TO authenticated
    WITH CHECK (content.may_write_course(course_id, true));
CREATE POLICY course_tags_creator_delete ON content.course_tags FOR DELETE TO authenticated
    USING (content.may_write_course(course_id, true));
CREATE POLICY course_tags_staff ON content.course_tags TO authenticated
    USING ((SELECT rbac.has_permission((SELECT auth.uid()), 'content.edit'))) WITH CHECK ((SELECT rbac.has_permission((SELECT auth.uid()), 'content.edit')));
GRANT SELECT ON content.course_tags TO anon, authenticated;
GRANT INSERT, DELETE ON content.course_tags TO authenticated;

-- Of a lesson: who sees the lesson. Of a course: who may read it. Of neither: everybody signed in.
CREATE POLICY attachments_creator_read_own ON content.attachments FOR SELECT TO authenticated
    USING (course_id IN (SELECT content.authored_courses()));
CREATE POLICY attachments_library_read ON content.attachments FOR SELECT TO authenticated
    USING (course_id IS NULL AND lesson_id IS NULL);
CREATE POLICY attachments_staff_read_all ON content.attachments FOR SELECT TO authenticated
    USING ((SELECT rbac.has_permission((SELECT auth.uid()), 'content.edit')) OR course_id IS NOT NULL AND (SELECT rbac.has_permission((SELECT auth.uid()), 'content.publish')));
CREATE POLICY attachments_inherit_read ON content.attachments FOR SELECT TO anon, authenticated
    USING (course_id IS NOT NULL AND access.can_read_course((SELECT auth.uid()), course_id)
        OR lesson_id IS NOT NULL AND EXISTS (SELECT FROM content.lessons l WHERE l.id = attachments.lesson_id));
CREATE POLICY attachments_creator_insert ON content.attachments FOR INSERT TO authenticated
    WITH CHECK (created_by = (SELECT auth.uid()) AND (content.may_write_course(course_id, true) OR content.may_write_lesson(lesson_id)));
CREATE POLICY attachments_creator_update ON content.attachments FOR UPDATE TO authenticated
    USING (content.may_write_course(course_id, true) OR content.may_write_lesson(lesson_id)) WITH CHECK (content.may_write_course(course_id, true) OR content.may_write_lesson(lesson_id));
CREATE POLICY attachments_creator_delete ON content.attachments FOR DELETE TO authenticated
    USING (content.may_write_course(course_id, true) OR content.may_write_lesson(lesson_id));
CREATE POLICY attachments_staff_insert ON content.attachments FOR INSERT TO authenticated
    WITH CHECK ((SELECT rbac.has_permission((SELECT auth.uid()), 'content.edit')));
CREATE POLICY attachments_staff_update ON content.attachments FOR UPDATE TO authenticated
    USING ((SELECT rbac.has_permission((SELECT auth.uid()), 'content.edit')));
CREATE POLICY attachments_staff_delete ON content.attachments FOR DELETE TO authenticated
    USING ((SELECT rbac.has_permission((SELECT auth.uid()), 'content.edit')));
GRANT SELECT ON content.attachments TO anon, authenticated;
GRANT INSERT (id, course_id, lesson_id, kind, title, asset_id, url, body, tags, position), UPDATE (course_id, lesson_id, kind, title, asset_id, url, body, tags, position), DELETE
    ON content.attachments TO authenticated;

CREATE POLICY exercises_creator_read_own ON content.exercises FOR SELECT TO authenticated USING (created_by = (SELECT auth.uid()));
CREATE POLICY exercises_staff_read_all ON content.exercises FOR SELECT TO authenticated
    USING ((SELECT rbac.has_permission((SELECT auth.uid()), 'content.edit')) OR (SELECT rbac.has_permission((SELECT auth.uid()), 'content.publish')));
CREATE POLICY exercises_published_read ON content.exercises FOR SELECT TO anon, authenticated
    USING (is_published AND (lesson_id IS NULL OR EXISTS (SELECT FROM content.lessons l WHERE l.id = exercises.lesson_id)));
CREATE POLICY exercises_creator_insert ON content.exercises FOR INSERT TO authenticated
    WITH CHECK (created_by = (SELECT auth.uid()) AND NOT is_published AND (SELECT rbac.has_permission((SELECT auth.uid()), 'content.create'))
        AND (lesson_id IS NULL OR content.may_write_lesson(lesson_id)));
CREATE POLICY exercises_creator_update ON content.exercises FOR UPDATE TO authenticated
    USING (created_by = (SELECT auth.uid()) AND NOT is_published AND (SELECT rbac.has_permission((SELECT auth.uid()), 'content.create')))
    WITH CHECK (created_by = (SELECT auth.uid()) AND NOT is_published AND (lesson_id IS NULL OR content.may_write_lesson(lesson_id)));
CREATE POLICY exercises_creator_delete ON content.exercises FOR DELETE TO authenticated
    USING (created_by = (SELECT auth.uid()) AND NOT is_published AND (SELECT rbac.has_permission((SELECT auth.uid()), 'content.create')));
CREATE POLICY exercises_reviewer_update ON content.exercises FOR UPDATE TO authenticated
    USING ((SELECT rbac.has_permission((SELECT auth.uid()), 'content.publish')));
CREATE POLICY exercises_staff_insert ON content.exercises FOR INSERT TO authenticated
    WITH CHECK ((SELECT rbac.has_permission((SELECT auth.uid()), 'content.edit')));
CREATE POLICY exercises_staff_update ON content.exercises FOR UPDATE TO authenticated
    USING ((SELECT rbac.has_permission((SELECT auth.uid()), 'content.edit')));
CREATE POLICY exercises_staff_delete ON content.exercises FOR DELETE TO authenticated
    USING (NOT is_published AND (SELECT rbac.has_permission((SELECT auth.uid()), 'content.edit')));
-- All but the answer and its explanation: those are asked for by name.
GRANT SELECT (id, lesson_id, kind, category, difficulty, language, title, question, choices, hint, accessibility_features, alternative_formats, learning_objectives,
    prerequisite_concepts, cognitive_load, is_ai_generated, ai_confidence_score, is_published, likes_count, difficulty_votes, quality_rating, created_by, created_at, updated_at)
    ON content.exercises TO anon, authenticated;
GRANT INSERT (id, lesson_id, kind, category, difficulty, language, title, question, choices, hint, correct_answer, explanation, accessibility_features, alternative_formats,
    learning_objectives, prerequisite_concepts, cognitive_load), DELETE ON content.exercises TO authenticated;
GRANT UPDATE (lesson_id, kind, category, difficulty, language, title, question, choices, hint, correct_answer, explanation, accessibility_features, alternative_formats,
    learning_objectives, prerequisite_concepts, cognitive_load, review_notes, is_published) ON content.exercises TO authenticated;

CREATE POLICY workflow_transitions_read ON content.workflow_transitions FOR SELECT TO authenticated
    USING (performed_by = (SELECT auth.uid()) OR course_id IN (SELECT content.authored_courses())
        OR (SELECT rbac.has_permission((SELECT auth.uid()), 'content.publish')) OR (SELECT rbac.has_permission((SELECT auth.uid()), 'content.edit')));
GRANT SELECT ON content.workflow_transitions TO authenticated;

-- Showing an asset in a lesson lets its author and readers see it: nobody shows what they do not see themselves.
CREATE FUNCTION content.check_shown_asset() RETURNS trigger
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    asset uuid := (to_jsonb(NEW) ->> TG_ARGV[0])::uuid;
BEGIN
    -- Asked with the caller's rights, and so answered by the policies of media.assets. What one sees through a course that
    -- one paid for is not shown on: it would stay to be seen in a course of one's own when the right has gone.
    IF asset IS NOT NULL AND util.is_client() AND NOT EXISTS (
        SELECT FROM media.assets a
        WHERE a.id = asset AND (
            a.access_level <> 'course_access' OR a.uploaded_by = auth.uid()
            OR rbac.has_permission(auth.uid(), 'content.edit') OR rbac.has_permission(auth.uid(), 'media.manage')
        )
    ) THEN
        RAISE EXCEPTION 'no asset % that you may show', asset
            USING ERRCODE = 'insufficient_privilege', CONSTRAINT = TG_NAME, SCHEMA = TG_TABLE_SCHEMA, TABLE = TG_TABLE_NAME;
    END IF;
    RETURN NEW;
END $$;
COMMENT ON FUNCTION content.check_shown_asset IS 'Refuses that a client shows an asset it may not see, or sees only because a course shows it. The argument is the column with the asset.';
REVOKE ALL ON FUNCTION content.check_shown_asset FROM PUBLIC;
CREATE TRIGGER trg_lessons_check_media_added BEFORE INSERT ON content.lessons FOR EACH ROW
    WHEN (NEW.primary_media_id IS NOT NULL) EXECUTE FUNCTION content.check_shown_asset('primary_media_id');
CREATE TRIGGER trg_lessons_check_media_changed BEFORE UPDATE OF primary_media_id ON content.lessons FOR EACH ROW
    WHEN (NEW.primary_media_id IS DISTINCT FROM OLD.primary_media_id) EXECUTE FUNCTION content.check_shown_asset('primary_media_id');
CREATE TRIGGER trg_attachments_check_asset_added BEFORE INSERT ON content.attachments FOR EACH ROW
    WHEN (NEW.asset_id IS NOT NULL) EXECUTE FUNCTION content.check_shown_asset('asset_id');
CREATE TRIGGER trg_attachments_check_asset_changed BEFORE UPDATE OF asset_id ON content.attachments FOR EACH ROW
    WHEN (NEW.asset_id IS DISTINCT FROM OLD.asset_id) EXECUTE FUNCTION content.check_shown_asset('asset_id');

-- Views --------------------------------------------------------------------------------------------

CREATE VIEW content.courses_published WITH (security_invoker = true) AS
SELECT c.*, c.workflow_status = 'published' AS computed_is_published
FROM content.courses c
WHERE c.workflow_status = 'published';
COMMENT ON VIEW content.courses_published IS 'The catalogue.';

CREATE VIEW content.lessons_published WITH (security_invoker = true) AS
SELECT l.*, l.workflow_status = 'published' AS computed_is_published
FROM content.lessons l
WHERE l.workflow_status = 'published';
COMMENT ON VIEW content.lessons_published IS 'Published lessons, of these the ones that the caller may read.';

CREATE VIEW content.workflow_dashboard WITH (security_invoker = true) AS
SELECT 'course' AS content_type, c.id AS content_id, c.id AS course_id, c.title, c.workflow_status, c.created_by, p.display_name AS creator_name,
    (SELECT count(*) FROM content.modules m JOIN content.lessons l ON l.module_id = m.id WHERE m.course_id = c.id) AS lesson_count,
    c.published_at, c.created_at, c.updated_at
FROM content.courses c
LEFT JOIN public.profiles p ON p.id = c.created_by
WHERE (SELECT rbac.has_permission((SELECT auth.uid()), 'content.edit')) OR (SELECT rbac.has_permission((SELECT auth.uid()), 'content.publish')) OR c.created_by = (SELECT auth.uid())
UNION ALL
SELECT 'lesson', l.id, c.id, l.title, l.workflow_status, c.created_by, p.display_name, 1, l.published_at, l.created_at, l.updated_at
FROM content.lessons l
JOIN content.modules m ON m.id = l.module_id
JOIN content.courses c ON c.id = m.course_id
LEFT JOIN public.profiles p ON p.id = c.created_by
WHERE (SELECT rbac.has_permission((SELECT auth.uid()), 'content.edit')) OR (SELECT rbac.has_permission((SELECT auth.uid()), 'content.publish')) OR c.created_by = (SELECT auth.uid());
COMMENT ON VIEW content.workflow_dashboard IS 'Courses and lessons with where they are in the workflow: for who reviews or edits, and for authors what is theirs. creator_name only where the caller may see the profile.';

GRANT SELECT ON content.courses_published, content.lessons_published TO anon, authenticated, service_role;
GRANT SELECT ON content.workflow_dashboard TO authenticated;

-- Lists --------------------------------------------------------------------------------------------

CREATE FUNCTION content.get_course_outline(course_id uuid)
RETURNS TABLE (
    module_id uuid, module_order integer, module_title text, lesson_id uuid, lesson_order integer, title text, type text,
    duration_seconds integer, is_free_preview boolean, can_read boolean
)
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
BEGIN ATOMIC
    SELECT m.id, m.module_order, m.title, l.id, l.lesson_order, l.title, l.type, l.duration_seconds, l.is_free_preview, access.can_read_lesson(auth.uid(), l.id)
    FROM content.courses c
    JOIN content.modules m ON m.course_id = c.id AND m.is_published
    JOIN content.lessons l ON l.module_id = m.id AND l.workflow_status = 'published'
    WHERE c.id = get_course_outline.course_id AND c.workflow_status = 'published'
    ORDER BY m.module_order, l.lesson_order;
END;
COMMENT ON FUNCTION content.get_course_outline IS 'What a published course holds: titles without bodies, for everybody, and which of them the caller may read.';

CREATE FUNCTION content.search_courses(query text, max_rows integer DEFAULT 20) RETURNS SETOF content.courses
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
BEGIN ATOMIC
    SELECT c.*
    FROM content.courses c
    WHERE c.workflow_status = 'published'
        AND to_tsvector('simple', c.title || ' ' || c.description) @@ websearch_to_tsquery('simple', left(search_courses.query, 500))
    ORDER BY ts_rank(to_tsvector('simple', c.title || ' ' || c.description), websearch_to_tsquery('simple', left(search_courses.query, 500))) DESC, c.published_at DESC
    LIMIT least(greatest(search_courses.max_rows, 0), 100);
END;
COMMENT ON FUNCTION content.search_courses IS 'Published courses with these words, best first. Policies would keep a client''s search from using the index.';

CREATE FUNCTION content.get_exercise_solution(exercise_id uuid) RETURNS TABLE (correct_answer jsonb, explanation text, review_notes text)
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
BEGIN ATOMIC
    SELECT e.correct_answer, e.explanation, e.review_notes
    FROM content.exercises e
    WHERE e.id = get_exercise_solution.exercise_id
        AND (e.created_by = auth.uid() OR rbac.has_permission(auth.uid(), 'content.edit') OR rbac.has_permission(auth.uid(), 'content.publish') OR NOT util.is_client());
END;
COMMENT ON FUNCTION content.get_exercise_solution IS 'The answer to an exercise, for its author, editors and reviewers. To a learner the API gives it after the attempt.';

REVOKE ALL ON FUNCTION content.authored_courses, content.authored_modules, content.may_write_course, content.may_write_module, content.may_write_lesson,
    content.get_course_outline, content.search_courses, content.get_exercise_solution FROM PUBLIC;
GRANT EXECUTE ON FUNCTION content.authored_courses, content.authored_modules, content.may_write_course, content.may_write_module, content.may_write_lesson,
    content.get_exercise_solution TO authenticated, service_role;
GRANT EXECUTE ON FUNCTION content.get_course_outline, content.search_courses TO anon, authenticated, service_role;
