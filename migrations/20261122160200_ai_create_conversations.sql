-- Conversations with the assistant, the tools it calls, and what it remembers of a person.
-- Owner: workers/ai. Locks: none, everything is new.
-- Undo: DROP TABLE ai.user_memories, ai.tool_invocations, ai.message_keys, ai.assistant_messages, ai.assistant_sessions; DROP the functions below.

CREATE TABLE ai.assistant_sessions (
    id              uuid        NOT NULL DEFAULT gen_random_uuid() CONSTRAINT assistant_sessions_pkey PRIMARY KEY,
    user_id         uuid        NOT NULL CONSTRAINT fk_assistant_sessions_user REFERENCES public.profiles,
    agent_type      text        NOT NULL DEFAULT 'assistant' CONSTRAINT ck_assistant_sessions_agent_type CHECK (agent_type ~ '^[a-z][a-z0-9_]{1,39}$'),
    title           text        NOT NULL DEFAULT '' CONSTRAINT ck_assistant_sessions_title CHECK (char_length(title) <= 200),
    context         jsonb       NOT NULL DEFAULT '{}' CONSTRAINT ck_assistant_sessions_context CHECK (jsonb_typeof(context) = 'object' AND octet_length(context::text) <= 100000),
    messages_count  integer     NOT NULL DEFAULT 0 CONSTRAINT ck_assistant_sessions_messages_count CHECK (messages_count >= 0),
    last_message_at timestamptz,
    archived_at     timestamptz,
    created_at      timestamptz NOT NULL DEFAULT now(),
    updated_at      timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT ck_assistant_sessions_last_message_at CHECK ((messages_count = 0) = (last_message_at IS NULL))
);
CREATE INDEX idx_assistant_sessions_user ON ai.assistant_sessions (user_id, last_message_at DESC NULLS FIRST);
COMMENT ON TABLE ai.assistant_sessions IS 'Conversations of a person with an agent.';
COMMENT ON COLUMN ai.assistant_sessions.context IS 'What the conversation is about, such as a course or a lesson. Frontends own the fields.';
COMMENT ON COLUMN ai.assistant_sessions.archived_at IS 'Since when nothing is added to it.';

CREATE TABLE ai.assistant_messages (
    id            uuid        NOT NULL DEFAULT gen_random_uuid(),
    created_at    timestamptz NOT NULL DEFAULT now(),
    session_id    uuid        NOT NULL CONSTRAINT fk_assistant_messages_session REFERENCES ai.assistant_sessions ON DELETE CASCADE,
    user_id       uuid        NOT NULL CONSTRAINT fk_assistant_messages_user REFERENCES public.profiles,
    position      integer     NOT NULL CONSTRAINT ck_assistant_messages_position CHECK (position > 0),
    role          text        NOT NULL CONSTRAINT ck_assistant_messages_role CHECK (role IN ('user', 'assistant', 'system', 'tool')),
    content       jsonb       NOT NULL CONSTRAINT ck_assistant_messages_content CHECK (jsonb_typeof(content) IN ('object', 'array') AND octet_length(content::text) <= 400000),
    model_id      uuid        CONSTRAINT fk_assistant_messages_model REFERENCES ai.models,
    finish_reason text        CONSTRAINT ck_assistant_messages_finish_reason CHECK (finish_reason IN ('stop', 'length', 'tool_calls', 'content_filter', 'error', 'cancelled')),
    latency_ms    integer     CONSTRAINT ck_assistant_messages_latency_ms CHECK (latency_ms BETWEEN 0 AND 86400000),
    tokens_in     bigint      CONSTRAINT ck_assistant_messages_tokens_in CHECK (tokens_in BETWEEN 0 AND 1000000000),
    tokens_out    bigint      CONSTRAINT ck_assistant_messages_tokens_out CHECK (tokens_out BETWEEN 0 AND 1000000000),
    cost_micro    bigint      CONSTRAINT ck_assistant_messages_cost_micro CHECK (cost_micro BETWEEN 0 AND 1000000000000),
    job_id        uuid,
    CONSTRAINT assistant_messages_pkey PRIMARY KEY (id, created_at),
    CONSTRAINT ck_assistant_messages_cost_of_model CHECK (cost_micro IS NULL OR model_id IS NOT NULL)
) PARTITION BY RANGE (created_at);
CREATE INDEX idx_assistant_messages_session ON ai.assistant_messages (session_id, position);
CREATE INDEX idx_assistant_messages_user ON ai.assistant_messages (user_id, created_at DESC);
CREATE INDEX idx_assistant_messages_model ON ai.assistant_messages (model_id, created_at) WHERE model_id IS NOT NULL;
COMMENT ON TABLE ai.assistant_messages IS 'What was said in a conversation. Written by ai.append_message, which numbers and counts.';
COMMENT ON COLUMN ai.assistant_messages.user_id IS 'Whose session it is, whoever speaks.';
COMMENT ON COLUMN ai.assistant_messages.position IS 'From one, without a gap, within the session.';
COMMENT ON COLUMN ai.assistant_messages.content IS 'An object or a list of parts, as {"type": "text", "text": …}.';
COMMENT ON COLUMN ai.assistant_messages.cost_micro IS 'A copy: sums are made from ai.usage_logs.';
SELECT util.ensure_partitions('ai.assistant_messages', 3);

