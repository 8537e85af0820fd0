-- What the service promises, how it does, and what happens when it does not.
-- Owner: workers/maintenance, error budgets workers/rollups. Locks: none, everything is new.
-- Undo: DROP TABLE util.system_anomalies, util.rollback_execution_log, util.performance_monitoring_config,
-- util.error_budget_tracking, util.slo_alerts, util.slo_measurements, util.slo_definitions.

CREATE TABLE util.slo_definitions (
    id                 uuid        NOT NULL DEFAULT gen_random_uuid() CONSTRAINT slo_definitions_pkey PRIMARY KEY,
    slo_key            text        NOT NULL CONSTRAINT uq_slo_definitions_key UNIQUE CONSTRAINT ck_slo_definitions_key CHECK (slo_key ~ '^[a-z][a-z0-9_]{1,79}$'),
    description        text        NOT NULL DEFAULT '' CONSTRAINT ck_slo_definitions_description CHECK (char_length(description) <= 500),
    service_name       text        NOT NULL CONSTRAINT ck_slo_definitions_service CHECK (service_name ~ '^[a-z][a-z0-9_]{1,49}$'),
    metric_type        text        NOT NULL CONSTRAINT ck_slo_definitions_metric_type CHECK (metric_type IN ('latency', 'availability', 'error_rate', 'success_rate', 'accuracy', 'throughput')),
    unit               text        NOT NULL CONSTRAINT ck_slo_definitions_unit CHECK (unit IN ('ms', 'percent', 'per_minute')),
    percentile         smallint    CONSTRAINT ck_slo_definitions_percentile CHECK (percentile BETWEEN 1 AND 100),
    is_better          text        NOT NULL CONSTRAINT ck_slo_definitions_is_better CHECK (is_better IN ('lower', 'higher')),
    target_value       numeric     NOT NULL CONSTRAINT ck_slo_definitions_target CHECK (target_value BETWEEN 0 AND 1000000000),
    alert_threshold    numeric     NOT NULL CONSTRAINT ck_slo_definitions_alert CHECK (alert_threshold BETWEEN 0 AND 1000000000),
    critical_threshold numeric     NOT NULL CONSTRAINT ck_slo_definitions_critical CHECK (critical_threshold BETWEEN 0 AND 1000000000),
    window_seconds     integer     NOT NULL DEFAULT 300 CONSTRAINT ck_slo_definitions_window CHECK (window_seconds BETWEEN 60 AND 2678400),
    min_samples        integer     NOT NULL DEFAULT 1 CONSTRAINT ck_slo_definitions_min_samples CHECK (min_samples BETWEEN 1 AND 1000000),
    alert_rule         text        CONSTRAINT ck_slo_definitions_alert_rule CHECK (alert_rule ~ '^[a-z][a-z0-9_]{1,79}$'),
    alert_route        text        NOT NULL DEFAULT 'email' CONSTRAINT ck_slo_definitions_alert_route CHECK (alert_route IN ('email', 'chat', 'pager', 'webhook')),
    is_active          boolean     NOT NULL DEFAULT true,
    created_at         timestamptz NOT NULL DEFAULT now(),
    updated_at         timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT ck_slo_definitions_percent CHECK (unit <> 'percent' OR greatest(target_value, alert_threshold, critical_threshold) <= 100),
    CONSTRAINT ck_slo_definitions_latency CHECK (metric_type <> 'latency' OR percentile IS NOT NULL AND unit = 'ms'),
    -- Near or over the target alerts, and what is critical lies behind both.
    CONSTRAINT ck_slo_definitions_thresholds CHECK (
        CASE is_better WHEN 'lower' THEN critical_threshold >= alert_threshold AND critical_threshold >= target_value
            ELSE critical_threshold <= alert_threshold AND critical_threshold <= target_value END
    )
);
COMMENT ON TABLE util.slo_definitions IS 'Objectives of the service, and from where on somebody is told.';
COMMENT ON COLUMN util.slo_definitions.min_samples IS 'With fewer calls in the window nothing is concluded.';
COMMENT ON COLUMN util.slo_definitions.is_better IS 'lower: values above the thresholds are bad, as for times; higher: those below, as for availability.';

