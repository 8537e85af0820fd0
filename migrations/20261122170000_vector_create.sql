-- The library that questions are answered from: collections, documents, their pieces and the vectors of these.
-- It may live in a database of its own: no key leads out of this schema or into it, and of the rest it needs
-- only the roles, auth.uid(), auth.jwt() and the helpers of util.
-- Owner: workers/rag. Locks: none, everything is new. Undo: DROP SCHEMA vector CASCADE.

CREATE SCHEMA vector;
COMMENT ON SCHEMA vector IS 'The library for retrieval. Owners are plain ids: it may be kept in another database than the people. Written by workers/rag.';
GRANT USAGE ON SCHEMA vector TO authenticated, service_role;

-- With pgvector vectors are its type; without it arrays, which are searched exactly and never with an index. Everything
-- else reads and writes them as real[], which both are cast from and to, and so is the same in both cases.
DO $$
DECLARE
    home text := (SELECT n.nspname FROM pg_extension e JOIN pg_namespace n ON n.oid = e.extnamespace WHERE e.extname = 'vector');
BEGIN
    IF current_setting('beadle.pgvector', true) = 'off' THEN
        home := NULL;
    ELSIF home IS NULL AND EXISTS (SELECT FROM pg_available_extensions WHERE name = 'vector') THEN
        -- Not in public, which clients may call, and not here, where dropping the schema would drop it: where Supabase has it too.
        CREATE SCHEMA IF NOT EXISTS extensions;
        COMMENT ON SCHEMA extensions IS 'Extensions of the database. Not on the search path: who uses them names them in full.';
        GRANT USAGE ON SCHEMA extensions TO anon, authenticated, service_role;
        CREATE EXTENSION vector SCHEMA extensions;
        home := 'extensions';
    END IF;
    IF home IS NOT NULL THEN
        EXECUTE format('CREATE DOMAIN vector.embedding AS %I.vector', home);
        COMMENT ON DOMAIN vector.embedding IS 'A vector of any dimension, of pgvector.';
    ELSE
        CREATE DOMAIN vector.embedding AS real[]
            CONSTRAINT ck_embedding CHECK (array_ndims(VALUE) = 1 AND cardinality(VALUE) BETWEEN 1 AND 16000 AND array_position(VALUE, NULL) IS NULL);
        COMMENT ON DOMAIN vector.embedding IS 'A vector of any dimension, as an array: pgvector was not there.';
    END IF;
END $$;

CREATE FUNCTION vector.text_config(language text) RETURNS regconfig
LANGUAGE sql IMMUTABLE PARALLEL SAFE SET search_path = pg_catalog, pg_temp
RETURN CASE left(language, 2)
    WHEN 'fr' THEN 'pg_catalog.french'::regconfig
    WHEN 'en' THEN 'pg_catalog.english'::regconfig
    WHEN 'ar' THEN 'pg_catalog.arabic'::regconfig
    WHEN 'de' THEN 'pg_catalog.german'::regconfig
    WHEN 'es' THEN 'pg_catalog.spanish'::regconfig
    WHEN 'it' THEN 'pg_catalog.italian'::regconfig
    WHEN 'pt' THEN 'pg_catalog.portuguese'::regconfig
    ELSE 'pg_catalog.simple'::regconfig
END;
COMMENT ON FUNCTION vector.text_config IS 'How words of a language are cut for the search by words.';

