-- Searching the library, with the rights of whoever asks; and putting new sets of chunks in the place of old ones.
-- Owner: workers/rag. Locks: none. Undo: DROP the functions and the trigger below.

CREATE FUNCTION vector.pgvector_home() RETURNS text
LANGUAGE sql STABLE PARALLEL SAFE SET search_path = pg_catalog, pg_temp
BEGIN ATOMIC
    SELECT n.nspname::text
    FROM pg_type d JOIN pg_type t ON t.oid = d.typbasetype JOIN pg_namespace n ON n.oid = t.typnamespace
    WHERE d.oid = 'vector.embedding'::regtype AND t.typname = 'vector';
END;
COMMENT ON FUNCTION vector.pgvector_home IS 'The schema in which pgvector is; null where vectors are arrays.';

CREATE FUNCTION vector.cosine_distance(a real[], b real[]) RETURNS double precision
LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE SET search_path = pg_catalog, pg_temp
BEGIN ATOMIC
    SELECT CASE WHEN cardinality(a) = cardinality(b)
        THEN 1 - sum(x::double precision * y) / nullif(sqrt(sum(x::double precision * x)) * sqrt(sum(y::double precision * y)), 0)
    END
    FROM unnest(a, b) AS pair(x, y);
END;
COMMENT ON FUNCTION vector.cosine_distance IS 'From 0, the same direction, to 2, the opposite one, as <=> of pgvector; null for vectors that do not compare. Takes its place where there is none.';

CREATE FUNCTION vector.distance_sql(dimensions integer) RETURNS text
LANGUAGE sql STABLE PARALLEL SAFE SET search_path = pg_catalog, pg_temp
BEGIN ATOMIC
    SELECT CASE WHEN home IS NULL THEN 'vector.cosine_distance(c.embedding::real[], $1)'
        -- As the indexes of vector.ann_index_sql have it: an expression that is not the same finds none.
        ELSE format('(c.embedding::%1$I.vector(%2$s)) OPERATOR(%1$I.<=>) $1::%1$I.vector(%2$s)', home, dimensions::text)
    END
    FROM vector.pgvector_home() AS home;
END;
COMMENT ON FUNCTION vector.distance_sql IS 'The distance of a chunk c from the vector $1, in SQL.';

-- Finding ------------------------------------------------------------------------------------------

CREATE FUNCTION vector.nearest(
    query_embedding real[], match_count integer DEFAULT 5, in_collections uuid[] DEFAULT NULL, in_tags text[] DEFAULT NULL,
    in_language text DEFAULT NULL, in_model text DEFAULT NULL
) RETURNS TABLE (chunk_id uuid, score double precision)
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    IF (match_count BETWEEN 1 AND 1000) IS NOT TRUE THEN
        RAISE EXCEPTION 'between 1 and 1000 matches can be asked for, not %', match_count USING ERRCODE = 'invalid_parameter_value';
    END IF;
    -- Also loads pgvector, so that it knows its settings.
    PERFORM query_embedding::vector.embedding;
    -- An index goes on until enough of what it finds passes the filters and the reader's rights.
    IF current_setting('hnsw.iterative_scan', true) IS NOT NULL THEN
        PERFORM set_config('hnsw.iterative_scan', 'strict_order', true), set_config('ivfflat.iterative_scan', 'relaxed_order', true);
    END IF;
    RETURN QUERY EXECUTE format(
        'SELECT n.id, 1 - n.distance FROM (
            SELECT c.id, %1$s AS distance
            FROM vector.chunks c
            JOIN vector.documents d ON d.id = c.document_id AND d.generation = c.generation
            WHERE c.dimensions = %2$s AND d.deleted_at IS NULL
                AND ($3 IS NULL OR c.collection_id = ANY ($3)) AND ($4 IS NULL OR d.tags && $4)
                AND ($5 IS NULL OR d.language = $5) AND ($6 IS NULL OR c.embedding_model = $6)
            ORDER BY %1$s
            LIMIT $2
        ) n
        ORDER BY n.distance, n.id',
        vector.distance_sql(cardinality(query_embedding)), cardinality(query_embedding)
    ) USING query_embedding, match_count, in_collections, in_tags, in_language, in_model;
END $$;
COMMENT ON FUNCTION vector.nearest IS 'The chunks whose vectors are nearest to one of the same dimension, among those that the one who asks may read. Exact, unless there is an index of vector.ann_index_sql.';

