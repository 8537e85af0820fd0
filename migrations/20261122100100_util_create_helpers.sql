-- What every area's migration uses: default deny, updated_at, monthly partitions.
-- Owner: workers/maintenance. Locks: none, everything is new.
-- Undo: DROP TABLE util.partitioned_tables; DROP the functions below.

CREATE SCHEMA IF NOT EXISTS util;
COMMENT ON SCHEMA util IS 'What all areas share: helpers, flags, measurements of the service. Written by workers/maintenance.';
GRANT USAGE ON SCHEMA util TO anon, authenticated, service_role;

-- Rights -----------------------------------------------------------------------------------------

CREATE FUNCTION util.protect(target regclass, service text DEFAULT 'SELECT, INSERT, UPDATE, DELETE') RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    name text := (SELECT relname FROM pg_class WHERE oid = target);
BEGIN
    EXECUTE format('ALTER TABLE %s ENABLE ROW LEVEL SECURITY', target);
    -- Some platforms grant new tables to clients by default.
    EXECUTE format('REVOKE ALL ON %s FROM PUBLIC, anon, authenticated, service_role', target);
    EXECUTE format('GRANT %s ON %s TO service_role', service, target);
    EXECUTE format('CREATE POLICY %I ON %s TO service_role USING (true) WITH CHECK (true)', name || '_service', target);
END $$;
COMMENT ON FUNCTION util.protect IS 'Shuts a new table for all but workers, and these to what they are granted. Every table begins with it; policies and grants open what clients may do.';

CREATE FUNCTION util.is_client() RETURNS boolean
LANGUAGE sql STABLE PARALLEL RESTRICTED SET search_path = pg_catalog, pg_temp
RETURN coalesce(current_setting('role', true), 'none') IN ('anon', 'authenticated')
    OR session_user IN ('anon', 'authenticated');
COMMENT ON FUNCTION util.is_client IS 'Whether a frontend asks, for itself or its user, and not a worker or an operator. True also inside SECURITY DEFINER.';

-- Time -------------------------------------------------------------------------------------------

CREATE FUNCTION util.set_updated_at() RETURNS trigger
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    NEW.updated_at := now();
    RETURN NEW;
END $$;
COMMENT ON FUNCTION util.set_updated_at IS 'For BEFORE UPDATE triggers: trg_<table>_set_updated_at.';

CREATE FUNCTION util.refuse_change() RETURNS trigger
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    RAISE EXCEPTION '% is only added to: no row of it is changed or removed', TG_TABLE_NAME
        USING ERRCODE = 'integrity_constraint_violation', CONSTRAINT = TG_NAME,
            SCHEMA = TG_TABLE_SCHEMA, TABLE = TG_TABLE_NAME;
END $$;
COMMENT ON FUNCTION util.refuse_change IS 'For BEFORE UPDATE OR DELETE triggers on logs: trg_<table>_refuse_change.';

CREATE FUNCTION util.is_time_zone(name text) RETURNS boolean
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    -- Asking the list of names would read a directory.
    PERFORM now() AT TIME ZONE name;
    RETURN coalesce(name ~ '^[A-Za-z][A-Za-z0-9_+/-]{0,63}$', false);
EXCEPTION WHEN invalid_parameter_value THEN
    RETURN false;
END $$;
COMMENT ON FUNCTION util.is_time_zone IS 'Whether the server knows a time zone of that name.';

-- Partitions by month ------------------------------------------------------------------------------

CREATE TABLE util.partitioned_tables (
    parent       text        NOT NULL CONSTRAINT partitioned_tables_pkey PRIMARY KEY,
    months_ahead smallint    NOT NULL DEFAULT 3 CONSTRAINT ck_partitioned_tables_months_ahead CHECK (months_ahead BETWEEN 1 AND 24),
    created_at   timestamptz NOT NULL DEFAULT now()
);
COMMENT ON TABLE util.partitioned_tables IS 'Tables with one partition for each month, and how far ahead their partitions are made.';

CREATE FUNCTION util.ensure_partitions(parent regclass, months_ahead integer DEFAULT 3, at timestamptz DEFAULT now())
RETURNS integer
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    schema_name text;
    table_name  text;
    key_column  text;
    fallback    regclass;
    part        text;
    starts_at   timestamptz;
    ends_at     timestamptz;
    copied      text;
    is_late     boolean;
    made        integer := 0;
