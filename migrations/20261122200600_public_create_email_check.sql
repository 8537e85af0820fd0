-- Whether an address has an account: what a sign-up form asks, and what nobody may ask for a list of addresses.
-- Owner: crates/api. Locks: none. Undo: DROP FUNCTION public.check_email_available.

CREATE FUNCTION public.check_email_available(email text, ip inet) RETURNS jsonb
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    hashes text[] := compliance.recent_ip_hashes(ip);
    rate   record;
BEGIN
    IF ip IS NULL OR email IS NULL OR email !~ '^[^@\s]+@[^@\s]+$' OR char_length(email) > 320 THEN
        RETURN jsonb_build_object('success', false, 'error', 'invalid');
    END IF;
    SELECT * INTO rate FROM util.check_rate('auth.email_available', hashes[1], hashes[2]);
    IF NOT rate.allowed THEN
        RETURN jsonb_build_object('success', false, 'error', 'rate_limited', 'retry_at', rate.retry_at);
    END IF;
    RETURN jsonb_build_object('success', true, 'is_available', NOT (
        EXISTS (SELECT FROM auth.users u WHERE lower(u.email) = lower(check_email_available.email))
        OR EXISTS (SELECT FROM public.profiles p WHERE lower(p.email) = lower(check_email_available.email))
    ));
END $$;
COMMENT ON FUNCTION public.check_email_available IS 'Whether an address is free, as often as util.rate_limits allows one address of the net to ask. Called by the API, which knows that address, and by no client.';
REVOKE ALL ON FUNCTION public.check_email_available FROM PUBLIC, anon, authenticated, service_role;
GRANT EXECUTE ON FUNCTION public.check_email_available TO service_role;
