-- promise: What is found is what the one who asks may read, nearest first, with one minus the cosine distance as score.
SELECT world.act_as('owner');
SELECT world.same((SELECT array_agg(title || ' ' || round(score::numeric, 4) ORDER BY score DESC) FROM vector.match_resources('{1,0,0}')), '{My notes 1.0000,Welcome 0.8000,My notes 0.6000}'::text[]);
SELECT world.act_as('other');
SELECT world.same((SELECT array_agg(title) FROM vector.match_resources('{1,0,0}')), '{Welcome}'::text[]);
SELECT world.act_as('service');
SELECT world.same((SELECT count(*) FROM vector.match_resources('{1,0,0}')), 4::bigint);

-- promise: A document with scopes is read by those whose token has one of them.
SELECT world.act_as('other');
SELECT set_config('request.jwt.claims', jsonb_build_object('sub', world.id('other'), 'role', 'authenticated', 'rag_scopes', '["course:7", "course:42"]'::jsonb)::text, true);
SELECT world.same((SELECT array_agg(title ORDER BY score DESC) FROM vector.match_resources('{1,0,0}')), '{Paid lesson,Welcome}'::text[]);
SELECT set_config('request.jwt.claims', jsonb_build_object('sub', world.id('other'), 'role', 'authenticated', 'rag_scopes', 'course:42')::text, true);
SELECT world.same((SELECT array_agg(title) FROM vector.match_resources('{1,0,0}')), '{Welcome}'::text[]);

-- promise: Matches are limited, and kept to tags and to a collection by its name or id.
SELECT world.act_as('owner');
SELECT world.same((SELECT array_agg(title) FROM vector.match_resources('{1,0,0}', 1)), '{My notes}'::text[]);
SELECT world.same((SELECT array_agg(title) FROM vector.match_resources('{1,0,0}', in_tags => '{course,other}')), '{Welcome}'::text[]);
SELECT world.same((SELECT array_agg(title) FROM vector.match_resources('{1,0,0}', in_collection => 'courses')), '{Welcome}'::text[]);
SELECT world.same((SELECT count(*) FROM vector.match_resources('{1,0,0}', in_collection => '0c100000-0000-4000-8000-000000000001')), 2::bigint);
SELECT world.same((SELECT count(*) FROM vector.match_resources('{1,0,0}', in_collection => 'no such')), 0::bigint);
SELECT world.same((SELECT count(*) FROM vector.match_resources('{1,0}')), 0::bigint, 'another dimension');
SELECT world.fails($$SELECT vector.match_resources('{1,0,0}', 0)$$, '22023');

