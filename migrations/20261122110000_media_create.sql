-- Media: assets at providers or in the own object store, their variants, the work on them, and uploads.
-- Policies follow in media_create_policies, after content and access.
-- Owner: workers/media. Locks: none, everything is new. Undo: DROP SCHEMA media CASCADE.

CREATE SCHEMA media;
COMMENT ON SCHEMA media IS 'Videos, sounds, images and documents: what they are, where they are, and how far the work on them has come. Written by workers/media.';
GRANT USAGE ON SCHEMA media TO anon, authenticated, service_role;

CREATE TABLE media.assets (
    id                uuid        NOT NULL DEFAULT gen_random_uuid() CONSTRAINT assets_pkey PRIMARY KEY,
    uploaded_by       uuid        DEFAULT auth.uid() CONSTRAINT fk_assets_uploaded_by REFERENCES public.profiles,
    asset_type        text        NOT NULL CONSTRAINT ck_assets_asset_type CHECK (asset_type IN ('video', 'audio', 'document', 'image')),
    purpose           text        NOT NULL DEFAULT 'other' CONSTRAINT ck_assets_purpose CHECK (purpose IN ('lesson', 'attachment', 'avatar', 'document', 'certificate', 'studio', 'other')),
    access_level      text        NOT NULL DEFAULT 'private' CONSTRAINT ck_assets_access_level CHECK (access_level IN ('public', 'course_access', 'premium_only', 'private')),
    upload_status     text        NOT NULL DEFAULT 'pending' CONSTRAINT ck_assets_upload_status CHECK (upload_status IN ('pending', 'processing', 'ready', 'error')),
    title             text        NOT NULL DEFAULT '' CONSTRAINT ck_assets_title CHECK (char_length(title) <= 200),
    description       text        NOT NULL DEFAULT '' CONSTRAINT ck_assets_description CHECK (char_length(description) <= 2000),
    language          text        CONSTRAINT ck_assets_language CHECK (language ~ '^[a-z]{2}(-[A-Z]{2})?$'),
    original_filename text        CONSTRAINT ck_assets_original_filename CHECK (original_filename ~ '^[^/\\[:cntrl:]]{1,255}$'),
    external_provider text        CONSTRAINT ck_assets_external_provider CHECK (external_provider IN ('vimeo', 'youtube', 'bunnycdn', 's3', 'cloudflare')),
    external_id       text        CONSTRAINT ck_assets_external_id CHECK (char_length(external_id) BETWEEN 1 AND 300),
    external_url      text        CONSTRAINT ck_assets_external_url CHECK (external_url ~ '^https?://\S+$' AND char_length(external_url) <= 2000),
    object_key        text        CONSTRAINT ck_assets_object_key CHECK (object_key ~ '^[A-Za-z0-9][A-Za-z0-9/._-]*$' AND char_length(object_key) <= 500),
    mime_type         text        CONSTRAINT ck_assets_mime_type CHECK (mime_type ~ '^[a-z]+/[a-z0-9][a-z0-9.+-]{0,126}$'),
    sha256            bytea       CONSTRAINT ck_assets_sha256 CHECK (octet_length(sha256) = 32),
    file_size_bytes   bigint      CONSTRAINT ck_assets_file_size_bytes CHECK (file_size_bytes BETWEEN 0 AND 5497558138880),
    duration_seconds  numeric(9, 3) CONSTRAINT ck_assets_duration_seconds CHECK (duration_seconds BETWEEN 0 AND 999999),
    width             integer     CONSTRAINT ck_assets_width CHECK (width BETWEEN 1 AND 65535),
    height            integer     CONSTRAINT ck_assets_height CHECK (height BETWEEN 1 AND 65535),
    wants_transcript  boolean     NOT NULL DEFAULT false,
    plan_version      integer     NOT NULL DEFAULT 0 CONSTRAINT ck_assets_plan_version CHECK (plan_version >= 0),
    processing_data   jsonb       NOT NULL DEFAULT '{}' CONSTRAINT ck_assets_processing_data CHECK (jsonb_typeof(processing_data) = 'object'),
    error_message     text        CONSTRAINT ck_assets_error_message CHECK (char_length(error_message) BETWEEN 1 AND 2000),
    view_count        bigint      NOT NULL DEFAULT 0 CONSTRAINT ck_assets_view_count CHECK (view_count >= 0),
    last_accessed_at  timestamptz,
    last_synced_at    timestamptz,
    ready_at          timestamptz,
    created_at        timestamptz NOT NULL DEFAULT now(),
    updated_at        timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT uq_assets_external_id UNIQUE (external_provider, external_id),
    CONSTRAINT uq_assets_object_key UNIQUE (object_key),
    CONSTRAINT ck_assets_external CHECK ((external_provider IS NULL) = (external_id IS NULL) AND (external_url IS NULL OR external_provider IS NOT NULL)),
    CONSTRAINT ck_assets_dimensions CHECK ((width IS NULL) = (height IS NULL)),
    CONSTRAINT ck_assets_ready CHECK (upload_status <> 'ready' OR ready_at IS NOT NULL AND num_nonnulls(external_id, object_key) > 0),
    CONSTRAINT ck_assets_error CHECK ((upload_status = 'error') = (error_message IS NOT NULL))
);
CREATE INDEX idx_assets_uploaded_by ON media.assets (uploaded_by, created_at DESC) WHERE uploaded_by IS NOT NULL;
CREATE INDEX idx_assets_unfinished ON media.assets (upload_status, created_at) WHERE upload_status <> 'ready';
CREATE INDEX idx_assets_external_sync ON media.assets (last_synced_at NULLS FIRST) WHERE external_provider IS NOT NULL;
CREATE INDEX idx_assets_sha256 ON media.assets (sha256) WHERE sha256 IS NOT NULL;
COMMENT ON TABLE media.assets IS 'A video, sound, image or document. Its file is at a provider (external_id) or in the own object store (object_key).';
COMMENT ON COLUMN media.assets.uploaded_by IS 'Null: the platform made it.';
COMMENT ON COLUMN media.assets.access_level IS 'public: everybody; course_access: who may read a lesson, course or library entry that shows it; premium_only: from the tier premium on; private: who uploaded it. Nothing is shown before it is ready.';
COMMENT ON COLUMN media.assets.object_key IS 'Where the source lies in the own object store. Written by workers once the object is checked, never by clients, who could name somebody else''s.';
COMMENT ON COLUMN media.assets.plan_version IS 'Of the transcode plan that counts: work of an older plan finishes nothing. 0: no plan yet.';
COMMENT ON COLUMN media.assets.wants_transcript IS 'Captions and a transcript are made of it.';
COMMENT ON COLUMN media.assets.processing_data IS 'What probing found out, and what a provider said.';
COMMENT ON COLUMN media.assets.last_synced_at IS 'When the provider was last asked.';

