-- demo.analytics
-- A few visits for most people, many for some; each opens lessons, and now and then ends one.
CREATE TABLE demo.visits AS
SELECT
    p.nth * 1000 + v AS nth, demo.id('visit', p.nth * 1000 + v) AS id, p.id AS user_id,
    demo.moment('visit', p.nth * 1000 + v, p.signed_up_at) AS started_at,
    1 + floor(demo.chance('pages', p.nth * 1000 + v) * 5)::integer AS pages
FROM demo.people p
CROSS JOIN LATERAL generate_series(1, 2 + floor(p.zeal * 12)::integer) AS v;

INSERT INTO analytics.user_sessions (id, started_at, user_id, last_seen_at, ended_at, pages_visited, device_info, country_code)
SELECT
    id, started_at, user_id, started_at + make_interval(mins => 4 * pages), started_at + make_interval(mins => 4 * pages),
    ARRAY(SELECT '/lessons/' || demo.pick('path', nth * 10 + g, '{intro,pratique,quiz,projet,ressources}') FROM generate_series(1, pages) AS g),
    jsonb_build_object('kind', demo.pick('device', nth, '{desktop,desktop,mobile,tablet}'), 'browser', demo.pick('browser', nth, '{firefox,chrome,chrome,safari}')),
    demo.pick('country', nth, '{FR,FR,DZ,DZ,MA,TN,BE,CA,GB}')
FROM demo.visits
ON CONFLICT DO NOTHING;

CREATE TABLE demo.numbered_lessons AS
SELECT row_number() OVER (ORDER BY nth) AS place, id FROM demo.lessons WHERE status = 'published';
ALTER TABLE demo.numbered_lessons ADD PRIMARY KEY (place);

INSERT INTO analytics.activity_log (id, created_at, user_id, session_id, activity_type, action, subject_type, subject_id, source, details)
SELECT
    demo.id('activity', a.nth), a.at, a.user_id, a.session_id, 'learning', CASE WHEN a.chance < 0.7 THEN 'lesson.opened' ELSE 'lesson.completed' END,
    'lesson', l.id, 'client', jsonb_build_object('seconds', 60 + floor(a.chance * 600)::integer)
FROM (
    SELECT
        v.nth * 10 + g AS nth, v.user_id, v.id AS session_id, v.started_at + make_interval(mins => 4 * (g - 1)) AS at,
        demo.chance('activity', v.nth * 10 + g) AS chance
    FROM demo.visits v CROSS JOIN LATERAL generate_series(1, v.pages) AS g
) a
CROSS JOIN (SELECT count(*) AS count FROM demo.numbered_lessons) n
JOIN demo.numbered_lessons l ON l.place = 1 + floor(demo.chance('lesson', a.nth) * n.count)::bigint
ON CONFLICT DO NOTHING;
