-- Less about people than they send: addresses become hashes or networks, places become regions; and the checks of it.
-- Owner: workers/gdpr, the rotation of salts workers/maintenance. Locks: none, everything is new.
-- Undo: DROP TABLE compliance.ip_salts, compliance.geo_region_mapping, compliance.dpia_test_results; DROP the functions below.

CREATE TABLE compliance.ip_salts (
    salted_on  date        NOT NULL CONSTRAINT ip_salts_pkey PRIMARY KEY,
    salt       bytea       NOT NULL CONSTRAINT ck_ip_salts_salt CHECK (octet_length(salt) = 32),
    created_at timestamptz NOT NULL DEFAULT now()
);
COMMENT ON TABLE compliance.ip_salts IS 'What addresses are hashed with: one secret for each day of UTC, today''s and yesterday''s. Once it is gone, nobody can tell whose hash it was.';

CREATE TABLE compliance.geo_region_mapping (
    id                         uuid        NOT NULL DEFAULT gen_random_uuid() CONSTRAINT geo_region_mapping_pkey PRIMARY KEY,
    country_code               text        NOT NULL CONSTRAINT uq_geo_region_mapping_country UNIQUE CONSTRAINT ck_geo_region_mapping_country CHECK (country_code ~ '^[A-Z]{2}$'),
    region_code                text        NOT NULL CONSTRAINT ck_geo_region_mapping_region CHECK (region_code ~ '^[A-Z][A-Z_]{1,19}$'),
    region_name                text        NOT NULL CONSTRAINT ck_geo_region_mapping_name CHECK (char_length(region_name) BETWEEN 1 AND 80),
    gdpr_applicable            boolean     NOT NULL,
    data_localization_required boolean     NOT NULL DEFAULT false,
    privacy_level              text        NOT NULL DEFAULT 'public' CONSTRAINT ck_geo_region_mapping_privacy_level CHECK (privacy_level IN ('public', 'sensitive', 'restricted')),
    compliance_notes           text        CONSTRAINT ck_geo_region_mapping_notes CHECK (char_length(compliance_notes) BETWEEN 1 AND 1000),
    created_at                 timestamptz NOT NULL DEFAULT now()
);
COMMENT ON TABLE compliance.geo_region_mapping IS 'Which region stands for a place in a country, when the place is to be forgotten.';
COMMENT ON COLUMN compliance.geo_region_mapping.privacy_level IS 'What remains of a place: public: country and region; sensitive: the region; restricted: nothing.';

CREATE TABLE compliance.dpia_test_results (
    id                   uuid        NOT NULL DEFAULT gen_random_uuid() CONSTRAINT dpia_test_results_pkey PRIMARY KEY,
    test_execution_id    uuid        NOT NULL,
    test_name            text        NOT NULL CONSTRAINT ck_dpia_test_results_name CHECK (test_name ~ '^[a-z][a-z0-9_]{1,79}$'),
    test_category        text        NOT NULL CONSTRAINT ck_dpia_test_results_category CHECK (test_category IN ('raw_ip', 'geo_minimisation', 'retention', 'consent', 'other')),
    test_description     text        NOT NULL DEFAULT '' CONSTRAINT ck_dpia_test_results_description CHECK (char_length(test_description) <= 1000),
    test_status          text        NOT NULL CONSTRAINT ck_dpia_test_results_status CHECK (test_status IN ('pass', 'fail', 'warning')),
    compliance_level     text        NOT NULL DEFAULT 'gdpr' CONSTRAINT ck_dpia_test_results_compliance_level CHECK (compliance_level IN ('gdpr', 'ccpa', 'general')),
    risk_level           text        NOT NULL CONSTRAINT ck_dpia_test_results_risk_level CHECK (risk_level IN ('low', 'medium', 'high', 'critical')),
    findings_count       integer     NOT NULL DEFAULT 0 CONSTRAINT ck_dpia_test_results_findings_count CHECK (findings_count >= 0),
    findings_details     jsonb       NOT NULL DEFAULT '{}' CONSTRAINT ck_dpia_test_results_findings_details CHECK (jsonb_typeof(findings_details) = 'object'),
    compliance_notes     text        CONSTRAINT ck_dpia_test_results_notes CHECK (char_length(compliance_notes) BETWEEN 1 AND 2000),
    remediation_deadline timestamptz,
    remediation_status   text        NOT NULL DEFAULT 'none' CONSTRAINT ck_dpia_test_results_remediation_status CHECK (remediation_status IN ('none', 'open', 'in_progress', 'done', 'accepted')),
    test_timestamp       timestamptz NOT NULL DEFAULT now(),
    created_at           timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT uq_dpia_test_results_name UNIQUE (test_execution_id, test_name),
    CONSTRAINT ck_dpia_test_results_findings CHECK ((test_status = 'pass') = (findings_count = 0)),
    CONSTRAINT ck_dpia_test_results_remediation CHECK (test_status <> 'fail' OR remediation_status <> 'none' AND remediation_deadline IS NOT NULL)
);
CREATE INDEX idx_dpia_test_results_name ON compliance.dpia_test_results (test_name, test_timestamp DESC);
COMMENT ON TABLE compliance.dpia_test_results IS 'What the checks for raw addresses, places and overdue data found, run by run.';
COMMENT ON COLUMN compliance.dpia_test_results.findings_details IS 'Counts for each table and column. Never what was found.';

