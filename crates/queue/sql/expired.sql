-- queue.expired
-- Locks leases that nobody renewed. A finish that is under way holds its lease, and is left to end.
SELECT token
FROM queue.leases
WHERE expires_at < coalesce($1, now())
    -- After a restart of the database its workers get the time of a lease to come back.
    AND pg_postmaster_start_time() + make_interval(secs => $3) < now()
ORDER BY expires_at
LIMIT $2
FOR UPDATE SKIP LOCKED
