UPDATE public.profiles SET is_public = true WHERE id = world.id('other');
INSERT INTO public.profile_links (user_id, kind, url) VALUES (world.id('owner'), 'website', 'https://example.org/owner'), (world.id('other'), 'github', 'https://example.org/other');
INSERT INTO public.user_consents (user_id, consent_key, granted, source) VALUES (world.id('owner'), 'marketing.email', true, 'signup');
INSERT INTO identity.api_keys (prefix, digest, name, permissions) VALUES ('0123456789ab', sha256('world'), 'world', '{jobs.view}');
INSERT INTO auth.identities (user_id, provider, provider_id) VALUES (world.id('owner'), 'email', 'owner@example.org');
INSERT INTO public.certificate_verification_logs (client_ip_hash, certificate_hash, success, response_time_ms) VALUES (repeat('a', 64), repeat('b', 64), true, 12);