-- Addresses ----------------------------------------------------------------------------------------

CREATE FUNCTION compliance.plain_ip(ip inet) RETURNS inet
LANGUAGE sql IMMUTABLE PARALLEL SAFE SET search_path = pg_catalog, pg_temp
RETURN CASE
    -- An IPv4 address in the clothes of the other kind is the same client.
    WHEN family(ip) = 6 AND ip << '::ffff:0:0/96' AND strpos(host(ip), '.') > 0 THEN substr(host(ip), 8)::inet
    ELSE host(ip)::inet
END;
COMMENT ON FUNCTION compliance.plain_ip IS 'An address without a mask, and as IPv4 where it stands for one.';

CREATE FUNCTION compliance.truncate_ip_to_network(ip inet) RETURNS cidr
LANGUAGE sql IMMUTABLE PARALLEL SAFE SET search_path = pg_catalog, pg_temp
RETURN network(set_masklen(compliance.plain_ip(ip), CASE family(compliance.plain_ip(ip)) WHEN 4 THEN 24 ELSE 48 END));
COMMENT ON FUNCTION compliance.truncate_ip_to_network IS 'The network of an address: 24 bits of IPv4, 48 of IPv6. What a session may remember.';

CREATE FUNCTION compliance.rotate_ip_salt(at timestamptz DEFAULT now()) RETURNS date
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    today date := (at AT TIME ZONE 'UTC')::date;
BEGIN
    -- 244 random bits; gen_random_uuid is as strong as the server has it, and needs no extension.
    INSERT INTO compliance.ip_salts (salted_on, salt) VALUES (today, sha256(uuid_send(gen_random_uuid()) || uuid_send(gen_random_uuid())))
    ON CONFLICT DO NOTHING;
    DELETE FROM compliance.ip_salts WHERE salted_on < today - 1;
    RETURN today;
END $$;
COMMENT ON FUNCTION compliance.rotate_ip_salt IS 'Makes today''s salt if there is none, and destroys those from before yesterday. Harmless to repeat.';

CREATE FUNCTION compliance.hash_ip_daily_salt(ip inet, salted_on date DEFAULT (now() AT TIME ZONE 'UTC')::date) RETURNS text
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
#variable_conflict use_column
DECLARE
    plain inet := compliance.plain_ip(ip);
    salt  bytea;
BEGIN
    SELECT s.salt INTO salt FROM compliance.ip_salts s WHERE s.salted_on = hash_ip_daily_salt.salted_on;
    IF salt IS NULL AND hash_ip_daily_salt.salted_on = (now() AT TIME ZONE 'UTC')::date THEN
        -- The first of the day, before the rotation.
        PERFORM compliance.rotate_ip_salt();
        SELECT s.salt INTO salt FROM compliance.ip_salts s WHERE s.salted_on = hash_ip_daily_salt.salted_on;
    END IF;
    -- Whoever has one IPv6 address has the 2^64 of its network.
    RETURN encode(sha256(salt || convert_to(CASE family(plain) WHEN 4 THEN host(plain) ELSE text(network(set_masklen(plain, 64))) END, 'UTF8')), 'hex');
