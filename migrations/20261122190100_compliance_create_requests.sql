-- What people ask about their data, what became of it, and what they were given or rid of.
-- Owner: workers/gdpr. Locks: none, everything is new.
-- Undo: DROP TABLE compliance.erasure_steps, compliance.data_exports, compliance.rgpd_requests, compliance.request_types; DROP the functions below.

CREATE TABLE compliance.request_types (
    request_type     text        NOT NULL CONSTRAINT request_types_pkey PRIMARY KEY CONSTRAINT ck_request_types_type CHECK (request_type ~ '^[a-z][a-z_]{1,39}$'),
    description      text        NOT NULL CONSTRAINT ck_request_types_description CHECK (char_length(description) BETWEEN 1 AND 500),
    deadline_months  smallint    NOT NULL DEFAULT 1 CONSTRAINT ck_request_types_deadline_months CHECK (deadline_months BETWEEN 1 AND 3),
    warn_after_days  smallint    NOT NULL DEFAULT 20 CONSTRAINT ck_request_types_warn_after_days CHECK (warn_after_days BETWEEN 1 AND 90),
    alert_after_days smallint    NOT NULL DEFAULT 28 CONSTRAINT ck_request_types_alert_after_days CHECK (alert_after_days BETWEEN 1 AND 92),
    grace_days       smallint    NOT NULL DEFAULT 0 CONSTRAINT ck_request_types_grace_days CHECK (grace_days BETWEEN 0 AND 90),
    needs_approval   boolean     NOT NULL DEFAULT false,
    is_staff_only    boolean     NOT NULL DEFAULT false,
    created_at       timestamptz NOT NULL DEFAULT now(),
    updated_at       timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT ck_request_types_alert_after_warning CHECK (alert_after_days > warn_after_days)
);
COMMENT ON TABLE compliance.request_types IS 'What can be asked, and in what time it has to be done.';
COMMENT ON COLUMN compliance.request_types.deadline_months IS 'What the law gives. Three when the person was told why it takes longer.';
COMMENT ON COLUMN compliance.request_types.grace_days IS 'How long the one who asked may think again before it is done.';
COMMENT ON COLUMN compliance.request_types.needs_approval IS 'Somebody with gdpr.process looks at it before a worker may begin.';

