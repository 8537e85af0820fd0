-- How often a key may call.
-- Owner: crates/api. Locks: a short one on identity.api_keys, nothing is rewritten. Undo: ALTER TABLE identity.api_keys DROP COLUMN rate_limit.

ALTER TABLE identity.api_keys ADD COLUMN rate_limit integer NOT NULL DEFAULT 1000
    CONSTRAINT ck_api_keys_rate_limit CHECK (rate_limit BETWEEN 1 AND 1000000);
COMMENT ON COLUMN identity.api_keys.rate_limit IS 'Calls an hour, to be counted by util.count_and_check.';
SELECT compliance.classify('identity.api_keys', 'none', '{rate_limit}');