CREATE TABLE vector.collections (
    id                   uuid        NOT NULL DEFAULT gen_random_uuid() CONSTRAINT collections_pkey PRIMARY KEY,
    owner_id             uuid,
    name                 text        NOT NULL CONSTRAINT ck_collections_name CHECK (char_length(name) BETWEEN 1 AND 120 AND name = btrim(name)),
    description          text        NOT NULL DEFAULT '' CONSTRAINT ck_collections_description CHECK (char_length(description) <= 2000),
    visibility           text        NOT NULL DEFAULT 'private' CONSTRAINT ck_collections_visibility CHECK (visibility IN ('private', 'members')),
    embedding_model      text        NOT NULL DEFAULT 'text-embedding-3-small' CONSTRAINT ck_collections_embedding_model CHECK (char_length(embedding_model) BETWEEN 1 AND 120),
    dimensions           integer     NOT NULL DEFAULT 1536 CONSTRAINT ck_collections_dimensions CHECK (dimensions BETWEEN 1 AND 16000),
    next_embedding_model text        CONSTRAINT ck_collections_next_embedding_model CHECK (char_length(next_embedding_model) BETWEEN 1 AND 120),
    next_dimensions      integer     CONSTRAINT ck_collections_next_dimensions CHECK (next_dimensions BETWEEN 1 AND 16000),
    tokenizer            text        NOT NULL DEFAULT 'cl100k_base' CONSTRAINT ck_collections_tokenizer CHECK (char_length(tokenizer) BETWEEN 1 AND 80),
    chunk_size           integer     NOT NULL DEFAULT 512 CONSTRAINT ck_collections_chunk_size CHECK (chunk_size BETWEEN 16 AND 8192),
    chunk_overlap        integer     NOT NULL DEFAULT 64 CONSTRAINT ck_collections_chunk_overlap CHECK (chunk_overlap BETWEEN 0 AND chunk_size / 2),
    deleted_at           timestamptz,
    created_at           timestamptz NOT NULL DEFAULT now(),
    updated_at           timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT uq_collections_owner UNIQUE (id, owner_id),
    CONSTRAINT ck_collections_next CHECK ((next_embedding_model IS NULL) = (next_dimensions IS NULL))
);
-- A name is free again as soon as its collection is to be deleted.
CREATE UNIQUE INDEX uq_collections_name ON vector.collections (owner_id, name) NULLS NOT DISTINCT WHERE deleted_at IS NULL;
CREATE INDEX idx_collections_name ON vector.collections (name) WHERE deleted_at IS NULL;
CREATE INDEX idx_collections_deleted ON vector.collections (deleted_at) WHERE deleted_at IS NOT NULL;
COMMENT ON TABLE vector.collections IS 'Sets of documents that are searched together, with one model.';
COMMENT ON COLUMN vector.collections.owner_id IS 'Of a profile; null: the platform''s, as the documents of courses.';
COMMENT ON COLUMN vector.collections.visibility IS 'members: whoever is signed in sees that it is there. What they see of it, its documents say.';
COMMENT ON COLUMN vector.collections.next_embedding_model IS 'The model that the collection is on its way to; until then the present one answers: vector.switch_model.';
COMMENT ON COLUMN vector.collections.chunk_size IS 'In tokens of the tokenizer, as the overlap.';
COMMENT ON COLUMN vector.collections.deleted_at IS 'The order to delete it; it answers no more questions, and the worker removes it with its files.';