CREATE TABLE compliance.rgpd_requests (
    id              uuid        NOT NULL DEFAULT gen_random_uuid() CONSTRAINT rgpd_requests_pkey PRIMARY KEY,
    user_id         uuid        NOT NULL CONSTRAINT fk_rgpd_requests_user REFERENCES public.profiles,
    request_type    text        NOT NULL CONSTRAINT fk_rgpd_requests_type REFERENCES compliance.request_types,
    status          text        NOT NULL DEFAULT 'pending' CONSTRAINT ck_rgpd_requests_status CHECK (status IN ('pending', 'approved', 'processing', 'completed', 'failed', 'rejected', 'cancelled')),
    format          text        CONSTRAINT ck_rgpd_requests_format CHECK (format IN ('json', 'csv', 'zip')),
    details         text        CONSTRAINT ck_rgpd_requests_details CHECK (char_length(details) BETWEEN 1 AND 4000),
    requested_by    uuid        CONSTRAINT fk_rgpd_requests_requested_by REFERENCES public.profiles,
    requested_at    timestamptz NOT NULL DEFAULT now(),
    due_at          timestamptz NOT NULL,
    execute_after   timestamptz,
    decided_by      uuid        CONSTRAINT fk_rgpd_requests_decided_by REFERENCES public.profiles,
    decided_at      timestamptz,
    decision_reason text        CONSTRAINT ck_rgpd_requests_decision_reason CHECK (char_length(decision_reason) BETWEEN 1 AND 1000),
    reminded_stage  smallint    NOT NULL DEFAULT 0 CONSTRAINT ck_rgpd_requests_reminded_stage CHECK (reminded_stage BETWEEN 0 AND 3),
    job_id          uuid,
    attempts        integer     NOT NULL DEFAULT 0 CONSTRAINT ck_rgpd_requests_attempts CHECK (attempts BETWEEN 0 AND 1000),
    next_retry_at   timestamptz,
    last_error      text        CONSTRAINT ck_rgpd_requests_last_error CHECK (char_length(last_error) BETWEEN 1 AND 2000),
    started_at      timestamptz,
    finished_at     timestamptz,
    created_at      timestamptz NOT NULL DEFAULT now(),
    updated_at      timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT ck_rgpd_requests_due_at CHECK (due_at > requested_at AND due_at <= requested_at + interval '3 months'),
    CONSTRAINT ck_rgpd_requests_execute_after CHECK (execute_after >= requested_at),
    CONSTRAINT ck_rgpd_requests_decided CHECK ((status NOT IN ('approved', 'rejected') OR decided_at IS NOT NULL) AND (status <> 'rejected' OR decision_reason IS NOT NULL)),
    CONSTRAINT ck_rgpd_requests_started CHECK (status NOT IN ('processing', 'completed', 'failed') OR started_at IS NOT NULL),
    CONSTRAINT ck_rgpd_requests_finished CHECK ((status IN ('completed', 'rejected', 'cancelled')) = (finished_at IS NOT NULL)),
    CONSTRAINT ck_rgpd_requests_failed CHECK (status <> 'failed' OR last_error IS NOT NULL)
);
-- A person who asks twice is shown the first request.
CREATE UNIQUE INDEX uq_rgpd_requests_open ON compliance.rgpd_requests (user_id, request_type) WHERE status IN ('pending', 'approved', 'processing', 'failed');
CREATE INDEX idx_rgpd_requests_user ON compliance.rgpd_requests (user_id, requested_at DESC);
CREATE INDEX idx_rgpd_requests_type ON compliance.rgpd_requests (request_type);
CREATE INDEX idx_rgpd_requests_requested_by ON compliance.rgpd_requests (requested_by) WHERE requested_by IS NOT NULL;
CREATE INDEX idx_rgpd_requests_decided_by ON compliance.rgpd_requests (decided_by) WHERE decided_by IS NOT NULL;
CREATE INDEX idx_rgpd_requests_due_at ON compliance.rgpd_requests (due_at) WHERE status IN ('pending', 'approved', 'processing', 'failed');
CREATE INDEX idx_rgpd_requests_execute_after ON compliance.rgpd_requests (execute_after) WHERE status IN ('pending', 'approved') AND execute_after IS NOT NULL;
COMMENT ON TABLE compliance.rgpd_requests IS 'Requests of people about their data, and of staff for them. Kept after an erasure, as the proof of it.';
COMMENT ON COLUMN compliance.rgpd_requests.user_id IS 'Whose data.';
COMMENT ON COLUMN compliance.rgpd_requests.requested_by IS 'Who asked: the person, or somebody of staff. Null: the platform.';
COMMENT ON COLUMN compliance.rgpd_requests.due_at IS 'The legal deadline: when it is over, the law is broken.';
COMMENT ON COLUMN compliance.rgpd_requests.execute_after IS 'The end of the time of grace; before it no worker begins.';
COMMENT ON COLUMN compliance.rgpd_requests.reminded_stage IS '0: nobody reminded; 1: staff warned; 2: staff alerted; 3: overdue.';
COMMENT ON COLUMN compliance.rgpd_requests.finished_at IS 'Since when nothing more happens: completed, rejected or cancelled.';