CREATE TABLE media.asset_variants (
    id              uuid        NOT NULL DEFAULT gen_random_uuid() CONSTRAINT asset_variants_pkey PRIMARY KEY,
    asset_id        uuid        NOT NULL CONSTRAINT fk_asset_variants_asset REFERENCES media.assets ON DELETE CASCADE,
    variant_type    text        NOT NULL CONSTRAINT ck_asset_variants_variant_type CHECK (variant_type IN ('source', 'high', 'medium', 'low', 'thumbnail', 'sprite', 'captions', 'transcript', 'avatar_large', 'avatar_small')),
    language        text        CONSTRAINT ck_asset_variants_language CHECK (language ~ '^[a-z]{2}(-[A-Z]{2})?$'),
    quality_label   text        CONSTRAINT ck_asset_variants_quality_label CHECK (quality_label ~ '^[0-9A-Za-z]{1,20}$'),
    preset_version  integer     NOT NULL DEFAULT 1 CONSTRAINT ck_asset_variants_preset_version CHECK (preset_version > 0),
    is_required     boolean     NOT NULL DEFAULT true,
    status          text        NOT NULL DEFAULT 'pending' CONSTRAINT ck_asset_variants_status CHECK (status IN ('pending', 'ready', 'error')),
    external_url    text        CONSTRAINT ck_asset_variants_external_url CHECK (external_url ~ '^https?://\S+$' AND char_length(external_url) <= 2000),
    object_key      text        CONSTRAINT ck_asset_variants_object_key CHECK (object_key ~ '^[A-Za-z0-9][A-Za-z0-9/._-]*$' AND char_length(object_key) <= 500),
    mime_type       text        CONSTRAINT ck_asset_variants_mime_type CHECK (mime_type ~ '^[a-z]+/[a-z0-9][a-z0-9.+-]{0,126}$'),
    width           integer     CONSTRAINT ck_asset_variants_width CHECK (width BETWEEN 1 AND 65535),
    height          integer     CONSTRAINT ck_asset_variants_height CHECK (height BETWEEN 1 AND 65535),
    bitrate         integer     CONSTRAINT ck_asset_variants_bitrate CHECK (bitrate > 0),
    file_size_bytes bigint      CONSTRAINT ck_asset_variants_file_size_bytes CHECK (file_size_bytes BETWEEN 0 AND 5497558138880),
    error_message   text        CONSTRAINT ck_asset_variants_error_message CHECK (char_length(error_message) BETWEEN 1 AND 2000),
    created_at      timestamptz NOT NULL DEFAULT now(),
    updated_at      timestamptz NOT NULL DEFAULT now(),
    -- Making a variant again, with another preset too, replaces it.
    CONSTRAINT uq_asset_variants_type UNIQUE NULLS NOT DISTINCT (asset_id, variant_type, language),
    CONSTRAINT uq_asset_variants_object_key UNIQUE (object_key),
    CONSTRAINT ck_asset_variants_dimensions CHECK ((width IS NULL) = (height IS NULL)),
    CONSTRAINT ck_asset_variants_ready CHECK (status <> 'ready' OR num_nonnulls(external_url, object_key) > 0),
    CONSTRAINT ck_asset_variants_error CHECK ((status = 'error') = (error_message IS NOT NULL))
);
COMMENT ON TABLE media.asset_variants IS 'Another form of an asset: a quality, a picture of it, its captions.';
COMMENT ON COLUMN media.asset_variants.variant_type IS 'high is 1080p, medium 720p, low 480p.';
COMMENT ON COLUMN media.asset_variants.is_required IS 'The asset is not ready before this is.';