CREATE TABLE vector.documents (
    id                uuid        NOT NULL DEFAULT gen_random_uuid() CONSTRAINT documents_pkey PRIMARY KEY,
    collection_id     uuid        NOT NULL CONSTRAINT fk_documents_collection REFERENCES vector.collections ON DELETE CASCADE,
    owner_id          uuid,
    source_type       text        NOT NULL CONSTRAINT ck_documents_source_type CHECK (source_type IN ('upload', 'url', 'text', 'lesson', 'attachment', 'transcript', 'import')),
    source_ref        text        CONSTRAINT ck_documents_source_ref CHECK (char_length(source_ref) BETWEEN 1 AND 500),
    source_changed_at timestamptz,
    title             text        NOT NULL CONSTRAINT ck_documents_title CHECK (char_length(title) BETWEEN 1 AND 500),
    url               text        CONSTRAINT ck_documents_url CHECK (url ~ '^(https?://|/)' AND char_length(url) <= 2000),
    file_name         text        CONSTRAINT ck_documents_file_name CHECK (char_length(file_name) BETWEEN 1 AND 255),
    file_path         text        CONSTRAINT ck_documents_file_path CHECK (char_length(file_path) BETWEEN 1 AND 1000),
    file_size_bytes   bigint      CONSTRAINT ck_documents_file_size_bytes CHECK (file_size_bytes BETWEEN 0 AND 10737418240),
    mime_type         text        CONSTRAINT ck_documents_mime_type CHECK (mime_type ~ '^[a-z]+/[a-z0-9.+-]{1,100}$'),
    language          text        CONSTRAINT ck_documents_language CHECK (language ~ '^[a-z]{2}(-[A-Z]{2})?$'),
    rights            text        NOT NULL DEFAULT '' CONSTRAINT ck_documents_rights CHECK (char_length(rights) <= 500),
    visibility        text        NOT NULL DEFAULT 'private' CONSTRAINT ck_documents_visibility CHECK (visibility IN ('private', 'scoped', 'members')),
    scopes            text[]      NOT NULL DEFAULT '{}' CONSTRAINT ck_documents_scopes CHECK (cardinality(scopes) <= 50 AND array_position(scopes, NULL) IS NULL),
    tags              text[]      NOT NULL DEFAULT '{}' CONSTRAINT ck_documents_tags CHECK (cardinality(tags) <= 50 AND array_position(tags, NULL) IS NULL AND char_length(array_to_string(tags, '')) <= 2000),
    metadata          jsonb       NOT NULL DEFAULT '{}' CONSTRAINT ck_documents_metadata CHECK (jsonb_typeof(metadata) = 'object' AND octet_length(metadata::text) <= 20000),
    checksum          text        CONSTRAINT ck_documents_checksum CHECK (checksum ~ '^[0-9a-f]{64}$'),
    status            text        NOT NULL DEFAULT 'pending' CONSTRAINT ck_documents_status CHECK (status IN ('pending', 'processing', 'ready', 'error')),
    error_message     text        CONSTRAINT ck_documents_error_message CHECK (char_length(error_message) BETWEEN 1 AND 2000),
    generation        integer     NOT NULL DEFAULT 0 CONSTRAINT ck_documents_generation CHECK (generation >= 0),
    pages             integer     CONSTRAINT ck_documents_pages CHECK (pages BETWEEN 0 AND 100000),
    chunks_count      integer     NOT NULL DEFAULT 0 CONSTRAINT ck_documents_chunks_count CHECK (chunks_count BETWEEN 0 AND 1000000),
    job_id            uuid,
    indexed_at        timestamptz,
    deleted_at        timestamptz,
    created_at        timestamptz NOT NULL DEFAULT now(),
    updated_at        timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT fk_documents_collection_owner FOREIGN KEY (collection_id, owner_id) REFERENCES vector.collections (id, owner_id),
    CONSTRAINT ck_documents_error CHECK ((status = 'error') = (error_message IS NOT NULL)),
    CONSTRAINT ck_documents_ready CHECK (status <> 'ready' OR generation > 0 AND indexed_at IS NOT NULL),
    CONSTRAINT ck_documents_scoped CHECK ((visibility = 'scoped') = (cardinality(scopes) > 0))
);
CREATE UNIQUE INDEX uq_documents_source ON vector.documents (collection_id, source_type, source_ref) WHERE source_ref IS NOT NULL AND deleted_at IS NULL;
CREATE INDEX idx_documents_collection ON vector.documents (collection_id, owner_id);
CREATE INDEX idx_documents_owner ON vector.documents (owner_id, created_at DESC) WHERE owner_id IS NOT NULL;
-- What others may read too: for the policy, whose other half is the owner's index.
CREATE INDEX idx_documents_visibility ON vector.documents (visibility) WHERE visibility <> 'private';
CREATE INDEX idx_documents_checksum ON vector.documents (collection_id, checksum) WHERE checksum IS NOT NULL;
CREATE INDEX idx_documents_tags ON vector.documents USING gin (tags);
CREATE INDEX idx_documents_source_ref ON vector.documents (source_type, source_ref) WHERE source_ref IS NOT NULL;
CREATE INDEX idx_documents_open ON vector.documents (created_at) WHERE status IN ('pending', 'processing');
CREATE INDEX idx_documents_deleted ON vector.documents (deleted_at) WHERE deleted_at IS NOT NULL;
COMMENT ON TABLE vector.documents IS 'Texts of the library: where each is from, who may read it, how far its indexing is.';
COMMENT ON COLUMN vector.documents.owner_id IS 'That of the collection.';
COMMENT ON COLUMN vector.documents.source_ref IS 'What of the source it is, such as the id of a lesson; the same source is one document of a collection.';
COMMENT ON COLUMN vector.documents.source_changed_at IS 'The state of the source that was read, so that an older one is not read over it.';
COMMENT ON COLUMN vector.documents.rights IS 'Licence or holder, for showing. Who may read it, visibility says.';
COMMENT ON COLUMN vector.documents.visibility IS 'private: its owner; scoped: whose token has one of its scopes; members: whoever is signed in.';
COMMENT ON COLUMN vector.documents.scopes IS 'Such as course:<id> or tier:premium. What a reader has, the API writes into the claim rag_scopes: this schema cannot ask.';
COMMENT ON COLUMN vector.documents.checksum IS 'SHA-256 of the source, in hex: unchanged, it is not indexed again.';
COMMENT ON COLUMN vector.documents.generation IS 'Which set of its chunks counts. A new set is made beside the old one: vector.publish_document.';
COMMENT ON COLUMN vector.documents.deleted_at IS 'The order to delete it; it is found no more, and the worker removes it with its file.';

