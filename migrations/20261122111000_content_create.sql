-- Courses, modules, lessons and what belongs to them. Workflow and policies follow in their own files.
-- Owner: crates/api. Locks: none, everything is new. Undo: DROP SCHEMA content CASCADE.

CREATE SCHEMA content;
COMMENT ON SCHEMA content IS 'What is taught: courses, modules, lessons, exercises, and the workflow they go through. Written by crates/api.';
GRANT USAGE ON SCHEMA content TO anon, authenticated, service_role;

CREATE TABLE content.courses (
    id              uuid        NOT NULL DEFAULT gen_random_uuid() CONSTRAINT courses_pkey PRIMARY KEY,
    slug            text        NOT NULL CONSTRAINT uq_courses_slug UNIQUE CONSTRAINT ck_courses_slug CHECK (slug ~ '^[a-z0-9]+(-[a-z0-9]+)*$' AND char_length(slug) <= 120),
    title           text        NOT NULL CONSTRAINT ck_courses_title CHECK (char_length(title) BETWEEN 1 AND 200),
    description     text        NOT NULL DEFAULT '' CONSTRAINT ck_courses_description CHECK (char_length(description) <= 20000),
    category        text        CONSTRAINT ck_courses_category CHECK (category ~ '^[a-z0-9][a-z0-9_-]{0,59}$'),
    difficulty      text        NOT NULL DEFAULT 'beginner' CONSTRAINT ck_courses_difficulty CHECK (difficulty IN ('beginner', 'intermediate', 'advanced')),
    language        text        NOT NULL DEFAULT 'fr' CONSTRAINT ck_courses_language CHECK (language ~ '^[a-z]{2}(-[A-Z]{2})?$'),
    currency        text        NOT NULL DEFAULT 'EUR' CONSTRAINT ck_courses_currency CHECK (currency ~ '^[A-Z]{3}$'),
    course_type     text        NOT NULL DEFAULT 'standard' CONSTRAINT ck_courses_course_type CHECK (course_type IN ('standard', 'custom')),
    estimated_duration_seconds integer CONSTRAINT ck_courses_estimated_duration_seconds CHECK (estimated_duration_seconds BETWEEN 0 AND 36000000),
    cover_image_url text        CONSTRAINT ck_courses_cover_image_url CHECK (cover_image_url ~ '^(https?://|/)\S+$' AND char_length(cover_image_url) <= 2000),
    thumbnail_url   text        CONSTRAINT ck_courses_thumbnail_url CHECK (thumbnail_url ~ '^(https?://|/)\S+$' AND char_length(thumbnail_url) <= 2000),
    metadata        jsonb       NOT NULL DEFAULT '{}' CONSTRAINT ck_courses_metadata CHECK (jsonb_typeof(metadata) = 'object' AND octet_length(metadata::text) <= 65536),
    workflow_status text        NOT NULL DEFAULT 'draft' CONSTRAINT ck_courses_workflow_status CHECK (workflow_status IN ('draft', 'in_review', 'published', 'archived')),
    is_published    boolean     NOT NULL GENERATED ALWAYS AS (workflow_status = 'published') STORED,
    published_at    timestamptz,
    archived_at     timestamptz,
    created_by      uuid        DEFAULT auth.uid() CONSTRAINT fk_courses_created_by REFERENCES public.profiles,
    instructor_id   uuid        CONSTRAINT fk_courses_instructor REFERENCES public.profiles,
    created_at      timestamptz NOT NULL DEFAULT now(),
    updated_at      timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT ck_courses_published_at CHECK (workflow_status <> 'published' OR published_at IS NOT NULL),
    CONSTRAINT ck_courses_archived_at CHECK ((workflow_status = 'archived') = (archived_at IS NOT NULL)),
    CONSTRAINT ck_courses_custom CHECK (course_type <> 'custom' OR created_by IS NOT NULL AND workflow_status IN ('draft', 'archived'))
);
CREATE INDEX idx_courses_created_by ON content.courses (created_by) WHERE created_by IS NOT NULL;
CREATE INDEX idx_courses_instructor ON content.courses (instructor_id) WHERE instructor_id IS NOT NULL;
CREATE INDEX idx_courses_workflow_status ON content.courses (workflow_status, created_at);
CREATE INDEX idx_courses_category_difficulty ON content.courses (category, difficulty) WHERE workflow_status = 'published';
CREATE INDEX idx_courses_published ON content.courses (is_published, published_at DESC) WHERE workflow_status = 'published';
CREATE INDEX idx_courses_search ON content.courses USING gin (to_tsvector('simple', title || ' ' || description)) WHERE workflow_status = 'published';
COMMENT ON TABLE content.courses IS 'A course. What everybody sees of a published one is here; what may cost something is in its lessons.';
COMMENT ON COLUMN content.courses.course_type IS 'custom: the path that one person put together for themselves. It is nobody else''s business, and never published.';
COMMENT ON COLUMN content.courses.currency IS 'In which its price is shown; prices themselves are in billing.';
COMMENT ON COLUMN content.courses.workflow_status IS 'Changed by content.transition_workflow_status.';
COMMENT ON COLUMN content.courses.is_published IS 'Follows workflow_status.';
COMMENT ON COLUMN content.courses.published_at IS 'When it was published for the first time.';
COMMENT ON COLUMN content.courses.created_by IS 'Null: the platform.';

