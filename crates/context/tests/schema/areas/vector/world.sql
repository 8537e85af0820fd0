INSERT INTO vector.collections (id, owner_id, name, embedding_model, dimensions, visibility) VALUES
    ('0c100000-0000-4000-8000-000000000001', world.id('owner'), 'notes', 'tiny', 3, 'private'),
    ('0c100000-0000-4000-8000-000000000002', NULL, 'courses', 'tiny', 3, 'members');
INSERT INTO vector.documents (id, collection_id, owner_id, source_type, title, url, tags, language, visibility, scopes, status, generation, chunks_count, indexed_at) VALUES
    ('0d100000-0000-4000-8000-000000000001', '0c100000-0000-4000-8000-000000000001', world.id('owner'), 'upload', 'My notes', NULL, '{own}', 'en', 'private', '{}', 'ready', 1, 2, now()),
    ('0d100000-0000-4000-8000-000000000002', '0c100000-0000-4000-8000-000000000002', NULL, 'lesson', 'Welcome', 'https://example.org/welcome', '{course}', 'en', 'members', '{}', 'ready', 1, 1, now()),
    ('0d100000-0000-4000-8000-000000000003', '0c100000-0000-4000-8000-000000000002', NULL, 'lesson', 'Paid lesson', NULL, '{course,paid}', 'fr', 'scoped', '{course:42}', 'ready', 1, 1, now());
INSERT INTO vector.chunks (id, document_id, collection_id, generation, chunk_index, content, content_hash, language, start_offset, end_offset, token_count, embedding_model, embedding)
SELECT ('0e100000-0000-4000-8000-00000000000' || n)::uuid, d.id, d.collection_id, c.generation, n, content, encode(sha256(content::bytea), 'hex'), d.language,
    0, char_length(content), 4, 'tiny', embedding::vector.embedding
FROM (VALUES
    (1, '1', 1, 'Half of two is one', '{1,0,0}'::real[]), (2, '1', 1, 'Thirds are smaller', '{0.6,0.8,0}'), (3, '1', 2, 'Not yet counted', '{1,0,0}'),
    (4, '2', 1, 'Welcome to the running course', '{0.8,0.6,0}'), (5, '3', 1, 'Les leçons payantes', '{0.9,0,0.1}')
) AS c(n, document, generation, content, embedding)
JOIN vector.documents d ON d.id = ('0d100000-0000-4000-8000-00000000000' || document)::uuid;
INSERT INTO vector.ingestions (document_id, generation, tokenizer, chunk_size, embedding_model) VALUES ('0d100000-0000-4000-8000-000000000001', 2, 'cl100k_base', 512, 'tiny');
INSERT INTO vector.retrieval_logs (user_id, query, method, top_k, latency_ms) VALUES (world.id('owner'), 'half', 'vector', 5, 12);