CREATE TABLE compliance.data_exports (
    id                 uuid        NOT NULL DEFAULT gen_random_uuid() CONSTRAINT data_exports_pkey PRIMARY KEY,
    request_id         uuid        NOT NULL CONSTRAINT fk_data_exports_request REFERENCES compliance.rgpd_requests,
    user_id            uuid        NOT NULL CONSTRAINT fk_data_exports_user REFERENCES public.profiles,
    format             text        NOT NULL CONSTRAINT ck_data_exports_format CHECK (format IN ('json', 'csv', 'zip')),
    status             text        NOT NULL DEFAULT 'pending' CONSTRAINT ck_data_exports_status CHECK (status IN ('pending', 'building', 'ready', 'failed', 'expired')),
    object_key         text        CONSTRAINT ck_data_exports_object_key CHECK (char_length(object_key) BETWEEN 1 AND 500),
    encryption_key_id  text        CONSTRAINT ck_data_exports_encryption_key_id CHECK (char_length(encryption_key_id) BETWEEN 1 AND 100),
    sha256             text        CONSTRAINT ck_data_exports_sha256 CHECK (sha256 ~ '^[0-9a-f]{64}$'),
    size_bytes         bigint      CONSTRAINT ck_data_exports_size_bytes CHECK (size_bytes > 0),
    manifest           jsonb       CONSTRAINT ck_data_exports_manifest CHECK (jsonb_typeof(manifest) = 'object'),
    link_expires_at    timestamptz,
    download_count     integer     NOT NULL DEFAULT 0 CONSTRAINT ck_data_exports_download_count CHECK (download_count BETWEEN 0 AND 1000000),
    last_downloaded_at timestamptz,
    job_id             uuid,
    attempts           integer     NOT NULL DEFAULT 0 CONSTRAINT ck_data_exports_attempts CHECK (attempts BETWEEN 0 AND 1000),
    last_error         text        CONSTRAINT ck_data_exports_last_error CHECK (char_length(last_error) BETWEEN 1 AND 2000),
    ready_at           timestamptz,
    object_deleted_at  timestamptz,
    created_at         timestamptz NOT NULL DEFAULT now(),
    updated_at         timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT uq_data_exports_format UNIQUE (request_id, format),
    -- A part of an export is never shown as one.
    CONSTRAINT ck_data_exports_ready CHECK (
        status NOT IN ('ready', 'expired')
        OR object_key IS NOT NULL AND sha256 IS NOT NULL AND size_bytes IS NOT NULL AND manifest IS NOT NULL AND link_expires_at IS NOT NULL AND ready_at IS NOT NULL
    ),
    CONSTRAINT ck_data_exports_failed CHECK (status <> 'failed' OR last_error IS NOT NULL),
    CONSTRAINT ck_data_exports_link_expires_at CHECK (link_expires_at > ready_at),
    CONSTRAINT ck_data_exports_downloaded CHECK ((download_count > 0) = (last_downloaded_at IS NOT NULL)),
    CONSTRAINT ck_data_exports_object_deleted_at CHECK (object_deleted_at IS NULL OR status IN ('expired', 'failed'))
);
CREATE INDEX idx_data_exports_user ON compliance.data_exports (user_id, created_at DESC);
CREATE INDEX idx_data_exports_link_expires_at ON compliance.data_exports (link_expires_at) WHERE status = 'ready';
CREATE INDEX idx_data_exports_to_delete ON compliance.data_exports (id) WHERE status IN ('expired', 'failed') AND object_key IS NOT NULL AND object_deleted_at IS NULL;
COMMENT ON TABLE compliance.data_exports IS 'Files with a person''s data, each for the time of its link.';
COMMENT ON COLUMN compliance.data_exports.manifest IS 'Tables with their number of rows and digests, and the notices that law wants.';
COMMENT ON COLUMN compliance.data_exports.object_deleted_at IS 'When the file was gone from the store, which is after its link expired.';

CREATE TABLE compliance.erasure_steps (
    id              uuid        NOT NULL DEFAULT gen_random_uuid() CONSTRAINT erasure_steps_pkey PRIMARY KEY,
    request_id      uuid        NOT NULL CONSTRAINT fk_erasure_steps_request REFERENCES compliance.rgpd_requests,
    step            text        NOT NULL CONSTRAINT ck_erasure_steps_step CHECK (step ~ '^[a-z][a-z0-9_.]{1,79}$'),
    position        smallint    NOT NULL CONSTRAINT ck_erasure_steps_position CHECK (position BETWEEN 1 AND 1000),
    status          text        NOT NULL DEFAULT 'pending' CONSTRAINT ck_erasure_steps_status CHECK (status IN ('pending', 'running', 'done', 'skipped', 'failed')),
    rows_deleted    bigint      NOT NULL DEFAULT 0 CONSTRAINT ck_erasure_steps_rows_deleted CHECK (rows_deleted >= 0),
    rows_anonymised bigint      NOT NULL DEFAULT 0 CONSTRAINT ck_erasure_steps_rows_anonymised CHECK (rows_anonymised >= 0),
    rows_kept       bigint      NOT NULL DEFAULT 0 CONSTRAINT ck_erasure_steps_rows_kept CHECK (rows_kept >= 0),
    evidence        jsonb       NOT NULL DEFAULT '{}' CONSTRAINT ck_erasure_steps_evidence CHECK (jsonb_typeof(evidence) = 'object'),
    cursor          text        CONSTRAINT ck_erasure_steps_cursor CHECK (char_length(cursor) BETWEEN 1 AND 500),
    attempts        integer     NOT NULL DEFAULT 0 CONSTRAINT ck_erasure_steps_attempts CHECK (attempts BETWEEN 0 AND 1000),
    last_error      text        CONSTRAINT ck_erasure_steps_last_error CHECK (char_length(last_error) BETWEEN 1 AND 2000),
    started_at      timestamptz,
    finished_at     timestamptz,
    created_at      timestamptz NOT NULL DEFAULT now(),
    updated_at      timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT uq_erasure_steps_step UNIQUE (request_id, step),
    CONSTRAINT uq_erasure_steps_position UNIQUE (request_id, position),
    CONSTRAINT ck_erasure_steps_started CHECK (status IN ('pending', 'skipped') OR started_at IS NOT NULL),
    CONSTRAINT ck_erasure_steps_finished CHECK ((status IN ('done', 'skipped')) = (finished_at IS NOT NULL)),
    CONSTRAINT ck_erasure_steps_failed CHECK (status <> 'failed' OR last_error IS NOT NULL)
);
COMMENT ON TABLE compliance.erasure_steps IS 'How far an erasure or anonymisation is: a run that was cut off goes on where it stopped. Afterwards the evidence.';
COMMENT ON COLUMN compliance.erasure_steps.evidence IS 'Counts for each table. Never what was erased.';
COMMENT ON COLUMN compliance.erasure_steps.cursor IS 'Where within the step, for those of many batches.';

