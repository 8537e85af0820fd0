-- The library on the data map; apart from its tables, which need nothing of this schema.
-- Owner: workers/gdpr. Locks: none. Undo: DELETE FROM compliance.data_map, compliance.data_subjects WHERE schema_name = 'vector'.

SELECT compliance.classify('vector.collections', 'personal', exported => true, on_erasure => 'delete');
SELECT compliance.belongs_to('vector.collections', 'owner_id = $1');
SELECT compliance.classify('vector.documents', 'personal', exported => true, on_erasure => 'delete');
SELECT compliance.belongs_to('vector.documents', 'owner_id = $1');
-- An export has the files; their pieces and vectors are made of them.
SELECT compliance.classify('vector.chunks', 'personal', on_erasure => 'delete');
SELECT compliance.belongs_to('vector.chunks', 'document_id IN (SELECT d.id FROM vector.documents d WHERE d.owner_id = $1)');
SELECT compliance.classify('vector.ingestions', 'personal', on_erasure => 'delete');
SELECT compliance.belongs_to('vector.ingestions', 'document_id IN (SELECT d.id FROM vector.documents d WHERE d.owner_id = $1)');
SELECT compliance.classify('vector.retrieval_logs', 'personal', exported => true, on_erasure => 'delete');
SELECT compliance.belongs_to('vector.retrieval_logs', 'user_id = $1');