CREATE TABLE media.transcode_jobs (
    id             uuid        NOT NULL DEFAULT gen_random_uuid() CONSTRAINT transcode_jobs_pkey PRIMARY KEY,
    asset_id       uuid        NOT NULL CONSTRAINT fk_transcode_jobs_asset REFERENCES media.assets ON DELETE CASCADE,
    kind           text        NOT NULL CONSTRAINT ck_transcode_jobs_kind CHECK (kind IN ('probe', 'transcode', 'thumbnail', 'transcribe', 'sync', 'avatar')),
    variant_type   text        CONSTRAINT ck_transcode_jobs_variant_type CHECK (variant_type ~ '^[a-z][a-z_]{1,39}$'),
    preset_version integer     NOT NULL DEFAULT 1 CONSTRAINT ck_transcode_jobs_preset_version CHECK (preset_version > 0),
    plan_version   integer     NOT NULL DEFAULT 1 CONSTRAINT ck_transcode_jobs_plan_version CHECK (plan_version > 0),
    plan           jsonb       NOT NULL DEFAULT '{}' CONSTRAINT ck_transcode_jobs_plan CHECK (jsonb_typeof(plan) = 'object'),
    status         text        NOT NULL DEFAULT 'queued' CONSTRAINT ck_transcode_jobs_status CHECK (status IN ('queued', 'running', 'completed', 'failed', 'cancelled')),
    progress       smallint    NOT NULL DEFAULT 0 CONSTRAINT ck_transcode_jobs_progress CHECK (progress BETWEEN 0 AND 100),
    job_id         uuid,
    attempts       smallint    NOT NULL DEFAULT 0 CONSTRAINT ck_transcode_jobs_attempts CHECK (attempts >= 0),
    log            text        NOT NULL DEFAULT '' CONSTRAINT ck_transcode_jobs_log CHECK (char_length(log) <= 20000),
    error_message  text        CONSTRAINT ck_transcode_jobs_error_message CHECK (char_length(error_message) BETWEEN 1 AND 2000),
    heartbeat_at   timestamptz,
    started_at     timestamptz,
    completed_at   timestamptz,
    created_at     timestamptz NOT NULL DEFAULT now(),
    updated_at     timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT uq_transcode_jobs_work UNIQUE NULLS NOT DISTINCT (asset_id, kind, variant_type, preset_version, plan_version),
    CONSTRAINT ck_transcode_jobs_variant CHECK (kind <> 'transcode' OR variant_type IS NOT NULL),
    CONSTRAINT ck_transcode_jobs_started CHECK (status NOT IN ('running', 'completed') OR started_at IS NOT NULL),
    CONSTRAINT ck_transcode_jobs_completed CHECK ((status IN ('completed', 'failed', 'cancelled')) = (completed_at IS NOT NULL)),
    CONSTRAINT ck_transcode_jobs_done CHECK (status <> 'completed' OR progress = 100),
    CONSTRAINT ck_transcode_jobs_failed CHECK (status <> 'failed' OR error_message IS NOT NULL)
);
CREATE INDEX idx_transcode_jobs_open ON media.transcode_jobs (status, created_at) WHERE status IN ('queued', 'running');
CREATE INDEX idx_transcode_jobs_job ON media.transcode_jobs (job_id) WHERE job_id IS NOT NULL;
COMMENT ON TABLE media.transcode_jobs IS 'One piece of work on an asset, and how far it is. The queue runs it (job_id); nobody polls this table.';
COMMENT ON COLUMN media.transcode_jobs.plan IS 'What to make: codec, size, bit rate.';

