-- What payment providers say, as they said it: stored before it is understood, and applied again whenever that is asked.
-- Owner: workers/billing. Locks: none, everything is new. Undo: DROP TABLE billing.webhook_events, billing.provider_cursors.

CREATE TABLE billing.webhook_events (
    id                    uuid        NOT NULL DEFAULT gen_random_uuid() CONSTRAINT webhook_events_pkey PRIMARY KEY,
    provider              text        NOT NULL CONSTRAINT ck_webhook_events_provider CHECK (provider IN ('stripe', 'chargily')),
    provider_event_id     text        NOT NULL CONSTRAINT ck_webhook_events_provider_event_id CHECK (char_length(provider_event_id) BETWEEN 1 AND 255),
    provider_account      text        CONSTRAINT ck_webhook_events_provider_account CHECK (char_length(provider_account) BETWEEN 1 AND 255),
    event_type            text        NOT NULL CONSTRAINT ck_webhook_events_event_type CHECK (char_length(event_type) BETWEEN 1 AND 255),
    object_type           text        CONSTRAINT ck_webhook_events_object_type CHECK (char_length(object_type) BETWEEN 1 AND 100),
    object_id             text        CONSTRAINT ck_webhook_events_object_id CHECK (char_length(object_id) BETWEEN 1 AND 255),
    provider_customer_id  text        CONSTRAINT ck_webhook_events_provider_customer_id CHECK (char_length(provider_customer_id) BETWEEN 1 AND 255),
    user_id               uuid        CONSTRAINT fk_webhook_events_user REFERENCES public.profiles,
    provider_created_at   timestamptz NOT NULL DEFAULT now(),
    api_version           text        CONSTRAINT ck_webhook_events_api_version CHECK (char_length(api_version) BETWEEN 1 AND 60),
    is_live               boolean     NOT NULL DEFAULT true,
    source                text        NOT NULL DEFAULT 'webhook' CONSTRAINT ck_webhook_events_source CHECK (source IN ('webhook', 'recovery', 'import')),
    signature             text        CONSTRAINT ck_webhook_events_signature CHECK (char_length(signature) BETWEEN 1 AND 2000),
    secret_name           text        CONSTRAINT ck_webhook_events_secret_name CHECK (char_length(secret_name) BETWEEN 1 AND 100),
    raw_payload           bytea       CONSTRAINT ck_webhook_events_raw_payload CHECK (octet_length(raw_payload) BETWEEN 1 AND 1048576),
    payload               jsonb       CONSTRAINT ck_webhook_events_payload CHECK (jsonb_typeof(payload) = 'object'),
    status                text        NOT NULL DEFAULT 'received' CONSTRAINT ck_webhook_events_status
        CHECK (status IN ('received', 'processing', 'processed', 'ignored', 'failed')),
    attempts              integer     NOT NULL DEFAULT 0 CONSTRAINT ck_webhook_events_attempts CHECK (attempts >= 0),
    next_retry_at         timestamptz,
    error_kind            text        CONSTRAINT ck_webhook_events_error_kind CHECK (error_kind IN ('transient', 'permanent', 'poison')),
    error                 text        CONSTRAINT ck_webhook_events_error CHECK (char_length(error) <= 4000),
    job_id                uuid,
    replays               integer     NOT NULL DEFAULT 0 CONSTRAINT ck_webhook_events_replays CHECK (replays >= 0),
    replayed_at           timestamptz,
    processing_started_at timestamptz,
    processed_at          timestamptz,
    redacted_at           timestamptz,
    received_at           timestamptz NOT NULL DEFAULT now(),
    updated_at            timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT uq_webhook_events_provider_event_id UNIQUE (provider, provider_event_id),
    CONSTRAINT ck_webhook_events_signed CHECK (source <> 'webhook' OR signature IS NOT NULL),
    CONSTRAINT ck_webhook_events_redacted CHECK ((raw_payload IS NULL) = (redacted_at IS NOT NULL)),
    CONSTRAINT ck_webhook_events_processing CHECK (status <> 'processing' OR processing_started_at IS NOT NULL),
    CONSTRAINT ck_webhook_events_processed CHECK ((status IN ('processed', 'ignored')) = (processed_at IS NOT NULL)),
    CONSTRAINT ck_webhook_events_failed CHECK (status <> 'failed' OR error_kind IS NOT NULL AND (error IS NOT NULL OR redacted_at IS NOT NULL)),
    CONSTRAINT ck_webhook_events_next_retry_at CHECK (next_retry_at IS NULL OR status = 'failed' AND error_kind = 'transient')
);
CREATE INDEX idx_webhook_events_object ON billing.webhook_events (provider, object_id, provider_created_at) WHERE object_id IS NOT NULL;
CREATE INDEX idx_webhook_events_type ON billing.webhook_events (event_type, provider_created_at);
CREATE INDEX idx_webhook_events_created ON billing.webhook_events (provider, provider_created_at);
CREATE INDEX idx_webhook_events_waiting ON billing.webhook_events (received_at) WHERE status IN ('received', 'processing');
CREATE INDEX idx_webhook_events_retry ON billing.webhook_events (next_retry_at) WHERE next_retry_at IS NOT NULL;
CREATE INDEX idx_webhook_events_parked ON billing.webhook_events (status, provider_created_at) WHERE status IN ('failed', 'ignored');
CREATE INDEX idx_webhook_events_user ON billing.webhook_events (user_id) WHERE user_id IS NOT NULL;
CREATE INDEX idx_webhook_events_customer ON billing.webhook_events (provider, provider_customer_id) WHERE provider_customer_id IS NOT NULL;
CREATE INDEX idx_webhook_events_account ON billing.webhook_events (provider, provider_account) WHERE provider_account IS NOT NULL;
COMMENT ON TABLE billing.webhook_events IS 'Signed events of payment providers. Stored before the answer is given, applied afterwards, kept to be applied again; all that is in the mirrors follows from these rows.';
COMMENT ON COLUMN billing.webhook_events.provider_event_id IS 'The provider''s id, or sha256: and the digest of a body that names none.';
COMMENT ON COLUMN billing.webhook_events.provider_account IS 'The connected account that the event is about, if any.';
COMMENT ON COLUMN billing.webhook_events.object_id IS 'Events of one object are applied one after the other, in the order of provider_created_at.';
COMMENT ON COLUMN billing.webhook_events.provider_created_at IS 'The provider''s clock, in whole seconds; for a body that does not say, when it came.';
COMMENT ON COLUMN billing.webhook_events.source IS 'webhook: sent and signed; recovery: read from the provider''s list after an outage; import: from another system.';
COMMENT ON COLUMN billing.webhook_events.secret_name IS 'Which of the secrets fitted the signature; never the secret.';
COMMENT ON COLUMN billing.webhook_events.raw_payload IS 'The bytes that were signed. Goes when the person it speaks of is erased.';
COMMENT ON COLUMN billing.webhook_events.payload IS 'The same as JSON, null where it is none. After an erasure only what accounts need.';
COMMENT ON COLUMN billing.webhook_events.status IS 'ignored: understood and of no interest. failed: parked with its error; with next_retry_at it is tried again by itself.';
COMMENT ON COLUMN billing.webhook_events.job_id IS 'The job that applies it, of queue.jobs.';