CREATE TRIGGER trg_request_types_set_updated_at BEFORE UPDATE ON compliance.request_types FOR EACH ROW EXECUTE FUNCTION util.set_updated_at();
CREATE TRIGGER trg_rgpd_requests_set_updated_at BEFORE UPDATE ON compliance.rgpd_requests FOR EACH ROW EXECUTE FUNCTION util.set_updated_at();
CREATE TRIGGER trg_data_exports_set_updated_at BEFORE UPDATE ON compliance.data_exports FOR EACH ROW EXECUTE FUNCTION util.set_updated_at();
CREATE TRIGGER trg_erasure_steps_set_updated_at BEFORE UPDATE ON compliance.erasure_steps FOR EACH ROW EXECUTE FUNCTION util.set_updated_at();

-- Statuses -----------------------------------------------------------------------------------------

CREATE FUNCTION compliance.may_become(status text, next text) RETURNS boolean
LANGUAGE sql IMMUTABLE PARALLEL SAFE SET search_path = pg_catalog, pg_temp
RETURN next = ANY (CASE status
    WHEN 'pending' THEN '{approved,processing,rejected,cancelled}'::text[]
    WHEN 'approved' THEN '{processing,rejected,cancelled}'
    WHEN 'processing' THEN '{completed,failed}'
    WHEN 'failed' THEN '{processing,rejected}'
    ELSE '{}'
END);
COMMENT ON FUNCTION compliance.may_become IS 'Which status of a request may follow which.';

CREATE FUNCTION compliance.check_request() RETURNS trigger
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    the_type compliance.request_types;
    broken   text;
    why      text;
BEGIN
    SELECT * INTO the_type FROM compliance.request_types WHERE request_type = NEW.request_type;
    IF TG_OP = 'INSERT' THEN
        NEW.due_at := coalesce(NEW.due_at, NEW.requested_at + make_interval(months => the_type.deadline_months));
        IF the_type.grace_days > 0 THEN
            NEW.execute_after := coalesce(NEW.execute_after, NEW.requested_at + make_interval(days => the_type.grace_days));
        END IF;
        IF NEW.status <> 'pending' THEN
            broken := 'trg_rgpd_requests_begins_pending';
            why := format('a request begins as pending, not as %s', NEW.status);
        END IF;
    ELSE
        IF (NEW.user_id, NEW.request_type, NEW.requested_by, NEW.requested_at) IS DISTINCT FROM (OLD.user_id, OLD.request_type, OLD.requested_by, OLD.requested_at) THEN
            broken := 'trg_rgpd_requests_keeps_what_was_asked';
            why := 'who asked for what, about whom and when is not changed';
        END IF;
        IF NEW.status <> OLD.status THEN
            IF NOT compliance.may_become(OLD.status, NEW.status) THEN
                broken := 'trg_rgpd_requests_status_follows';
                why := format('a request that is %s does not become %s', OLD.status, NEW.status);
            ELSIF NEW.status = 'processing' AND OLD.status = 'pending' AND the_type.needs_approval THEN
                broken := 'trg_rgpd_requests_needs_approval';
                why := format('a request of type %s is approved before it is processed', NEW.request_type);
            ELSIF NEW.status = 'processing' AND NEW.execute_after > now() THEN
                broken := 'trg_rgpd_requests_in_grace';
                why := format('this request may be thought over until %s', NEW.execute_after);
            ELSIF NEW.status = 'completed' AND NEW.request_type IN ('deletion', 'anonymisation') AND (
                NOT EXISTS (SELECT FROM compliance.erasure_steps s WHERE s.request_id = NEW.id)
                OR EXISTS (SELECT FROM compliance.erasure_steps s WHERE s.request_id = NEW.id AND s.status NOT IN ('done', 'skipped'))
            ) THEN
                broken := 'trg_rgpd_requests_every_step_done';
                why := 'an erasure is completed when every step of it is done, and not before';
            END IF;
            IF NEW.status = 'processing' THEN
                NEW.started_at := coalesce(NEW.started_at, now());
            ELSIF NEW.status IN ('completed', 'rejected', 'cancelled') THEN
                NEW.finished_at := coalesce(NEW.finished_at, now());
            END IF;
        END IF;
    END IF;
    IF broken IS NOT NULL THEN
        RAISE EXCEPTION '%', why USING ERRCODE = 'check_violation', CONSTRAINT = broken, SCHEMA = TG_TABLE_SCHEMA, TABLE = TG_TABLE_NAME;
    END IF;
    RETURN NEW;