CREATE TABLE ai.message_keys (
    session_id        uuid        NOT NULL CONSTRAINT fk_message_keys_session REFERENCES ai.assistant_sessions ON DELETE CASCADE,
    client_message_id text        NOT NULL CONSTRAINT ck_message_keys_client_message_id CHECK (char_length(client_message_id) BETWEEN 1 AND 100),
    message_id        uuid        NOT NULL,
    position          integer     NOT NULL CONSTRAINT ck_message_keys_position CHECK (position > 0),
    created_at        timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT message_keys_pkey PRIMARY KEY (session_id, client_message_id)
);
COMMENT ON TABLE ai.message_keys IS 'Which messages of a client are stored already: a unique key of ai.assistant_messages would end with the month.';

CREATE TABLE ai.tool_invocations (
    id            uuid        NOT NULL DEFAULT gen_random_uuid() CONSTRAINT tool_invocations_pkey PRIMARY KEY,
    session_id    uuid        NOT NULL CONSTRAINT fk_tool_invocations_session REFERENCES ai.assistant_sessions ON DELETE CASCADE,
    user_id       uuid        NOT NULL CONSTRAINT fk_tool_invocations_user REFERENCES public.profiles,
    message_id    uuid,
    tool_name     text        NOT NULL CONSTRAINT ck_tool_invocations_tool_name CHECK (tool_name ~ '^[a-z][a-z0-9_.]{1,79}$'),
    arguments     jsonb       NOT NULL DEFAULT '{}' CONSTRAINT ck_tool_invocations_arguments CHECK (jsonb_typeof(arguments) = 'object' AND octet_length(arguments::text) <= 100000),
    result        jsonb       CONSTRAINT ck_tool_invocations_result CHECK (octet_length(result::text) <= 400000),
    status        text        NOT NULL DEFAULT 'pending' CONSTRAINT ck_tool_invocations_status CHECK (status IN ('pending', 'running', 'succeeded', 'failed', 'cancelled')),
    error_message text        CONSTRAINT ck_tool_invocations_error_message CHECK (char_length(error_message) BETWEEN 1 AND 2000),
    attempts      smallint    NOT NULL DEFAULT 0 CONSTRAINT ck_tool_invocations_attempts CHECK (attempts BETWEEN 0 AND 100),
    job_id        uuid,
    duration_ms   integer     CONSTRAINT ck_tool_invocations_duration_ms CHECK (duration_ms BETWEEN 0 AND 86400000),
    started_at    timestamptz,
    completed_at  timestamptz,
    created_at    timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT ck_tool_invocations_completed CHECK ((status IN ('succeeded', 'failed', 'cancelled')) = (completed_at IS NOT NULL)),
    CONSTRAINT ck_tool_invocations_succeeded CHECK (status <> 'succeeded' OR result IS NOT NULL AND duration_ms IS NOT NULL),
    CONSTRAINT ck_tool_invocations_failed CHECK ((status = 'failed') = (error_message IS NOT NULL)),
    CONSTRAINT ck_tool_invocations_times CHECK (completed_at >= started_at)
);
CREATE INDEX idx_tool_invocations_session ON ai.tool_invocations (session_id, created_at);
CREATE INDEX idx_tool_invocations_user ON ai.tool_invocations (user_id, created_at DESC);
CREATE INDEX idx_tool_invocations_waiting ON ai.tool_invocations (user_id) WHERE status IN ('pending', 'running');
CREATE INDEX idx_tool_invocations_open ON ai.tool_invocations (created_at) WHERE status IN ('pending', 'running');
COMMENT ON TABLE ai.tool_invocations IS 'Tools that were called in a conversation, and what came of it.';
COMMENT ON COLUMN ai.tool_invocations.message_id IS 'Of ai.assistant_messages, in which the call was asked for.';