CREATE TABLE util.slo_measurements (
    id             uuid        NOT NULL DEFAULT gen_random_uuid(),
    slo_id         uuid        NOT NULL CONSTRAINT fk_slo_measurements_slo REFERENCES util.slo_definitions ON DELETE CASCADE,
    window_start   timestamptz NOT NULL,
    window_end     timestamptz NOT NULL,
    measured_value numeric     CONSTRAINT ck_slo_measurements_value CHECK (measured_value BETWEEN 0 AND 1000000000),
    sample_count   bigint      NOT NULL CONSTRAINT ck_slo_measurements_sample_count CHECK (sample_count >= 0),
    health_status  text        NOT NULL CONSTRAINT ck_slo_measurements_health CHECK (health_status IN ('healthy', 'warning', 'critical', 'no_data')),
    created_at     timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT slo_measurements_pkey PRIMARY KEY (id, window_start),
    CONSTRAINT uq_slo_measurements_window UNIQUE (slo_id, window_start),
    CONSTRAINT ck_slo_measurements_window CHECK (window_end > window_start),
    CONSTRAINT ck_slo_measurements_no_data CHECK ((health_status = 'no_data') = (measured_value IS NULL))
) PARTITION BY RANGE (window_start);
COMMENT ON TABLE util.slo_measurements IS 'How each objective was met, window by window. Measuring a window again replaces what was there.';
COMMENT ON COLUMN util.slo_measurements.measured_value IS 'Null: nothing happened in the window, which is no failure.';
SELECT util.ensure_partitions('util.slo_measurements', 3);

CREATE TABLE util.slo_alerts (
    id              uuid        NOT NULL DEFAULT gen_random_uuid() CONSTRAINT slo_alerts_pkey PRIMARY KEY,
    source          text        NOT NULL CONSTRAINT ck_slo_alerts_source CHECK (source IN ('slo', 'job', 'anomaly', 'rollback', 'partition', 'gdpr', 'budget', 'backup', 'operator')),
    dedupe_key      text        NOT NULL CONSTRAINT ck_slo_alerts_dedupe_key CHECK (char_length(dedupe_key) BETWEEN 1 AND 200),
    level           text        NOT NULL CONSTRAINT ck_slo_alerts_level CHECK (level IN ('warning', 'critical', 'emergency')),
    route           text        NOT NULL DEFAULT 'email' CONSTRAINT ck_slo_alerts_route CHECK (route IN ('email', 'chat', 'pager', 'webhook')),
    title           text        NOT NULL CONSTRAINT ck_slo_alerts_title CHECK (char_length(title) BETWEEN 1 AND 200),
    slo_id          uuid        CONSTRAINT fk_slo_alerts_slo REFERENCES util.slo_definitions ON DELETE SET NULL,
    measured_value  numeric CONSTRAINT ck_slo_alerts_measured_value CHECK (abs(measured_value) <= 1000000000000000),
    threshold_value numeric CONSTRAINT ck_slo_alerts_threshold_value CHECK (abs(threshold_value) <= 1000000000000000),
    details         jsonb       NOT NULL DEFAULT '{}' CONSTRAINT ck_slo_alerts_details CHECK (jsonb_typeof(details) = 'object'),
    status          text        NOT NULL DEFAULT 'open' CONSTRAINT ck_slo_alerts_status CHECK (status IN ('open', 'acknowledged', 'resolved')),
    occurrences     integer     NOT NULL DEFAULT 1 CONSTRAINT ck_slo_alerts_occurrences CHECK (occurrences > 0),
    opened_at       timestamptz NOT NULL DEFAULT now(),
    last_seen_at    timestamptz NOT NULL DEFAULT now(),
    notified_at     timestamptz,
    acknowledged_at timestamptz,
    acknowledged_by uuid        CONSTRAINT fk_slo_alerts_acknowledged_by REFERENCES public.profiles,
    resolved_at     timestamptz,
    job_id          uuid,
    CONSTRAINT ck_slo_alerts_slo CHECK (source <> 'slo' OR slo_id IS NOT NULL OR status = 'resolved'),
    CONSTRAINT ck_slo_alerts_acknowledged CHECK (status <> 'acknowledged' OR acknowledged_at IS NOT NULL),
    CONSTRAINT ck_slo_alerts_resolved CHECK ((status = 'resolved') = (resolved_at IS NOT NULL)),
    CONSTRAINT ck_slo_alerts_last_seen_at CHECK (last_seen_at >= opened_at)
);
CREATE UNIQUE INDEX uq_slo_alerts_open ON util.slo_alerts (dedupe_key) WHERE status <> 'resolved';
CREATE INDEX idx_slo_alerts_slo ON util.slo_alerts (slo_id, opened_at DESC) WHERE slo_id IS NOT NULL;
CREATE INDEX idx_slo_alerts_opened_at ON util.slo_alerts (opened_at DESC);
CREATE INDEX idx_slo_alerts_to_notify ON util.slo_alerts (last_seen_at) WHERE status = 'open';
CREATE INDEX idx_slo_alerts_acknowledged_by ON util.slo_alerts (acknowledged_by) WHERE acknowledged_by IS NOT NULL;
COMMENT ON TABLE util.slo_alerts IS 'What somebody has to look at. The same again while one is open adds to it.';
COMMENT ON COLUMN util.slo_alerts.level IS 'warning: near or over the alert threshold; critical: violated; emergency: several at once.';

