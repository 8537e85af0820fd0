-- What the database tells about itself, hour by hour: calls of functions, use of indexes, size of tables.
-- Owner: workers/maintenance. Locks: none, everything is new.
-- Undo: DROP TABLE util.function_performance_metrics, util.index_usage_history, util.storage_metrics_history.

CREATE TABLE util.function_performance_metrics (
    id            uuid        NOT NULL DEFAULT gen_random_uuid(),
    service_name  text        NOT NULL CONSTRAINT ck_function_performance_metrics_service CHECK (service_name ~ '^[a-z][a-z0-9_]{1,49}$'),
    function_name text        NOT NULL CONSTRAINT ck_function_performance_metrics_name CHECK (char_length(function_name) BETWEEN 1 AND 200),
    window_start  timestamptz NOT NULL,
    calls         bigint      NOT NULL CONSTRAINT ck_function_performance_metrics_calls CHECK (calls >= 0),
    errors        bigint      NOT NULL DEFAULT 0 CONSTRAINT ck_function_performance_metrics_errors CHECK (errors BETWEEN 0 AND calls),
    slow_calls    bigint      NOT NULL DEFAULT 0 CONSTRAINT ck_function_performance_metrics_slow CHECK (slow_calls BETWEEN 0 AND calls),
    total_ms      numeric     NOT NULL CONSTRAINT ck_function_performance_metrics_total CHECK (total_ms BETWEEN 0 AND 1000000000000),
    min_ms        numeric     CONSTRAINT ck_function_performance_metrics_min CHECK (min_ms BETWEEN 0 AND 1000000000000),
    max_ms        numeric     CONSTRAINT ck_function_performance_metrics_max CHECK (max_ms >= min_ms AND max_ms <= 1000000000000),
    p50_ms        numeric     CONSTRAINT ck_function_performance_metrics_p50 CHECK (p50_ms BETWEEN 0 AND 1000000000000),
    p95_ms        numeric     CONSTRAINT ck_function_performance_metrics_p95 CHECK (p95_ms >= p50_ms AND p95_ms <= 1000000000000),
    p99_ms        numeric     CONSTRAINT ck_function_performance_metrics_p99 CHECK (p99_ms >= p95_ms AND p99_ms <= 1000000000000),
    mean_ms       numeric     GENERATED ALWAYS AS (round(total_ms / NULLIF(calls, 0), 3)) STORED,
    collected_at  timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT function_performance_metrics_pkey PRIMARY KEY (id, collected_at)
) PARTITION BY RANGE (collected_at);
CREATE INDEX idx_function_performance_metrics_name ON util.function_performance_metrics (function_name, collected_at DESC);
CREATE INDEX idx_function_performance_metrics_service ON util.function_performance_metrics (service_name, collected_at DESC);
COMMENT ON TABLE util.function_performance_metrics IS 'How often a function, job or endpoint was called between window_start and collected_at, and how long it took.';
SELECT util.ensure_partitions('util.function_performance_metrics', 3);

CREATE TABLE util.index_usage_history (
    id             uuid        NOT NULL DEFAULT gen_random_uuid(),
    schema_name    text        NOT NULL CONSTRAINT ck_index_usage_history_schema CHECK (char_length(schema_name) BETWEEN 1 AND 63),
    table_name     text        NOT NULL CONSTRAINT ck_index_usage_history_table CHECK (char_length(table_name) BETWEEN 1 AND 63),
    index_name     text        NOT NULL CONSTRAINT ck_index_usage_history_index CHECK (char_length(index_name) BETWEEN 1 AND 63),
    times_used     bigint      NOT NULL CONSTRAINT ck_index_usage_history_times_used CHECK (times_used >= 0),
    tuples_read    bigint      NOT NULL CONSTRAINT ck_index_usage_history_read CHECK (tuples_read >= 0),
    tuples_fetched bigint      NOT NULL CONSTRAINT ck_index_usage_history_fetched CHECK (tuples_fetched >= 0),
    size_bytes     bigint      NOT NULL CONSTRAINT ck_index_usage_history_size CHECK (size_bytes >= 0),
    usage_category text        GENERATED ALWAYS AS (CASE WHEN times_used = 0 THEN 'NEVER_USED' WHEN times_used < 10 THEN 'RARELY_USED' ELSE 'FREQUENTLY_USED' END) STORED,
    collected_at   timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT index_usage_history_pkey PRIMARY KEY (id, collected_at),
    CONSTRAINT uq_index_usage_history_index UNIQUE (schema_name, index_name, collected_at)
) PARTITION BY RANGE (collected_at);
COMMENT ON TABLE util.index_usage_history IS 'How often each index was used since the server''s statistics began, as seen hour by hour.';
SELECT util.ensure_partitions('util.index_usage_history', 3);

