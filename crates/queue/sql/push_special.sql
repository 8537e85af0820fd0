-- queue.push_special
-- Stores those of the jobs whose unique key nobody holds; answers for each, in order, who holds its key.
WITH keyed AS (
    SELECT
        array_agg(CASE WHEN by_args THEN queue.key_of(args) ELSE key END ORDER BY position) AS keys,
        array_agg(
            CASE WHEN while_kept THEN 'infinity' ELSE now() + make_interval(secs => within_seconds) END
            ORDER BY position
        ) AS untils
    FROM unnest($4::jsonb[], $11::text[], $12::boolean[], $13::boolean[], $14::float8[])
        WITH ORDINALITY AS p(args, key, by_args, while_kept, within_seconds, position)
)
SELECT
    s.job AS "job!",
    s.until IS NULL AS "until_ended!",
    CASE WHEN isfinite(s.until) THEN s.until END AS until
FROM keyed
CROSS JOIN queue.store(
    $1::uuid[], $2::text[], $3::text[], $4::jsonb[], $5::smallint[], $6::smallint[],
    $7::timestamptz[], $8::float8[], $9::uuid[], $10::text[], keyed.keys, keyed.untils,
    $15::text[], $16::text[], $17::smallint[]
) s