END $$;
COMMENT ON FUNCTION compliance.check_request IS 'Deadlines of a new request, and which status may follow which; each refusal has its name.';
CREATE TRIGGER trg_rgpd_requests_check BEFORE INSERT OR UPDATE ON compliance.rgpd_requests FOR EACH ROW EXECUTE FUNCTION compliance.check_request();
CREATE TRIGGER trg_rgpd_requests_log_change AFTER INSERT OR UPDATE ON compliance.rgpd_requests
    FOR EACH ROW EXECUTE FUNCTION compliance.log_change('id', 'details,last_error,attempts,next_retry_at', 'user_id');

CREATE FUNCTION compliance.mark_deletion() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    UPDATE public.profiles SET deletion_requested_at = CASE WHEN NEW.status IN ('cancelled', 'rejected') THEN NULL ELSE NEW.requested_at END
    WHERE id = NEW.user_id AND erased_at IS NULL;
    RETURN NULL;
END $$;
COMMENT ON FUNCTION compliance.mark_deletion IS 'Tells the profile that its erasure was asked for, or no longer is.';
CREATE TRIGGER trg_rgpd_requests_mark_deletion AFTER INSERT OR UPDATE OF status ON compliance.rgpd_requests
    FOR EACH ROW WHEN (NEW.request_type = 'deletion') EXECUTE FUNCTION compliance.mark_deletion();

-- What people and staff do ----------------------------------------------------------------------------

CREATE FUNCTION compliance.why_not_request(target uuid, the_type compliance.request_types) RETURNS text
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp
BEGIN ATOMIC
    SELECT CASE
        WHEN (the_type).request_type IS NULL THEN 'unknown_type'
        WHEN NOT EXISTS (SELECT FROM public.profiles p WHERE p.id = target AND p.erased_at IS NULL) THEN 'unknown_user'
        WHEN NOT util.is_client() THEN NULL
        WHEN auth.uid() IS NULL THEN 'not_permitted'
        WHEN target = auth.uid() AND NOT (the_type).is_staff_only THEN NULL
        WHEN NOT rbac.has_permission(auth.uid(), CASE WHEN (the_type).request_type = 'deletion' THEN 'users.delete' ELSE 'gdpr.process' END) THEN 'not_permitted'
        -- Only an owner has an owner erased.
        WHEN rbac.highest_rank(target) > rbac.highest_rank(auth.uid()) THEN 'rank_too_high'
    END;
END;
COMMENT ON FUNCTION compliance.why_not_request IS 'Why the one who asks may not ask this about a person; null: may.';

CREATE FUNCTION compliance.open_request(request_type text, user_id uuid DEFAULT NULL, format text DEFAULT NULL, details text DEFAULT NULL) RETURNS jsonb
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
#variable_conflict use_column
DECLARE
    target   uuid := coalesce(open_request.user_id, auth.uid());
    the_type compliance.request_types;
    refusal  text;
    opened   compliance.rgpd_requests;
