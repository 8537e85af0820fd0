-- Who did what to what: the log that is only added to, and the trigger that writes it for tables of settings.
-- Owner: workers/gdpr. Locks: short ones on rbac.roles and rbac.role_permissions. Undo: DROP TABLE compliance.audit_log;
-- DROP FUNCTION compliance.log_change, compliance.keep_audit_log, compliance.pseudonymise_audit_log.

CREATE TABLE compliance.audit_log (
    id               uuid        NOT NULL DEFAULT gen_random_uuid(),
    actor_id         uuid        CONSTRAINT fk_audit_log_actor REFERENCES public.profiles,
    actor_kind       text        NOT NULL CONSTRAINT ck_audit_log_actor_kind CHECK (actor_kind IN ('user', 'api_key', 'service', 'operator')),
    actor_name       text        CONSTRAINT ck_audit_log_actor_name CHECK (char_length(actor_name) BETWEEN 1 AND 100),
    action           text        NOT NULL CONSTRAINT ck_audit_log_action CHECK (action ~ '^[a-z][a-z0-9_.]{1,79}$'),
    target_table     text        CONSTRAINT ck_audit_log_target_table CHECK (target_table ~ '^[a-z_]{1,50}\.[a-z][a-z0-9_]{0,50}$'),
    target_id        text        CONSTRAINT ck_audit_log_target_id CHECK (char_length(target_id) BETWEEN 1 AND 300),
    subject_id       uuid        CONSTRAINT fk_audit_log_subject REFERENCES public.profiles,
    before           jsonb       CONSTRAINT ck_audit_log_before CHECK (jsonb_typeof(before) = 'object'),
    after            jsonb       CONSTRAINT ck_audit_log_after CHECK (jsonb_typeof(after) = 'object'),
    request_id       text        CONSTRAINT ck_audit_log_request_id CHECK (char_length(request_id) BETWEEN 1 AND 100),
    ip_hash          text        CONSTRAINT ck_audit_log_ip_hash CHECK (ip_hash ~ '^[0-9a-f]{64}$'),
    pseudonymised_at timestamptz,
    created_at       timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT audit_log_pkey PRIMARY KEY (id, created_at),
    CONSTRAINT ck_audit_log_pseudonymised_at CHECK (pseudonymised_at IS NULL OR before IS NULL AND after IS NULL AND ip_hash IS NULL)
) PARTITION BY RANGE (created_at);
CREATE INDEX idx_audit_log_subject ON compliance.audit_log (subject_id, created_at DESC) WHERE subject_id IS NOT NULL;
CREATE INDEX idx_audit_log_actor ON compliance.audit_log (actor_id, created_at DESC) WHERE actor_id IS NOT NULL;
CREATE INDEX idx_audit_log_target ON compliance.audit_log (target_table, target_id, created_at DESC);
COMMENT ON TABLE compliance.audit_log IS 'Who did what to what. Only added to; the one change is that what it says about a person is emptied when that person is erased.';
COMMENT ON COLUMN compliance.audit_log.actor_kind IS 'user: actor_id; api_key, service: actor_name; operator: somebody with a shell.';
COMMENT ON COLUMN compliance.audit_log.subject_id IS 'Whose data it was about. An export of a person''s data has these rows, and not those of what the person did to others.';
COMMENT ON COLUMN compliance.audit_log.before IS 'What changed, as it was. Null for what came into being.';
COMMENT ON COLUMN compliance.audit_log.request_id IS 'The setting request.id of the transaction, which the API makes and answers with.';

CREATE FUNCTION compliance.keep_audit_log() RETURNS trigger
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    -- An erasure empties what the row says, and nothing else.
    IF TG_OP = 'UPDATE' AND NEW.pseudonymised_at IS NOT NULL AND to_jsonb(OLD) - '{before,after,ip_hash,pseudonymised_at}'::text[]
        = to_jsonb(NEW) - '{before,after,ip_hash,pseudonymised_at}'::text[]
    THEN
        RETURN NEW;
    END IF;
    RAISE EXCEPTION 'audit_log is only added to: no row of it is changed or removed'
        USING ERRCODE = 'integrity_constraint_violation', CONSTRAINT = TG_NAME, SCHEMA = TG_TABLE_SCHEMA, TABLE = TG_TABLE_NAME;
END $$;
COMMENT ON FUNCTION compliance.keep_audit_log IS 'Lets nobody change or remove what was logged, but for an erasure.';
CREATE TRIGGER trg_audit_log_keep BEFORE UPDATE OR DELETE ON compliance.audit_log FOR EACH ROW EXECUTE FUNCTION compliance.keep_audit_log();
SELECT util.ensure_partitions('compliance.audit_log', 3);

