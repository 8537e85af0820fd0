-- What models are asked to do apart from conversations: tasks of projects, and content that a person has to approve.
-- Owner: workers/ai. Locks: none, everything is new. Undo: DROP TABLE ai.generated_content, ai.tasks, ai.projects; DROP FUNCTION ai.review_content.

CREATE TABLE ai.projects (
    id           uuid        NOT NULL DEFAULT gen_random_uuid() CONSTRAINT projects_pkey PRIMARY KEY,
    user_id      uuid        NOT NULL CONSTRAINT fk_projects_user REFERENCES public.profiles,
    name         text        NOT NULL CONSTRAINT ck_projects_name CHECK (char_length(name) BETWEEN 1 AND 200),
    description  text        NOT NULL DEFAULT '' CONSTRAINT ck_projects_description CHECK (char_length(description) <= 5000),
    project_type text        NOT NULL DEFAULT 'general' CONSTRAINT ck_projects_project_type CHECK (project_type ~ '^[a-z][a-z0-9_]{1,39}$'),
    config       jsonb       NOT NULL DEFAULT '{}' CONSTRAINT ck_projects_config CHECK (jsonb_typeof(config) = 'object' AND octet_length(config::text) <= 100000),
    created_at   timestamptz NOT NULL DEFAULT now(),
    updated_at   timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT uq_projects_user UNIQUE (id, user_id)
);
CREATE INDEX idx_projects_user ON ai.projects (user_id, created_at DESC);
COMMENT ON TABLE ai.projects IS 'What the tasks of a person are kept together by.';

CREATE TABLE ai.tasks (
    id            uuid        NOT NULL DEFAULT gen_random_uuid() CONSTRAINT tasks_pkey PRIMARY KEY,
    user_id       uuid        NOT NULL CONSTRAINT fk_tasks_user REFERENCES public.profiles,
    project_id    uuid,
    task_type     text        NOT NULL CONSTRAINT ck_tasks_task_type CHECK (task_type ~ '^[a-z][a-z0-9_.]{1,79}$'),
    status        text        NOT NULL DEFAULT 'pending' CONSTRAINT ck_tasks_status CHECK (status IN ('pending', 'running', 'completed', 'failed', 'cancelled')),
    priority      smallint    NOT NULL DEFAULT 0 CONSTRAINT ck_tasks_priority CHECK (priority BETWEEN -100 AND 100),
    input         jsonb       NOT NULL DEFAULT '{}' CONSTRAINT ck_tasks_input CHECK (jsonb_typeof(input) = 'object' AND octet_length(input::text) <= 400000),
    output        jsonb       CONSTRAINT ck_tasks_output CHECK (octet_length(output::text) <= 4000000),
    error_message text        CONSTRAINT ck_tasks_error_message CHECK (char_length(error_message) BETWEEN 1 AND 2000),
    attempts      smallint    NOT NULL DEFAULT 0 CONSTRAINT ck_tasks_attempts CHECK (attempts BETWEEN 0 AND 100),
    next_retry_at timestamptz,
    job_id        uuid,
    started_at    timestamptz,
    completed_at  timestamptz,
    created_at    timestamptz NOT NULL DEFAULT now(),
    -- A task is of a project of the same person.
    CONSTRAINT fk_tasks_project FOREIGN KEY (project_id, user_id) REFERENCES ai.projects (id, user_id) ON DELETE CASCADE,
    CONSTRAINT ck_tasks_completed CHECK ((status IN ('completed', 'failed', 'cancelled')) = (completed_at IS NOT NULL)),
    CONSTRAINT ck_tasks_succeeded CHECK (status <> 'completed' OR output IS NOT NULL),
    CONSTRAINT ck_tasks_failed CHECK ((status = 'failed') = (error_message IS NOT NULL)),
    CONSTRAINT ck_tasks_times CHECK (completed_at >= started_at)
);
CREATE INDEX idx_tasks_user ON ai.tasks (user_id, created_at DESC);
CREATE INDEX idx_tasks_project ON ai.tasks (project_id, user_id) WHERE project_id IS NOT NULL;
CREATE INDEX idx_tasks_open ON ai.tasks (priority DESC, created_at) WHERE status IN ('pending', 'running');
COMMENT ON TABLE ai.tasks IS 'Pieces of work with an input and an output. The queue runs them; this is what they are about.';