CREATE TABLE ai.user_memories (
    user_id    uuid        NOT NULL CONSTRAINT user_memories_pkey PRIMARY KEY CONSTRAINT fk_user_memories_user REFERENCES public.profiles ON DELETE CASCADE,
    data       jsonb       NOT NULL DEFAULT '{}' CONSTRAINT ck_user_memories_data CHECK (jsonb_typeof(data) = 'object' AND octet_length(data::text) <= 262144),
    version    integer     NOT NULL DEFAULT 1 CONSTRAINT ck_user_memories_version CHECK (version > 0),
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT ck_user_memories_sensitive CHECK (NOT jsonb_path_exists(data,
        'strict $.** ? (@.type() == "object").keyvalue().key ? (@ like_regex "passw(or)?d|secret|token|api_?key|private_?key|iban|card_?number|cvv|mot_?de_?passe" flag "i")',
        '{}', true))
);
CREATE INDEX idx_user_memories_updated ON ai.user_memories (updated_at);
COMMENT ON TABLE ai.user_memories IS 'What the assistant remembers of a person: one document each, changed by ai.merge_memory only.';
COMMENT ON COLUMN ai.user_memories.version IS 'How many times it was changed.';
COMMENT ON CONSTRAINT ck_user_memories_sensitive ON ai.user_memories IS 'No field, at any depth, is called like a secret.';

CREATE TRIGGER trg_assistant_sessions_set_updated_at BEFORE UPDATE ON ai.assistant_sessions FOR EACH ROW EXECUTE FUNCTION util.set_updated_at();
CREATE TRIGGER trg_user_memories_set_updated_at BEFORE UPDATE ON ai.user_memories FOR EACH ROW EXECUTE FUNCTION util.set_updated_at();

-- Quotas -------------------------------------------------------------------------------------------

-- The one place that knows where tiers are kept.
CREATE FUNCTION ai.tier_of(user_id uuid) RETURNS text
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
BEGIN ATOMIC
    SELECT coalesce((SELECT t.tier_key FROM access.tiers t WHERE t.rank = access.tier_rank(tier_of.user_id)), 'free');
END;
COMMENT ON FUNCTION ai.tier_of IS 'The tier of access.tiers that a person is on, as policies and quotas name it.';

CREATE FUNCTION ai.broken_quota(user_id uuid, tier text, for_feature text) RETURNS jsonb
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp
BEGIN ATOMIC
    SELECT jsonb_build_object('feature', q.feature, 'metric', q.metric, 'window_seconds', q.window_seconds, 'max_amount', q.max_amount, 'used', used.amount)
    FROM ai.quotas_for(broken_quota.user_id, broken_quota.tier, broken_quota.for_feature) q
    CROSS JOIN LATERAL (
        SELECT count(*) AS amount
        FROM ai.assistant_messages m
        WHERE q.metric = 'messages' AND m.user_id = broken_quota.user_id AND m.role = 'user' AND m.created_at > now() - make_interval(secs => q.window_seconds)
        UNION ALL
        SELECT coalesce(sum(CASE q.metric WHEN 'requests' THEN 1 WHEN 'tokens' THEN u.tokens_in + u.tokens_out ELSE u.cost_micro END), 0)::bigint
        FROM ai.usage_logs u
        WHERE q.metric <> 'messages' AND u.user_id = broken_quota.user_id AND u.created_at > now() - make_interval(secs => q.window_seconds)
            AND q.feature IN ('*', u.feature)
    ) used
    WHERE used.amount >= q.max_amount
    ORDER BY q.window_seconds DESC, used.amount DESC
    LIMIT 1;