CREATE TABLE billing.provider_cursors (
    id             uuid        NOT NULL DEFAULT gen_random_uuid() CONSTRAINT provider_cursors_pkey PRIMARY KEY,
    provider       text        NOT NULL CONSTRAINT ck_provider_cursors_provider CHECK (provider IN ('stripe', 'chargily')),
    stream         text        NOT NULL CONSTRAINT ck_provider_cursors_stream CHECK (stream ~ '^[a-z][a-z0-9_.:-]{1,119}$'),
    position       text        CONSTRAINT ck_provider_cursors_position CHECK (char_length(position) BETWEEN 1 AND 255),
    reached_at     timestamptz,
    gap_from       timestamptz,
    gap_until      timestamptz,
    last_run_at    timestamptz,
    last_error     text        CONSTRAINT ck_provider_cursors_last_error CHECK (char_length(last_error) <= 4000),
    created_at     timestamptz NOT NULL DEFAULT now(),
    updated_at     timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT uq_provider_cursors_stream UNIQUE (provider, stream),
    CONSTRAINT ck_provider_cursors_gap CHECK ((gap_from IS NULL) = (gap_until IS NULL) AND gap_until > gap_from)
);
COMMENT ON TABLE billing.provider_cursors IS 'How far a list of the provider has been read: events after an outage, objects for a comparison. Moves only with what was stored.';
COMMENT ON COLUMN billing.provider_cursors.reached_at IS 'Everything up to this time of the provider''s is stored here, but for the gap.';
COMMENT ON COLUMN billing.provider_cursors.gap_from IS 'Begin of a time whose events the provider no longer lists.';