CREATE FUNCTION vector.word_query(query_text text, language text DEFAULT NULL) RETURNS tsquery
LANGUAGE sql STABLE PARALLEL SAFE SET search_path = pg_catalog, pg_temp
RETURN CASE WHEN language IS NOT NULL THEN websearch_to_tsquery(vector.text_config(language), left(query_text, 2000))
    ELSE websearch_to_tsquery('simple', left(query_text, 2000)) || websearch_to_tsquery('french', left(query_text, 2000))
        || websearch_to_tsquery('english', left(query_text, 2000)) || websearch_to_tsquery('arabic', left(query_text, 2000))
END;
COMMENT ON FUNCTION vector.word_query IS 'Words as a person types them, cut as those of documents are; without a language as several would. Of a longer text the first 2000 characters.';

-- Under row level security the index of words would not be used: what compares words might tell of rows that are not
-- to be seen. So this function sees all of them, and says itself, as the policies do, who may read what.
CREATE FUNCTION vector.matching_words(
    query_text text, match_count integer DEFAULT 5, in_collections uuid[] DEFAULT NULL, in_tags text[] DEFAULT NULL,
    in_language text DEFAULT NULL
) RETURNS TABLE (chunk_id uuid, score double precision)
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
BEGIN ATOMIC
    SELECT c.id, ts_rank_cd(c.terms, q.words, 33)::double precision
    FROM vector.word_query(matching_words.query_text, matching_words.in_language) AS q(words)
    JOIN vector.chunks c ON c.terms @@ q.words
    JOIN vector.documents d ON d.id = c.document_id AND d.generation = c.generation
    WHERE d.deleted_at IS NULL
        AND (
            NOT (SELECT util.is_client()) OR d.owner_id = (SELECT auth.uid()) OR d.visibility = 'members'
            OR d.visibility = 'scoped' AND d.scopes && (SELECT vector.scopes())
        )
        AND (in_collections IS NULL OR c.collection_id = ANY (in_collections)) AND (in_tags IS NULL OR d.tags && in_tags)
        AND (in_language IS NULL OR d.language = in_language)
    ORDER BY 2 DESC, c.id
    LIMIT least(greatest(match_count, 1), 1000);
END;
COMMENT ON FUNCTION vector.matching_words IS 'The chunks that have the words, best first, among those that the one who asks may read. Scores are from 0 to 1.';

CREATE FUNCTION vector.search(
    query_embedding real[] DEFAULT NULL, query_text text DEFAULT NULL, match_count integer DEFAULT 5, in_collections uuid[] DEFAULT NULL,
    in_tags text[] DEFAULT NULL, in_language text DEFAULT NULL, in_model text DEFAULT NULL
) RETURNS TABLE (
    chunk_id uuid, document_id uuid, collection_id uuid, title text, url text, content text, page_number integer, start_offset bigint, end_offset bigint,
    score double precision, vector_score double precision, word_score double precision
)
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $$
#variable_conflict use_column
DECLARE
    candidates integer := least(greatest(search.match_count, 1) * 4, 1000);
BEGIN
    IF search.query_embedding IS NULL AND coalesce(btrim(search.query_text), '') = '' THEN
        RAISE EXCEPTION 'a search is for a vector or for words' USING ERRCODE = 'invalid_parameter_value';
    END IF;
    RETURN QUERY
    WITH by_vector AS (
        SELECT n.chunk_id, n.score, row_number() OVER (ORDER BY n.score DESC, n.chunk_id) AS place
        FROM vector.nearest(search.query_embedding, candidates, search.in_collections, search.in_tags, search.in_language, search.in_model) n
        WHERE search.query_embedding IS NOT NULL
    ),
    by_words AS (
        SELECT w.chunk_id, w.score, row_number() OVER (ORDER BY w.score DESC, w.chunk_id) AS place
        FROM vector.matching_words(search.query_text, candidates, search.in_collections, search.in_tags, search.in_language) w
        WHERE search.query_text IS NOT NULL
    ),
    -- Scores of the two do not compare; places do (reciprocal rank fusion).
    fused AS (
        SELECT chunk_id, v.score AS vector_score, w.score AS word_score,
            CASE WHEN search.query_embedding IS NULL THEN w.score WHEN search.query_text IS NULL THEN v.score
                ELSE coalesce(1.0 / (60 + v.place), 0) + coalesce(1.0 / (60 + w.place), 0)
            END AS score
        FROM by_vector v FULL JOIN by_words w USING (chunk_id)
        ORDER BY score DESC, chunk_id
        LIMIT greatest(search.match_count, 1)
    )
    SELECT c.id, d.id, c.collection_id, d.title, d.url, c.content, c.page_number, c.start_offset, c.end_offset,
        f.score::double precision, f.vector_score, f.word_score
    FROM fused f
    JOIN vector.chunks c ON c.id = f.chunk_id
    JOIN vector.documents d ON d.id = c.document_id
    ORDER BY f.score DESC, c.id;