CREATE TABLE vector.chunks (
    id              uuid        NOT NULL DEFAULT gen_random_uuid() CONSTRAINT chunks_pkey PRIMARY KEY,
    document_id     uuid        NOT NULL CONSTRAINT fk_chunks_document REFERENCES vector.documents ON DELETE CASCADE,
    collection_id   uuid        NOT NULL CONSTRAINT fk_chunks_collection REFERENCES vector.collections ON DELETE CASCADE,
    generation      integer     NOT NULL CONSTRAINT ck_chunks_generation CHECK (generation > 0),
    chunk_index     integer     NOT NULL CONSTRAINT ck_chunks_chunk_index CHECK (chunk_index BETWEEN 0 AND 999999),
    content         text        NOT NULL CONSTRAINT ck_chunks_content CHECK (char_length(content) BETWEEN 1 AND 100000),
    content_hash    text        NOT NULL CONSTRAINT ck_chunks_content_hash CHECK (content_hash ~ '^[0-9a-f]{64}$'),
    language        text        CONSTRAINT ck_chunks_language CHECK (language ~ '^[a-z]{2}(-[A-Z]{2})?$'),
    page_number     integer     CONSTRAINT ck_chunks_page_number CHECK (page_number BETWEEN 1 AND 100000),
    start_offset    bigint      NOT NULL CONSTRAINT ck_chunks_start_offset CHECK (start_offset >= 0),
    end_offset      bigint      NOT NULL,
    token_count     integer     NOT NULL CONSTRAINT ck_chunks_token_count CHECK (token_count BETWEEN 0 AND 100000),
    embedding_model text        CONSTRAINT ck_chunks_embedding_model CHECK (char_length(embedding_model) BETWEEN 1 AND 120),
    embedding       vector.embedding,
    dimensions      integer     GENERATED ALWAYS AS (cardinality(embedding::real[])) STORED,
    terms           tsvector    GENERATED ALWAYS AS (to_tsvector(vector.text_config(language), content)) STORED,
    metadata        jsonb       NOT NULL DEFAULT '{}' CONSTRAINT ck_chunks_metadata CHECK (jsonb_typeof(metadata) = 'object' AND octet_length(metadata::text) <= 20000),
    external_ref    text        CONSTRAINT ck_chunks_external_ref CHECK (char_length(external_ref) BETWEEN 1 AND 200),
    created_at      timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT uq_chunks_index UNIQUE (document_id, generation, chunk_index),
    CONSTRAINT ck_chunks_end_offset CHECK (end_offset > start_offset),
    CONSTRAINT ck_chunks_embedded CHECK ((embedding IS NULL) = (embedding_model IS NULL))
);
CREATE INDEX idx_chunks_collection ON vector.chunks (collection_id, dimensions);
CREATE INDEX idx_chunks_terms ON vector.chunks USING gin (terms);
CREATE INDEX idx_chunks_external_ref ON vector.chunks (external_ref) WHERE external_ref IS NOT NULL;
CREATE INDEX idx_chunks_waiting ON vector.chunks (document_id, generation) WHERE embedding IS NULL;
COMMENT ON TABLE vector.chunks IS 'Pieces of documents, with their vectors. Those of the generation that the document names are found.';
COMMENT ON COLUMN vector.chunks.collection_id IS 'That of the document.';
COMMENT ON COLUMN vector.chunks.content_hash IS 'SHA-256 of the content, in hex. With the model it says whether a vector is still the right one.';
COMMENT ON COLUMN vector.chunks.start_offset IS 'In characters of the extracted text, as end_offset: between the two is the content.';
COMMENT ON COLUMN vector.chunks.embedding_model IS 'What made the vector; null until there is one.';
COMMENT ON COLUMN vector.chunks.terms IS 'For the search by words.';
COMMENT ON COLUMN vector.chunks.external_ref IS 'Its id in a store it came from, such as Qdrant.';