CREATE TABLE util.error_budget_tracking (
    id                      uuid        NOT NULL DEFAULT gen_random_uuid() CONSTRAINT error_budget_tracking_pkey PRIMARY KEY,
    service_name            text        NOT NULL CONSTRAINT ck_error_budget_tracking_service CHECK (service_name ~ '^[a-z][a-z0-9_]{1,49}$'),
    time_window             text        NOT NULL CONSTRAINT ck_error_budget_tracking_time_window CHECK (time_window IN ('hourly', 'daily', 'weekly', 'monthly')),
    window_start            timestamptz NOT NULL,
    window_end              timestamptz NOT NULL,
    total_requests          bigint      NOT NULL DEFAULT 0 CONSTRAINT ck_error_budget_tracking_total CHECK (total_requests >= 0),
    failed_requests         bigint      NOT NULL DEFAULT 0 CONSTRAINT ck_error_budget_tracking_failed CHECK (failed_requests BETWEEN 0 AND total_requests),
    slow_requests           bigint      NOT NULL DEFAULT 0 CONSTRAINT ck_error_budget_tracking_slow CHECK (slow_requests BETWEEN 0 AND total_requests),
    -- A window without requests has no rate, and is no error.
    error_rate_percent      numeric     GENERATED ALWAYS AS (round(100.0 * failed_requests / NULLIF(total_requests, 0), 4)) STORED,
    slow_rate_percent       numeric     GENERATED ALWAYS AS (round(100.0 * slow_requests / NULLIF(total_requests, 0), 4)) STORED,
    budget_consumed_percent numeric     CONSTRAINT ck_error_budget_tracking_consumed CHECK (budget_consumed_percent BETWEEN 0 AND 1000000),
    rollback_triggered      boolean     NOT NULL DEFAULT false,
    rollback_reason         text        CONSTRAINT ck_error_budget_tracking_reason CHECK (char_length(rollback_reason) BETWEEN 1 AND 1000),
    created_at              timestamptz NOT NULL DEFAULT now(),
    updated_at              timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT uq_error_budget_tracking_window UNIQUE (service_name, time_window, window_start),
    CONSTRAINT ck_error_budget_tracking_window CHECK (window_end > window_start),
    CONSTRAINT ck_error_budget_tracking_rollback CHECK (rollback_triggered OR rollback_reason IS NULL)
);
COMMENT ON TABLE util.error_budget_tracking IS 'Requests of a service in a window, and how much of what it may fail is used up.';