CREATE TABLE content.modules (
    id                  uuid        NOT NULL DEFAULT gen_random_uuid() CONSTRAINT modules_pkey PRIMARY KEY,
    course_id           uuid        NOT NULL CONSTRAINT fk_modules_course REFERENCES content.courses ON DELETE CASCADE,
    module_order        integer     NOT NULL CONSTRAINT ck_modules_module_order CHECK (module_order BETWEEN 1 AND 10000),
    title               text        NOT NULL CONSTRAINT ck_modules_title CHECK (char_length(title) BETWEEN 1 AND 200),
    description         text        NOT NULL DEFAULT '' CONSTRAINT ck_modules_description CHECK (char_length(description) <= 5000),
    learning_objectives text[]      NOT NULL DEFAULT '{}' CONSTRAINT ck_modules_learning_objectives CHECK (cardinality(learning_objectives) <= 50 AND char_length(array_to_string(learning_objectives, '')) <= 10000),
    is_published        boolean     NOT NULL DEFAULT false,
    created_at          timestamptz NOT NULL DEFAULT now(),
    updated_at          timestamptz NOT NULL DEFAULT now(),
    -- Deferrable: one statement can put modules into another order.
    CONSTRAINT uq_modules_module_order UNIQUE (course_id, module_order) DEFERRABLE
);
COMMENT ON TABLE content.modules IS 'A chapter of a course.';
COMMENT ON COLUMN content.modules.is_published IS 'Shown with its course, once that is published too.';