END $$;
COMMENT ON FUNCTION vector.search IS 'Searches by vector, by words, or by both at once, among what the one who asks may read. A score is a cosine, a rank of words, or a sum of places, and compares within one search.';

CREATE FUNCTION vector.match_resources(query_emb real[], top_k integer DEFAULT 5, in_tags text[] DEFAULT NULL, in_collection text DEFAULT NULL)
RETURNS TABLE (id uuid, title text, content text, url text, score double precision)
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $$
#variable_conflict use_column
BEGIN
    RETURN QUERY
    SELECT d.id, d.title, c.content, d.url, n.score
    FROM vector.nearest(
        match_resources.query_emb, match_resources.top_k,
        CASE WHEN match_resources.in_collection IS NOT NULL THEN ARRAY(
            SELECT k.id FROM vector.collections k
            WHERE k.deleted_at IS NULL AND k.name = match_resources.in_collection
            UNION
            SELECT k.id FROM vector.collections k
            WHERE k.deleted_at IS NULL AND match_resources.in_collection ~ '^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$'
                AND k.id = CASE WHEN match_resources.in_collection ~ '^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$' THEN match_resources.in_collection::uuid END
        ) END,
        match_resources.in_tags
    ) n
    JOIN vector.chunks c ON c.id = n.chunk_id
    JOIN vector.documents d ON d.id = c.document_id
    ORDER BY n.score DESC, n.chunk_id;
END $$;
COMMENT ON FUNCTION vector.match_resources IS 'The pieces of documents nearest to a vector, as older frontends ask for them. The collection is a name or an id; the id answered is the document''s.';

-- Replacing ----------------------------------------------------------------------------------------

CREATE FUNCTION vector.publish_document(document_id uuid, generation integer) RETURNS jsonb
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
#variable_conflict use_column
DECLARE
    the_document vector.documents;
    total        integer;
    right_ones   integer;
BEGIN
    SELECT * INTO the_document FROM vector.documents d WHERE d.id = publish_document.document_id AND d.deleted_at IS NULL FOR UPDATE;
    IF NOT FOUND THEN
        RETURN jsonb_build_object('success', false, 'error', 'unknown_document');
    END IF;
    IF publish_document.generation <= the_document.generation THEN
        RETURN jsonb_build_object('success', false, 'error', 'older_generation');
    END IF;
    SELECT count(*), count(*) FILTER (WHERE c.embedding_model = k.embedding_model AND c.dimensions = k.dimensions) INTO total, right_ones
    FROM vector.chunks c JOIN vector.collections k ON k.id = c.collection_id
    WHERE c.document_id = publish_document.document_id AND c.generation = publish_document.generation;
    IF right_ones < total THEN
        RETURN jsonb_build_object('success', false, 'error', 'not_embedded', 'missing', total - right_ones);
    END IF;
    UPDATE vector.documents d
    SET generation = publish_document.generation, chunks_count = total, status = 'ready', error_message = NULL, indexed_at = now()
    WHERE d.id = publish_document.document_id;
    DELETE FROM vector.chunks c WHERE c.document_id = publish_document.document_id AND c.generation < publish_document.generation;
    RETURN jsonb_build_object('success', true, 'chunks_count', total);
END $$;
COMMENT ON FUNCTION vector.publish_document IS 'Puts a complete set of chunks in the place of the one before, in one step. Answers success with chunks_count, or false with the error: unknown_document, older_generation, not_embedded.';

CREATE FUNCTION vector.switch_model(collection_id uuid) RETURNS jsonb
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
#variable_conflict use_column
DECLARE
    whole   vector.collections;
    missing bigint;