CREATE TABLE util.performance_monitoring_config (
    id                          uuid        NOT NULL DEFAULT gen_random_uuid() CONSTRAINT performance_monitoring_config_pkey PRIMARY KEY,
    metric_name                 text        NOT NULL CONSTRAINT ck_performance_monitoring_config_metric CHECK (metric_name ~ '^[a-z][a-z0-9_]{1,79}$'),
    service_name                text        NOT NULL DEFAULT 'all' CONSTRAINT ck_performance_monitoring_config_service CHECK (service_name ~ '^[a-z][a-z0-9_]{1,49}$'),
    threshold_value             numeric     NOT NULL CONSTRAINT ck_performance_monitoring_config_threshold CHECK (threshold_value BETWEEN 0 AND 1000000000),
    threshold_unit              text        NOT NULL CONSTRAINT ck_performance_monitoring_config_unit CHECK (threshold_unit IN ('ms', 'percent', 'per_minute', 'count', 'seconds')),
    severity_level              text        NOT NULL CONSTRAINT ck_performance_monitoring_config_severity CHECK (severity_level IN ('low', 'medium', 'high', 'critical')),
    rollback_trigger            boolean     NOT NULL DEFAULT false,
    rollback_type               text        CONSTRAINT ck_performance_monitoring_config_rollback_type CHECK (rollback_type IN ('traffic_throttle', 'feature_disable', 'read_only_mode', 'emergency_stop')),
    rollback_config             jsonb       NOT NULL DEFAULT '{}' CONSTRAINT ck_performance_monitoring_config_rollback_config CHECK (jsonb_typeof(rollback_config) = 'object'),
    monitoring_interval_seconds integer     NOT NULL DEFAULT 60 CONSTRAINT ck_performance_monitoring_config_interval CHECK (monitoring_interval_seconds BETWEEN 10 AND 86400),
    alert_webhook_url           text        CONSTRAINT ck_performance_monitoring_config_webhook CHECK (alert_webhook_url ~ '^https?://\S+$' AND char_length(alert_webhook_url) <= 2000),
    is_active                   boolean     NOT NULL DEFAULT true,
    created_at                  timestamptz NOT NULL DEFAULT now(),
    updated_at                  timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT uq_performance_monitoring_config_metric UNIQUE (metric_name, service_name),
    CONSTRAINT ck_performance_monitoring_config_rollback CHECK (NOT rollback_trigger OR rollback_type IS NOT NULL)
);
CREATE INDEX idx_performance_monitoring_config_active ON util.performance_monitoring_config (metric_name) WHERE is_active;
COMMENT ON TABLE util.performance_monitoring_config IS 'Thresholds for a service, or for all that have none of their own, and what is done when one is crossed.';
COMMENT ON COLUMN util.performance_monitoring_config.alert_webhook_url IS 'Often holds a secret: written by clients, read by workers.';

CREATE TABLE util.rollback_execution_log (
    id                     uuid        NOT NULL DEFAULT gen_random_uuid() CONSTRAINT rollback_execution_log_pkey PRIMARY KEY,
    config_id              uuid        CONSTRAINT fk_rollback_execution_log_config REFERENCES util.performance_monitoring_config ON DELETE SET NULL,
    dedupe_key             text        NOT NULL CONSTRAINT uq_rollback_execution_log_dedupe_key UNIQUE CONSTRAINT ck_rollback_execution_log_dedupe_key CHECK (char_length(dedupe_key) BETWEEN 1 AND 200),
    trigger_metric         text        NOT NULL CONSTRAINT ck_rollback_execution_log_metric CHECK (trigger_metric ~ '^[a-z][a-z0-9_]{1,79}$'),
    trigger_value          numeric     NOT NULL CONSTRAINT ck_rollback_execution_log_trigger_value CHECK (abs(trigger_value) <= 1000000000000000),
    trigger_threshold      numeric     NOT NULL CONSTRAINT ck_rollback_execution_log_trigger_threshold CHECK (abs(trigger_threshold) <= 1000000000000000),
    rollback_type          text        NOT NULL CONSTRAINT ck_rollback_execution_log_type CHECK (rollback_type IN ('traffic_throttle', 'feature_disable', 'read_only_mode', 'emergency_stop')),
    rollback_config        jsonb       NOT NULL DEFAULT '{}' CONSTRAINT ck_rollback_execution_log_rollback_config CHECK (jsonb_typeof(rollback_config) = 'object'),
    execution_status       text        NOT NULL DEFAULT 'running' CONSTRAINT ck_rollback_execution_log_status CHECK (execution_status IN ('running', 'completed', 'failed', 'reverted')),
    rollback_actions_taken text[]      NOT NULL DEFAULT '{}' CONSTRAINT ck_rollback_execution_log_actions CHECK (cardinality(rollback_actions_taken) <= 100),
    impact_assessment      jsonb       NOT NULL DEFAULT '{}' CONSTRAINT ck_rollback_execution_log_impact CHECK (jsonb_typeof(impact_assessment) = 'object'),
    recovery_actions       text[]      NOT NULL DEFAULT '{}' CONSTRAINT ck_rollback_execution_log_recovery CHECK (cardinality(recovery_actions) <= 100),
    execution_time_ms      integer     CONSTRAINT ck_rollback_execution_log_time CHECK (execution_time_ms >= 0),
    initiated_by           text        NOT NULL DEFAULT 'automated_system' CONSTRAINT ck_rollback_execution_log_initiated_by CHECK (char_length(initiated_by) BETWEEN 1 AND 100),
    initiated_at           timestamptz NOT NULL DEFAULT now(),
    completed_at           timestamptz,
    reverted_at            timestamptz,
    CONSTRAINT ck_rollback_execution_log_completed CHECK ((execution_status = 'running') = (completed_at IS NULL)),
    CONSTRAINT ck_rollback_execution_log_reverted CHECK ((execution_status = 'reverted') = (reverted_at IS NOT NULL))
);
-- One at a time.
CREATE UNIQUE INDEX uq_rollback_execution_log_running ON util.rollback_execution_log (execution_status) WHERE execution_status = 'running';
CREATE INDEX idx_rollback_execution_log_config ON util.rollback_execution_log (config_id) WHERE config_id IS NOT NULL;
CREATE INDEX idx_rollback_execution_log_initiated_at ON util.rollback_execution_log (initiated_at DESC);
CREATE INDEX idx_rollback_execution_log_to_revert ON util.rollback_execution_log (completed_at) WHERE execution_status = 'completed';
COMMENT ON TABLE util.rollback_execution_log IS 'What was turned off because a threshold was crossed, and when it was turned on again.';
COMMENT ON COLUMN util.rollback_execution_log.dedupe_key IS 'Metric and window: one crossing has one consequence.';

