-- queue.schedules
-- Schedules in force: an operator's edit goes before what code declares.
SELECT
    name, kind, paused, next_at, waiting_at,
    coalesce(edited_args, args) AS "args!",
    coalesce(edited_cron, cron) AS "cron!",
    coalesce(edited_zone, zone) AS "zone!",
    coalesce(edited_overlap, overlap) AS "overlap!: Overlap",
    coalesce(edited_missed, missed) AS "missed!: Missed",
    array_remove(ARRAY[
        CASE WHEN edited_cron IS NOT NULL THEN 'cron' END,
        CASE WHEN edited_zone IS NOT NULL THEN 'zone' END,
        CASE WHEN edited_overlap IS NOT NULL THEN 'overlap' END,
        CASE WHEN edited_missed IS NOT NULL THEN 'missed' END,
        CASE WHEN edited_args IS NOT NULL THEN 'args' END
    ], NULL) AS "edited!",
    (SELECT max(tick_at) FROM queue.ticks WHERE schedule = name) AS last_tick_at
FROM queue.schedules
WHERE $1::text[] IS NULL OR name = ANY ($1)
ORDER BY name
