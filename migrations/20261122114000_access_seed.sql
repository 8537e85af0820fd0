-- The four tiers. May run again: what operators changed stays.
-- Owner: workers/billing. Locks: none. Undo: DELETE FROM access.tiers.

INSERT INTO access.tiers (tier_key, aliases, display_name, description, rank, monthly_price_cents)
SELECT s.*
FROM (VALUES
    ('free', '{}'::text[], 'Free', 'What everybody has who is signed in.', 0::smallint, 0::bigint),
    ('basic', '{member}', 'Basic', 'Courses for members.', 10, NULL),
    ('premium', '{premium_member}', 'Premium', 'All courses, and media for premium members.', 20, NULL),
    ('enterprise', '{}', 'Enterprise', 'For organisations.', 30, NULL)
) AS s(tier_key, aliases, display_name, description, rank, monthly_price_cents)
-- A name or a rank that is taken was given on purpose.
WHERE NOT EXISTS (SELECT FROM access.tiers t WHERE t.tier_key = s.tier_key OR t.rank = s.rank OR t.aliases && (s.aliases || s.tier_key))
ON CONFLICT DO NOTHING;
