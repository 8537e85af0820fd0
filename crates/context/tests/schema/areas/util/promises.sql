-- promise: A partitioned table gets this month, three more and a default one, once.
CREATE TABLE world.events (id uuid DEFAULT gen_random_uuid(), at timestamptz NOT NULL, PRIMARY KEY (id, at)) PARTITION BY RANGE (at);
SELECT world.same(util.ensure_partitions('world.events', 3, '2025-11-15'), 5);
SELECT world.same(util.ensure_partitions('world.events', 3, '2025-11-15'), 0);
SELECT world.same(util.ensure_partitions('world.events', 3, '2025-12-15'), 1);
SELECT world.same(
    (SELECT array_agg(inhrelid::regclass::text ORDER BY inhrelid::regclass::text) FROM pg_inherits WHERE inhparent = 'world.events'::regclass),
    '{world.events_2025_11,world.events_2025_12,world.events_2026_01,world.events_2026_02,world.events_2026_03,world.events_default}'::text[]
);

-- promise: Months are those of UTC, whatever the session's zone.
SET LOCAL TIME ZONE 'Asia/Tokyo';
CREATE TABLE world.events (id uuid DEFAULT gen_random_uuid(), at timestamptz NOT NULL, PRIMARY KEY (id, at)) PARTITION BY RANGE (at);
SELECT util.ensure_partitions('world.events', 1, '2025-11-30 20:00+00');
INSERT INTO world.events (at) VALUES ('2025-11-30 23:59:59+00'), ('2025-12-01 00:00+00');
SELECT world.same((SELECT array_agg(tableoid::regclass::text ORDER BY at) FROM world.events), '{world.events_2025_11,world.events_2025_12}'::text[]);

-- promise: Rows that fell into the default partition move when their month is made.
CREATE TABLE world.events (id uuid DEFAULT gen_random_uuid(), at timestamptz NOT NULL, PRIMARY KEY (id, at)) PARTITION BY RANGE (at);
SELECT util.ensure_partitions('world.events', 0, '2025-11-15');
INSERT INTO world.events (at) VALUES ('2026-01-05'), ('2026-05-05');
SELECT world.same((SELECT count(*) FROM world.events_default), 2::bigint);
SELECT util.ensure_partitions('world.events', 2, '2025-11-15');
SELECT world.same((SELECT count(*) FROM world.events_default), 1::bigint);
SELECT world.same((SELECT count(*) FROM world.events_2026_01), 1::bigint);

-- promise: Rows of a log move too, with what is computed from them, and no trigger sees it.
CREATE TABLE world.events (id uuid DEFAULT gen_random_uuid(), n integer, twice integer GENERATED ALWAYS AS (n * 2) STORED, at timestamptz NOT NULL, PRIMARY KEY (id, at)) PARTITION BY RANGE (at);
CREATE TRIGGER trg_events_refuse_change BEFORE UPDATE OR DELETE ON world.events FOR EACH ROW EXECUTE FUNCTION util.refuse_change();
SELECT util.ensure_partitions('world.events', 0, '2025-11-15');
INSERT INTO world.events (n, at) VALUES (1, '2026-01-05');
SELECT util.ensure_partitions('world.events', 2, '2025-11-15');
SELECT world.same((SELECT twice FROM world.events_2026_01), 2);
SELECT world.fails('DELETE FROM world.events', 'trg_events_refuse_change');
INSERT INTO world.events (n, at) VALUES (1, '2027-01-05');
SELECT world.fails('DELETE FROM world.events_default', 'trg_events_refuse_change');

-- promise: Rows do not move when others would be deleted with them.
CREATE TABLE world.events (id uuid DEFAULT gen_random_uuid(), at timestamptz NOT NULL, PRIMARY KEY (id, at)) PARTITION BY RANGE (at);
CREATE TABLE world.details (event_id uuid, at timestamptz, FOREIGN KEY (event_id, at) REFERENCES world.events ON DELETE CASCADE);
SELECT util.ensure_partitions('world.events', 0, '2025-11-15');
WITH e AS (INSERT INTO world.events (at) VALUES ('2026-01-05') RETURNING id, at) SELECT count(*) FROM e;
INSERT INTO world.details SELECT id, at FROM world.events;
SELECT world.fails($$SELECT util.ensure_partitions('world.events', 2, '2025-11-15')$$, '2BP01');
SELECT world.same((SELECT count(*) FROM world.details), 1::bigint);

-- promise: One table that is gone does not keep the others from their partitions.
SELECT world.same(to_regclass('world.events'), NULL::regclass);
SELECT world.same(util.ensure_all_partitions() >= 0, true);
SELECT world.same(util.ensure_all_partitions(now() + interval '1 month') > 0, true);

-- promise: Partitions are protected like their table.
CREATE TABLE world.events (id uuid DEFAULT gen_random_uuid(), at timestamptz NOT NULL, PRIMARY KEY (id, at)) PARTITION BY RANGE (at);
SELECT util.ensure_partitions('world.events', 1, '2025-11-15');
SELECT world.same((SELECT bool_and(relrowsecurity) FROM pg_class WHERE relkind = 'r' AND relname LIKE 'events\_%'), true);

-- promise: What has no months is refused.
SELECT world.fails($$SELECT util.ensure_partitions('public.profiles')$$, '42809');
SELECT world.fails($$SELECT util.ensure_partitions('queue.jobs', 99)$$, '22023');