BEGIN
    SELECT * INTO whole FROM vector.collections k WHERE k.id = switch_model.collection_id AND k.deleted_at IS NULL FOR UPDATE;
    IF NOT FOUND THEN
        RETURN jsonb_build_object('success', false, 'error', 'unknown_collection');
    END IF;
    IF whole.next_embedding_model IS NULL THEN
        RETURN jsonb_build_object('success', false, 'error', 'no_next_model');
    END IF;
    -- No document is published meanwhile.
    PERFORM FROM vector.documents d WHERE d.collection_id = whole.id ORDER BY d.id FOR UPDATE;
    SELECT count(*) INTO missing
    FROM vector.documents d
    WHERE d.collection_id = whole.id AND d.deleted_at IS NULL AND d.generation > 0 AND d.chunks_count <> (
        SELECT count(*) FILTER (WHERE c.embedding_model = whole.next_embedding_model AND c.dimensions = whole.next_dimensions)
        FROM vector.chunks c WHERE c.document_id = d.id AND c.generation = d.generation + 1
    );
    IF missing > 0 THEN
        RETURN jsonb_build_object('success', false, 'error', 'not_embedded', 'missing', missing);
    END IF;
    UPDATE vector.documents d SET generation = d.generation + 1, indexed_at = now()
    WHERE d.collection_id = whole.id AND d.deleted_at IS NULL AND d.generation > 0;
    UPDATE vector.collections k
    SET embedding_model = whole.next_embedding_model, dimensions = whole.next_dimensions, next_embedding_model = NULL, next_dimensions = NULL
    WHERE k.id = whole.id;
    RETURN jsonb_build_object('success', true, 'embedding_model', whole.next_embedding_model, 'dimensions', whole.next_dimensions);
END $$;
COMMENT ON FUNCTION vector.switch_model IS 'Moves a collection to its next model, when each of its documents has its chunks with vectors of that one as its next generation. What was before is left for the worker to delete. Answers success, or false with the error: unknown_collection, no_next_model, not_embedded.';

CREATE FUNCTION vector.delete_documents() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    UPDATE vector.documents d SET deleted_at = NEW.deleted_at WHERE d.collection_id = NEW.id AND d.deleted_at IS NULL;
    RETURN NULL;
END $$;
COMMENT ON FUNCTION vector.delete_documents IS 'The order to delete a collection is one for each of its documents.';
CREATE TRIGGER trg_collections_delete_documents AFTER UPDATE OF deleted_at ON vector.collections
    FOR EACH ROW WHEN (OLD.deleted_at IS NULL AND NEW.deleted_at IS NOT NULL) EXECUTE FUNCTION vector.delete_documents();

-- Indexes ------------------------------------------------------------------------------------------

CREATE FUNCTION vector.ann_index_sql(dimensions integer, method text DEFAULT 'hnsw', online boolean DEFAULT true) RETURNS text
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    home text := vector.pgvector_home();
BEGIN
    IF home IS NULL THEN
        RAISE EXCEPTION 'vectors are arrays here, and searched without an index' USING ERRCODE = 'feature_not_supported';
    END IF;
    IF method NOT IN ('hnsw', 'ivfflat') OR dimensions NOT BETWEEN 1 AND 2000 THEN
        RAISE EXCEPTION 'an index is hnsw or ivfflat, and of at most 2000 dimensions' USING ERRCODE = 'invalid_parameter_value';
    END IF;
    RETURN format(
        'CREATE INDEX %1$s IF NOT EXISTS %2$I ON vector.chunks USING %3$s ((embedding::%4$I.vector(%5$s)) %4$I.vector_cosine_ops) WHERE dimensions = %5$s',
        CASE WHEN online THEN 'CONCURRENTLY' ELSE '' END, format('idx_chunks_%s_%s', method, dimensions), method, home, dimensions
    );
END $$;
COMMENT ON FUNCTION vector.ann_index_sql IS 'The statement that makes an index for vectors of so many dimensions; to be run by the owner of the table, outside a transaction.';

CREATE FUNCTION vector.create_ann_index(dimensions integer, method text DEFAULT 'hnsw') RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    EXECUTE vector.ann_index_sql(dimensions, method, online => false);
END $$;
COMMENT ON FUNCTION vector.create_ann_index IS 'Makes an index at once; nothing is written to chunks until it is there.';

REVOKE ALL ON FUNCTION vector.pgvector_home, vector.cosine_distance, vector.distance_sql, vector.nearest, vector.word_query, vector.matching_words,
    vector.search, vector.match_resources, vector.publish_document, vector.switch_model, vector.delete_documents, vector.ann_index_sql,
    vector.create_ann_index FROM PUBLIC;
GRANT EXECUTE ON FUNCTION vector.pgvector_home, vector.cosine_distance, vector.distance_sql, vector.nearest, vector.word_query, vector.matching_words,
    vector.search, vector.match_resources TO authenticated, service_role;
GRANT EXECUTE ON FUNCTION vector.publish_document, vector.switch_model, vector.ann_index_sql TO service_role;
