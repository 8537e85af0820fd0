-- Which migrations ran, what is on its way out, and the numbers that rows had in systems before this one.
-- Owner: workers/maintenance. Locks: a short one on public._sqlx_migrations.
-- Undo: DROP VIEW util.migrations_meta; DROP TABLE util.deprecation_timeline, util.migration_status, util.legacy_ids.

DO $$
BEGIN
    IF to_regclass('public._sqlx_migrations') IS NULL THEN
        RETURN; -- Run by another tool, which keeps its own list.
    END IF;
    CREATE POLICY _sqlx_migrations_service ON public._sqlx_migrations FOR SELECT TO service_role USING (true);
    GRANT SELECT ON public._sqlx_migrations TO service_role;
    CREATE VIEW util.migrations_meta WITH (security_invoker = true) AS
    SELECT version, description AS migration_name, encode(checksum, 'hex') AS checksum, installed_on AS applied_at, success AS is_applied, execution_time / 1000000 AS execution_ms
    FROM public._sqlx_migrations;
    COMMENT ON VIEW util.migrations_meta IS 'The migrations of this database, as the migrator recorded them.';
    REVOKE ALL ON util.migrations_meta FROM PUBLIC;
    GRANT SELECT ON util.migrations_meta TO service_role;
END $$;

CREATE TABLE util.migration_status (
    id                  uuid        NOT NULL DEFAULT gen_random_uuid() CONSTRAINT migration_status_pkey PRIMARY KEY,
    migration_key       text        NOT NULL CONSTRAINT uq_migration_status_key UNIQUE CONSTRAINT ck_migration_status_key CHECK (migration_key ~ '^[a-z][a-z0-9_]{1,79}$'),
    status              text        NOT NULL DEFAULT 'planned' CONSTRAINT ck_migration_status_status CHECK (status IN ('planned', 'running', 'completed', 'rollback', 'removed')),
    affected_components text[]      NOT NULL DEFAULT '{}' CONSTRAINT ck_migration_status_components CHECK (cardinality(affected_components) <= 100),
    notes               text        NOT NULL DEFAULT '' CONSTRAINT ck_migration_status_notes CHECK (char_length(notes) <= 2000),
    details             jsonb       NOT NULL DEFAULT '{}' CONSTRAINT ck_migration_status_details CHECK (jsonb_typeof(details) = 'object'),
    completed_at        timestamptz,
    rollback_deadline   timestamptz,
    removal_date        timestamptz,
    created_at          timestamptz NOT NULL DEFAULT now(),
    updated_at          timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT ck_migration_status_completed CHECK (status <> 'completed' OR completed_at IS NOT NULL),
    CONSTRAINT ck_migration_status_removal CHECK (removal_date >= rollback_deadline)
);
COMMENT ON TABLE util.migration_status IS 'Changes that take more than a migration: until when they can be undone, and when what they replaced goes.';

CREATE TABLE util.deprecation_timeline (
    id                uuid        NOT NULL DEFAULT gen_random_uuid() CONSTRAINT deprecation_timeline_pkey PRIMARY KEY,
    component         text        NOT NULL CONSTRAINT uq_deprecation_timeline_component UNIQUE CONSTRAINT ck_deprecation_timeline_component CHECK (char_length(component) BETWEEN 1 AND 200),
    replacement       text        CONSTRAINT ck_deprecation_timeline_replacement CHECK (char_length(replacement) BETWEEN 1 AND 200),
    migration_id      uuid        CONSTRAINT fk_deprecation_timeline_migration REFERENCES util.migration_status ON DELETE SET NULL,
    status            text        NOT NULL DEFAULT 'deprecated' CONSTRAINT ck_deprecation_timeline_status CHECK (status IN ('deprecated', 'ready', 'approved', 'removed')),
    deprecated_at     timestamptz NOT NULL DEFAULT now(),
    rollback_deadline timestamptz,
    removal_date      timestamptz NOT NULL,
    last_used_at      timestamptz,
    recent_uses       bigint      NOT NULL DEFAULT 0 CONSTRAINT ck_deprecation_timeline_recent_uses CHECK (recent_uses >= 0),
    checked_at        timestamptz,
    approved_by       uuid        CONSTRAINT fk_deprecation_timeline_approved_by REFERENCES public.profiles,
    approved_at       timestamptz,
    removed_at        timestamptz,
    CONSTRAINT ck_deprecation_timeline_dates CHECK (removal_date > deprecated_at AND removal_date >= coalesce(rollback_deadline, deprecated_at)),
    -- Nothing goes without somebody's word.
    CONSTRAINT ck_deprecation_timeline_approved CHECK (status NOT IN ('approved', 'removed') OR approved_at IS NOT NULL),
    CONSTRAINT ck_deprecation_timeline_removed CHECK ((status = 'removed') = (removed_at IS NOT NULL))
);
CREATE INDEX idx_deprecation_timeline_migration ON util.deprecation_timeline (migration_id) WHERE migration_id IS NOT NULL;
CREATE INDEX idx_deprecation_timeline_approved_by ON util.deprecation_timeline (approved_by) WHERE approved_by IS NOT NULL;
COMMENT ON TABLE util.deprecation_timeline IS 'Tables, views, functions and endpoints on their way out, who still uses them, and whether they may go.';
COMMENT ON COLUMN util.deprecation_timeline.status IS 'ready: past its date and unused; approved: somebody said so; only then removed.';

