-- demo.tools
-- Lives as long as the transaction that makes a demo.
CREATE SCHEMA demo;

CREATE TABLE demo.plan (users bigint NOT NULL, months bigint NOT NULL, seed bigint NOT NULL, now timestamptz NOT NULL);

-- From 0 to just below 1, the same for the same label and number. MD5, because it is the same everywhere.
CREATE FUNCTION demo.chance(label text, nth bigint) RETURNS float8 LANGUAGE sql STABLE PARALLEL SAFE AS $$
    SELECT ('x' || left(md5((SELECT seed FROM demo.plan) || label || nth), 8))::bit(32)::bigint / 4294967296.0::float8
$$;

-- An id that is the same in every run of the plan.
CREATE FUNCTION demo.id(label text, nth bigint) RETURNS uuid LANGUAGE sql STABLE PARALLEL SAFE AS $$
    SELECT md5((SELECT seed FROM demo.plan) || 'id' || label || nth)::uuid
$$;

CREATE FUNCTION demo.pick(label text, nth bigint, options text[]) RETURNS text LANGUAGE sql STABLE PARALLEL SAFE AS $$
    SELECT options[1 + floor(demo.chance(label, nth) * cardinality(options))::integer]
$$;

-- A time between the beginning of the demo, or a later one, and now.
CREATE FUNCTION demo.moment(label text, nth bigint, since timestamptz DEFAULT NULL) RETURNS timestamptz LANGUAGE sql STABLE PARALLEL SAFE AS $$
    SELECT date_trunc('second', b.since + demo.chance(label, nth) * (p.now - b.since))
    FROM demo.plan p
    CROSS JOIN LATERAL (SELECT greatest(since, p.now - make_interval(months => p.months::integer)) AS since) b
$$;
