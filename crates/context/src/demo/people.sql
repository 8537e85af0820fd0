-- demo.people
-- Past months have partitions too, or everything would lie in the default ones.
DO $$
DECLARE
    wanted record;
BEGIN
    FOR wanted IN SELECT t.parent, p.* FROM util.partitioned_tables t, demo.plan p WHERE to_regclass(t.parent) IS NOT NULL LOOP
        PERFORM util.ensure_partitions(wanted.parent::regclass, wanted.months::integer + 3, wanted.now - make_interval(months => wanted.months::integer));
    END LOOP;
END $$;

CREATE TABLE demo.people AS
SELECT
    nth, demo.id('person', nth) AS id,
    given, family, locale, time_zone,
    lower(given || '.' || family) || nth || CASE WHEN p.seed = 1 THEN '' ELSE '.s' || p.seed END AS username,
    -- More people sign up each month than in the one before.
    date_trunc('second', p.now - make_interval(days => (p.months * 30)::integer) * (1 - power(nth::float8 / p.users, 0.7))) AS signed_up_at,
    -- Some learn every day, most now and then.
    power(demo.chance('zeal', nth), 2) AS zeal
FROM demo.plan p
CROSS JOIN LATERAL generate_series(1, p.users) AS nth
CROSS JOIN LATERAL (
    SELECT
        demo.pick('given', nth, '{Amina,Lucas,Sofia,Karim,Emma,Yasmine,Louis,Chloe,Rayan,Ines,Hugo,Leila,Adam,Nora,Jules,Samir,Alice,Mehdi,Clara,Omar,Lina,Nathan,Salma,Theo,Maya,Ilyes,Julie,Farid,Eva,Malik}') AS given,
        demo.pick('family', nth, '{Benali,Martin,Haddad,Bernard,Mansouri,Dubois,Cherif,Laurent,Ziani,Moreau,Saidi,Garcia,Belkacem,Roux,Amrani,Fournier,Khelifi,Girard,Brahimi,Lambert,Taleb,Bonnet,Rahmani,Dupont,Meziane,Faure,Slimani,Henry,Boudiaf,Keller}') AS family,
        CASE WHEN demo.chance('locale', nth) < 0.75 THEN 'fr' ELSE 'en' END AS locale,
        demo.pick('zone', nth, '{Europe/Paris,Europe/Paris,Africa/Algiers,Africa/Algiers,Africa/Casablanca,Africa/Tunis,Europe/Brussels,America/Montreal,Europe/London,UTC}') AS time_zone
) traits;
ALTER TABLE demo.people ADD PRIMARY KEY (nth);
ANALYZE demo.people;

-- An account brings its profile, its settings and the role of a member.
INSERT INTO auth.users (id, email, email_confirmed_at, raw_user_meta_data, created_at, updated_at)
SELECT
    id, username || '@demo.example', signed_up_at + interval '3 minutes',
    jsonb_build_object('username', username, 'display_name', given || ' ' || family, 'locale', locale, 'time_zone', time_zone),
    signed_up_at, signed_up_at
FROM demo.people
ON CONFLICT DO NOTHING;

UPDATE public.profiles t
SET created_at = p.signed_up_at, is_public = demo.chance('public', p.nth) < 0.4,
    bio = CASE WHEN demo.chance('bio', p.nth) < 0.3 THEN demo.pick('bio text', p.nth, '{J''apprends à construire avec l''IA.,Product manager curious about machine learning.,Enseignante et éternelle étudiante.,Développeur le jour et lecteur la nuit.,Learning one lesson a day.}') ELSE '' END,
    profession = CASE WHEN demo.chance('profession', p.nth) < 0.6 THEN demo.pick('profession name', p.nth, '{Développeur,Enseignante,Étudiant,Product manager,Designer,Data analyst,Consultant,Entrepreneuse}') END,
    last_seen_at = demo.moment('seen', p.nth, p.signed_up_at)
FROM demo.people p
WHERE t.id = p.id AND t.last_seen_at IS NULL;

UPDATE rbac.user_roles r SET granted_at = p.signed_up_at
FROM demo.people p WHERE r.user_id = p.id AND r.granted_at > p.signed_up_at AND r.reason = 'signed up';

-- Of each hundred, two teach and one keeps order; the first of all owns the platform.
INSERT INTO rbac.user_roles (user_id, role_id, granted_at, reason)
SELECT p.id, r.id, p.signed_up_at, 'demo'
FROM demo.people p
JOIN rbac.roles r ON r.role_name = CASE WHEN p.nth = 1 THEN 'owner' WHEN p.nth = 2 THEN 'admin' WHEN p.nth % 50 = 3 THEN 'instructor' WHEN p.nth % 100 = 4 THEN 'moderator' END
ON CONFLICT DO NOTHING;

INSERT INTO public.user_consents (id, user_id, consent_key, version, granted, source, granted_at, created_at)
SELECT demo.id('consent ' || c.key, p.nth), p.id, c.key, 1, c.needed OR demo.chance(c.key, p.nth) < 0.5, 'signup', p.signed_up_at, p.signed_up_at
FROM demo.people p
CROSS JOIN (VALUES ('terms', true), ('privacy', true), ('marketing.email', false), ('analytics.journey', false)) AS c(key, needed)
ON CONFLICT DO NOTHING;

INSERT INTO public.profile_links (id, user_id, kind, url, created_at)
SELECT demo.id('link', p.nth), p.id, 'github', 'https://example.com/' || p.username, p.signed_up_at
FROM demo.people p WHERE demo.chance('link', p.nth) < 0.15
ON CONFLICT DO NOTHING;