CREATE TABLE util.system_anomalies (
    id                   uuid        NOT NULL DEFAULT gen_random_uuid() CONSTRAINT system_anomalies_pkey PRIMARY KEY,
    detector             text        NOT NULL CONSTRAINT ck_system_anomalies_detector CHECK (detector ~ '^[a-z][a-z0-9_]{1,79}$'),
    subject              text        NOT NULL DEFAULT '' CONSTRAINT ck_system_anomalies_subject CHECK (char_length(subject) <= 200),
    anomaly_type         text        NOT NULL CONSTRAINT ck_system_anomalies_type CHECK (anomaly_type IN ('performance', 'security', 'data_integrity', 'compliance', 'business_logic')),
    severity             text        NOT NULL CONSTRAINT ck_system_anomalies_severity CHECK (severity IN ('low', 'medium', 'high', 'critical')),
    status               text        NOT NULL DEFAULT 'detected' CONSTRAINT ck_system_anomalies_status CHECK (status IN ('detected', 'investigating', 'resolved', 'false_positive')),
    affected_component   text        CONSTRAINT ck_system_anomalies_component CHECK (char_length(affected_component) BETWEEN 1 AND 120),
    metric_name          text        CONSTRAINT ck_system_anomalies_metric CHECK (char_length(metric_name) BETWEEN 1 AND 120),
    detection_method     text        CONSTRAINT ck_system_anomalies_method CHECK (char_length(detection_method) BETWEEN 1 AND 120),
    anomaly_score        numeric     CONSTRAINT ck_system_anomalies_score CHECK (anomaly_score BETWEEN 0 AND 100),
    threshold_exceeded   numeric CONSTRAINT ck_system_anomalies_threshold_exceeded CHECK (abs(threshold_exceeded) <= 1000000000000000),
    current_value        numeric CONSTRAINT ck_system_anomalies_current_value CHECK (abs(current_value) <= 1000000000000000),
    baseline_value       numeric CONSTRAINT ck_system_anomalies_baseline_value CHECK (abs(baseline_value) <= 1000000000000000),
    -- Against nothing there is no deviation.
    deviation_percentage numeric     GENERATED ALWAYS AS (round(100.0 * (current_value - baseline_value) / NULLIF(abs(baseline_value), 0), 2)) STORED,
    impact_assessment    jsonb       NOT NULL DEFAULT '{}' CONSTRAINT ck_system_anomalies_impact CHECK (jsonb_typeof(impact_assessment) = 'object'),
    resolution_actions   text[]      NOT NULL DEFAULT '{}' CONSTRAINT ck_system_anomalies_actions CHECK (cardinality(resolution_actions) <= 100),
    occurrences          integer     NOT NULL DEFAULT 1 CONSTRAINT ck_system_anomalies_occurrences CHECK (occurrences > 0),
    detection_timestamp  timestamptz NOT NULL DEFAULT now(),
    last_seen_at         timestamptz NOT NULL DEFAULT now(),
    resolved_at          timestamptz,
    resolved_by          uuid        CONSTRAINT fk_system_anomalies_resolved_by REFERENCES public.profiles,
    job_id               uuid,
    CONSTRAINT ck_system_anomalies_last_seen_at CHECK (last_seen_at >= detection_timestamp),
    CONSTRAINT ck_system_anomalies_resolved CHECK ((status IN ('resolved', 'false_positive')) = (resolved_at IS NOT NULL))
);
CREATE UNIQUE INDEX uq_system_anomalies_open ON util.system_anomalies (detector, subject) WHERE status IN ('detected', 'investigating');
CREATE INDEX idx_system_anomalies_type_severity ON util.system_anomalies (anomaly_type, severity, detection_timestamp DESC);
CREATE INDEX idx_system_anomalies_detection ON util.system_anomalies (detection_timestamp DESC);
CREATE INDEX idx_system_anomalies_resolved_by ON util.system_anomalies (resolved_by) WHERE resolved_by IS NOT NULL;
COMMENT ON TABLE util.system_anomalies IS 'What is not as it should be, as long as it is not, and afterwards. A detector that finds the same again adds to the open one.';
COMMENT ON COLUMN util.system_anomalies.subject IS 'What it was found on, such as a table or a user''s id; empty for the whole.';
COMMENT ON COLUMN util.system_anomalies.resolved_by IS 'Null: it was gone at the next look.';

