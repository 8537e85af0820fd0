-- The owner is author of a draft course with one of everything. The course of the platform is published: its first
-- lesson is a preview, its second is for those who may read it.
INSERT INTO content.courses (id, slug, title, created_by) VALUES
    ('c0000000-0000-4000-8000-000000000001', 'draft', 'A draft', world.id('owner')),
    ('c0000000-0000-4000-8000-000000000003', 'path', 'A path for one', world.id('owner'));
UPDATE content.courses SET course_type = 'custom' WHERE slug = 'path';
INSERT INTO content.courses (id, slug, title, description, workflow_status) VALUES
    ('c0000000-0000-4000-8000-000000000002', 'published', 'A published course', 'About electric sheep', 'published'),
    ('c0000000-0000-4000-8000-000000000004', 'in-review', 'A course in review', '', 'in_review');
INSERT INTO content.modules (id, course_id, module_order, title, is_published) VALUES
    ('c1000000-0000-4000-8000-000000000001', 'c0000000-0000-4000-8000-000000000001', 1, 'Of the draft', false),
    ('c1000000-0000-4000-8000-000000000002', 'c0000000-0000-4000-8000-000000000002', 1, 'Of the published', true);
INSERT INTO media.assets (id, uploaded_by, asset_type, access_level, object_key, upload_status, ready_at) VALUES
    ('a0000000-0000-4000-8000-000000000003', NULL, 'video', 'course_access', 'assets/3', 'ready', now());
INSERT INTO content.lessons (id, module_id, lesson_order, title, type, text_content, workflow_status, is_free_preview, primary_media_id) VALUES
    ('c2000000-0000-4000-8000-000000000001', 'c1000000-0000-4000-8000-000000000001', 1, 'Of the draft', 'article', 'body', 'draft', false, NULL),
    ('c2000000-0000-4000-8000-000000000002', 'c1000000-0000-4000-8000-000000000002', 1, 'A preview', 'article', 'body', 'published', true, NULL),
    ('c2000000-0000-4000-8000-000000000003', 'c1000000-0000-4000-8000-000000000002', 2, 'A paid one', 'video', 'body', 'published', false, 'a0000000-0000-4000-8000-000000000003'),
    ('c2000000-0000-4000-8000-000000000004', 'c1000000-0000-4000-8000-000000000002', 3, 'In review', 'article', 'body', 'in_review', false, NULL);
INSERT INTO content.prerequisites (id, course_id, required_course_id) VALUES
    ('c3000000-0000-4000-8000-000000000001', 'c0000000-0000-4000-8000-000000000001', 'c0000000-0000-4000-8000-000000000002');
INSERT INTO content.prerequisites (id, lesson_id, required_lesson_id) VALUES
    ('c3000000-0000-4000-8000-000000000002', 'c2000000-0000-4000-8000-000000000003', 'c2000000-0000-4000-8000-000000000002');
INSERT INTO content.tags (id, slug, name) VALUES ('c4000000-0000-4000-8000-000000000001', 'sheep', 'Sheep');
INSERT INTO content.course_tags (course_id, tag_id) VALUES
    ('c0000000-0000-4000-8000-000000000001', 'c4000000-0000-4000-8000-000000000001'),
    ('c0000000-0000-4000-8000-000000000002', 'c4000000-0000-4000-8000-000000000001');
INSERT INTO content.attachments (id, course_id, lesson_id, kind, title, url, created_by) VALUES
    ('c5000000-0000-4000-8000-000000000001', NULL, 'c2000000-0000-4000-8000-000000000001', 'link', 'Of the draft', 'https://example.org/1', world.id('owner')),
    ('c5000000-0000-4000-8000-000000000002', NULL, 'c2000000-0000-4000-8000-000000000002', 'link', 'Of the preview', 'https://example.org/2', NULL),
    ('c5000000-0000-4000-8000-000000000003', NULL, 'c2000000-0000-4000-8000-000000000003', 'link', 'Of the paid one', 'https://example.org/3', NULL),
    ('c5000000-0000-4000-8000-000000000004', NULL, NULL, 'link', 'Of the library', 'https://example.org/4', NULL),
    ('c5000000-0000-4000-8000-000000000005', 'c0000000-0000-4000-8000-000000000002', NULL, 'link', 'Of the published course', 'https://example.org/5', NULL);
INSERT INTO content.exercises (id, lesson_id, kind, title, question, correct_answer, is_published, created_by) VALUES
    ('c6000000-0000-4000-8000-000000000001', NULL, 'exercise', 'A draft', '1 + 1', '2', false, world.id('owner')),
    ('c6000000-0000-4000-8000-000000000002', NULL, 'logic_challenge', 'A published one', 'Is this one?', '"yes"', true, NULL),
    ('c6000000-0000-4000-8000-000000000003', 'c2000000-0000-4000-8000-000000000003', 'exercise', 'Of the paid lesson', '1 + 2', '3', true, NULL);
INSERT INTO content.workflow_transitions (id, content_type, content_id, course_id, from_status, to_status, performed_by) VALUES
    ('c7000000-0000-4000-8000-000000000001', 'course', 'c0000000-0000-4000-8000-000000000001', 'c0000000-0000-4000-8000-000000000001', 'in_review', 'draft', world.id('moderator'));