END;
COMMENT ON FUNCTION ai.broken_quota IS 'A quota that a person has used up, and how far; null: there is some left. Counts what is stored, so nothing has to be counted twice or given back.';

-- Conversations ------------------------------------------------------------------------------------

CREATE FUNCTION ai.append_message(
    session_id uuid, content jsonb, role text DEFAULT 'user', client_message_id text DEFAULT NULL, model_id uuid DEFAULT NULL,
    tokens_in bigint DEFAULT NULL, tokens_out bigint DEFAULT NULL, latency_ms integer DEFAULT NULL, finish_reason text DEFAULT NULL, job_id uuid DEFAULT NULL
) RETURNS jsonb
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
#variable_conflict use_column
DECLARE
    is_client   boolean := util.is_client();
    the_session ai.assistant_sessions;
    known       ai.message_keys;
    quota       jsonb;
    the_id      uuid := gen_random_uuid();
BEGIN
    -- A quota is a person's: what is said in several sessions at once is counted one after the other.
    IF append_message.role = 'user' THEN
        PERFORM pg_advisory_xact_lock(1111834960, hashtext(s.user_id::text))
        FROM ai.assistant_sessions s WHERE s.id = append_message.session_id AND (NOT is_client OR s.user_id = auth.uid());
    END IF;
    -- Whoever writes waits here, so that messages of a session come one after the other.
    SELECT * INTO the_session FROM ai.assistant_sessions s
    WHERE s.id = append_message.session_id AND (NOT is_client OR s.user_id = auth.uid())
    FOR NO KEY UPDATE;
    IF NOT FOUND THEN
        RETURN jsonb_build_object('success', false, 'error', 'unknown_session');
    END IF;
    IF is_client AND NOT rbac.has_permission(auth.uid(), 'ai.use_assistant') THEN
        RETURN jsonb_build_object('success', false, 'error', 'not_permitted');
    END IF;
    IF is_client AND (
        append_message.role <> 'user' OR num_nonnulls(append_message.model_id, append_message.tokens_in, append_message.tokens_out, append_message.latency_ms,
            append_message.finish_reason, append_message.job_id) > 0
    ) THEN
        RETURN jsonb_build_object('success', false, 'error', 'role_not_allowed');
    END IF;
    SELECT * INTO known FROM ai.message_keys k
    WHERE k.session_id = append_message.session_id AND k.client_message_id = append_message.client_message_id;
    IF FOUND THEN
        RETURN jsonb_build_object('success', true, 'message_id', known.message_id, 'position', known.position, 'created_at', known.created_at, 'repeated', true);
    END IF;
    IF the_session.archived_at IS NOT NULL THEN
        RETURN jsonb_build_object('success', false, 'error', 'archived_session');
    END IF;
    IF append_message.role = 'user' THEN
        quota := ai.broken_quota(the_session.user_id, ai.tier_of(the_session.user_id), 'assistant');
        IF quota IS NOT NULL THEN
            RETURN jsonb_build_object('success', false, 'error', 'quota_exceeded', 'quota', quota);
        END IF;
    END IF;
    INSERT INTO ai.assistant_messages (
        id, session_id, user_id, position, role, content, model_id, finish_reason, latency_ms, tokens_in, tokens_out, cost_micro, job_id
    )
    VALUES (
        the_id, the_session.id, the_session.user_id, the_session.messages_count + 1, append_message.role, append_message.content, append_message.model_id,
        append_message.finish_reason, append_message.latency_ms, append_message.tokens_in, append_message.tokens_out,
        ai.cost_micro(append_message.model_id, append_message.tokens_in, append_message.tokens_out), append_message.job_id
    );
    IF append_message.client_message_id IS NOT NULL THEN
        INSERT INTO ai.message_keys (session_id, client_message_id, message_id, position)
        VALUES (the_session.id, append_message.client_message_id, the_id, the_session.messages_count + 1);
    END IF;
    UPDATE ai.assistant_sessions SET messages_count = messages_count + 1, last_message_at = now() WHERE id = the_session.id;
    RETURN jsonb_build_object('success', true, 'message_id', the_id, 'position', the_session.messages_count + 1, 'created_at', now(), 'repeated', false);