BEGIN
    IF months_ahead NOT BETWEEN 0 AND 24 THEN
        RAISE EXCEPTION 'partitions are made at most 24 months ahead, not %', months_ahead USING ERRCODE = 'invalid_parameter_value';
    END IF;
    SELECT n.nspname, c.relname, a.attname, d.partdefid
    INTO schema_name, table_name, key_column, fallback
    FROM pg_partitioned_table d
    JOIN pg_class c ON c.oid = d.partrelid
    JOIN pg_namespace n ON n.oid = c.relnamespace
    JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum = d.partattrs[0]
    WHERE d.partrelid = parent AND d.partstrat = 'r' AND d.partnatts = 1
        -- Defaults and checks of a table run here with the rights of the owner: nobody brings a table of their own.
        AND c.relowner = current_user::regrole;
    IF NOT FOUND THEN
        RAISE EXCEPTION '% is not a table of the platform, partitioned by a range of one column', parent USING ERRCODE = 'wrong_object_type';
    END IF;
    -- Two makers take turns; the second finds everything made.
    PERFORM pg_advisory_xact_lock(1111834951, parent::oid::integer);
    IF fallback = 0 THEN
        part := table_name || '_default';
        EXECUTE format('CREATE TABLE %I.%I PARTITION OF %s DEFAULT', schema_name, part, parent);
        EXECUTE format('ALTER TABLE %I.%I ENABLE ROW LEVEL SECURITY', schema_name, part);
        EXECUTE format('REVOKE ALL ON %I.%I FROM PUBLIC, anon, authenticated, service_role', schema_name, part);
        EXECUTE format('COMMENT ON TABLE %I.%I IS %L', schema_name, part, 'Rows of months that nobody made a partition for. Should be empty.');
        fallback := format('%I.%I', schema_name, part)::regclass;
        made := made + 1;
    END IF;
    FOR month IN 0..months_ahead LOOP
        -- Months of UTC, whatever the session's time zone.
        starts_at := (date_trunc('month', at AT TIME ZONE 'UTC') + make_interval(months => month)) AT TIME ZONE 'UTC';
        ends_at := (date_trunc('month', at AT TIME ZONE 'UTC') + make_interval(months => month + 1)) AT TIME ZONE 'UTC';
        part := table_name || to_char(starts_at AT TIME ZONE 'UTC', '_YYYY_MM');
        CONTINUE WHEN to_regclass(format('%I.%I', schema_name, part)) IS NOT NULL;
        EXECUTE format('CREATE TABLE %I.%I (LIKE %s INCLUDING ALL EXCLUDING COMMENTS EXCLUDING IDENTITY)', schema_name, part, parent);
        EXECUTE format('ALTER TABLE %I.%I ENABLE ROW LEVEL SECURITY', schema_name, part);
        EXECUTE format('REVOKE ALL ON %I.%I FROM PUBLIC, anon, authenticated, service_role', schema_name, part);
        EXECUTE format('COMMENT ON TABLE %I.%I IS %L', schema_name, part, to_char(starts_at AT TIME ZONE 'UTC', 'YYYY-MM') || ' of ' || parent::text || '.');
        -- What fell into the default partition before its month was made moves, or the month could not be attached.
        EXECUTE format('LOCK TABLE %s IN ACCESS EXCLUSIVE MODE', fallback);
        EXECUTE format('SELECT EXISTS (SELECT FROM %s WHERE %I >= %L AND %I < %L)', fallback, key_column, starts_at, key_column, ends_at) INTO is_late;
        IF is_late THEN
            IF EXISTS (SELECT FROM pg_constraint k WHERE k.contype = 'f' AND k.confrelid = parent AND k.confdeltype NOT IN ('a', 'r')) THEN
                RAISE EXCEPTION 'rows of % cannot move out of the default partition: what points to them would be deleted', parent
                    USING ERRCODE = 'dependent_objects_still_exist';
            END IF;
            SELECT string_agg(quote_ident(a.attname), ', ' ORDER BY a.attnum) INTO copied
            FROM pg_attribute a WHERE a.attrelid = parent AND a.attnum > 0 AND NOT a.attisdropped AND a.attgenerated = '';
            -- A row that moves is neither new nor gone: no trigger of a log refuses it, and none counts it twice.
            EXECUTE format('ALTER TABLE %s DISABLE TRIGGER USER', fallback);
            EXECUTE format(
                'WITH moved AS (DELETE FROM %s WHERE %I >= %L AND %I < %L RETURNING *) INSERT INTO %I.%I (%s) SELECT %s FROM moved',
                fallback, key_column, starts_at, key_column, ends_at, schema_name, part, copied, copied
            );
            EXECUTE format('ALTER TABLE %s ENABLE TRIGGER USER', fallback);
        END IF;
        EXECUTE format(
            'ALTER TABLE %s ATTACH PARTITION %I.%I FOR VALUES FROM (%L) TO (%L)', parent, schema_name, part, starts_at, ends_at
        );
        made := made + 1;
    END LOOP;
    INSERT INTO util.partitioned_tables (parent, months_ahead)
    VALUES (format('%I.%I', schema_name, table_name), greatest(months_ahead, 1))
    ON CONFLICT DO NOTHING;
    RETURN made;
END $$;
COMMENT ON FUNCTION util.ensure_partitions IS 'Makes the partitions of this month and so many after it, and the default one; answers how many were missing.';

CREATE FUNCTION util.ensure_all_partitions(at timestamptz DEFAULT now()) RETURNS integer
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    wanted record;
    made   integer := 0;
BEGIN
    FOR wanted IN SELECT * FROM util.partitioned_tables WHERE to_regclass(parent) IS NOT NULL ORDER BY parent LOOP
        made := made + util.ensure_partitions(wanted.parent::regclass, wanted.months_ahead, at);
    END LOOP;
    RETURN made;
END $$;
COMMENT ON FUNCTION util.ensure_all_partitions IS 'util.ensure_partitions for every table that has them and is still there. Harmless to repeat.';

SELECT util.protect('util.partitioned_tables');

REVOKE ALL ON FUNCTION util.protect, util.is_client, util.set_updated_at, util.refuse_change, util.is_time_zone, util.ensure_partitions, util.ensure_all_partitions FROM PUBLIC;
GRANT EXECUTE ON FUNCTION util.is_client, util.is_time_zone TO anon, authenticated, service_role;
GRANT EXECUTE ON FUNCTION util.ensure_partitions, util.ensure_all_partitions TO service_role;