-- promise: Without pgvector distances are the same.
DO $$
BEGIN
    IF vector.pgvector_home() IS NOT NULL THEN
        EXECUTE format('SELECT world.same(max(abs(vector.cosine_distance(a, b) - (a::%1$I.vector OPERATOR(%1$I.<=>) b::%1$I.vector))) < 1e-6, true)
            FROM (SELECT array_agg(sin(n * r)::real) AS a, array_agg(cos(n * r * 1.7)::real) AS b FROM generate_series(1, 384) n, generate_series(1, 20) r GROUP BY r) v', vector.pgvector_home());
    END IF;
END $$;
SELECT world.same(round(vector.cosine_distance('{1,0,0}', '{0.6,0.8,0}')::numeric, 6), 0.4);
SELECT world.same(vector.cosine_distance('{1,0}', '{-2,0}'), 2::double precision);
SELECT world.same(vector.cosine_distance('{1,0}', '{1,0,0}'), NULL::double precision);
SELECT world.same(vector.cosine_distance('{0,0}', '{1,0}'), NULL::double precision);

-- promise: Words are found in their forms, and both ways of searching add up.
SELECT world.act_as('owner');
SELECT world.same((SELECT array_agg(content) FROM vector.search(query_text => 'courses')), '{Welcome to the running course}'::text[]);
SELECT world.same((SELECT array_agg(content ORDER BY score DESC) FROM vector.search('{1,0,0}', 'course', 2)), '{Welcome to the running course,Half of two is one}'::text[]);
SELECT world.same((SELECT count(*) FROM vector.search('{1,0,0}', 'nothing of the kind')), 3::bigint);
SELECT world.same((SELECT count(*) FROM vector.search('{1,0,0}', in_language => 'fr')), 0::bigint);
SELECT world.fails('SELECT vector.search()', '22023');
SELECT world.act_as('service');
SELECT world.same((SELECT array_agg(content) FROM vector.search(query_text => 'leçon payante', in_language => 'fr')), '{Les leçons payantes}'::text[]);

-- promise: Whoever searches by words finds what the policies let that one read, and no more.
SELECT world.act_as('owner');
SELECT world.same((SELECT array_agg(m.chunk_id ORDER BY 1) FROM vector.matching_words('half or thirds or counted or welcome or payantes', 50) m), (SELECT array_agg(id ORDER BY 1) FROM vector.chunks));
SELECT world.same((SELECT count(*) FROM vector.chunks), 3::bigint);
SELECT world.act_as('other');
SELECT world.same((SELECT array_agg(m.chunk_id ORDER BY 1) FROM vector.matching_words('half or thirds or counted or welcome or payantes', 50) m), (SELECT array_agg(id ORDER BY 1) FROM vector.chunks));
SELECT set_config('request.jwt.claims', jsonb_build_object('sub', world.id('other'), 'role', 'authenticated', 'rag_scopes', '["course:42"]'::jsonb)::text, true);
SELECT world.same((SELECT array_agg(m.chunk_id ORDER BY 1) FROM vector.matching_words('half or thirds or counted or welcome or payantes', 50) m), (SELECT array_agg(id ORDER BY 1) FROM vector.chunks));
SELECT world.same((SELECT count(*) FROM vector.chunks), 2::bigint);
SELECT world.act_as('anon');
SELECT world.fails($$SELECT vector.matching_words('half')$$, '42501');

-- promise: A new set of chunks takes the place of the old one in one step, and only when it is complete.
SELECT world.act_as('service');
INSERT INTO vector.chunks (document_id, collection_id, generation, chunk_index, content, content_hash, start_offset, end_offset, token_count)
VALUES ('0d100000-0000-4000-8000-000000000001', '0c100000-0000-4000-8000-000000000001', 2, 4, 'No vector yet', repeat('0', 64), 0, 13, 3);
SELECT world.same(vector.publish_document('0d100000-0000-4000-8000-000000000001', 2) ->> 'error', 'not_embedded');
SELECT world.same((SELECT count(*) FROM vector.match_resources('{1,0,0}', in_collection => 'notes')), 2::bigint);
UPDATE vector.chunks SET embedding = '{0,0,1}'::real[]::vector.embedding, embedding_model = 'tiny' WHERE embedding IS NULL;
SELECT world.same(vector.publish_document('0d100000-0000-4000-8000-000000000001', 2) ->> 'chunks_count', '2');
SELECT world.same((SELECT array_agg(content ORDER BY score DESC) FROM vector.match_resources('{1,0,0}', in_collection => 'notes')), '{Not yet counted,No vector yet}'::text[]);
SELECT world.same((SELECT count(*) FROM vector.chunks WHERE document_id = '0d100000-0000-4000-8000-000000000001'), 2::bigint);
SELECT world.same(vector.publish_document('0d100000-0000-4000-8000-000000000001', 2) ->> 'error', 'older_generation');
SELECT world.same(vector.publish_document(gen_random_uuid(), 1) ->> 'error', 'unknown_document');

-- promise: While a collection moves to another model it answers with the old one, and then with the new one.
SELECT world.act_as('service');
SELECT world.same(vector.switch_model('0c100000-0000-4000-8000-000000000002') ->> 'error', 'no_next_model');
UPDATE vector.collections SET next_embedding_model = 'small', next_dimensions = 2 WHERE name = 'courses';
INSERT INTO vector.chunks (document_id, collection_id, generation, chunk_index, content, content_hash, language, start_offset, end_offset, token_count, embedding_model, embedding)
SELECT document_id, collection_id, 2, chunk_index, content, content_hash, language, start_offset, end_offset, token_count, 'small', '{0,1}'::real[]::vector.embedding
FROM vector.chunks WHERE id = '0e100000-0000-4000-8000-000000000004';
SELECT world.same(vector.switch_model('0c100000-0000-4000-8000-000000000002') ->> 'missing', '1');
SELECT world.same((SELECT count(*) FROM vector.match_resources('{1,0,0}', in_collection => 'courses')), 2::bigint);
INSERT INTO vector.chunks (document_id, collection_id, generation, chunk_index, content, content_hash, language, start_offset, end_offset, token_count, embedding_model, embedding)
SELECT document_id, collection_id, 2, chunk_index, content, content_hash, language, start_offset, end_offset, token_count, 'small', '{1,0}'::real[]::vector.embedding
FROM vector.chunks WHERE id = '0e100000-0000-4000-8000-000000000005';
SELECT world.same(vector.switch_model('0c100000-0000-4000-8000-000000000002') ->> 'dimensions', '2');
SELECT world.same((SELECT count(*) FROM vector.match_resources('{1,0,0}', in_collection => 'courses')), 0::bigint);
SELECT world.same((SELECT array_agg(title ORDER BY score DESC) FROM vector.match_resources('{1,0}', in_collection => 'courses')), '{Paid lesson,Welcome}'::text[]);

-- promise: A vector of another model or dimension than the collection's is refused, and so is a chunk in the wrong collection.
SELECT world.fails($$UPDATE vector.chunks SET embedding = '{1,0}'::real[]::vector.embedding$$, 'trg_chunks_check_chunk');
SELECT world.fails($$UPDATE vector.chunks SET embedding_model = 'other'$$, 'trg_chunks_check_chunk');
SELECT world.fails($$UPDATE vector.chunks SET collection_id = '0c100000-0000-4000-8000-000000000002' WHERE document_id = '0d100000-0000-4000-8000-000000000001'$$, 'trg_chunks_check_chunk');
SELECT world.fails($$UPDATE vector.chunks SET embedding = '{}'::real[]::vector.embedding$$, CASE WHEN vector.pgvector_home() IS NULL THEN 'ck_embedding' ELSE '22000' END);

-- promise: The order to delete a collection makes it and its documents disappear from every search.
SELECT world.act_as('owner');
UPDATE vector.collections SET deleted_at = now() WHERE name = 'notes';
SELECT world.same((SELECT array_agg(title) FROM vector.match_resources('{1,0,0}')), '{Welcome}'::text[]);
SELECT world.same((SELECT deleted_at = now() FROM vector.documents WHERE title = 'My notes'), true);
INSERT INTO vector.collections (owner_id, name) VALUES (world.id('owner'), 'notes');

-- promise: A person makes collections for itself, of which nobody else finds anything, with the defaults of the platform.
SELECT world.act_as('owner');
INSERT INTO vector.collections (owner_id, name) VALUES (world.id('owner'), 'more');
SELECT world.same((SELECT (embedding_model, dimensions, visibility)::text FROM vector.collections WHERE name = 'more'), '(text-embedding-3-small,1536,private)');
SELECT world.fails($$INSERT INTO vector.collections (owner_id, name) VALUES (world.id('owner'), 'more')$$, 'uq_collections_name');
SELECT world.fails($$INSERT INTO vector.collections (owner_id, name) VALUES (world.id('other'), 'more')$$, '42501');
SELECT world.fails($$INSERT INTO vector.collections (owner_id, name, visibility) VALUES (world.id('owner'), 'all', 'members')$$, '42501');
SELECT world.fails($$UPDATE vector.documents SET visibility = 'members'$$, '42501');

-- promise: With pgvector an index can be made for a dimension, and the search uses it.
DO $$
DECLARE
    line text;
    plan text := '';
BEGIN
    IF vector.pgvector_home() IS NULL THEN
        PERFORM world.fails('SELECT vector.create_ann_index(3)', '0A000');
        RETURN;
    END IF;
    PERFORM vector.create_ann_index(3), vector.create_ann_index(3, 'ivfflat');
    PERFORM world.same((SELECT array_agg(relname::text ORDER BY relname) FROM pg_class WHERE relname IN ('idx_chunks_hnsw_3', 'idx_chunks_ivfflat_3')), '{idx_chunks_hnsw_3,idx_chunks_ivfflat_3}'::text[]);
    PERFORM world.same((SELECT array_agg(title ORDER BY score DESC) FROM vector.match_resources('{1,0,0}', 2)), '{My notes,Paid lesson}'::text[]);
    PERFORM world.fails('SELECT vector.create_ann_index(2001)', '22023');
    SET LOCAL enable_sort = off;
    FOR line IN EXECUTE format('EXPLAIN SELECT c.id FROM vector.chunks c WHERE c.dimensions = 3 ORDER BY %s LIMIT 2', replace(vector.distance_sql(3), '$1', '''{1,0,0}''::real[]')) LOOP
        plan := plan || line;
    END LOOP;
    PERFORM world.same(plan ~ 'Index Scan using idx_chunks_(hnsw|ivfflat)_3', true, plan);
END $$;

-- promise: Nothing leads out of the schema: it may live in another database.
SELECT world.same((
    SELECT count(*) FROM pg_constraint k WHERE k.contype = 'f'
        AND ((SELECT relnamespace FROM pg_class WHERE oid = k.conrelid) = 'vector'::regnamespace) <> ((SELECT relnamespace FROM pg_class WHERE oid = k.confrelid) = 'vector'::regnamespace)
), 0::bigint);

-- promise: Wrong input is refused by name.
SELECT world.fails($$UPDATE vector.collections SET chunk_overlap = 300 WHERE name = 'notes'$$, 'ck_collections_chunk_overlap');
SELECT world.fails($$UPDATE vector.collections SET dimensions = 0$$, 'ck_collections_dimensions');
SELECT world.fails($$INSERT INTO vector.collections (name) VALUES ('courses')$$, 'uq_collections_name');
SELECT world.fails($$UPDATE vector.documents SET owner_id = world.id('other')$$, 'fk_documents_collection_owner');
SELECT world.fails($$INSERT INTO vector.documents (collection_id, source_type, title) VALUES (gen_random_uuid(), 'text', 'T')$$, 'fk_documents_collection');
SELECT world.fails($$INSERT INTO vector.documents (collection_id, source_type, source_ref, title) SELECT '0c100000-0000-4000-8000-000000000002', 'lesson', 'same', 'T' FROM generate_series(1, 2)$$, 'uq_documents_source');
SELECT world.fails($$UPDATE vector.documents SET status = 'lost'$$, 'ck_documents_status');
SELECT world.fails($$UPDATE vector.documents SET status = 'error'$$, 'ck_documents_error');
SELECT world.fails($$UPDATE vector.documents SET visibility = 'scoped' WHERE title = 'Welcome'$$, 'ck_documents_scoped');
SELECT world.fails($$UPDATE vector.documents SET checksum = 'md5'$$, 'ck_documents_checksum');
SELECT world.fails($$UPDATE vector.documents SET file_size_bytes = -1$$, 'ck_documents_file_size_bytes');
SELECT world.fails($$UPDATE vector.chunks SET end_offset = start_offset$$, 'ck_chunks_end_offset');
SELECT world.fails($$UPDATE vector.chunks SET embedding = NULL$$, 'ck_chunks_embedded');
SELECT world.fails($$INSERT INTO vector.chunks (document_id, collection_id, generation, chunk_index, content, content_hash, start_offset, end_offset, token_count) SELECT document_id, collection_id, generation, chunk_index, 'x', content_hash, 0, 1, 1 FROM vector.chunks$$, 'uq_chunks_index');
SELECT world.fails($$INSERT INTO vector.ingestions (document_id, generation, tokenizer, chunk_size, embedding_model) SELECT document_id, generation, 't', 16, 'm' FROM vector.ingestions$$, 'uq_ingestions_open');
SELECT world.fails($$UPDATE vector.ingestions SET status = 'ready'$$, 'ck_ingestions_completed');
SELECT world.fails($$UPDATE vector.ingestions SET status = 'error', completed_at = now()$$, 'ck_ingestions_errors_said');
SELECT world.fails($$UPDATE vector.ingestions SET chunks_embedded = 1$$, 'ck_ingestions_chunks_embedded');
SELECT world.fails($$INSERT INTO vector.retrieval_logs (method, top_k, latency_ms) VALUES ('guess', 5, 1)$$, 'ck_retrieval_logs_method');
SELECT world.fails($$INSERT INTO vector.retrieval_logs (method, top_k, latency_ms, scores) VALUES ('vector', 5, 1, '{1}')$$, 'ck_retrieval_logs_scores');

-- promise: A search has an end: null is no number of matches, and of a long text only the beginning is searched for.
SELECT world.act_as('owner');
SELECT world.fails('SELECT vector.nearest(ARRAY[1, 0]::real[], NULL)', '22023');
SELECT world.fails('SELECT vector.match_resources(ARRAY[1, 0]::real[], NULL)', '22023');
SELECT world.same(numnode(vector.word_query((SELECT string_agg('word' || i, ' ') FROM generate_series(1, 20000) i), 'en')) < 1000, true);
