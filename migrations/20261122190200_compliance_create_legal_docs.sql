-- Terms and policies in their versions, and which consent each asks for.
-- Owner: workers/gdpr. Locks: a short one on public.user_consents. Undo: DROP VIEW compliance.current_legal_docs;
-- DROP TABLE compliance.legal_docs; DROP TRIGGER trg_user_consents_check_version; DROP the functions below.

CREATE TABLE compliance.legal_docs (
    id               uuid        NOT NULL DEFAULT gen_random_uuid() CONSTRAINT legal_docs_pkey PRIMARY KEY,
    kind             text        NOT NULL CONSTRAINT ck_legal_docs_kind CHECK (kind IN ('terms', 'privacy', 'cookies', 'sales', 'referral_terms', 'marketing', 'ai_usage', 'data_retention', 'minors')),
    locale           text        NOT NULL CONSTRAINT ck_legal_docs_locale CHECK (locale ~ '^[a-z]{2}(-[A-Z]{2})?$'),
    version          integer     NOT NULL CONSTRAINT ck_legal_docs_version CHECK (version BETWEEN 1 AND 100000),
    title            text        NOT NULL CONSTRAINT ck_legal_docs_title CHECK (char_length(title) BETWEEN 1 AND 300),
    body             text        NOT NULL CONSTRAINT ck_legal_docs_body CHECK (char_length(body) BETWEEN 1 AND 500000),
    change_summary   text        CONSTRAINT ck_legal_docs_change_summary CHECK (char_length(change_summary) BETWEEN 1 AND 2000),
    consent_key      text        CONSTRAINT ck_legal_docs_consent_key CHECK (consent_key ~ '^[a-z][a-z0-9_.]{1,79}$'),
    asks_again       boolean     NOT NULL DEFAULT true,
    published_at     timestamptz,
    retired_at       timestamptz,
    created_at       timestamptz NOT NULL DEFAULT now(),
    updated_at       timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT uq_legal_docs_version UNIQUE (kind, locale, version),
    CONSTRAINT ck_legal_docs_retired_at CHECK (retired_at IS NULL OR published_at IS NOT NULL AND retired_at >= published_at)
);
CREATE INDEX idx_legal_docs_published ON compliance.legal_docs (kind, locale, version DESC) WHERE published_at IS NOT NULL;
CREATE INDEX idx_legal_docs_consent_key ON compliance.legal_docs (consent_key, version DESC) WHERE published_at IS NOT NULL AND consent_key IS NOT NULL;
COMMENT ON TABLE compliance.legal_docs IS 'Terms and policies in their versions. What was published never changes: people agreed to these very words.';
COMMENT ON COLUMN compliance.legal_docs.consent_key IS 'The consent in public.user_consents that the text asks for; its version is that of the text. Null: nobody is asked.';
COMMENT ON COLUMN compliance.legal_docs.asks_again IS 'Whether an answer to an earlier version counts no more. Not for mended spelling.';
COMMENT ON COLUMN compliance.legal_docs.published_at IS 'From when it holds, and everybody can read it. Until then it can be changed. Who published it is in the audit log.';

CREATE FUNCTION compliance.keep_published() RETURNS trigger
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    IF OLD.published_at <= now() AND (TG_OP = 'DELETE' OR to_jsonb(OLD) - '{retired_at,updated_at}'::text[] <> to_jsonb(NEW) - '{retired_at,updated_at}'::text[]) THEN
        RAISE EXCEPTION '% of % version % is published: people agreed to these words', OLD.locale, OLD.kind, OLD.version
            USING ERRCODE = 'integrity_constraint_violation', CONSTRAINT = TG_NAME, SCHEMA = TG_TABLE_SCHEMA, TABLE = TG_TABLE_NAME;
    END IF;
    RETURN CASE WHEN TG_OP = 'DELETE' THEN OLD ELSE NEW END;
END $$;
COMMENT ON FUNCTION compliance.keep_published IS 'A published text is retired, and never changed or deleted.';
CREATE TRIGGER trg_legal_docs_keep_published BEFORE UPDATE OR DELETE ON compliance.legal_docs FOR EACH ROW EXECUTE FUNCTION compliance.keep_published();
CREATE TRIGGER trg_legal_docs_set_updated_at BEFORE UPDATE ON compliance.legal_docs FOR EACH ROW EXECUTE FUNCTION util.set_updated_at();
CREATE TRIGGER trg_legal_docs_log_change AFTER INSERT OR UPDATE OR DELETE ON compliance.legal_docs
    FOR EACH ROW EXECUTE FUNCTION compliance.log_change('kind,locale,version', 'body');

