-- What is kept about people, column by column, and what becomes of it on an export and on an erasure.
-- Owner: workers/gdpr. Locks: none, everything is new. Undo: DROP TABLE compliance.data_map, compliance.data_subjects;
-- DROP FUNCTION compliance.classify, compliance.belongs_to.

CREATE SCHEMA compliance;
COMMENT ON SCHEMA compliance IS 'What law asks for: requests of people, proofs, retention, the map of their data. Written by workers/gdpr.';
GRANT USAGE ON SCHEMA compliance TO anon, authenticated, service_role;

CREATE TABLE compliance.data_map (
    schema_name text    NOT NULL,
    table_name  text    NOT NULL,
    column_name text    NOT NULL,
    class       text    NOT NULL CONSTRAINT ck_data_map_class CHECK (class IN ('none', 'personal', 'pseudonymous', 'financial')),
    is_exported boolean NOT NULL,
    on_erasure  text    NOT NULL CONSTRAINT ck_data_map_on_erasure CHECK (on_erasure IN ('none', 'delete', 'anonymise', 'keep')),
    reason      text    CONSTRAINT ck_data_map_reason_length CHECK (char_length(reason) BETWEEN 1 AND 500),
    CONSTRAINT data_map_pkey PRIMARY KEY (schema_name, table_name, column_name),
    CONSTRAINT ck_data_map_none CHECK (class <> 'none' OR NOT is_exported AND on_erasure = 'none'),
    CONSTRAINT ck_data_map_personal CHECK (class = 'none' OR on_erasure <> 'none'),
    CONSTRAINT ck_data_map_reason CHECK (on_erasure <> 'keep' OR reason IS NOT NULL)
);
COMMENT ON TABLE compliance.data_map IS 'Every column of every table, classified. The erasure and the export of a person live from it; a test fails when a column is missing.';
COMMENT ON COLUMN compliance.data_map.class IS 'personal: says something about a person; pseudonymous: only with another table; financial: personal, and kept as long as accounts have to be.';
COMMENT ON COLUMN compliance.data_map.on_erasure IS 'delete: the rows of the person (data_subjects) go, with all their columns; anonymise: the column becomes null, or its default where it may not be null, and the row stays; keep: for the reason given, in rows that stay.';

CREATE TABLE compliance.data_subjects (
    schema_name text NOT NULL,
    table_name  text NOT NULL,
    condition   text NOT NULL,
    erased_by   text CONSTRAINT ck_data_subjects_erased_by CHECK (erased_by ~ '^[a-z_]{1,50}\.[a-z_]{1,50}$'),
    CONSTRAINT data_subjects_pkey PRIMARY KEY (schema_name, table_name)
);
COMMENT ON TABLE compliance.data_subjects IS 'Whose the rows of a table are: a condition in SQL on the table, in which $1 is the id of a profile.';
COMMENT ON COLUMN compliance.data_subjects.erased_by IS 'The function that an erasure calls with the id of the profile, where rows are changed in no other way. Null: the map says it all.';

CREATE FUNCTION compliance.classify(
    target regclass, class text, columns text[] DEFAULT NULL, exported boolean DEFAULT false, on_erasure text DEFAULT 'none', reason text DEFAULT NULL
) RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
#variable_conflict use_variable
DECLARE
    unknown text;
BEGIN
    SELECT string_agg(c, ', ') INTO unknown
    FROM unnest(columns) AS c
    WHERE NOT EXISTS (SELECT FROM pg_attribute a WHERE a.attrelid = target AND a.attname = c AND a.attnum > 0 AND NOT a.attisdropped);
    IF unknown IS NOT NULL THEN
        RAISE EXCEPTION '% has no column %', target, unknown USING ERRCODE = 'undefined_column';
    END IF;
    INSERT INTO compliance.data_map AS m (schema_name, table_name, column_name, class, is_exported, on_erasure, reason)
    SELECT n.nspname, t.relname, a.attname, classify.class, exported, classify.on_erasure, classify.reason
    FROM pg_attribute a
    JOIN pg_class t ON t.oid = a.attrelid
    JOIN pg_namespace n ON n.oid = t.relnamespace
    WHERE a.attrelid = target AND a.attnum > 0 AND NOT a.attisdropped
        -- Without a list, those that nothing has been said about.
        AND CASE WHEN columns IS NULL
            THEN NOT EXISTS (
                SELECT FROM compliance.data_map k
                WHERE (k.schema_name, k.table_name, k.column_name) = (n.nspname, t.relname, a.attname)
            )
            ELSE a.attname = ANY (columns)
        END
    ON CONFLICT ON CONSTRAINT data_map_pkey DO UPDATE
    SET class = excluded.class, is_exported = excluded.is_exported, on_erasure = excluded.on_erasure, reason = excluded.reason;
END $$;
COMMENT ON FUNCTION compliance.classify IS 'Says in the data map what columns of a table hold; without a list, all of which nothing is said yet. Migrations end with it.';

CREATE FUNCTION compliance.belongs_to(target regclass, condition text, erased_by text DEFAULT NULL) RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    -- A condition that does not fit the table fails here, and not at somebody's erasure.
    EXECUTE format('SELECT 1 FROM %s WHERE %s LIMIT 0', target, condition) USING gen_random_uuid();
    INSERT INTO compliance.data_subjects AS s (schema_name, table_name, condition, erased_by)
    SELECT n.nspname, t.relname, belongs_to.condition, belongs_to.erased_by
    FROM pg_class t JOIN pg_namespace n ON n.oid = t.relnamespace
    WHERE t.oid = target
    ON CONFLICT ON CONSTRAINT data_subjects_pkey DO UPDATE SET condition = excluded.condition, erased_by = excluded.erased_by;
END $$;
COMMENT ON FUNCTION compliance.belongs_to IS 'Says whose the rows of a table are.';

SELECT util.protect('compliance.data_map', 'SELECT');
SELECT util.protect('compliance.data_subjects', 'SELECT');
REVOKE ALL ON FUNCTION compliance.classify, compliance.belongs_to FROM PUBLIC;

SELECT compliance.classify('compliance.data_map', 'none');
SELECT compliance.classify('compliance.data_subjects', 'none');
SELECT compliance.classify('util.partitioned_tables', 'none');

-- Written with its table, which came before this map.
SELECT compliance.classify('identity.api_keys', 'personal', '{name}', on_erasure => 'keep', reason => 'Says who holds a key, so that what was done with it can be told.');
SELECT compliance.classify('identity.api_keys', 'none');
SELECT util.protect('identity.api_keys', 'SELECT, INSERT, UPDATE');
GRANT USAGE ON SCHEMA identity TO service_role;

-- On Supabase these tables are another product's: whatever columns it has, it removes them with the account.
SELECT compliance.classify('auth.users', 'personal', on_erasure => 'delete');
SELECT compliance.belongs_to('auth.users', 'id = $1');
SELECT compliance.classify('auth.identities', 'personal', on_erasure => 'delete');
SELECT compliance.belongs_to('auth.identities', 'user_id = $1');