CREATE TABLE vector.ingestions (
    id              uuid        NOT NULL DEFAULT gen_random_uuid() CONSTRAINT ingestions_pkey PRIMARY KEY,
    document_id     uuid        NOT NULL CONSTRAINT fk_ingestions_document REFERENCES vector.documents ON DELETE CASCADE,
    generation      integer     NOT NULL CONSTRAINT ck_ingestions_generation CHECK (generation > 0),
    status          text        NOT NULL DEFAULT 'pending' CONSTRAINT ck_ingestions_status CHECK (status IN ('pending', 'processing', 'ready', 'error', 'cancelled')),
    tokenizer       text        NOT NULL CONSTRAINT ck_ingestions_tokenizer CHECK (char_length(tokenizer) BETWEEN 1 AND 80),
    chunk_size      integer     NOT NULL CONSTRAINT ck_ingestions_chunk_size CHECK (chunk_size BETWEEN 16 AND 8192),
    chunk_overlap   integer     NOT NULL DEFAULT 0 CONSTRAINT ck_ingestions_chunk_overlap CHECK (chunk_overlap BETWEEN 0 AND chunk_size / 2),
    embedding_model text        NOT NULL CONSTRAINT ck_ingestions_embedding_model CHECK (char_length(embedding_model) BETWEEN 1 AND 120),
    checksum        text        CONSTRAINT ck_ingestions_checksum CHECK (checksum ~ '^[0-9a-f]{64}$'),
    chunks_total    integer     CONSTRAINT ck_ingestions_chunks_total CHECK (chunks_total BETWEEN 0 AND 1000000),
    chunks_embedded integer     NOT NULL DEFAULT 0 CONSTRAINT ck_ingestions_chunks_embedded CHECK (chunks_embedded BETWEEN 0 AND coalesce(chunks_total, 0)),
    errors          jsonb       NOT NULL DEFAULT '[]' CONSTRAINT ck_ingestions_errors CHECK (jsonb_typeof(errors) = 'array' AND octet_length(errors::text) <= 100000),
    attempts        smallint    NOT NULL DEFAULT 0 CONSTRAINT ck_ingestions_attempts CHECK (attempts BETWEEN 0 AND 100),
    next_retry_at   timestamptz,
    job_id          uuid,
    started_at      timestamptz,
    completed_at    timestamptz,
    created_at      timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT ck_ingestions_completed CHECK ((status IN ('ready', 'error', 'cancelled')) = (completed_at IS NOT NULL)),
    CONSTRAINT ck_ingestions_errors_said CHECK (status <> 'error' OR errors <> '[]'),
    CONSTRAINT ck_ingestions_times CHECK (completed_at >= started_at)
);
CREATE INDEX idx_ingestions_document ON vector.ingestions (document_id, created_at DESC);
-- One is under way at a time.
CREATE UNIQUE INDEX uq_ingestions_open ON vector.ingestions (document_id, generation) WHERE status IN ('pending', 'processing');
CREATE INDEX idx_ingestions_open ON vector.ingestions (created_at) WHERE status IN ('pending', 'processing');
COMMENT ON TABLE vector.ingestions IS 'Each time a document was indexed: how, how far, and what went wrong.';

