-- Who may call the API without being a user: keys, each stored as a digest with its permissions.
-- Owner: crates/api. Locks: none, everything is new. Undo: DROP SCHEMA identity CASCADE.

CREATE SCHEMA identity;
COMMENT ON SCHEMA identity IS 'Who calls. Only crates/api writes here.';

CREATE TABLE identity.api_keys (
    id           uuid        NOT NULL DEFAULT gen_random_uuid() CONSTRAINT api_keys_pkey PRIMARY KEY,
    prefix       text        NOT NULL CONSTRAINT uq_api_keys_prefix UNIQUE
                             CONSTRAINT ck_api_keys_prefix CHECK (prefix ~ '^[0-9a-f]{12}$'),
    digest       bytea       NOT NULL CONSTRAINT ck_api_keys_digest CHECK (octet_length(digest) = 32),
    name         text        NOT NULL CONSTRAINT ck_api_keys_name CHECK (char_length(name) BETWEEN 1 AND 100),
    permissions  text[]      NOT NULL CONSTRAINT ck_api_keys_permissions CHECK (cardinality(permissions) > 0),
    created_at   timestamptz NOT NULL DEFAULT now(),
    expires_at   timestamptz,
    revoked_at   timestamptz,
    last_used_at timestamptz,
    CONSTRAINT ck_api_keys_expires_at CHECK (expires_at > created_at)
);
COMMENT ON TABLE identity.api_keys IS 'API keys. Never deleted: a revoked key stays, so that what it did can be told.';
COMMENT ON COLUMN identity.api_keys.prefix IS 'The public part of the key. Finds the row, and names the key in lists and logs.';
COMMENT ON COLUMN identity.api_keys.digest IS 'SHA-256 of the whole key. 256 random bits need no salt and no slow hash.';
COMMENT ON COLUMN identity.api_keys.name IS 'Who holds it and for what. Need not be unique: a rotation has two for a while.';
COMMENT ON COLUMN identity.api_keys.permissions IS 'What it may do, such as jobs.enqueue. Names that a release does not know grant nothing.';
COMMENT ON COLUMN identity.api_keys.expires_at IS 'From then on it is refused. Null: never.';
COMMENT ON COLUMN identity.api_keys.revoked_at IS 'Set once, for good.';
COMMENT ON COLUMN identity.api_keys.last_used_at IS 'Written at most once a minute.';

-- Rights: nobody but the owner, until a later migration grants.
ALTER TABLE identity.api_keys ENABLE ROW LEVEL SECURITY;