CREATE VIEW compliance.current_legal_docs WITH (security_invoker = true) AS
SELECT DISTINCT ON (kind, locale) id, kind, locale, version, title, body, change_summary, consent_key, asks_again, published_at
FROM compliance.legal_docs
WHERE published_at <= now() AND (retired_at IS NULL OR retired_at > now())
ORDER BY kind, locale, version DESC;
COMMENT ON VIEW compliance.current_legal_docs IS 'The texts that hold now: the last published version of each kind in each language.';

CREATE FUNCTION compliance.consents_to_ask(user_id uuid) RETURNS TABLE (consent_key text, kind text, version integer)
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp
BEGIN ATOMIC
    SELECT DISTINCT ON (d.consent_key) d.consent_key, d.kind, d.version
    FROM compliance.legal_docs d
    WHERE d.consent_key IS NOT NULL AND d.asks_again AND d.published_at <= now() AND (d.retired_at IS NULL OR d.retired_at > now())
        AND NOT EXISTS (
            SELECT FROM public.user_consents c
            WHERE c.user_id = consents_to_ask.user_id AND c.consent_key = d.consent_key AND c.version >= d.version
                AND c.revoked_at IS NULL AND (c.expires_at IS NULL OR c.expires_at > now())
        )
    ORDER BY d.consent_key, d.version DESC;
END;
COMMENT ON FUNCTION compliance.consents_to_ask IS 'Which questions of consent a person has not answered in the version that holds; a refusal is an answer. Clients learn it about themselves.';

CREATE FUNCTION compliance.check_consent_version() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    IF NEW.version > 1 AND NOT EXISTS (
        SELECT FROM compliance.legal_docs d
        WHERE d.consent_key = NEW.consent_key AND d.version = NEW.version AND d.published_at <= now()
    ) THEN
        RAISE EXCEPTION 'version % of the text behind % is not published', NEW.version, NEW.consent_key
            USING ERRCODE = 'foreign_key_violation', CONSTRAINT = TG_NAME, SCHEMA = TG_TABLE_SCHEMA, TABLE = TG_TABLE_NAME;
    END IF;
    RETURN NEW;
END $$;
COMMENT ON FUNCTION compliance.check_consent_version IS 'Nobody agrees to a version that is not published, and so is never asked again.';
CREATE TRIGGER trg_user_consents_check_version BEFORE INSERT ON public.user_consents FOR EACH ROW EXECUTE FUNCTION compliance.check_consent_version();

SELECT util.protect('compliance.legal_docs');
CREATE POLICY legal_docs_read ON compliance.legal_docs FOR SELECT TO anon, authenticated USING (published_at <= now());
CREATE POLICY legal_docs_manage ON compliance.legal_docs TO authenticated
    USING ((SELECT rbac.has_permission((SELECT auth.uid()), 'legal.manage'))) WITH CHECK ((SELECT rbac.has_permission((SELECT auth.uid()), 'legal.manage')));
GRANT SELECT (id, kind, locale, version, title, body, change_summary, consent_key, asks_again, published_at, retired_at, created_at, updated_at)
    ON compliance.legal_docs TO anon, authenticated;
GRANT INSERT (kind, locale, version, title, body, change_summary, consent_key, asks_again, published_at),
    UPDATE (title, body, change_summary, consent_key, asks_again, published_at, retired_at), DELETE ON compliance.legal_docs TO authenticated;
REVOKE ALL ON compliance.current_legal_docs FROM PUBLIC;
GRANT SELECT ON compliance.current_legal_docs TO anon, authenticated, service_role;
REVOKE ALL ON FUNCTION compliance.keep_published, compliance.consents_to_ask, compliance.check_consent_version FROM PUBLIC;
GRANT EXECUTE ON FUNCTION compliance.consents_to_ask TO authenticated, service_role;

SELECT compliance.classify('compliance.legal_docs', 'none');
