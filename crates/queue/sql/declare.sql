-- queue.declare
-- Stores a schedule as code declares it; edits stay, except arguments made for another kind.
INSERT INTO queue.schedules AS s (name, kind, args, cron, zone, overlap, missed, next_at)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8)
ON CONFLICT (name) DO UPDATE
SET kind = excluded.kind, args = excluded.args, cron = excluded.cron, zone = excluded.zone,
    overlap = excluded.overlap, missed = excluded.missed,
    edited_args = CASE WHEN s.kind = excluded.kind THEN s.edited_args END
WHERE (s.kind, s.args, s.cron, s.zone, s.overlap, s.missed) IS DISTINCT FROM
    (excluded.kind, excluded.args, excluded.cron, excluded.zone, excluded.overlap, excluded.missed)
