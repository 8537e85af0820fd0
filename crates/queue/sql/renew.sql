-- queue.renew
-- Extends the leases a worker still knows of. A lease that is not answered has been rescued.
UPDATE queue.leases
SET expires_at = coalesce($1, now()) + make_interval(secs => $3)
WHERE token = ANY ($2)
RETURNING token