CREATE TABLE media.uploads (
    id                  uuid        NOT NULL DEFAULT gen_random_uuid() CONSTRAINT uploads_pkey PRIMARY KEY,
    user_id             uuid        NOT NULL DEFAULT auth.uid() CONSTRAINT fk_uploads_user REFERENCES public.profiles ON DELETE CASCADE,
    asset_id            uuid        NOT NULL CONSTRAINT fk_uploads_asset REFERENCES media.assets ON DELETE CASCADE,
    method              text        NOT NULL DEFAULT 'put' CONSTRAINT ck_uploads_method CHECK (method IN ('put', 'multipart')),
    filename            text        NOT NULL CONSTRAINT ck_uploads_filename CHECK (filename ~ '^[^/\\[:cntrl:]]{1,255}$'),
    mime_type           text        NOT NULL CONSTRAINT ck_uploads_mime_type CHECK (mime_type ~ '^[a-z]+/[a-z0-9][a-z0-9.+-]{0,126}$'),
    expected_size_bytes bigint      NOT NULL CONSTRAINT ck_uploads_expected_size_bytes CHECK (expected_size_bytes BETWEEN 1 AND 5497558138880),
    expected_sha256     bytea       CONSTRAINT ck_uploads_expected_sha256 CHECK (octet_length(expected_sha256) = 32),
    part_size_bytes     bigint      CONSTRAINT ck_uploads_part_size_bytes CHECK (part_size_bytes BETWEEN 5242880 AND 5368709120),
    state               text        NOT NULL DEFAULT 'open' CONSTRAINT ck_uploads_state CHECK (state IN ('open', 'completing', 'completed', 'failed', 'aborted', 'expired')),
    provider_upload_id  text        CONSTRAINT ck_uploads_provider_upload_id CHECK (char_length(provider_upload_id) BETWEEN 1 AND 1000),
    parts               jsonb       NOT NULL DEFAULT '[]' CONSTRAINT ck_uploads_parts CHECK (CASE WHEN jsonb_typeof(parts) = 'array' THEN jsonb_array_length(parts) <= 10000 ELSE false END),
    received_bytes      bigint      NOT NULL DEFAULT 0 CONSTRAINT ck_uploads_received_bytes CHECK (received_bytes BETWEEN 0 AND expected_size_bytes),
    job_id              uuid,
    error_message       text        CONSTRAINT ck_uploads_error_message CHECK (char_length(error_message) BETWEEN 1 AND 2000),
    expires_at          timestamptz NOT NULL DEFAULT now() + interval '24 hours',
    completed_at        timestamptz,
    created_at          timestamptz NOT NULL DEFAULT now(),
    updated_at          timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT ck_uploads_part_size CHECK (method = 'multipart' OR part_size_bytes IS NULL),
    CONSTRAINT ck_uploads_completed CHECK ((state = 'completed') = (completed_at IS NOT NULL)),
    CONSTRAINT ck_uploads_failed CHECK (state <> 'failed' OR error_message IS NOT NULL),
    CONSTRAINT ck_uploads_expires_at CHECK (expires_at > created_at)
);
CREATE UNIQUE INDEX uq_uploads_open ON media.uploads (asset_id) WHERE state IN ('open', 'completing');
CREATE INDEX idx_uploads_asset ON media.uploads (asset_id);
CREATE INDEX idx_uploads_user ON media.uploads (user_id, created_at DESC);
CREATE INDEX idx_uploads_expires_at ON media.uploads (expires_at) WHERE state IN ('open', 'completing');
COMMENT ON TABLE media.uploads IS 'A file on its way into the object store, whole or in parts, that can be taken up again until it expires.';
COMMENT ON COLUMN media.uploads.provider_upload_id IS 'What the object store calls a multipart upload.';
COMMENT ON COLUMN media.uploads.parts IS 'Parts that have arrived: number, etag, size_bytes.';
COMMENT ON COLUMN media.uploads.job_id IS 'The job that looks at what arrived.';

