-- The queue on the data map: jobs name their owner, and may carry what is personal in their arguments.
-- Owner: workers/gdpr. Locks: none. Undo: DELETE FROM compliance.data_map, compliance.data_subjects WHERE schema_name = 'queue'.

DO $$
DECLARE
    kept constant text := 'Goes with the history of the queue, after as many days as are set for it.';
    job_of constant text := 'job IN (SELECT id FROM queue.jobs WHERE owner = $1)';
    name text;
BEGIN
    PERFORM compliance.classify('queue.jobs', 'personal', '{args}', exported => true, on_erasure => 'keep', reason => kept);
    PERFORM compliance.classify('queue.jobs', 'pseudonymous', '{owner,tenant,key}', exported => true, on_erasure => 'keep', reason => kept);
    PERFORM compliance.belongs_to('queue.jobs', 'owner = $1');
    PERFORM compliance.classify('queue.runs', 'personal', '{note}', on_erasure => 'keep', reason => kept);
    PERFORM compliance.belongs_to('queue.runs', job_of);
    PERFORM compliance.classify('queue.steps', 'personal', '{result}', on_erasure => 'keep', reason => kept);
    PERFORM compliance.belongs_to('queue.steps', job_of);
    PERFORM compliance.classify('queue.outputs', 'personal', ARRAY(
        SELECT attname FROM pg_attribute WHERE attrelid = 'queue.outputs'::regclass AND attnum > 0 AND attname <> 'job'
    ), on_erasure => 'keep', reason => kept);
    PERFORM compliance.belongs_to('queue.outputs', job_of);
    PERFORM compliance.classify('queue.logs', 'personal', '{message}', on_erasure => 'keep', reason => kept);
    PERFORM compliance.belongs_to('queue.logs', job_of);
    FOR name IN
        SELECT format('queue.%I', relname) FROM pg_class
        WHERE relnamespace = 'queue'::regnamespace AND relkind IN ('r', 'p') AND NOT relispartition
    LOOP
        PERFORM compliance.classify(name::regclass, 'none');
    END LOOP;
END $$;
