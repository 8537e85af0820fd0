-- How long what is kept, and what becomes of it then.
-- Owner: workers/maintenance. Locks: none, the table is new. Undo: DROP TABLE compliance.retention_policies.

CREATE TABLE compliance.retention_policies (
    id                   uuid        NOT NULL DEFAULT gen_random_uuid() CONSTRAINT retention_policies_pkey PRIMARY KEY,
    data_type            text        NOT NULL CONSTRAINT uq_retention_policies_data_type UNIQUE CONSTRAINT ck_retention_policies_data_type CHECK (data_type ~ '^[a-z][a-z0-9_]{1,79}$'),
    schema_name          text        NOT NULL CONSTRAINT ck_retention_policies_schema CHECK (schema_name ~ '^[a-z][a-z0-9_]{0,50}$'),
    table_name           text        NOT NULL CONSTRAINT ck_retention_policies_table CHECK (table_name ~ '^[a-z][a-z0-9_]{0,50}$'),
    time_column          text        NOT NULL DEFAULT 'created_at' CONSTRAINT ck_retention_policies_time_column CHECK (time_column ~ '^[a-z][a-z0-9_]{0,50}$'),
    retention_months     smallint    NOT NULL CONSTRAINT ck_retention_policies_months CHECK (retention_months BETWEEN 1 AND 600),
    archive_after_months smallint    CONSTRAINT ck_retention_policies_archive_after CHECK (archive_after_months BETWEEN 1 AND 600),
    action               text        NOT NULL CONSTRAINT ck_retention_policies_action CHECK (action IN ('delete', 'archive', 'anonymise')),
    archive_table        text        CONSTRAINT ck_retention_policies_archive_table CHECK (archive_table ~ '^[a-z][a-z0-9_]{0,50}\.[a-z][a-z0-9_]{0,50}$'),
    batch_size           integer     NOT NULL DEFAULT 1000 CONSTRAINT ck_retention_policies_batch_size CHECK (batch_size BETWEEN 1 AND 100000),
    include_pii          boolean     NOT NULL,
    gdpr_compliant       boolean     NOT NULL DEFAULT true,
    legal_basis          text        CONSTRAINT ck_retention_policies_legal_basis CHECK (char_length(legal_basis) BETWEEN 1 AND 500),
    is_active            boolean     NOT NULL DEFAULT true,
    last_applied_at      timestamptz,
    last_rows            bigint      CONSTRAINT ck_retention_policies_last_rows CHECK (last_rows >= 0),
    last_job_id          uuid,
    created_at           timestamptz NOT NULL DEFAULT now(),
    updated_at           timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT uq_retention_policies_table UNIQUE (schema_name, table_name),
    CONSTRAINT ck_retention_policies_archive_before_end CHECK (archive_after_months < retention_months)
);
COMMENT ON TABLE compliance.retention_policies IS 'How long rows of a table are kept, and what becomes of them then. One for a table that is not there yet waits for it.';
COMMENT ON COLUMN compliance.retention_policies.action IS 'delete: rows or whole partitions go; archive: to the object store or archive_table, and then go; anonymise: the data map says what becomes of each column.';
COMMENT ON COLUMN compliance.retention_policies.archive_after_months IS 'When rows move to the archive, before they end. Null: never.';

CREATE TRIGGER trg_retention_policies_set_updated_at BEFORE UPDATE ON compliance.retention_policies FOR EACH ROW EXECUTE FUNCTION util.set_updated_at();
CREATE TRIGGER trg_retention_policies_log_change AFTER INSERT OR UPDATE OR DELETE ON compliance.retention_policies
    FOR EACH ROW EXECUTE FUNCTION compliance.log_change('data_type', 'last_applied_at,last_rows,last_job_id');

SELECT util.protect('compliance.retention_policies');
CREATE POLICY retention_policies_manage ON compliance.retention_policies TO authenticated
    USING ((SELECT rbac.has_permission((SELECT auth.uid()), 'gdpr.process'))) WITH CHECK ((SELECT rbac.has_permission((SELECT auth.uid()), 'gdpr.process')));
GRANT SELECT, UPDATE (retention_months, archive_after_months, batch_size, legal_basis, is_active) ON compliance.retention_policies TO authenticated;

SELECT compliance.classify('compliance.retention_policies', 'none');