END $$;
COMMENT ON FUNCTION ai.append_message IS 'Adds a message to a session; a client to its own, and as its user only. Answers success with message_id, position, created_at and repeated, or false with the error: unknown_session, not_permitted, role_not_allowed, archived_session, quota_exceeded.';

CREATE FUNCTION ai.enqueue_tool(session_id uuid, tool_name text, arguments jsonb DEFAULT '{}') RETURNS jsonb
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
#variable_conflict use_column
DECLARE
    is_client   boolean := util.is_client();
    the_session ai.assistant_sessions;
    allowed     ai.policies;
    quota       jsonb;
    the_id      uuid;
BEGIN
    SELECT * INTO the_session FROM ai.assistant_sessions s
    WHERE s.id = enqueue_tool.session_id AND (NOT is_client OR s.user_id = auth.uid());
    IF NOT FOUND THEN
        RETURN jsonb_build_object('success', false, 'error', 'unknown_session');
    END IF;
    IF is_client AND NOT rbac.has_permission(auth.uid(), 'ai.use_assistant') THEN
        RETURN jsonb_build_object('success', false, 'error', 'not_permitted');
    END IF;
    IF the_session.archived_at IS NOT NULL THEN
        RETURN jsonb_build_object('success', false, 'error', 'archived_session');
    END IF;
    allowed := ai.policy_for(the_session.user_id, ai.tier_of(the_session.user_id));
    IF NOT coalesce(enqueue_tool.tool_name = ANY (allowed.allowed_tools), false) THEN
        RETURN jsonb_build_object('success', false, 'error', 'tool_not_allowed');
    END IF;
    PERFORM pg_advisory_xact_lock(1111834960, hashtext(the_session.user_id::text));
    -- What waits has cost nothing yet, and so no quota counts it.
    IF (SELECT count(*) FROM ai.tool_invocations t WHERE t.user_id = the_session.user_id AND t.status IN ('pending', 'running')) >= 20 THEN
        RETURN jsonb_build_object('success', false, 'error', 'too_many_waiting');
    END IF;
    quota := ai.broken_quota(the_session.user_id, ai.tier_of(the_session.user_id), 'assistant');
    IF quota IS NOT NULL THEN
        RETURN jsonb_build_object('success', false, 'error', 'quota_exceeded', 'quota', quota);
    END IF;
    INSERT INTO ai.tool_invocations (session_id, user_id, tool_name, arguments)
    VALUES (the_session.id, the_session.user_id, enqueue_tool.tool_name, enqueue_tool.arguments)
    RETURNING id INTO the_id;
    RETURN jsonb_build_object('success', true, 'invocation_id', the_id, 'status', 'pending');
END $$;
COMMENT ON FUNCTION ai.enqueue_tool IS 'Asks for a tool to be run in a session. Answers success with invocation_id, or false with the error: unknown_session, not_permitted, archived_session, tool_not_allowed, too_many_waiting (20), quota_exceeded.';

-- Memories -----------------------------------------------------------------------------------------

CREATE FUNCTION ai.merge_json(target jsonb, patch jsonb) RETURNS jsonb
LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    merged jsonb := CASE WHEN jsonb_typeof(target) = 'object' THEN target ELSE '{}' END;
    field  record;
BEGIN
    IF jsonb_typeof(patch) IS DISTINCT FROM 'object' THEN
        RETURN patch;
    END IF;
    FOR field IN SELECT key, value FROM jsonb_each(patch) LOOP
        merged := CASE jsonb_typeof(field.value)
            WHEN 'null' THEN merged - field.key
            WHEN 'object' THEN jsonb_set(merged, ARRAY[field.key], ai.merge_json(merged -> field.key, field.value))
            ELSE jsonb_set(merged, ARRAY[field.key], field.value)
        END;
    END LOOP;
    RETURN merged;
END $$;
COMMENT ON FUNCTION ai.merge_json IS 'A merge patch (RFC 7396): objects are merged at every depth, null removes a field, and everything else replaces it.';

CREATE FUNCTION ai.merge_memory(patch jsonb, user_id uuid DEFAULT NULL) RETURNS jsonb
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
#variable_conflict use_column
DECLARE
    -- A client's own, whatever it says.
    whose uuid := CASE WHEN util.is_client() THEN auth.uid() ELSE merge_memory.user_id END;
    found jsonb;