CREATE TRIGGER trg_slo_definitions_set_updated_at BEFORE UPDATE ON util.slo_definitions FOR EACH ROW EXECUTE FUNCTION util.set_updated_at();
CREATE TRIGGER trg_error_budget_tracking_set_updated_at BEFORE UPDATE ON util.error_budget_tracking FOR EACH ROW EXECUTE FUNCTION util.set_updated_at();
CREATE TRIGGER trg_performance_monitoring_config_set_updated_at BEFORE UPDATE ON util.performance_monitoring_config FOR EACH ROW EXECUTE FUNCTION util.set_updated_at();
CREATE TRIGGER trg_slo_definitions_log_change AFTER INSERT OR UPDATE OR DELETE ON util.slo_definitions
    FOR EACH ROW EXECUTE FUNCTION compliance.log_change('slo_key');
CREATE TRIGGER trg_performance_monitoring_config_log_change AFTER INSERT OR UPDATE OR DELETE ON util.performance_monitoring_config
    FOR EACH ROW EXECUTE FUNCTION compliance.log_change('metric_name,service_name', 'alert_webhook_url');

CREATE FUNCTION util.check_signature() RETURNS trigger
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    signed text := to_jsonb(NEW) ->> TG_ARGV[0];
BEGIN
    IF util.is_client() AND signed IS NOT NULL AND signed IS DISTINCT FROM to_jsonb(OLD) ->> TG_ARGV[0] AND signed IS DISTINCT FROM auth.uid()::text THEN
        RAISE EXCEPTION '% is whoever does it', TG_ARGV[0]
            USING ERRCODE = 'insufficient_privilege', CONSTRAINT = TG_NAME, SCHEMA = TG_TABLE_SCHEMA, TABLE = TG_TABLE_NAME;
    END IF;
    RETURN NEW;
END $$;
COMMENT ON FUNCTION util.check_signature IS 'For BEFORE UPDATE triggers, trg_<table>_check_signature(column): nobody signs with another''s name.';
CREATE TRIGGER trg_slo_alerts_check_signature BEFORE UPDATE OF acknowledged_by ON util.slo_alerts FOR EACH ROW EXECUTE FUNCTION util.check_signature('acknowledged_by');
CREATE TRIGGER trg_system_anomalies_check_signature BEFORE UPDATE OF resolved_by ON util.system_anomalies FOR EACH ROW EXECUTE FUNCTION util.check_signature('resolved_by');
REVOKE ALL ON FUNCTION util.check_signature FROM PUBLIC;

SELECT util.protect('util.slo_definitions');
SELECT util.protect('util.slo_measurements');
SELECT util.protect('util.slo_alerts');
SELECT util.protect('util.error_budget_tracking');
SELECT util.protect('util.performance_monitoring_config');
SELECT util.protect('util.rollback_execution_log', 'SELECT, INSERT, UPDATE');
SELECT util.protect('util.system_anomalies');

-- Figures are for those who see figures; objectives and answers for those who answer for them.
CREATE POLICY slo_definitions_read ON util.slo_definitions FOR SELECT TO authenticated
    USING ((SELECT rbac.has_permission((SELECT auth.uid()), 'analytics.view')));