BEGIN
    SELECT * INTO the_type FROM compliance.request_types t WHERE t.request_type = open_request.request_type;
    refusal := CASE
        WHEN open_request.format NOT IN ('json', 'csv', 'zip') THEN 'unknown_format'
        WHEN char_length(open_request.details) NOT BETWEEN 1 AND 4000 THEN 'details_too_long'
        ELSE compliance.why_not_request(target, the_type)
    END;
    IF refusal IS NOT NULL THEN
        RETURN jsonb_build_object('success', false, 'error', refusal);
    END IF;
    INSERT INTO compliance.rgpd_requests (user_id, request_type, format, details, requested_by)
    VALUES (target, the_type.request_type, open_request.format, open_request.details, auth.uid())
    ON CONFLICT (user_id, request_type) WHERE status IN ('pending', 'approved', 'processing', 'failed') DO NOTHING
    RETURNING * INTO opened;
    IF opened.id IS NULL THEN
        RETURN jsonb_build_object('success', false, 'error', 'already_open', 'request_id', (
            SELECT r.id FROM compliance.rgpd_requests r
            WHERE r.user_id = target AND r.request_type = the_type.request_type AND r.status IN ('pending', 'approved', 'processing', 'failed')
        ));
    END IF;
    RETURN jsonb_build_object('success', true, 'request_id', opened.id, 'due_at', opened.due_at, 'execute_after', opened.execute_after);
END $$;
COMMENT ON FUNCTION compliance.open_request IS 'Asks for something about one''s own data, or with gdpr.process (a deletion: users.delete) about another''s. Answers success with the request, or false with the error: unknown_type, unknown_user, unknown_format, details_too_long, not_permitted, rank_too_high, already_open.';

CREATE FUNCTION compliance.cancel_request(request_id uuid) RETURNS jsonb
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    asked   compliance.rgpd_requests;
    refusal text;
BEGIN
    SELECT * INTO asked FROM compliance.rgpd_requests r WHERE r.id = cancel_request.request_id FOR UPDATE;
    refusal := CASE
        WHEN asked.id IS NULL THEN 'unknown_request'
        WHEN NOT util.is_client() THEN NULL
        WHEN rbac.has_permission(auth.uid(), 'gdpr.process') THEN NULL
        -- Others' requests are not there for somebody who may not see them.
        WHEN auth.uid() IS NULL OR auth.uid() NOT IN (asked.user_id, coalesce(asked.requested_by, asked.user_id)) THEN 'unknown_request'
        WHEN asked.requested_by IS DISTINCT FROM auth.uid() THEN 'not_permitted'
    END;
    IF refusal IS NULL AND (asked.status NOT IN ('pending', 'approved') OR asked.execute_after <= now()) THEN
        refusal := 'too_late';
    END IF;
    IF refusal IS NOT NULL THEN
        RETURN jsonb_build_object('success', false, 'error', refusal);
    END IF;
    UPDATE compliance.rgpd_requests r SET status = 'cancelled' WHERE r.id = asked.id;
    RETURN jsonb_build_object('success', true, 'request_id', asked.id);
END $$;
COMMENT ON FUNCTION compliance.cancel_request IS 'Takes back what one asked for oneself, or with gdpr.process anything, before it is done. Answers success, or false with the error: unknown_request, not_permitted, too_late.';

CREATE FUNCTION compliance.decide_request(request_id uuid, approve boolean, reason text DEFAULT NULL) RETURNS jsonb
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    asked   compliance.rgpd_requests;
    refusal text;
BEGIN
    SELECT * INTO asked FROM compliance.rgpd_requests r WHERE r.id = decide_request.request_id FOR UPDATE;
    refusal := CASE
        WHEN util.is_client() AND NOT rbac.has_permission(auth.uid(), 'gdpr.process') THEN 'not_permitted'
        WHEN asked.id IS NULL THEN 'unknown_request'
        WHEN util.is_client() AND rbac.highest_rank(asked.user_id) > rbac.highest_rank(auth.uid()) THEN 'rank_too_high'
        WHEN approve IS NULL OR NOT approve AND coalesce(char_length(reason), 0) NOT BETWEEN 1 AND 1000 THEN 'reason_missing'
        WHEN NOT compliance.may_become(asked.status, CASE WHEN approve THEN 'approved' ELSE 'rejected' END) THEN 'too_late'
    END;
    IF refusal IS NOT NULL THEN
        RETURN jsonb_build_object('success', false, 'error', refusal);
    END IF;
    UPDATE compliance.rgpd_requests r
    SET status = CASE WHEN approve THEN 'approved' ELSE 'rejected' END, decided_by = auth.uid(), decided_at = now(), decision_reason = left(nullif(reason, ''), 1000)
    WHERE r.id = asked.id;
    RETURN jsonb_build_object('success', true, 'request_id', asked.id);