CREATE TABLE util.legacy_ids (
    system     text        NOT NULL CONSTRAINT ck_legacy_ids_system CHECK (system ~ '^[a-z][a-z0-9_]{1,39}$'),
    table_name text        NOT NULL CONSTRAINT ck_legacy_ids_table CHECK (table_name ~ '^[a-z][a-z0-9_]{0,62}$'),
    legacy_id  text        NOT NULL CONSTRAINT ck_legacy_ids_legacy_id CHECK (char_length(legacy_id) BETWEEN 1 AND 200),
    new_id     uuid        NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT legacy_ids_pkey PRIMARY KEY (system, table_name, legacy_id)
);
CREATE INDEX idx_legacy_ids_new_id ON util.legacy_ids (new_id);
COMMENT ON TABLE util.legacy_ids IS 'Which row of this database a row of an earlier system became. Several may have become one.';

CREATE TRIGGER trg_migration_status_set_updated_at BEFORE UPDATE ON util.migration_status FOR EACH ROW EXECUTE FUNCTION util.set_updated_at();
CREATE TRIGGER trg_deprecation_timeline_check_signature BEFORE UPDATE OF approved_by ON util.deprecation_timeline
    FOR EACH ROW EXECUTE FUNCTION util.check_signature('approved_by');
CREATE TRIGGER trg_deprecation_timeline_log_change AFTER INSERT OR UPDATE OR DELETE ON util.deprecation_timeline
    FOR EACH ROW EXECUTE FUNCTION compliance.log_change('component', 'last_used_at,recent_uses,checked_at');

SELECT util.protect('util.migration_status');
SELECT util.protect('util.deprecation_timeline');
SELECT util.protect('util.legacy_ids');
CREATE POLICY migration_status_read ON util.migration_status FOR SELECT TO authenticated
    USING ((SELECT rbac.has_permission((SELECT auth.uid()), 'slo.manage')));
GRANT SELECT ON util.migration_status TO authenticated;
CREATE POLICY deprecation_timeline_manage ON util.deprecation_timeline TO authenticated
    USING ((SELECT rbac.has_permission((SELECT auth.uid()), 'slo.manage'))) WITH CHECK ((SELECT rbac.has_permission((SELECT auth.uid()), 'slo.manage')));
GRANT SELECT, UPDATE (status, removal_date, approved_by, approved_at) ON util.deprecation_timeline TO authenticated;

SELECT compliance.classify('util.migration_status', 'none');
SELECT compliance.classify('util.deprecation_timeline', 'pseudonymous', '{approved_by}', on_erasure => 'keep', reason => 'Who approved it; the profile it points to is empty.');
SELECT compliance.classify('util.deprecation_timeline', 'none');
SELECT compliance.classify('util.legacy_ids', 'pseudonymous', exported => true, on_erasure => 'delete');
SELECT compliance.belongs_to('util.legacy_ids', 'new_id = $1');