CREATE TRIGGER trg_assets_set_updated_at BEFORE UPDATE ON media.assets FOR EACH ROW EXECUTE FUNCTION util.set_updated_at();
CREATE TRIGGER trg_asset_variants_set_updated_at BEFORE UPDATE ON media.asset_variants FOR EACH ROW EXECUTE FUNCTION util.set_updated_at();
CREATE TRIGGER trg_transcode_jobs_set_updated_at BEFORE UPDATE ON media.transcode_jobs FOR EACH ROW EXECUTE FUNCTION util.set_updated_at();
CREATE TRIGGER trg_uploads_set_updated_at BEFORE UPDATE ON media.uploads FOR EACH ROW EXECUTE FUNCTION util.set_updated_at();

SELECT util.protect('media.assets');
SELECT util.protect('media.asset_variants');
SELECT util.protect('media.transcode_jobs');
SELECT util.protect('media.uploads');

SELECT compliance.classify('media.assets', 'pseudonymous', '{id,uploaded_by,created_at,updated_at}', exported => true, on_erasure => 'keep', reason => 'Courses show it after its maker is gone; the profile it points to is empty.');
SELECT compliance.classify('media.assets', 'personal', '{title,description,original_filename,external_url,object_key,sha256,processing_data}', exported => true, on_erasure => 'delete');
SELECT compliance.classify('media.assets', 'none');
SELECT compliance.classify('media.asset_variants', 'personal', '{external_url,object_key}', on_erasure => 'delete');
SELECT compliance.classify('media.asset_variants', 'none');
SELECT compliance.classify('media.transcode_jobs', 'personal', '{log,error_message}', on_erasure => 'delete');
SELECT compliance.classify('media.transcode_jobs', 'none');
SELECT compliance.classify('media.uploads', 'personal', exported => true, on_erasure => 'delete');
SELECT compliance.belongs_to('media.uploads', 'user_id = $1');