CREATE TABLE util.storage_metrics_history (
    id              uuid        NOT NULL DEFAULT gen_random_uuid(),
    schema_name     text        NOT NULL CONSTRAINT ck_storage_metrics_history_schema CHECK (char_length(schema_name) BETWEEN 1 AND 63),
    table_name      text        NOT NULL CONSTRAINT ck_storage_metrics_history_table CHECK (char_length(table_name) BETWEEN 1 AND 63),
    live_rows       bigint      NOT NULL CONSTRAINT ck_storage_metrics_history_live CHECK (live_rows >= 0),
    dead_rows       bigint      NOT NULL CONSTRAINT ck_storage_metrics_history_dead CHECK (dead_rows >= 0),
    table_bytes     bigint      NOT NULL CONSTRAINT ck_storage_metrics_history_table_bytes CHECK (table_bytes >= 0),
    index_bytes     bigint      NOT NULL CONSTRAINT ck_storage_metrics_history_index_bytes CHECK (index_bytes >= 0),
    toast_bytes     bigint      NOT NULL CONSTRAINT ck_storage_metrics_history_toast_bytes CHECK (toast_bytes >= 0),
    total_bytes     bigint      GENERATED ALWAYS AS (table_bytes + index_bytes + toast_bytes) STORED,
    partition_count integer     NOT NULL DEFAULT 0 CONSTRAINT ck_storage_metrics_history_partitions CHECK (partition_count >= 0),
    vacuumed_at     timestamptz,
    collected_at    timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT storage_metrics_history_pkey PRIMARY KEY (id, collected_at),
    CONSTRAINT uq_storage_metrics_history_table UNIQUE (schema_name, table_name, collected_at)
) PARTITION BY RANGE (collected_at);
COMMENT ON TABLE util.storage_metrics_history IS 'How large each table is, partitions added up, hour by hour.';
SELECT util.ensure_partitions('util.storage_metrics_history', 3);

SELECT util.protect('util.function_performance_metrics');
SELECT util.protect('util.index_usage_history');
SELECT util.protect('util.storage_metrics_history');
CREATE POLICY function_performance_metrics_read ON util.function_performance_metrics FOR SELECT TO authenticated
    USING ((SELECT rbac.has_permission((SELECT auth.uid()), 'slo.manage')));
CREATE POLICY index_usage_history_read ON util.index_usage_history FOR SELECT TO authenticated
    USING ((SELECT rbac.has_permission((SELECT auth.uid()), 'slo.manage')));
CREATE POLICY storage_metrics_history_read ON util.storage_metrics_history FOR SELECT TO authenticated
    USING ((SELECT rbac.has_permission((SELECT auth.uid()), 'slo.manage')));
GRANT SELECT ON util.function_performance_metrics, util.index_usage_history, util.storage_metrics_history TO authenticated;

SELECT compliance.classify('util.function_performance_metrics', 'none');
SELECT compliance.classify('util.index_usage_history', 'none');
SELECT compliance.classify('util.storage_metrics_history', 'none');