CREATE TRIGGER trg_webhook_events_set_updated_at BEFORE UPDATE ON billing.webhook_events FOR EACH ROW EXECUTE FUNCTION util.set_updated_at();
CREATE TRIGGER trg_provider_cursors_set_updated_at BEFORE UPDATE ON billing.provider_cursors FOR EACH ROW EXECUTE FUNCTION util.set_updated_at();

CREATE FUNCTION billing.keep_event() RETURNS trigger
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    RAISE EXCEPTION 'what the provider said is not changed: event %', OLD.provider_event_id
        USING ERRCODE = 'integrity_constraint_violation', CONSTRAINT = TG_NAME, SCHEMA = TG_TABLE_SCHEMA, TABLE = TG_TABLE_NAME;
END $$;
COMMENT ON FUNCTION billing.keep_event IS 'Refuses to change what an event says; it may only be taken away with the person it speaks of.';
CREATE TRIGGER trg_webhook_events_keep_event
    BEFORE UPDATE OF provider, provider_event_id, event_type, source, signature, received_at, raw_payload ON billing.webhook_events FOR EACH ROW
    WHEN (
        (OLD.provider, OLD.provider_event_id, OLD.event_type, OLD.source, OLD.signature, OLD.received_at)
            IS DISTINCT FROM (NEW.provider, NEW.provider_event_id, NEW.event_type, NEW.source, NEW.signature, NEW.received_at)
        OR NEW.raw_payload IS NOT NULL AND OLD.raw_payload IS DISTINCT FROM NEW.raw_payload
    )
    EXECUTE FUNCTION billing.keep_event();

CREATE FUNCTION billing.stamp_redaction() RETURNS trigger
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    NEW.redacted_at := coalesce(NEW.redacted_at, now());
    RETURN NEW;
END $$;
COMMENT ON FUNCTION billing.stamp_redaction IS 'Notes when the bytes of an event went, whoever empties them.';
CREATE TRIGGER trg_webhook_events_stamp_redaction
    BEFORE UPDATE OF raw_payload ON billing.webhook_events FOR EACH ROW
    WHEN (OLD.raw_payload IS NOT NULL AND NEW.raw_payload IS NULL)
    EXECUTE FUNCTION billing.stamp_redaction();
REVOKE ALL ON FUNCTION billing.keep_event, billing.stamp_redaction FROM PUBLIC;

SELECT util.protect('billing.webhook_events', 'SELECT, INSERT, UPDATE');
SELECT util.protect('billing.provider_cursors', 'SELECT, INSERT, UPDATE');

SELECT compliance.classify('billing.webhook_events', 'personal', '{raw_payload,payload,error}', on_erasure => 'anonymise');
SELECT compliance.classify('billing.webhook_events', 'financial', '{user_id,object_id,provider_customer_id,provider_account,provider_event_id}', exported => true, on_erasure => 'keep',
    reason => 'Proof of what the books follow from, for 60 months; the profile it points to is empty.');
SELECT compliance.classify('billing.webhook_events', 'none');
SELECT compliance.classify('billing.provider_cursors', 'none');