END $$;
COMMENT ON FUNCTION compliance.hash_ip_daily_salt IS 'What logs keep of an address: the same for a day, and then like no other. IPv6 by its network of 64 bits. Null where the salt of that day is gone.';

CREATE FUNCTION compliance.recent_ip_hashes(ip inet) RETURNS text[]
LANGUAGE sql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
BEGIN ATOMIC
    SELECT array_remove(ARRAY[
        compliance.hash_ip_daily_salt(ip),
        compliance.hash_ip_daily_salt(ip, (now() AT TIME ZONE 'UTC')::date - 1)
    ], NULL);
END;
COMMENT ON FUNCTION compliance.recent_ip_hashes IS 'Today''s hash of an address, and yesterday''s: for windows that reach over midnight.';

-- Places -------------------------------------------------------------------------------------------

CREATE FUNCTION compliance.get_region_from_country(country_code text) RETURNS text
LANGUAGE sql STABLE SECURITY DEFINER PARALLEL SAFE SET search_path = pg_catalog, pg_temp
BEGIN ATOMIC
    SELECT coalesce((SELECT g.region_code FROM compliance.geo_region_mapping g WHERE g.country_code = upper(get_region_from_country.country_code)), 'OTHER');
END;
COMMENT ON FUNCTION compliance.get_region_from_country IS 'The region of a country; OTHER for those that are not listed.';

CREATE FUNCTION compliance.minimize_geo_data(country_code text, city text DEFAULT NULL) RETURNS jsonb
LANGUAGE sql STABLE SECURITY DEFINER PARALLEL SAFE SET search_path = pg_catalog, pg_temp
BEGIN ATOMIC
    SELECT jsonb_build_object(
        -- A country that is not listed is nobody's to keep: little is known about its law.
        'country_code', CASE WHEN g.privacy_level = 'public' THEN g.country_code END,
        'city_region', CASE WHEN g.privacy_level <> 'restricted' THEN g.region_code WHEN g.id IS NULL THEN 'OTHER' END
    )
    FROM (VALUES (upper(minimize_geo_data.country_code))) AS asked(code)
    LEFT JOIN compliance.geo_region_mapping g ON g.country_code = asked.code;
END;
COMMENT ON FUNCTION compliance.minimize_geo_data IS 'What may be kept of a place: country_code and city_region, as far as the country''s privacy_level allows. The city is never among it.';

-- Rights -------------------------------------------------------------------------------------------

-- Not even workers see the salts: whoever has one can try all addresses.
SELECT util.protect('compliance.ip_salts');
REVOKE ALL ON compliance.ip_salts FROM service_role;
SELECT util.protect('compliance.geo_region_mapping');
SELECT util.protect('compliance.dpia_test_results');

CREATE POLICY geo_region_mapping_read ON compliance.geo_region_mapping FOR SELECT TO authenticated
    USING ((SELECT rbac.has_permission((SELECT auth.uid()), 'gdpr.process')));
GRANT SELECT ON compliance.geo_region_mapping TO authenticated;
CREATE POLICY dpia_test_results_read ON compliance.dpia_test_results FOR SELECT TO authenticated
    USING ((SELECT rbac.has_permission((SELECT auth.uid()), 'gdpr.process')));
GRANT SELECT ON compliance.dpia_test_results TO authenticated;

-- Who can hash an address can find out whose a hash is.
REVOKE ALL ON FUNCTION compliance.plain_ip, compliance.truncate_ip_to_network, compliance.rotate_ip_salt, compliance.hash_ip_daily_salt,
    compliance.recent_ip_hashes, compliance.get_region_from_country, compliance.minimize_geo_data FROM PUBLIC;
GRANT EXECUTE ON FUNCTION compliance.plain_ip, compliance.truncate_ip_to_network, compliance.rotate_ip_salt, compliance.hash_ip_daily_salt,
    compliance.recent_ip_hashes, compliance.get_region_from_country, compliance.minimize_geo_data TO service_role;

SELECT compliance.classify('compliance.ip_salts', 'none');
SELECT compliance.classify('compliance.geo_region_mapping', 'none');
SELECT compliance.classify('compliance.dpia_test_results', 'none');