CREATE TABLE ai.generated_content (
    id              uuid         NOT NULL DEFAULT gen_random_uuid() CONSTRAINT generated_content_pkey PRIMARY KEY,
    request_id      uuid         NOT NULL,
    generation_seed bigint       NOT NULL DEFAULT 0,
    requested_by    uuid         NOT NULL CONSTRAINT fk_generated_content_requested_by REFERENCES public.profiles,
    content_type    text         NOT NULL CONSTRAINT ck_generated_content_content_type CHECK (content_type IN ('exercise', 'hint', 'explanation', 'question', 'summary', 'lesson')),
    target_type     text         CONSTRAINT ck_generated_content_target_type CHECK (target_type ~ '^[a-z][a-z0-9_]{1,39}$'),
    target_id       uuid,
    model_id        uuid         CONSTRAINT fk_generated_content_model REFERENCES ai.models,
    parameters      jsonb        NOT NULL DEFAULT '{}' CONSTRAINT ck_generated_content_parameters CHECK (jsonb_typeof(parameters) = 'object' AND octet_length(parameters::text) <= 100000),
    content         jsonb        CONSTRAINT ck_generated_content_content CHECK (octet_length(content::text) <= 1000000),
    confidence      numeric(3,2) CONSTRAINT ck_generated_content_confidence CHECK (confidence BETWEEN 0 AND 1),
    status          text         NOT NULL DEFAULT 'pending' CONSTRAINT ck_generated_content_status CHECK (status IN ('pending', 'generated', 'failed', 'approved', 'rejected')),
    is_approved     boolean      GENERATED ALWAYS AS (status = 'approved') STORED,
    reviewed_by     uuid         CONSTRAINT fk_generated_content_reviewed_by REFERENCES public.profiles,
    reviewed_at     timestamptz,
    human_feedback  jsonb        CONSTRAINT ck_generated_content_human_feedback CHECK (jsonb_typeof(human_feedback) = 'object' AND octet_length(human_feedback::text) <= 20000),
    error_message   text         CONSTRAINT ck_generated_content_error_message CHECK (char_length(error_message) BETWEEN 1 AND 2000),
    job_id          uuid,
    created_at      timestamptz  NOT NULL DEFAULT now(),
    updated_at      timestamptz  NOT NULL DEFAULT now(),
    CONSTRAINT uq_generated_content_seed UNIQUE (request_id, generation_seed),
    CONSTRAINT ck_generated_content_target CHECK ((target_type IS NULL) = (target_id IS NULL)),
    CONSTRAINT ck_generated_content_made CHECK (status NOT IN ('generated', 'approved', 'rejected') OR content IS NOT NULL AND model_id IS NOT NULL AND confidence IS NOT NULL),
    CONSTRAINT ck_generated_content_failed CHECK ((status = 'failed') = (error_message IS NOT NULL)),
    -- Nothing approves itself.
    CONSTRAINT ck_generated_content_reviewed CHECK ((status IN ('approved', 'rejected')) = (reviewed_at IS NOT NULL) AND (reviewed_by IS NULL) = (reviewed_at IS NULL))
);
CREATE INDEX idx_generated_content_requested_by ON ai.generated_content (requested_by, created_at DESC);
CREATE INDEX idx_generated_content_reviewed_by ON ai.generated_content (reviewed_by) WHERE reviewed_by IS NOT NULL;
CREATE INDEX idx_generated_content_model ON ai.generated_content (model_id) WHERE model_id IS NOT NULL;
CREATE INDEX idx_generated_content_target ON ai.generated_content (target_type, target_id) WHERE target_id IS NOT NULL;
CREATE INDEX idx_generated_content_waiting ON ai.generated_content (created_at) WHERE status = 'generated';
COMMENT ON TABLE ai.generated_content IS 'What models made for lessons, with all that is needed to tell how. Learners see none of it: what a person approved becomes content.';
COMMENT ON COLUMN ai.generated_content.target_id IS 'What it is for, of a table that target_type names.';
COMMENT ON COLUMN ai.generated_content.confidence IS 'How sure the model is, from 0 to 1.';