CREATE TABLE vector.retrieval_logs (
    id              uuid        NOT NULL DEFAULT gen_random_uuid(),
    created_at      timestamptz NOT NULL DEFAULT now(),
    user_id         uuid,
    session_id      uuid,
    collection_ids  uuid[]      NOT NULL DEFAULT '{}' CONSTRAINT ck_retrieval_logs_collection_ids CHECK (cardinality(collection_ids) <= 100),
    query           text        CONSTRAINT ck_retrieval_logs_query CHECK (char_length(query) BETWEEN 1 AND 8000),
    tags            text[]      NOT NULL DEFAULT '{}' CONSTRAINT ck_retrieval_logs_tags CHECK (cardinality(tags) <= 50),
    embedding_model text        CONSTRAINT ck_retrieval_logs_embedding_model CHECK (char_length(embedding_model) BETWEEN 1 AND 120),
    method          text        NOT NULL CONSTRAINT ck_retrieval_logs_method CHECK (method IN ('vector', 'words', 'hybrid')),
    top_k           integer     NOT NULL CONSTRAINT ck_retrieval_logs_top_k CHECK (top_k BETWEEN 1 AND 1000),
    chunk_ids       uuid[]      NOT NULL DEFAULT '{}' CONSTRAINT ck_retrieval_logs_chunk_ids CHECK (cardinality(chunk_ids) <= top_k),
    scores          real[]      NOT NULL DEFAULT '{}',
    latency_ms      integer     NOT NULL CONSTRAINT ck_retrieval_logs_latency_ms CHECK (latency_ms BETWEEN 0 AND 3600000),
    is_unavailable  boolean     NOT NULL DEFAULT false,
    CONSTRAINT retrieval_logs_pkey PRIMARY KEY (id, created_at),
    CONSTRAINT ck_retrieval_logs_scores CHECK (cardinality(scores) = cardinality(chunk_ids))
) PARTITION BY RANGE (created_at);
CREATE INDEX idx_retrieval_logs_user ON vector.retrieval_logs (user_id, created_at DESC) WHERE user_id IS NOT NULL;
CREATE INDEX idx_retrieval_logs_created ON vector.retrieval_logs (created_at);
COMMENT ON TABLE vector.retrieval_logs IS 'What was asked of the library, and what was found how well and how fast.';
COMMENT ON COLUMN vector.retrieval_logs.is_unavailable IS 'What makes vectors of questions did not answer, so nothing was searched.';
SELECT util.ensure_partitions('vector.retrieval_logs', 3);

CREATE TRIGGER trg_collections_set_updated_at BEFORE UPDATE ON vector.collections FOR EACH ROW EXECUTE FUNCTION util.set_updated_at();
CREATE TRIGGER trg_documents_set_updated_at BEFORE UPDATE ON vector.documents FOR EACH ROW EXECUTE FUNCTION util.set_updated_at();

CREATE FUNCTION vector.check_chunk() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    whole vector.collections;
BEGIN
    SELECT c.* INTO whole FROM vector.documents d JOIN vector.collections c ON c.id = d.collection_id WHERE d.id = NEW.document_id;
    -- A document that is not there is the foreign key's to refuse.
    IF FOUND AND NEW.collection_id IS DISTINCT FROM whole.id THEN
        RAISE EXCEPTION 'the document % is not of the collection %', NEW.document_id, NEW.collection_id
            USING ERRCODE = 'check_violation', CONSTRAINT = TG_NAME, SCHEMA = TG_TABLE_SCHEMA, TABLE = TG_TABLE_NAME;
    END IF;
    IF FOUND AND NEW.embedding IS NOT NULL AND NOT (
        NEW.embedding_model = whole.embedding_model AND cardinality(NEW.embedding::real[]) = whole.dimensions
        OR coalesce(NEW.embedding_model = whole.next_embedding_model AND cardinality(NEW.embedding::real[]) = whole.next_dimensions, false)
    ) THEN
        RAISE EXCEPTION 'the collection % has vectors of % with % dimensions, and this one is of % with %',
            whole.id, whole.embedding_model, whole.dimensions, NEW.embedding_model, cardinality(NEW.embedding::real[])
            USING ERRCODE = 'check_violation', CONSTRAINT = TG_NAME, SCHEMA = TG_TABLE_SCHEMA, TABLE = TG_TABLE_NAME;
    END IF;
    RETURN NEW;