END $$;
COMMENT ON FUNCTION compliance.decide_request IS 'Approves a request, or rejects it for a reason that the person is told. Answers success, or false with the error: not_permitted, unknown_request, rank_too_high, reason_missing, too_late.';

-- Rights -------------------------------------------------------------------------------------------

SELECT util.protect('compliance.request_types');
SELECT util.protect('compliance.rgpd_requests', 'SELECT, INSERT, UPDATE');
SELECT util.protect('compliance.data_exports');
SELECT util.protect('compliance.erasure_steps', 'SELECT, INSERT, UPDATE');

CREATE POLICY request_types_read ON compliance.request_types FOR SELECT TO authenticated USING (true);
GRANT SELECT ON compliance.request_types TO authenticated;

CREATE POLICY rgpd_requests_own ON compliance.rgpd_requests FOR SELECT TO authenticated
    USING (user_id = (SELECT auth.uid()) OR (SELECT rbac.has_permission((SELECT auth.uid()), 'gdpr.process')));
GRANT SELECT (id, user_id, request_type, status, format, details, requested_by, requested_at, due_at, execute_after, decided_at, decision_reason, started_at, finished_at, created_at, updated_at)
    ON compliance.rgpd_requests TO authenticated;

-- Where the file is and what it is locked with is between the worker and the API.
CREATE POLICY data_exports_own ON compliance.data_exports FOR SELECT TO authenticated
    USING (user_id = (SELECT auth.uid()) OR (SELECT rbac.has_permission((SELECT auth.uid()), 'gdpr.process')));
GRANT SELECT (id, request_id, user_id, format, status, sha256, size_bytes, link_expires_at, download_count, last_downloaded_at, ready_at, created_at, updated_at)
    ON compliance.data_exports TO authenticated;

CREATE POLICY erasure_steps_read ON compliance.erasure_steps FOR SELECT TO authenticated
    USING ((SELECT rbac.has_permission((SELECT auth.uid()), 'gdpr.process')));
GRANT SELECT ON compliance.erasure_steps TO authenticated;

REVOKE ALL ON FUNCTION compliance.may_become, compliance.check_request, compliance.mark_deletion, compliance.why_not_request,
    compliance.open_request, compliance.cancel_request, compliance.decide_request FROM PUBLIC;
GRANT EXECUTE ON FUNCTION compliance.open_request, compliance.cancel_request, compliance.decide_request TO authenticated, service_role;
GRANT EXECUTE ON FUNCTION compliance.may_become TO service_role;

SELECT compliance.classify('compliance.request_types', 'none');
SELECT compliance.classify('compliance.rgpd_requests', 'personal', '{details}', exported => true, on_erasure => 'anonymise');
SELECT compliance.classify('compliance.rgpd_requests', 'pseudonymous', '{requested_by,decided_by,job_id,attempts,next_retry_at,last_error,reminded_stage}', on_erasure => 'keep', reason => 'Proof that the request was answered, and how.');
SELECT compliance.classify('compliance.rgpd_requests', 'pseudonymous', exported => true, on_erasure => 'keep', reason => 'Proof that the request was answered, and when; the profile it points to is empty.');
SELECT compliance.belongs_to('compliance.rgpd_requests', 'user_id = $1');
SELECT compliance.classify('compliance.data_exports', 'pseudonymous', '{object_key,encryption_key_id,job_id,attempts,last_error}', on_erasure => 'delete');
SELECT compliance.classify('compliance.data_exports', 'pseudonymous', exported => true, on_erasure => 'delete');
SELECT compliance.belongs_to('compliance.data_exports', 'user_id = $1');
SELECT compliance.classify('compliance.erasure_steps', 'pseudonymous', on_erasure => 'keep', reason => 'Proof of the erasure: counts, and nothing of what was erased.');
SELECT compliance.belongs_to('compliance.erasure_steps', 'request_id IN (SELECT id FROM compliance.rgpd_requests WHERE user_id = $1)');
