-- Who looks up certificates, as far as is needed to stop those who try them all.
-- Owner: crates/api. Locks: none, the table is new. Undo: DROP TABLE public.certificate_verification_logs.

CREATE TABLE public.certificate_verification_logs (
    id                 uuid        NOT NULL DEFAULT gen_random_uuid(),
    client_ip_hash     text        NOT NULL CONSTRAINT ck_certificate_verification_logs_ip_hash CHECK (client_ip_hash ~ '^[0-9a-f]{64}$'),
    certificate_hash   text        CONSTRAINT ck_certificate_verification_logs_certificate CHECK (certificate_hash ~ '^[0-9a-f]{64}$'),
    user_agent_partial text        CONSTRAINT ck_certificate_verification_logs_user_agent CHECK (char_length(user_agent_partial) BETWEEN 1 AND 100),
    success            boolean     NOT NULL,
    error_message      text        CONSTRAINT ck_certificate_verification_logs_error CHECK (char_length(error_message) BETWEEN 1 AND 500),
    response_time_ms   integer     CONSTRAINT ck_certificate_verification_logs_time CHECK (response_time_ms BETWEEN 0 AND 3600000),
    created_at         timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT certificate_verification_logs_pkey PRIMARY KEY (id, created_at),
    CONSTRAINT ck_certificate_verification_logs_success CHECK (NOT success OR certificate_hash IS NOT NULL AND error_message IS NULL)
) PARTITION BY RANGE (created_at);
CREATE INDEX idx_certificate_verification_logs_ip_hash ON public.certificate_verification_logs (client_ip_hash, created_at DESC);
CREATE INDEX idx_certificate_verification_logs_certificate ON public.certificate_verification_logs (certificate_hash, created_at DESC) WHERE certificate_hash IS NOT NULL;
COMMENT ON TABLE public.certificate_verification_logs IS 'Every look-up of a certificate by somebody outside. Never the address: its hash of the day.';
COMMENT ON COLUMN public.certificate_verification_logs.client_ip_hash IS 'compliance.hash_ip_daily_salt: over midnight, count compliance.recent_ip_hashes.';
COMMENT ON COLUMN public.certificate_verification_logs.certificate_hash IS 'What was asked for. Null when it was no hash at all.';
COMMENT ON COLUMN public.certificate_verification_logs.user_agent_partial IS 'Name and major version of the program, no more.';
SELECT util.ensure_partitions('public.certificate_verification_logs', 3);
CREATE TRIGGER trg_certificate_verification_logs_refuse_change BEFORE UPDATE ON public.certificate_verification_logs FOR EACH ROW EXECUTE FUNCTION util.refuse_change();

SELECT util.protect('public.certificate_verification_logs', 'SELECT, INSERT, DELETE');
CREATE POLICY certificate_verification_logs_read ON public.certificate_verification_logs FOR SELECT TO authenticated
    USING ((SELECT rbac.has_permission((SELECT auth.uid()), 'analytics.view')));
GRANT SELECT ON public.certificate_verification_logs TO authenticated;

SELECT compliance.classify('public.certificate_verification_logs', 'pseudonymous', '{client_ip_hash,user_agent_partial}', on_erasure => 'keep', reason => 'Of somebody without an account; once the salt of the day is gone it leads to nobody.');
SELECT compliance.classify('public.certificate_verification_logs', 'pseudonymous', '{certificate_hash}', on_erasure => 'keep', reason => 'Leads to a person only through the certificate.');
SELECT compliance.classify('public.certificate_verification_logs', 'none');