END $$;
COMMENT ON FUNCTION vector.check_chunk IS 'Refuses a vector of another model or dimension than the collection has or is on its way to.';
CREATE TRIGGER trg_chunks_check_chunk BEFORE INSERT OR UPDATE OF document_id, collection_id, embedding, embedding_model ON vector.chunks
    FOR EACH ROW EXECUTE FUNCTION vector.check_chunk();

-- Rights -------------------------------------------------------------------------------------------

CREATE FUNCTION vector.scopes() RETURNS text[]
LANGUAGE sql STABLE PARALLEL SAFE SET search_path = pg_catalog, pg_temp
BEGIN ATOMIC
    SELECT coalesce(array_agg(scope), '{}')
    FROM jsonb_array_elements_text(CASE WHEN jsonb_typeof(auth.jwt() -> 'rag_scopes') = 'array' THEN auth.jwt() -> 'rag_scopes' ELSE '[]' END) AS scope;
END;
COMMENT ON FUNCTION vector.scopes IS 'The scopes that the token of the request has, in the claim rag_scopes.';

SELECT util.protect('vector.collections');
SELECT util.protect('vector.documents');
SELECT util.protect('vector.chunks');
SELECT util.protect('vector.ingestions');
SELECT util.protect('vector.retrieval_logs', 'SELECT, INSERT, DELETE');

-- What others find, they may believe: only workers make anything visible to them.
CREATE POLICY collections_own ON vector.collections TO authenticated
    USING (owner_id = (SELECT auth.uid())) WITH CHECK (owner_id = (SELECT auth.uid()));
CREATE POLICY collections_read ON vector.collections FOR SELECT TO authenticated USING (visibility = 'members' AND deleted_at IS NULL);
GRANT SELECT, INSERT (id, owner_id, name, description, embedding_model, dimensions, tokenizer, chunk_size, chunk_overlap), UPDATE (name, description, deleted_at)
    ON vector.collections TO authenticated;

-- Documents come by the API, which knows whose file it is.
CREATE POLICY documents_own ON vector.documents TO authenticated
    USING (owner_id = (SELECT auth.uid())) WITH CHECK (owner_id = (SELECT auth.uid()));
CREATE POLICY documents_read ON vector.documents FOR SELECT TO authenticated
    USING (deleted_at IS NULL AND (visibility = 'members' OR visibility = 'scoped' AND scopes && (SELECT vector.scopes())));
GRANT SELECT, UPDATE (title, rights, tags, deleted_at) ON vector.documents TO authenticated;

-- Who sees the document sees of it what counts. Said with = the planner may read all documents first, to look each
-- chunk up among them; said so it looks each chunk's document up by its key.
CREATE POLICY chunks_read ON vector.chunks FOR SELECT TO authenticated
    USING (EXISTS (
        SELECT FROM vector.documents d WHERE d.id = chunks.document_id AND d.generation BETWEEN chunks.generation AND chunks.generation
    ));
CREATE POLICY ingestions_own ON vector.ingestions FOR SELECT TO authenticated
    USING (EXISTS (SELECT FROM vector.documents d WHERE d.id = ingestions.document_id AND d.owner_id = (SELECT auth.uid())));
CREATE POLICY retrieval_logs_own ON vector.retrieval_logs FOR SELECT TO authenticated USING (user_id = (SELECT auth.uid()));
GRANT SELECT ON vector.chunks, vector.ingestions, vector.retrieval_logs TO authenticated;

REVOKE ALL ON FUNCTION vector.text_config, vector.check_chunk, vector.scopes FROM PUBLIC;
GRANT EXECUTE ON FUNCTION vector.text_config, vector.scopes TO authenticated, service_role;