CREATE POLICY slo_definitions_manage ON util.slo_definitions TO authenticated
    USING ((SELECT rbac.has_permission((SELECT auth.uid()), 'slo.manage'))) WITH CHECK ((SELECT rbac.has_permission((SELECT auth.uid()), 'slo.manage')));
GRANT SELECT, INSERT, UPDATE ON util.slo_definitions TO authenticated;
CREATE POLICY slo_measurements_read ON util.slo_measurements FOR SELECT TO authenticated
    USING ((SELECT rbac.has_permission((SELECT auth.uid()), 'analytics.view')) OR (SELECT rbac.has_permission((SELECT auth.uid()), 'slo.manage')));
GRANT SELECT ON util.slo_measurements TO authenticated;
CREATE POLICY slo_alerts_read ON util.slo_alerts FOR SELECT TO authenticated
    USING ((SELECT rbac.has_permission((SELECT auth.uid()), 'analytics.view')));
CREATE POLICY slo_alerts_manage ON util.slo_alerts TO authenticated
    USING ((SELECT rbac.has_permission((SELECT auth.uid()), 'slo.manage')))
    WITH CHECK ((SELECT rbac.has_permission((SELECT auth.uid()), 'slo.manage')));
GRANT SELECT, UPDATE (status, acknowledged_at, acknowledged_by, resolved_at) ON util.slo_alerts TO authenticated;
CREATE POLICY error_budget_tracking_read ON util.error_budget_tracking FOR SELECT TO authenticated
    USING ((SELECT rbac.has_permission((SELECT auth.uid()), 'analytics.view')) OR (SELECT rbac.has_permission((SELECT auth.uid()), 'slo.manage')));
GRANT SELECT ON util.error_budget_tracking TO authenticated;
CREATE POLICY performance_monitoring_config_manage ON util.performance_monitoring_config TO authenticated
    USING ((SELECT rbac.has_permission((SELECT auth.uid()), 'slo.manage'))) WITH CHECK ((SELECT rbac.has_permission((SELECT auth.uid()), 'slo.manage')));
GRANT SELECT (id, metric_name, service_name, threshold_value, threshold_unit, severity_level, rollback_trigger, rollback_type, rollback_config, monitoring_interval_seconds, is_active, created_at, updated_at),
    INSERT, UPDATE (threshold_value, threshold_unit, severity_level, rollback_trigger, rollback_type, rollback_config, monitoring_interval_seconds, alert_webhook_url, is_active)
    ON util.performance_monitoring_config TO authenticated;
CREATE POLICY rollback_execution_log_read ON util.rollback_execution_log FOR SELECT TO authenticated
    USING ((SELECT rbac.has_permission((SELECT auth.uid()), 'analytics.view')) OR (SELECT rbac.has_permission((SELECT auth.uid()), 'slo.manage')));
GRANT SELECT ON util.rollback_execution_log TO authenticated;
CREATE POLICY system_anomalies_read ON util.system_anomalies FOR SELECT TO authenticated
    USING ((SELECT rbac.has_permission((SELECT auth.uid()), 'analytics.view')));
CREATE POLICY system_anomalies_manage ON util.system_anomalies TO authenticated
    USING ((SELECT rbac.has_permission((SELECT auth.uid()), 'slo.manage')))
    WITH CHECK ((SELECT rbac.has_permission((SELECT auth.uid()), 'slo.manage')));
GRANT SELECT, UPDATE (status, resolution_actions, resolved_at, resolved_by) ON util.system_anomalies TO authenticated;

SELECT compliance.classify('util.slo_definitions', 'none');
SELECT compliance.classify('util.slo_measurements', 'none');
SELECT compliance.classify('util.slo_alerts', 'pseudonymous', '{acknowledged_by}', on_erasure => 'keep', reason => 'Who answered it; the profile it points to is empty.');
SELECT compliance.classify('util.slo_alerts', 'none');
SELECT compliance.classify('util.error_budget_tracking', 'none');
SELECT compliance.classify('util.performance_monitoring_config', 'none');
SELECT compliance.classify('util.rollback_execution_log', 'none');
SELECT compliance.classify('util.system_anomalies', 'pseudonymous', '{resolved_by,subject}', on_erasure => 'keep', reason => 'Who resolved it, and on whose rows it was found by id; the profiles they point to are empty.');
SELECT compliance.classify('util.system_anomalies', 'none');
