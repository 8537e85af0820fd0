-- demo.content
-- A dozen courses, and one more for each thousand people.
CREATE TABLE demo.courses AS
SELECT
    nth, demo.id('course', nth) AS id, topic, category, level,
    -- Free, for members, for premium members, bought on its own; the first two are always open.
    CASE WHEN nth <= 2 THEN 'open' WHEN nth = 8 THEN 'paid_oneoff' ELSE (ARRAY['open', 'open', 'basic', 'basic', 'basic', 'premium', 'premium', 'paid_oneoff'])[1 + floor(demo.chance('offer', nth) * 8)::integer] END AS offer,
    CASE WHEN nth <= 8 OR demo.chance('status', nth) < 0.8 THEN 'published' WHEN demo.chance('status', nth) < 0.9 THEN 'in_review' ELSE 'draft' END AS status,
    date_trunc('second', p.now - make_interval(days => (p.months * 30)::integer) * (0.4 + 0.7 * demo.chance('course age', nth))) AS made_at,
    (SELECT t.id FROM demo.people t WHERE t.nth % 50 = 3 OR t.nth <= 2 ORDER BY demo.chance('teacher', t.nth * 1000 + c.nth) LIMIT 1) AS teacher
FROM demo.plan p
CROSS JOIN LATERAL (
    SELECT
        nth,
        (ARRAY['Les bases de l''IA', 'Prompts efficaces', 'Python pour débuter', 'Statistiques sans peur', 'Réseaux de neurones', 'Embeddings et recherche', 'Agents en pratique', 'Éthique et IA', 'Données propres', 'Déployer un modèle', 'IA pour enseignants', 'SQL utile'])[1 + (nth - 1) % 12]
            || CASE WHEN nth > 12 THEN ', volume ' || 1 + (nth - 1) / 12 ELSE '' END AS topic,
        (ARRAY['ia', 'ia', 'code', 'data', 'ia', 'ia', 'ia', 'societe', 'data', 'code', 'societe', 'data'])[1 + (nth - 1) % 12] AS category,
        (ARRAY['beginner', 'intermediate', 'advanced'])[1 + nth % 3] AS level
    FROM generate_series(1, 12 + p.users / 1000) AS nth
) c;

INSERT INTO content.courses (id, slug, title, description, category, difficulty, language, estimated_duration_seconds, workflow_status, published_at, created_by, instructor_id, created_at, updated_at)
SELECT
    id, 'demo-' || nth || CASE WHEN p.seed = 1 THEN '' ELSE '-s' || p.seed END, topic,
    'Un parcours court et concret : ' || lower(topic) || '. Des exemples, des exercices, un projet.',
    category, level, 'fr', 3600 * (3 + nth % 6), status, CASE WHEN status = 'published' THEN made_at + interval '2 days' END, teacher, teacher, made_at, made_at
FROM demo.courses, demo.plan p
ON CONFLICT DO NOTHING;

CREATE TABLE demo.lessons AS
SELECT
    c.nth * 10000 + m * 100 + l AS nth, demo.id('lesson', c.nth * 10000 + m * 100 + l) AS id,
    demo.id('module', c.nth * 100 + m) AS module_id, c.id AS course_id, m, l, c.status, c.offer, c.made_at,
    (ARRAY['video', 'article', 'article', 'quiz', 'project'])[1 + floor(demo.chance('lesson type', c.nth * 10000 + m * 100 + l) * 5)::integer] AS type
FROM demo.courses c
CROSS JOIN LATERAL generate_series(1, 3 + c.nth % 3) AS m
CROSS JOIN LATERAL generate_series(1, 4 + (c.nth + m) % 3) AS l;

INSERT INTO content.modules (id, course_id, module_order, title, is_published, created_at)
SELECT DISTINCT module_id, course_id, m, 'Module ' || m || ' : ' || (ARRAY['découvrir', 'comprendre', 'pratiquer', 'approfondir', 'construire'])[m], status = 'published', made_at
FROM demo.lessons
ON CONFLICT (id) DO NOTHING;

INSERT INTO content.lessons (id, module_id, lesson_order, title, type, duration_seconds, is_free_preview, text_content, workflow_status, published_at, created_at, updated_at)
SELECT
    id, module_id, l, 'Leçon ' || m || '.' || l, type, 240 + 60 * (nth % 14)::integer, m = 1 AND l = 1,
    repeat('Une idée par paragraphe, un exemple par idée, et une question pour finir. ', 5 + (nth % 20)::integer),
    status, CASE WHEN status = 'published' THEN made_at + interval '2 days' END, made_at, made_at
FROM demo.lessons
ON CONFLICT (id) DO NOTHING;

INSERT INTO content.tags (id, slug, name, tag_category)
SELECT demo.id('tag', nth), slug, initcap(slug), 'theme'
FROM unnest('{python,prompts,ethique,donnees,agents,debutants}'::text[]) WITH ORDINALITY AS t(slug, nth)
ON CONFLICT DO NOTHING;

INSERT INTO content.course_tags (course_id, tag_id, created_at)
SELECT c.id, t.id, c.made_at
FROM demo.courses c
JOIN content.tags t ON t.slug = ANY ('{python,prompts,ethique,donnees,agents,debutants}') AND demo.chance('tag ' || t.slug, c.nth) < 0.3
ON CONFLICT DO NOTHING;

INSERT INTO access.course_access_rules (id, course_id, access_type, required_tier_id, created_at)
SELECT
    demo.id('rule', nth), id, CASE WHEN offer = 'paid_oneoff' THEN offer ELSE 'tier' END,
    CASE WHEN offer <> 'paid_oneoff' THEN access.find_tier(offer) END, made_at
FROM demo.courses WHERE offer <> 'open'
ON CONFLICT DO NOTHING;