CREATE TABLE content.lessons (
    id                   uuid        NOT NULL DEFAULT gen_random_uuid() CONSTRAINT lessons_pkey PRIMARY KEY,
    module_id            uuid        NOT NULL CONSTRAINT fk_lessons_module REFERENCES content.modules ON DELETE CASCADE,
    lesson_order         integer     NOT NULL CONSTRAINT ck_lessons_lesson_order CHECK (lesson_order BETWEEN 1 AND 10000),
    title                text        NOT NULL CONSTRAINT ck_lessons_title CHECK (char_length(title) BETWEEN 1 AND 200),
    type                 text        NOT NULL CONSTRAINT ck_lessons_type CHECK (type IN ('video', 'article', 'quiz', 'project', 'exercise')),
    duration_seconds     integer     CONSTRAINT ck_lessons_duration_seconds CHECK (duration_seconds BETWEEN 0 AND 3600000),
    learning_objectives  text[]      NOT NULL DEFAULT '{}' CONSTRAINT ck_lessons_learning_objectives CHECK (cardinality(learning_objectives) <= 50 AND char_length(array_to_string(learning_objectives, '')) <= 10000),
    is_free_preview      boolean     NOT NULL DEFAULT false,
    content              jsonb       NOT NULL DEFAULT '{}' CONSTRAINT ck_lessons_content CHECK (jsonb_typeof(content) IN ('object', 'array') AND octet_length(content::text) <= 1000000),
    text_content         text        NOT NULL DEFAULT '' CONSTRAINT ck_lessons_text_content CHECK (char_length(text_content) <= 500000),
    quiz_config          jsonb       CONSTRAINT ck_lessons_quiz_config CHECK (jsonb_typeof(quiz_config) = 'object' AND octet_length(quiz_config::text) <= 262144),
    project_instructions text        CONSTRAINT ck_lessons_project_instructions CHECK (char_length(project_instructions) BETWEEN 1 AND 100000),
    resources            jsonb       NOT NULL DEFAULT '[]' CONSTRAINT ck_lessons_resources CHECK (jsonb_typeof(resources) = 'array' AND octet_length(resources::text) <= 65536),
    transcript           text        CONSTRAINT ck_lessons_transcript CHECK (char_length(transcript) BETWEEN 1 AND 2000000),
    primary_media_id     uuid        CONSTRAINT fk_lessons_primary_media REFERENCES media.assets,
    video_url            text        CONSTRAINT ck_lessons_video_url CHECK (video_url ~ '^https?://\S+$' AND char_length(video_url) <= 2000),
    workflow_status      text        NOT NULL DEFAULT 'draft' CONSTRAINT ck_lessons_workflow_status CHECK (workflow_status IN ('draft', 'in_review', 'published', 'archived')),
    is_published         boolean     NOT NULL GENERATED ALWAYS AS (workflow_status = 'published') STORED,
    published_at         timestamptz,
    archived_at          timestamptz,
    created_at           timestamptz NOT NULL DEFAULT now(),
    updated_at           timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT uq_lessons_lesson_order UNIQUE (module_id, lesson_order) DEFERRABLE,
    CONSTRAINT ck_lessons_published_at CHECK (workflow_status <> 'published' OR published_at IS NOT NULL),
    CONSTRAINT ck_lessons_archived_at CHECK ((workflow_status = 'archived') = (archived_at IS NOT NULL))
);
CREATE INDEX idx_lessons_workflow_status ON content.lessons (workflow_status);
CREATE INDEX idx_lessons_workflow_created ON content.lessons (workflow_status, created_at);
CREATE INDEX idx_lessons_primary_media ON content.lessons (primary_media_id) WHERE primary_media_id IS NOT NULL;
CREATE INDEX idx_lessons_legacy_video ON content.lessons (id) WHERE video_url IS NOT NULL AND primary_media_id IS NULL;
COMMENT ON TABLE content.lessons IS 'A lesson with its body. Who may not read it does not see the row; what its course looks like from outside says content.get_course_outline.';
COMMENT ON COLUMN content.lessons.is_free_preview IS 'Everybody may read it, whatever its course costs.';
COMMENT ON COLUMN content.lessons.resources IS 'Links beside the text. Files, and what is listed on its own, are content.attachments.';
COMMENT ON COLUMN content.lessons.quiz_config IS 'How a quiz is shown. Who reads the lesson reads this: answers are in assessments.';
COMMENT ON COLUMN content.lessons.video_url IS 'From before media.assets; a job turns it into primary_media_id.';
COMMENT ON COLUMN content.lessons.workflow_status IS 'Changed by content.transition_workflow_status.';

CREATE TABLE content.prerequisites (
    id                 uuid        NOT NULL DEFAULT gen_random_uuid() CONSTRAINT prerequisites_pkey PRIMARY KEY,
    course_id          uuid        CONSTRAINT fk_prerequisites_course REFERENCES content.courses ON DELETE CASCADE,
    required_course_id uuid        CONSTRAINT fk_prerequisites_required_course REFERENCES content.courses ON DELETE CASCADE,
    lesson_id          uuid        CONSTRAINT fk_prerequisites_lesson REFERENCES content.lessons ON DELETE CASCADE,
    required_lesson_id uuid        CONSTRAINT fk_prerequisites_required_lesson REFERENCES content.lessons ON DELETE CASCADE,
    is_mandatory       boolean     NOT NULL DEFAULT true,
    source_type        text        GENERATED ALWAYS AS (CASE WHEN course_id IS NOT NULL THEN 'course' ELSE 'lesson' END) STORED,
    source_id          uuid        GENERATED ALWAYS AS (coalesce(course_id, lesson_id)) STORED,
    target_type        text        GENERATED ALWAYS AS (CASE WHEN required_course_id IS NOT NULL THEN 'course' ELSE 'lesson' END) STORED,
    target_id          uuid        GENERATED ALWAYS AS (coalesce(required_course_id, required_lesson_id)) STORED,
    created_at         timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT uq_prerequisites_pair UNIQUE NULLS NOT DISTINCT (course_id, required_course_id, lesson_id, required_lesson_id),
    CONSTRAINT ck_prerequisites_pair CHECK (
        num_nonnulls(course_id, required_course_id) = 2 AND num_nonnulls(lesson_id, required_lesson_id) = 0
        OR num_nonnulls(course_id, required_course_id) = 0 AND num_nonnulls(lesson_id, required_lesson_id) = 2
    )
);
CREATE INDEX idx_prerequisites_required_course ON content.prerequisites (required_course_id) WHERE required_course_id IS NOT NULL;
CREATE INDEX idx_prerequisites_lesson ON content.prerequisites (lesson_id) WHERE lesson_id IS NOT NULL;
CREATE INDEX idx_prerequisites_required_lesson ON content.prerequisites (required_lesson_id) WHERE required_lesson_id IS NOT NULL;
COMMENT ON TABLE content.prerequisites IS 'What comes before what: a course before a course, a lesson before a lesson, and never in a circle.';
COMMENT ON COLUMN content.prerequisites.source_type IS 'source and target say the same without asking which pair is filled: the source needs the target.';
COMMENT ON COLUMN content.prerequisites.is_mandatory IS 'False: a recommendation.';