CREATE FUNCTION compliance.pseudonymise_audit_log(subject uuid) RETURNS bigint
LANGUAGE sql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
BEGIN ATOMIC
    WITH emptied AS (
        UPDATE compliance.audit_log SET before = NULL, after = NULL, ip_hash = NULL, pseudonymised_at = now()
        WHERE subject_id = subject AND pseudonymised_at IS NULL
        RETURNING 1
    )
    SELECT count(*) FROM emptied;
END;
COMMENT ON FUNCTION compliance.pseudonymise_audit_log IS 'Empties what the log says about a person who is erased; that something was done, when and by whom stays. Answers in how many rows. Harmless to repeat.';

CREATE FUNCTION compliance.log_change() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    keys    text[] := string_to_array(TG_ARGV[0], ',');
    hidden  text[] := string_to_array(coalesce(TG_ARGV[1], ''), ',') || '{created_at,updated_at}'::text[];
    was     jsonb;
    is_now  jsonb;
    row_key text;
    subject uuid;
BEGIN
    IF TG_OP <> 'INSERT' THEN
        was := to_jsonb(OLD) - hidden;
    END IF;
    IF TG_OP <> 'DELETE' THEN
        is_now := to_jsonb(NEW) - hidden;
    END IF;
    IF was = is_now THEN
        RETURN NULL;
    END IF;
    SELECT string_agg(coalesce(is_now, was) ->> key, ' ' ORDER BY nr) INTO row_key FROM unnest(keys) WITH ORDINALITY AS k(key, nr);
    subject := coalesce(is_now, was) ->> TG_ARGV[2];
    IF TG_OP = 'UPDATE' THEN
        SELECT jsonb_object_agg(key, was -> key), jsonb_object_agg(key, value) INTO was, is_now
        FROM jsonb_each(is_now) WHERE value IS DISTINCT FROM was -> key;
    END IF;
    INSERT INTO compliance.audit_log (actor_id, actor_kind, action, target_table, target_id, subject_id, before, after, request_id)
    VALUES (
        (SELECT id FROM public.profiles WHERE id = auth.uid()),
        CASE WHEN auth.uid() IS NOT NULL THEN 'user' WHEN current_setting('role', true) = 'service_role' THEN 'service' ELSE 'operator' END,
        lower(TG_OP), TG_TABLE_SCHEMA || '.' || TG_TABLE_NAME, left(row_key, 300), subject, was, is_now,
        left(nullif(current_setting('request.id', true), ''), 100)
    );
    RETURN NULL;
END $$;
COMMENT ON FUNCTION compliance.log_change IS 'For AFTER triggers, trg_<table>_log_change(columns that name a row, columns that are not logged, column with the person): what changed, in the audit log.';

CREATE TRIGGER trg_roles_log_change AFTER INSERT OR UPDATE OR DELETE ON rbac.roles
    FOR EACH ROW EXECUTE FUNCTION compliance.log_change('id');
CREATE TRIGGER trg_role_permissions_log_change AFTER INSERT OR UPDATE OR DELETE ON rbac.role_permissions
    FOR EACH ROW EXECUTE FUNCTION compliance.log_change('role_id,permission_id');

SELECT util.protect('compliance.audit_log', 'SELECT, INSERT');
CREATE POLICY audit_log_read ON compliance.audit_log FOR SELECT TO authenticated
    USING ((SELECT rbac.has_permission((SELECT auth.uid()), 'audit.view')));
GRANT SELECT ON compliance.audit_log TO authenticated;
REVOKE ALL ON FUNCTION compliance.keep_audit_log, compliance.pseudonymise_audit_log, compliance.log_change FROM PUBLIC;
GRANT EXECUTE ON FUNCTION compliance.pseudonymise_audit_log TO service_role;

SELECT compliance.classify('compliance.audit_log', 'personal', '{before,after,ip_hash}', exported => true, on_erasure => 'anonymise');
SELECT compliance.classify('compliance.audit_log', 'pseudonymous', '{actor_id,actor_name,request_id}', on_erasure => 'keep', reason => 'Proof of who did what; the profile it points to is empty.');
SELECT compliance.classify('compliance.audit_log', 'pseudonymous', exported => true, on_erasure => 'keep', reason => 'Proof that something was done; the profile it points to is empty.');
-- Last of all: what an erasure does elsewhere is logged too.
SELECT compliance.belongs_to('compliance.audit_log', 'subject_id = $1', erased_by => 'compliance.pseudonymise_audit_log');