CREATE TRIGGER trg_projects_set_updated_at BEFORE UPDATE ON ai.projects FOR EACH ROW EXECUTE FUNCTION util.set_updated_at();
CREATE TRIGGER trg_generated_content_set_updated_at BEFORE UPDATE ON ai.generated_content FOR EACH ROW EXECUTE FUNCTION util.set_updated_at();

CREATE FUNCTION ai.review_content(content_id uuid, approve boolean, feedback jsonb DEFAULT NULL) RETURNS jsonb
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
#variable_conflict use_column
BEGIN
    -- A human approves: a worker has no id to do it with.
    IF auth.uid() IS NULL OR NOT rbac.has_permission(auth.uid(), 'content.publish') THEN
        RETURN jsonb_build_object('success', false, 'error', 'not_permitted');
    END IF;
    UPDATE ai.generated_content g
    SET status = CASE WHEN approve THEN 'approved' ELSE 'rejected' END, reviewed_by = auth.uid(), reviewed_at = now(), human_feedback = feedback
    WHERE g.id = review_content.content_id AND g.status = 'generated';
    IF NOT FOUND THEN
        RETURN jsonb_build_object('success', false, 'error', 'not_waiting');
    END IF;
    RETURN jsonb_build_object('success', true, 'status', CASE WHEN approve THEN 'approved' ELSE 'rejected' END);
END $$;
COMMENT ON FUNCTION ai.review_content IS 'Approves or rejects what a model made, for those who hold content.publish. Answers success with the status, or false with the error: not_permitted, not_waiting.';

-- Exercises came before what makes them.
ALTER TABLE content.exercises ADD CONSTRAINT fk_exercises_generated_content FOREIGN KEY (generated_content_id) REFERENCES ai.generated_content;

SELECT util.protect('ai.projects');
SELECT util.protect('ai.tasks');
SELECT util.protect('ai.generated_content');
CREATE POLICY projects_own ON ai.projects TO authenticated USING (user_id = (SELECT auth.uid())) WITH CHECK (user_id = (SELECT auth.uid()));
-- Tasks come by the API, which asks for quotas first.
CREATE POLICY tasks_own ON ai.tasks FOR SELECT TO authenticated USING (user_id = (SELECT auth.uid()));
CREATE POLICY generated_content_read ON ai.generated_content FOR SELECT TO authenticated
    USING (requested_by = (SELECT auth.uid()) OR (SELECT rbac.has_permission((SELECT auth.uid()), 'content.publish')));
GRANT SELECT, INSERT (id, user_id, name, description, project_type, config), UPDATE (name, description, project_type, config), DELETE ON ai.projects TO authenticated;
GRANT SELECT ON ai.tasks, ai.generated_content TO authenticated;

REVOKE ALL ON FUNCTION ai.review_content FROM PUBLIC;
GRANT EXECUTE ON FUNCTION ai.review_content TO authenticated;

SELECT compliance.classify('ai.projects', 'personal', exported => true, on_erasure => 'delete');
SELECT compliance.belongs_to('ai.projects', 'user_id = $1');
SELECT compliance.classify('ai.tasks', 'personal', exported => true, on_erasure => 'delete');
SELECT compliance.belongs_to('ai.tasks', 'user_id = $1');
SELECT compliance.classify('ai.generated_content', 'pseudonymous', '{requested_by,reviewed_by}', exported => true, on_erasure => 'keep', reason => 'Who answers for content that learners see; the profile it points to is empty.');
SELECT compliance.classify('ai.generated_content', 'none');
SELECT compliance.belongs_to('ai.generated_content', 'requested_by = $1');