CREATE TABLE content.tags (
    id           uuid        NOT NULL DEFAULT gen_random_uuid() CONSTRAINT tags_pkey PRIMARY KEY,
    slug         text        NOT NULL CONSTRAINT uq_tags_slug UNIQUE CONSTRAINT ck_tags_slug CHECK (slug ~ '^[a-z0-9]+(-[a-z0-9]+)*$' AND char_length(slug) <= 60),
    name         text        NOT NULL CONSTRAINT ck_tags_name CHECK (char_length(name) BETWEEN 1 AND 80),
    description  text        NOT NULL DEFAULT '' CONSTRAINT ck_tags_description CHECK (char_length(description) <= 500),
    tag_category text        CONSTRAINT ck_tags_tag_category CHECK (tag_category ~ '^[a-z0-9][a-z0-9_-]{0,59}$'),
    usage_count  integer     NOT NULL DEFAULT 0 CONSTRAINT ck_tags_usage_count CHECK (usage_count >= 0),
    is_featured  boolean     NOT NULL DEFAULT false,
    created_at   timestamptz NOT NULL DEFAULT now(),
    updated_at   timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX idx_tags_tag_category ON content.tags (tag_category, usage_count DESC);
COMMENT ON TABLE content.tags IS 'Words to find courses by.';
COMMENT ON COLUMN content.tags.usage_count IS 'How many courses have it. Kept by a trigger.';

CREATE TABLE content.course_tags (
    course_id  uuid        NOT NULL CONSTRAINT fk_course_tags_course REFERENCES content.courses ON DELETE CASCADE,
    tag_id     uuid        NOT NULL CONSTRAINT fk_course_tags_tag REFERENCES content.tags ON DELETE CASCADE,
    created_at timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT course_tags_pkey PRIMARY KEY (course_id, tag_id)
);
CREATE INDEX idx_course_tags_tag ON content.course_tags (tag_id);
COMMENT ON TABLE content.course_tags IS 'Which course has which tag.';

CREATE TABLE content.attachments (
    id         uuid        NOT NULL DEFAULT gen_random_uuid() CONSTRAINT attachments_pkey PRIMARY KEY,
    course_id  uuid        CONSTRAINT fk_attachments_course REFERENCES content.courses ON DELETE CASCADE,
    lesson_id  uuid        CONSTRAINT fk_attachments_lesson REFERENCES content.lessons ON DELETE CASCADE,
    kind       text        NOT NULL CONSTRAINT ck_attachments_kind CHECK (kind IN ('file', 'link', 'text')),
    title      text        NOT NULL CONSTRAINT ck_attachments_title CHECK (char_length(title) BETWEEN 1 AND 200),
    asset_id   uuid        CONSTRAINT fk_attachments_asset REFERENCES media.assets,
    url        text        CONSTRAINT ck_attachments_url CHECK (url ~ '^https?://\S+$' AND char_length(url) <= 2000),
    body       text        CONSTRAINT ck_attachments_body CHECK (char_length(body) BETWEEN 1 AND 100000),
    tags       text[]      NOT NULL DEFAULT '{}' CONSTRAINT ck_attachments_tags CHECK (cardinality(tags) <= 50 AND char_length(array_to_string(tags, '')) <= 2000),
    position   smallint    NOT NULL DEFAULT 0 CONSTRAINT ck_attachments_position CHECK (position >= 0),
    created_by uuid        DEFAULT auth.uid() CONSTRAINT fk_attachments_created_by REFERENCES public.profiles,
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT ck_attachments_place CHECK (num_nonnulls(course_id, lesson_id) <= 1),
    CONSTRAINT ck_attachments_what CHECK (
        num_nonnulls(asset_id, url, body) = 1
        AND CASE kind WHEN 'file' THEN asset_id IS NOT NULL WHEN 'link' THEN url IS NOT NULL ELSE body IS NOT NULL END
    )
);
CREATE INDEX idx_attachments_course ON content.attachments (course_id, position) WHERE course_id IS NOT NULL;
CREATE INDEX idx_attachments_lesson ON content.attachments (lesson_id, position) WHERE lesson_id IS NOT NULL;
CREATE INDEX idx_attachments_asset ON content.attachments (asset_id) WHERE asset_id IS NOT NULL;
CREATE INDEX idx_attachments_created_by ON content.attachments (created_by) WHERE created_by IS NOT NULL;
CREATE INDEX idx_attachments_tags ON content.attachments USING gin (tags);
COMMENT ON TABLE content.attachments IS 'Files, links and texts beside a lesson or a course; without either, an entry of the library that everybody signed in may use.';

CREATE TABLE content.exercises (
    id              uuid        NOT NULL DEFAULT gen_random_uuid() CONSTRAINT exercises_pkey PRIMARY KEY,
    lesson_id       uuid        CONSTRAINT fk_exercises_lesson REFERENCES content.lessons ON DELETE CASCADE,
    kind            text        NOT NULL CONSTRAINT ck_exercises_kind CHECK (kind IN ('exercise', 'logic_challenge')),
    category        text        CONSTRAINT ck_exercises_category CHECK (category ~ '^[a-z0-9][a-z0-9_-]{0,59}$'),
    difficulty      text        NOT NULL DEFAULT 'beginner' CONSTRAINT ck_exercises_difficulty CHECK (difficulty IN ('beginner', 'intermediate', 'advanced')),
    language        text        NOT NULL DEFAULT 'fr' CONSTRAINT ck_exercises_language CHECK (language ~ '^[a-z]{2}(-[A-Z]{2})?$'),
    title           text        NOT NULL CONSTRAINT ck_exercises_title CHECK (char_length(title) BETWEEN 1 AND 200),
    question        text        NOT NULL CONSTRAINT ck_exercises_question CHECK (char_length(question) BETWEEN 1 AND 20000),
    choices         jsonb       CONSTRAINT ck_exercises_choices CHECK (CASE jsonb_typeof(choices) WHEN 'array' THEN jsonb_array_length(choices) BETWEEN 2 AND 50 AND octet_length(choices::text) <= 65536 ELSE choices IS NULL END),
    hint            text        CONSTRAINT ck_exercises_hint CHECK (char_length(hint) BETWEEN 1 AND 5000),
    correct_answer  jsonb       NOT NULL CONSTRAINT ck_exercises_correct_answer CHECK (jsonb_typeof(correct_answer) <> 'null' AND octet_length(correct_answer::text) <= 65536),
    explanation     text        CONSTRAINT ck_exercises_explanation CHECK (char_length(explanation) BETWEEN 1 AND 20000),
    accessibility_features jsonb NOT NULL DEFAULT '{}' CONSTRAINT ck_exercises_accessibility_features CHECK (jsonb_typeof(accessibility_features) = 'object' AND octet_length(accessibility_features::text) <= 65536),
    alternative_formats jsonb   NOT NULL DEFAULT '{}' CONSTRAINT ck_exercises_alternative_formats CHECK (jsonb_typeof(alternative_formats) = 'object' AND octet_length(alternative_formats::text) <= 65536),
    learning_objectives text[]  NOT NULL DEFAULT '{}' CONSTRAINT ck_exercises_learning_objectives CHECK (cardinality(learning_objectives) <= 50 AND char_length(array_to_string(learning_objectives, '')) <= 10000),
    prerequisite_concepts text[] NOT NULL DEFAULT '{}' CONSTRAINT ck_exercises_prerequisite_concepts CHECK (cardinality(prerequisite_concepts) <= 50 AND char_length(array_to_string(prerequisite_concepts, '')) <= 10000),
    cognitive_load  smallint    CONSTRAINT ck_exercises_cognitive_load CHECK (cognitive_load BETWEEN 1 AND 10),
    is_ai_generated boolean     NOT NULL DEFAULT false,
    generated_content_id uuid,
    generation_seed text        CONSTRAINT ck_exercises_generation_seed CHECK (char_length(generation_seed) BETWEEN 1 AND 255),
    ai_confidence_score numeric(3, 2) CONSTRAINT ck_exercises_ai_confidence_score CHECK (ai_confidence_score BETWEEN 0 AND 1),
    review_notes    text        CONSTRAINT ck_exercises_review_notes CHECK (char_length(review_notes) BETWEEN 1 AND 5000),
    is_published    boolean     NOT NULL DEFAULT false,
    approved_by     uuid        CONSTRAINT fk_exercises_approved_by REFERENCES public.profiles,
    approved_at     timestamptz,
    likes_count     integer     NOT NULL DEFAULT 0 CONSTRAINT ck_exercises_likes_count CHECK (likes_count >= 0),
    difficulty_votes jsonb      NOT NULL DEFAULT '{}' CONSTRAINT ck_exercises_difficulty_votes CHECK (jsonb_typeof(difficulty_votes) = 'object' AND octet_length(difficulty_votes::text) <= 65536),
    quality_rating  numeric(3, 2) CONSTRAINT ck_exercises_quality_rating CHECK (quality_rating BETWEEN 0 AND 5),
    created_by      uuid        DEFAULT auth.uid() CONSTRAINT fk_exercises_created_by REFERENCES public.profiles,
    created_at      timestamptz NOT NULL DEFAULT now(),
    updated_at      timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT ck_exercises_generated CHECK (is_ai_generated OR num_nonnulls(generated_content_id, generation_seed, ai_confidence_score) = 0),
    CONSTRAINT ck_exercises_approved CHECK (
        CASE WHEN is_published THEN approved_at IS NOT NULL AND (approved_by IS NOT NULL OR NOT is_ai_generated)
        ELSE num_nonnulls(approved_by, approved_at) = 0 END
    )
);
CREATE INDEX idx_exercises_lesson ON content.exercises (lesson_id) WHERE lesson_id IS NOT NULL;
CREATE INDEX idx_exercises_published ON content.exercises (kind, category, difficulty) WHERE is_published;
CREATE INDEX idx_exercises_unapproved ON content.exercises (created_at) WHERE NOT is_published;
CREATE INDEX idx_exercises_created_by ON content.exercises (created_by) WHERE created_by IS NOT NULL;
CREATE INDEX idx_exercises_approved_by ON content.exercises (approved_by) WHERE approved_by IS NOT NULL;
CREATE UNIQUE INDEX uq_exercises_generated_content ON content.exercises (generated_content_id) WHERE generated_content_id IS NOT NULL;
COMMENT ON TABLE content.exercises IS 'Exercises and logic challenges, of a lesson or on their own; questions of assessments may be taken from them.';
COMMENT ON COLUMN content.exercises.correct_answer IS 'No client reads this column; see content.get_exercise_solution.';
COMMENT ON COLUMN content.exercises.generated_content_id IS 'See ai.generated_content, which knows the model and its parameters.';
COMMENT ON COLUMN content.exercises.difficulty_votes IS 'How many people found it how difficult.';
COMMENT ON COLUMN content.exercises.is_published IS 'What a model made stays hidden until a person approves it.';

CREATE TABLE content.workflow_transitions (
    id           uuid        NOT NULL DEFAULT gen_random_uuid() CONSTRAINT workflow_transitions_pkey PRIMARY KEY,
    content_type text        NOT NULL CONSTRAINT ck_workflow_transitions_content_type CHECK (content_type IN ('course', 'lesson')),
    content_id   uuid        NOT NULL,
    course_id    uuid        NOT NULL,
    from_status  text        NOT NULL CONSTRAINT ck_workflow_transitions_from_status CHECK (from_status IN ('draft', 'in_review', 'published', 'archived')),
    to_status    text        NOT NULL CONSTRAINT ck_workflow_transitions_to_status CHECK (to_status IN ('draft', 'in_review', 'published', 'archived')),
    comment      text        CONSTRAINT ck_workflow_transitions_comment CHECK (char_length(comment) BETWEEN 1 AND 2000),
    performed_by uuid        CONSTRAINT fk_workflow_transitions_performed_by REFERENCES public.profiles,
    created_at   timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT ck_workflow_transitions_change CHECK (from_status <> to_status)
);
CREATE INDEX idx_workflow_transitions_content ON content.workflow_transitions (content_type, content_id, created_at DESC);
CREATE INDEX idx_workflow_transitions_course ON content.workflow_transitions (course_id, created_at DESC);
CREATE INDEX idx_workflow_transitions_performed_by ON content.workflow_transitions (performed_by) WHERE performed_by IS NOT NULL;
COMMENT ON TABLE content.workflow_transitions IS 'Every change of a workflow_status, for good. It outlives what it speaks of, and so has no foreign key to it.';
COMMENT ON COLUMN content.workflow_transitions.course_id IS 'The course itself, or the one of the lesson.';
COMMENT ON COLUMN content.workflow_transitions.performed_by IS 'Null: the platform itself.';

CREATE TRIGGER trg_courses_set_updated_at BEFORE UPDATE ON content.courses FOR EACH ROW EXECUTE FUNCTION util.set_updated_at();
CREATE TRIGGER trg_modules_set_updated_at BEFORE UPDATE ON content.modules FOR EACH ROW EXECUTE FUNCTION util.set_updated_at();
CREATE TRIGGER trg_lessons_set_updated_at BEFORE UPDATE ON content.lessons FOR EACH ROW EXECUTE FUNCTION util.set_updated_at();
CREATE TRIGGER trg_attachments_set_updated_at BEFORE UPDATE ON content.attachments FOR EACH ROW EXECUTE FUNCTION util.set_updated_at();
CREATE TRIGGER trg_exercises_set_updated_at BEFORE UPDATE ON content.exercises FOR EACH ROW EXECUTE FUNCTION util.set_updated_at();
CREATE TRIGGER trg_tags_set_updated_at BEFORE UPDATE OF slug, name, description, tag_category, is_featured ON content.tags FOR EACH ROW EXECUTE FUNCTION util.set_updated_at();
CREATE TRIGGER trg_workflow_transitions_refuse_change BEFORE UPDATE OR DELETE ON content.workflow_transitions FOR EACH ROW EXECUTE FUNCTION util.refuse_change();

-- What comes before what ---------------------------------------------------------------------------

CREATE FUNCTION content.refuse_cycle() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    source uuid := coalesce(NEW.course_id, NEW.lesson_id);
    target uuid := coalesce(NEW.required_course_id, NEW.required_lesson_id);
BEGIN
    -- Two halves of a circle, written at once, would not see each other.
    PERFORM pg_advisory_xact_lock(1111834951, TG_RELID::integer);
    IF EXISTS (
        WITH RECURSIVE needed(id) AS (
            SELECT target
            UNION
            SELECT p.target_id FROM needed n JOIN content.prerequisites p
                ON (p.course_id = n.id OR p.lesson_id = n.id) AND p.id <> NEW.id
        )
        SELECT FROM needed WHERE id = source
    ) THEN
        RAISE EXCEPTION '% and % would need each other', source, target
            USING ERRCODE = 'integrity_constraint_violation', CONSTRAINT = TG_NAME, SCHEMA = TG_TABLE_SCHEMA, TABLE = TG_TABLE_NAME;
    END IF;
    RETURN NEW;
END $$;
COMMENT ON FUNCTION content.refuse_cycle IS 'Refuses a prerequisite that would close a circle.';
CREATE TRIGGER trg_prerequisites_refuse_cycle BEFORE INSERT OR UPDATE ON content.prerequisites FOR EACH ROW EXECUTE FUNCTION content.refuse_cycle();

-- How often a tag is used --------------------------------------------------------------------------

CREATE FUNCTION content.count_tags() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    -- Locked in one order, so that two statements do not wait for each other.
    PERFORM FROM content.tags t WHERE t.id IN (SELECT c.tag_id FROM changed c) ORDER BY t.id FOR NO KEY UPDATE;
    UPDATE content.tags t SET usage_count = t.usage_count + CASE WHEN TG_OP = 'INSERT' THEN c.uses ELSE -c.uses END
    FROM (SELECT tag_id, count(*)::integer AS uses FROM changed GROUP BY tag_id) c
    WHERE t.id = c.tag_id;
    RETURN NULL;
END $$;
COMMENT ON FUNCTION content.count_tags IS 'Keeps content.tags.usage_count.';
CREATE TRIGGER trg_course_tags_count_added AFTER INSERT ON content.course_tags REFERENCING NEW TABLE AS changed FOR EACH STATEMENT EXECUTE FUNCTION content.count_tags();
CREATE TRIGGER trg_course_tags_count_removed AFTER DELETE ON content.course_tags REFERENCING OLD TABLE AS changed FOR EACH STATEMENT EXECUTE FUNCTION content.count_tags();

-- Who approved an exercise -------------------------------------------------------------------------

CREATE FUNCTION content.stamp_approval() RETURNS trigger
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    IF NOT NEW.is_published THEN
        NEW.approved_by := NULL;
        NEW.approved_at := NULL;
    ELSIF TG_OP = 'INSERT' OR NOT OLD.is_published THEN
        IF util.is_client() AND NOT rbac.has_permission(auth.uid(), 'content.publish') THEN
            RAISE EXCEPTION 'publishing takes content.publish'
                USING ERRCODE = 'insufficient_privilege', CONSTRAINT = TG_NAME, SCHEMA = TG_TABLE_SCHEMA, TABLE = TG_TABLE_NAME;
        END IF;
        NEW.approved_by := coalesce(auth.uid(), NEW.approved_by);
        NEW.approved_at := now();
    END IF;
    RETURN NEW;
END $$;
COMMENT ON FUNCTION content.stamp_approval IS 'Says in an exercise who published it, and when. Who edits it need not be who publishes it.';
CREATE TRIGGER trg_exercises_stamp_approval BEFORE INSERT OR UPDATE OF is_published ON content.exercises FOR EACH ROW EXECUTE FUNCTION content.stamp_approval();

SELECT util.protect('content.courses');
SELECT util.protect('content.modules');
SELECT util.protect('content.lessons');
SELECT util.protect('content.prerequisites');
SELECT util.protect('content.tags');
SELECT util.protect('content.course_tags', 'SELECT, INSERT, DELETE');
SELECT util.protect('content.attachments');
SELECT util.protect('content.exercises');
-- Written by a trigger alone, as its owner.
SELECT util.protect('content.workflow_transitions', 'SELECT');
REVOKE ALL ON FUNCTION content.refuse_cycle, content.count_tags, content.stamp_approval FROM PUBLIC;

-- A course outlives who made it. The path that somebody put together for themselves does not.
SELECT compliance.classify('content.courses', 'pseudonymous', '{created_by,instructor_id}', exported => true, on_erasure => 'keep', reason => 'The course stays; the profile it points to is empty.');
SELECT compliance.classify('content.courses', 'personal', '{title,description,metadata}', exported => true, on_erasure => 'delete');
SELECT compliance.classify('content.courses', 'none');
SELECT compliance.classify('content.modules', 'personal', '{title,description}', exported => true, on_erasure => 'delete');
SELECT compliance.classify('content.modules', 'none');
SELECT compliance.classify('content.lessons', 'personal', '{title,content,text_content,transcript,project_instructions,resources,video_url}', exported => true, on_erasure => 'delete');
SELECT compliance.classify('content.lessons', 'none');
SELECT compliance.classify('content.prerequisites', 'none');
SELECT compliance.classify('content.tags', 'none');
SELECT compliance.classify('content.course_tags', 'none');
SELECT compliance.classify('content.attachments', 'pseudonymous', '{created_by}', on_erasure => 'keep', reason => 'Part of a course, or of the library; the profile it points to is empty.');
SELECT compliance.classify('content.attachments', 'personal', '{title,asset_id,url,body,tags}', exported => true, on_erasure => 'delete');
SELECT compliance.classify('content.attachments', 'none');
SELECT compliance.classify('content.exercises', 'pseudonymous', '{created_by,approved_by}', on_erasure => 'keep', reason => 'The exercise stays; the profile it points to is empty.');
SELECT compliance.classify('content.exercises', 'none');
SELECT compliance.classify('content.workflow_transitions', 'personal', '{comment}', exported => true, on_erasure => 'keep', reason => 'Why something was published or not; the profile it points to is empty.');
SELECT compliance.classify('content.workflow_transitions', 'pseudonymous', '{performed_by}', exported => true, on_erasure => 'keep', reason => 'Proof of who published what; the profile it points to is empty.');
SELECT compliance.classify('content.workflow_transitions', 'none');
SELECT compliance.belongs_to('content.workflow_transitions', 'performed_by = $1');