BEGIN
    IF whose IS NULL THEN
        RAISE EXCEPTION 'whose memory is not said' USING ERRCODE = 'insufficient_privilege';
    END IF;
    IF jsonb_typeof(patch) IS DISTINCT FROM 'object' OR octet_length(patch::text) > 65536 THEN
        RAISE EXCEPTION 'a change of a memory is an object of at most 64 kB' USING ERRCODE = 'invalid_parameter_value';
    END IF;
    -- Two at once: the second waits, and merges into what the first has made.
    INSERT INTO ai.user_memories AS m (user_id, data) VALUES (whose, ai.merge_json('{}', patch))
    ON CONFLICT ON CONSTRAINT user_memories_pkey DO UPDATE
    SET data = ai.merge_json(m.data, patch), version = m.version + 1
    RETURNING m.data INTO found;
    RETURN found;
END $$;
COMMENT ON FUNCTION ai.merge_memory IS 'Merges a change into what the assistant remembers of the one who asks, or for workers of a person, and answers all of it. What the change does not name stays.';

-- Rights -------------------------------------------------------------------------------------------

SELECT util.protect('ai.assistant_sessions');
SELECT util.protect('ai.assistant_messages', 'SELECT, INSERT, DELETE');
SELECT util.protect('ai.message_keys', 'SELECT, INSERT, DELETE');
SELECT util.protect('ai.tool_invocations');
SELECT util.protect('ai.user_memories');

-- What is said to the assistant is between the two: no permission opens it.
CREATE POLICY assistant_sessions_own ON ai.assistant_sessions TO authenticated
    USING (user_id = (SELECT auth.uid())) WITH CHECK (user_id = (SELECT auth.uid()));
CREATE POLICY assistant_messages_own ON ai.assistant_messages FOR SELECT TO authenticated USING (user_id = (SELECT auth.uid()));
CREATE POLICY tool_invocations_own ON ai.tool_invocations FOR SELECT TO authenticated USING (user_id = (SELECT auth.uid()));
CREATE POLICY user_memories_own ON ai.user_memories TO authenticated
    USING (user_id = (SELECT auth.uid())) WITH CHECK (user_id = (SELECT auth.uid()));
-- Without messages_count, and without DELETE: quotas count what is stored.
GRANT SELECT, INSERT (id, user_id, agent_type, title, context), UPDATE (title, context, archived_at) ON ai.assistant_sessions TO authenticated;
GRANT SELECT ON ai.assistant_messages, ai.tool_invocations TO authenticated;
GRANT SELECT, DELETE ON ai.user_memories TO authenticated;

REVOKE ALL ON FUNCTION ai.tier_of, ai.broken_quota, ai.append_message, ai.enqueue_tool, ai.merge_json, ai.merge_memory FROM PUBLIC;
GRANT EXECUTE ON FUNCTION ai.tier_of TO service_role;
GRANT EXECUTE ON FUNCTION ai.broken_quota, ai.append_message, ai.enqueue_tool, ai.merge_memory TO authenticated, service_role;

SELECT compliance.classify('ai.assistant_sessions', 'personal', exported => true, on_erasure => 'delete');
SELECT compliance.belongs_to('ai.assistant_sessions', 'user_id = $1');
SELECT compliance.classify('ai.assistant_messages', 'personal', exported => true, on_erasure => 'delete');
SELECT compliance.belongs_to('ai.assistant_messages', 'user_id = $1');
SELECT compliance.classify('ai.message_keys', 'pseudonymous', on_erasure => 'delete');
SELECT compliance.belongs_to('ai.message_keys', 'session_id IN (SELECT s.id FROM ai.assistant_sessions s WHERE s.user_id = $1)');
SELECT compliance.classify('ai.tool_invocations', 'personal', exported => true, on_erasure => 'delete');
SELECT compliance.belongs_to('ai.tool_invocations', 'user_id = $1');
SELECT compliance.classify('ai.user_memories', 'personal', exported => true, on_erasure => 'delete');
SELECT compliance.belongs_to('ai.user_memories', 'user_id = $1');
