-- promise: A course goes from draft over review to its readers and into the archive, and each step is recorded.
SELECT world.permit('{content.create}');
SELECT world.act_as('permitted');
INSERT INTO content.courses (id, slug, title) VALUES ('c0000000-0000-4000-8000-0000000000aa', 'mine', 'Mine');
SELECT world.same(content.submit_for_review('course', 'c0000000-0000-4000-8000-0000000000aa', 'please look') ->> 'success', 'true');
SELECT world.act_as('moderator');
SELECT world.same(content.reject_content('course', 'c0000000-0000-4000-8000-0000000000aa', 'too short') ->> 'to', 'draft');
SELECT world.act_as('permitted');
SELECT world.same(content.submit_for_review('course', 'c0000000-0000-4000-8000-0000000000aa') ->> 'success', 'true');
SELECT world.act_as('moderator');
SELECT world.same(content.approve_content('course', 'c0000000-0000-4000-8000-0000000000aa') ->> 'success', 'true');
SELECT world.act_as('anon');
SELECT world.same((SELECT is_published AND computed_is_published AND published_at = now() FROM content.courses_published WHERE slug = 'mine'), true);
SELECT world.act_as('admin');
SELECT world.same(content.archive_content('course', 'c0000000-0000-4000-8000-0000000000aa') ->> 'success', 'true');
SELECT world.act_as('permitted');
SELECT world.same((SELECT workflow_status || ' ' || (archived_at = now())::text || ' ' || is_published::text FROM content.courses WHERE slug = 'mine'), 'archived true false');
SELECT world.same(
    (SELECT array_agg(from_status || '>' || to_status || ' ' || coalesce(comment, '-') || ' ' || (performed_by = world.id('permitted'))::text ORDER BY from_status, to_status, comment)
    FROM content.workflow_transitions WHERE content_id = 'c0000000-0000-4000-8000-0000000000aa'),
    '{draft>in_review please look true,draft>in_review - true,in_review>draft too short false,in_review>published - false,published>archived - false}'::text[]
);

-- promise: A lesson takes the same way, and its record names its course.
SELECT world.act_as('owner');
SELECT world.same(content.submit_for_review('lesson', 'c2000000-0000-4000-8000-000000000001') ->> 'success', 'true');
SELECT world.act_as('moderator');
SELECT world.same(content.approve_content('lesson', 'c2000000-0000-4000-8000-000000000001') ->> 'success', 'true');
SELECT world.same((SELECT count(*) FROM content.workflow_transitions WHERE content_type = 'lesson' AND course_id = 'c0000000-0000-4000-8000-000000000001'), 2::bigint);

-- promise: Only who may takes a step, and only steps that there are.
SELECT world.act_as('owner');
SELECT world.same(content.approve_content('course', 'c0000000-0000-4000-8000-000000000001') ->> 'error', 'not_possible');
SELECT world.same(content.transition_workflow_status('course', 'c0000000-0000-4000-8000-000000000001', 'nonsense') ->> 'error', 'not_possible');
SELECT world.same(content.transition_workflow_status('course', 'c0000000-0000-4000-8000-000000000001', NULL) ->> 'error', 'not_possible');
SELECT world.same(content.submit_for_review('course', 'c0000000-0000-4000-8000-000000000001', repeat('x', 2001)) ->> 'error', 'comment_too_long');
SELECT world.same(content.submit_for_review('course', 'c0000000-0000-4000-8000-000000000001') ->> 'success', 'true');
SELECT world.same(content.submit_for_review('course', 'c0000000-0000-4000-8000-000000000001') ->> 'error', 'not_possible');
SELECT world.same(content.approve_content('course', 'c0000000-0000-4000-8000-000000000001') ->> 'error', 'not_permitted');
SELECT world.same(content.reject_content('course', 'c0000000-0000-4000-8000-000000000001') ->> 'error', 'not_permitted');
SELECT world.same(content.archive_content('course', 'c0000000-0000-4000-8000-000000000002') ->> 'error', 'not_permitted');
SELECT world.act_as('other');
SELECT world.same(content.submit_for_review('lesson', 'c2000000-0000-4000-8000-000000000001') ->> 'error', 'not_permitted');
SELECT world.same(content.submit_for_review('course', gen_random_uuid()) ->> 'error', 'not_found');
SELECT world.same(content.submit_for_review('tag', 'c4000000-0000-4000-8000-000000000001') ->> 'error', 'unknown_type');
SELECT world.same(content.submit_for_review(NULL, NULL) ->> 'error', 'unknown_type');
SELECT world.act_as('moderator');
SELECT world.same(content.archive_content('course', 'c0000000-0000-4000-8000-000000000001') ->> 'error', 'not_permitted');
SELECT world.same((SELECT count(*) FROM content.workflow_transitions), 2::bigint);
SELECT world.act_as('anon');
SELECT world.fails($$SELECT content.submit_for_review('course', 'c0000000-0000-4000-8000-000000000001')$$, '42501');

-- promise: No client writes a status, a time or an author past the workflow.
SELECT world.act_as('admin');
SELECT world.fails($$UPDATE content.courses SET workflow_status = 'published' WHERE slug = 'draft'$$, '42501');
SELECT world.fails($$UPDATE content.lessons SET workflow_status = 'published'$$, '42501');
SELECT world.fails($$UPDATE content.courses SET published_at = now()$$, '42501');
SELECT world.fails($$UPDATE content.courses SET created_by = world.id('admin')$$, '42501');
SELECT world.fails($$INSERT INTO content.courses (slug, title, workflow_status) VALUES ('x', 'X', 'published')$$, '42501');
SELECT world.fails($$INSERT INTO content.lessons (module_id, lesson_order, title, type, workflow_status) VALUES ('c1000000-0000-4000-8000-000000000002', 9, 'X', 'article', 'published')$$, '42501');
SELECT world.fails($$INSERT INTO content.workflow_transitions (content_type, content_id, course_id, from_status, to_status) VALUES ('course', gen_random_uuid(), gen_random_uuid(), 'draft', 'in_review')$$, '42501');

-- promise: Workers are held to the workflow too, and what they change is recorded.
SELECT world.act_as('service');
SELECT world.fails($$UPDATE content.courses SET workflow_status = 'published' WHERE slug = 'draft'$$, 'trg_courses_keep_workflow');
SELECT world.fails($$UPDATE content.lessons SET workflow_status = 'published' WHERE title = 'Of the draft'$$, 'trg_lessons_keep_workflow');
UPDATE content.courses SET workflow_status = 'in_review' WHERE slug = 'draft';
SELECT world.same((SELECT count(*) FROM content.workflow_transitions WHERE to_status = 'in_review' AND performed_by IS NULL AND comment IS NULL), 1::bigint);
SELECT world.fails($$UPDATE content.workflow_transitions SET comment = 'x'$$, '42501');
SELECT world.act_as('operator');
SELECT world.fails($$DELETE FROM content.workflow_transitions$$, 'trg_workflow_transitions_refuse_change');

-- promise: An author works on what is a draft, and on nothing else.
SELECT world.permit('{content.create}');
SELECT world.act_as('permitted');
INSERT INTO content.courses (id, slug, title) VALUES ('c0000000-0000-4000-8000-0000000000aa', 'mine', 'Mine');
INSERT INTO content.modules (id, course_id, module_order, title) VALUES ('c1000000-0000-4000-8000-0000000000aa', 'c0000000-0000-4000-8000-0000000000aa', 1, 'One');
INSERT INTO content.lessons (id, module_id, lesson_order, title, type) VALUES ('c2000000-0000-4000-8000-0000000000aa', 'c1000000-0000-4000-8000-0000000000aa', 1, 'One', 'article');
UPDATE content.courses SET title = 'Still mine' WHERE slug = 'mine';
UPDATE content.modules SET is_published = true WHERE title = 'One';
UPDATE content.lessons SET text_content = 'words' WHERE title = 'One';
INSERT INTO content.course_tags VALUES ('c0000000-0000-4000-8000-0000000000aa', 'c4000000-0000-4000-8000-000000000001');
INSERT INTO content.prerequisites (course_id, required_course_id) VALUES ('c0000000-0000-4000-8000-0000000000aa', 'c0000000-0000-4000-8000-000000000002');
INSERT INTO content.attachments (lesson_id, kind, title, url) VALUES ('c2000000-0000-4000-8000-0000000000aa', 'link', 'Mine', 'https://example.org');
INSERT INTO content.exercises (id, lesson_id, kind, title, question, correct_answer) VALUES ('c6000000-0000-4000-8000-0000000000aa', 'c2000000-0000-4000-8000-0000000000aa', 'exercise', 'Mine', '1', '1');
SELECT world.fails($$INSERT INTO content.modules (course_id, module_order, title) VALUES ('c0000000-0000-4000-8000-000000000001', 7, 'In another''s')$$, '42501');
SELECT world.fails($$UPDATE content.lessons SET module_id = 'c1000000-0000-4000-8000-000000000001' WHERE title = 'One'$$, '42501');
SELECT world.fails($$UPDATE content.exercises SET is_published = true WHERE title = 'Mine'$$, '42501');
SELECT content.submit_for_review('course', 'c0000000-0000-4000-8000-0000000000aa'), content.submit_for_review('lesson', 'c2000000-0000-4000-8000-0000000000aa');
SELECT world.act_as('moderator');
SELECT content.approve_content('course', 'c0000000-0000-4000-8000-0000000000aa'), content.approve_content('lesson', 'c2000000-0000-4000-8000-0000000000aa');
SELECT world.act_as('permitted');
UPDATE content.courses SET title = 'Changed';
UPDATE content.lessons SET title = 'Changed';
UPDATE content.modules SET title = 'Changed';
DELETE FROM content.courses;
DELETE FROM content.lessons;
DELETE FROM content.modules;
DELETE FROM content.course_tags;
SELECT world.fails($$INSERT INTO content.modules (course_id, module_order, title, is_published) VALUES ('c0000000-0000-4000-8000-0000000000aa', 2, 'Two', true)$$, '42501');
-- What comes next in a published course is prepared out of sight.
INSERT INTO content.modules (course_id, module_order, title) VALUES ('c0000000-0000-4000-8000-0000000000aa', 2, 'Two');
INSERT INTO content.lessons (module_id, lesson_order, title, type) VALUES ('c1000000-0000-4000-8000-0000000000aa', 2, 'Next', 'article');
SELECT world.act_as('anon');
SELECT world.same((SELECT array_agg(title ORDER BY title) FROM content.lessons), '{A preview,One}'::text[]);
SELECT world.same((SELECT array_agg(title ORDER BY title) FROM content.modules), '{Of the published,One}'::text[]);

-- promise: Who may no longer create content does not work on drafts either; a path for oneself takes no permission.
SELECT world.act_as('owner');
UPDATE content.courses SET title = 'Changed';
INSERT INTO content.modules (course_id, module_order, title) VALUES ('c0000000-0000-4000-8000-000000000003', 1, 'A step');
SELECT world.same((SELECT array_agg(slug) FROM content.courses WHERE title = 'Changed'), '{path}'::text[]);
SELECT world.same(content.submit_for_review('course', 'c0000000-0000-4000-8000-000000000003') ->> 'error', 'not_possible');
SELECT world.fails($$INSERT INTO content.courses (slug, title) VALUES ('x', 'X')$$, '42501');
SELECT world.act_as('operator');
SELECT world.fails($$UPDATE content.courses SET workflow_status = 'in_review' WHERE slug = 'path'$$, 'ck_courses_custom');

-- promise: What was once published is not deleted by clients, and goes with nothing else.
SELECT world.act_as('admin');
DELETE FROM content.modules WHERE id = 'c1000000-0000-4000-8000-000000000002';
DELETE FROM content.courses WHERE slug IN ('published', 'in-review');
SELECT world.same((SELECT array_agg(slug ORDER BY slug) FROM content.courses ), '{draft,path,published}'::text[]);
SELECT world.same((SELECT count(*) FROM content.modules WHERE id = 'c1000000-0000-4000-8000-000000000002'), 1::bigint);

-- promise: The body of a lesson that costs something is seen by nobody without access, in no table, view or function.
SELECT world.act_as('other');
SELECT world.same((SELECT array_agg(title ORDER BY title) FROM content.lessons), '{A preview}'::text[]);
SELECT world.same((SELECT array_agg(title ORDER BY title) FROM content.lessons_published), '{A preview}'::text[]);
SELECT world.same((SELECT count(*) FROM content.workflow_dashboard), 0::bigint);
SELECT world.same((SELECT count(*) FROM content.attachments WHERE title ~ 'paid|course'), 0::bigint);
SELECT world.same((SELECT count(*) FROM content.exercises WHERE title ~ 'paid'), 0::bigint);
SELECT world.act_as('owner');
SELECT world.same((SELECT array_agg(title ORDER BY title) FROM content.lessons_published), '{A paid one,A preview}'::text[]);

-- promise: What a published course holds is listed for everybody, by title, with what the caller may read.
SELECT world.act_as('anon');
SELECT world.same((SELECT array_agg(title || ' ' || can_read ORDER BY lesson_order) FROM content.get_course_outline('c0000000-0000-4000-8000-000000000002')), '{A preview true,A paid one false}'::text[]);
SELECT world.same((SELECT count(*) FROM content.get_course_outline('c0000000-0000-4000-8000-000000000001')), 0::bigint);
SELECT world.act_as('owner');
SELECT world.same((SELECT array_agg(can_read) FROM content.get_course_outline('c0000000-0000-4000-8000-000000000002')), '{true,true}'::boolean[]);
SELECT world.same((SELECT count(*) FROM content.get_course_outline('c0000000-0000-4000-8000-000000000001')), 0::bigint);

-- promise: A search finds published courses by their words, and no others.
SELECT world.act_as('anon');
SELECT world.same((SELECT array_agg(slug) FROM content.search_courses('electric sheep')), '{published}'::text[]);
SELECT world.same((SELECT array_agg(slug) FROM content.search_courses('course', 1000000)), '{published}'::text[]);
SELECT world.same((SELECT count(*) FROM content.search_courses('draft')), 0::bigint);
SELECT world.same((SELECT count(*) FROM content.search_courses('electric', -1)), 0::bigint);
SELECT world.same((SELECT count(*) FROM content.search_courses('"unbalanced & | !')), 0::bigint);

-- promise: Reviewers see on their dashboard what waits, and authors what is theirs.
SELECT world.act_as('moderator');
SELECT world.same((SELECT array_agg(content_type || ' ' || title ORDER BY title) FROM content.workflow_dashboard WHERE workflow_status = 'in_review'), '{course A course in review,lesson In review}'::text[]);
SELECT world.act_as('owner');
SELECT world.same((SELECT array_agg(title || ' ' || lesson_count || ' ' || creator_name ORDER BY content_type, title) FROM content.workflow_dashboard), '{A draft 1 Owner,A path for one 0 Owner,Of the draft 1 Owner}'::text[]);

-- promise: Who teaches a course sees all of it, and changes none of it.
UPDATE content.courses SET instructor_id = world.id('other');
SELECT world.act_as('other');
SELECT world.same((SELECT count(*) FROM content.lessons), 4::bigint);
UPDATE content.lessons SET title = 'Changed';
SELECT world.same((SELECT count(*) FROM content.lessons WHERE title = 'Changed'), 0::bigint);

-- promise: Nothing comes before itself, by however many steps.
SELECT world.fails($$INSERT INTO content.prerequisites (course_id, required_course_id) VALUES ('c0000000-0000-4000-8000-000000000001', 'c0000000-0000-4000-8000-000000000001')$$, 'trg_prerequisites_refuse_cycle');
SELECT world.fails($$INSERT INTO content.prerequisites (course_id, required_course_id) VALUES ('c0000000-0000-4000-8000-000000000002', 'c0000000-0000-4000-8000-000000000001')$$, 'trg_prerequisites_refuse_cycle');
INSERT INTO content.prerequisites (course_id, required_course_id) VALUES ('c0000000-0000-4000-8000-000000000002', 'c0000000-0000-4000-8000-000000000004');
SELECT world.fails($$INSERT INTO content.prerequisites (course_id, required_course_id) VALUES ('c0000000-0000-4000-8000-000000000004', 'c0000000-0000-4000-8000-000000000001')$$, 'trg_prerequisites_refuse_cycle');
SELECT world.fails($$UPDATE content.prerequisites SET required_course_id = course_id WHERE course_id IS NOT NULL$$, 'trg_prerequisites_refuse_cycle');
INSERT INTO content.prerequisites (course_id, required_course_id) VALUES ('c0000000-0000-4000-8000-000000000001', 'c0000000-0000-4000-8000-000000000004');
SELECT world.fails($$INSERT INTO content.prerequisites (lesson_id, required_lesson_id) VALUES ('c2000000-0000-4000-8000-000000000002', 'c2000000-0000-4000-8000-000000000003')$$, 'trg_prerequisites_refuse_cycle');
SELECT world.same((SELECT source_type || ' ' || (source_id = lesson_id AND target_id = required_lesson_id)::text || ' ' || target_type FROM content.prerequisites WHERE lesson_id IS NOT NULL), 'lesson true lesson');

-- promise: A tag knows how many courses have it.
SELECT world.same((SELECT usage_count FROM content.tags WHERE slug = 'sheep'), 2);
INSERT INTO content.course_tags SELECT id, 'c4000000-0000-4000-8000-000000000001' FROM content.courses ON CONFLICT DO NOTHING;
SELECT world.same((SELECT usage_count FROM content.tags WHERE slug = 'sheep'), 4);
DELETE FROM content.courses WHERE slug = 'path';
SELECT world.same((SELECT usage_count FROM content.tags WHERE slug = 'sheep'), 3);
DELETE FROM content.course_tags;
SELECT world.same((SELECT usage_count FROM content.tags WHERE slug = 'sheep'), 0);
SELECT world.act_as('admin');
SELECT world.fails($$UPDATE content.tags SET usage_count = 9$$, '42501');

-- promise: The answer to an exercise is not among what clients read.
SELECT world.act_as('other');
SELECT world.fails($$SELECT correct_answer FROM content.exercises$$, '42501');
SELECT world.fails($$SELECT explanation FROM content.exercises$$, '42501');
SELECT world.same((SELECT count(*) FROM content.get_exercise_solution('c6000000-0000-4000-8000-000000000002')), 0::bigint);
SELECT world.act_as('moderator');
SELECT world.same((SELECT correct_answer FROM content.get_exercise_solution('c6000000-0000-4000-8000-000000000002')), '"yes"'::jsonb);
SELECT world.act_as('owner');
SELECT world.same((SELECT correct_answer FROM content.get_exercise_solution('c6000000-0000-4000-8000-000000000001')), '2'::jsonb);

-- promise: What a model made is hidden until a person who may publishes it.
INSERT INTO content.exercises (id, kind, title, question, correct_answer, is_ai_generated, ai_confidence_score, generation_seed)
VALUES ('c6000000-0000-4000-8000-0000000000aa', 'exercise', 'Generated', '1', '1', true, 0.5, '42');
SELECT world.act_as('service');
SELECT world.fails($$UPDATE content.exercises SET is_published = true WHERE title = 'Generated'$$, 'ck_exercises_approved');
SELECT world.act_as('other');
SELECT world.same((SELECT count(*) FROM content.exercises WHERE title = 'Generated'), 0::bigint);
SELECT world.act_as('moderator');
UPDATE content.exercises SET is_published = true WHERE title = 'Generated';
SELECT world.act_as('operator');
SELECT world.same((SELECT approved_by = world.id('moderator') AND approved_at = now() FROM content.exercises WHERE title = 'Generated'), true);
SELECT world.act_as('other');
SELECT world.same((SELECT count(*) FROM content.exercises WHERE title = 'Generated'), 1::bigint);

-- promise: What a learner sees through a course is not shown in a course of one's own, where it would outlive the right.
INSERT INTO media.assets (id, uploaded_by, asset_type, access_level, upload_status, external_provider, external_id, ready_at)
VALUES ('a0000000-0000-4000-8000-0000000000bb', world.id('boss'), 'video', 'course_access', 'ready', 'vimeo', 'sold', now());
INSERT INTO content.courses (id, slug, title, created_by, workflow_status) VALUES ('c0000000-0000-4000-8000-0000000000bb', 'sold', 'Sold', world.id('boss'), 'published');
INSERT INTO content.attachments (course_id, kind, title, asset_id) VALUES ('c0000000-0000-4000-8000-0000000000bb', 'file', 'Video', 'a0000000-0000-4000-8000-0000000000bb');
INSERT INTO access.course_access_rules (course_id, access_type) VALUES ('c0000000-0000-4000-8000-0000000000bb', 'paid_oneoff');
INSERT INTO access.user_entitlements (user_id, entitlement_type, course_id) VALUES (world.id('other'), 'course_specific', 'c0000000-0000-4000-8000-0000000000bb');
SELECT world.act_as('other');
SELECT world.same((SELECT count(*) FROM media.assets WHERE external_id = 'sold'), 1::bigint);
INSERT INTO content.courses (id, slug, title, course_type) VALUES ('c0000000-0000-4000-8000-0000000000ab', 'copy', 'Copy', 'custom');
SELECT world.fails($$INSERT INTO content.attachments (course_id, kind, title, asset_id) VALUES ('c0000000-0000-4000-8000-0000000000ab', 'file', 'Video', 'a0000000-0000-4000-8000-0000000000bb')$$, 'trg_attachments_check_asset_added');

-- promise: Nobody shows an asset that they do not see themselves, and so nobody comes to see it that way.
SELECT world.permit('{content.create}');
SELECT world.act_as('permitted');
INSERT INTO content.courses (id, slug, title) VALUES ('c0000000-0000-4000-8000-0000000000aa', 'mine', 'Mine');
INSERT INTO content.modules (id, course_id, module_order, title) VALUES ('c1000000-0000-4000-8000-0000000000aa', 'c0000000-0000-4000-8000-0000000000aa', 1, 'One');
SELECT world.fails($$INSERT INTO content.lessons (module_id, lesson_order, title, type, primary_media_id) VALUES ('c1000000-0000-4000-8000-0000000000aa', 1, 'One', 'video', 'a0000000-0000-4000-8000-000000000003')$$, 'trg_lessons_check_media_added');
INSERT INTO content.lessons (id, module_id, lesson_order, title, type, primary_media_id) VALUES ('c2000000-0000-4000-8000-0000000000aa', 'c1000000-0000-4000-8000-0000000000aa', 1, 'One', 'video', 'a0000000-0000-4000-8000-000000000004');
SELECT world.fails($$UPDATE content.lessons SET primary_media_id = 'a0000000-0000-4000-8000-000000000003'$$, 'trg_lessons_check_media_changed');
SELECT world.fails($$INSERT INTO content.attachments (lesson_id, kind, title, asset_id) VALUES ('c2000000-0000-4000-8000-0000000000aa', 'file', 'X', 'a0000000-0000-4000-8000-000000000002')$$, 'trg_attachments_check_asset_added');

-- promise: Modules and lessons are put into another order by one statement.
INSERT INTO content.modules (course_id, module_order, title) VALUES ('c0000000-0000-4000-8000-000000000001', 2, 'Second');
UPDATE content.modules SET module_order = 3 - module_order WHERE course_id = 'c0000000-0000-4000-8000-000000000001';
UPDATE content.lessons SET lesson_order = 4 - lesson_order WHERE module_id = 'c1000000-0000-4000-8000-000000000002';
SELECT world.same((SELECT array_agg(title ORDER BY module_order) FROM content.modules WHERE course_id = 'c0000000-0000-4000-8000-000000000001'), '{Second,Of the draft}'::text[]);

-- promise: Wrong input is refused by name.
SELECT world.fails($$UPDATE content.lessons SET content = jsonb_build_object('a', repeat('x', 2100000))$$, 'ck_lessons_content');
SELECT world.fails($$UPDATE content.courses SET metadata = jsonb_build_object('a', repeat('x', 70000))$$, 'ck_courses_metadata');
SELECT world.fails($$INSERT INTO content.courses (slug, title) VALUES ('draft', 'X')$$, 'uq_courses_slug');
SELECT world.fails($$INSERT INTO content.courses (slug, title) VALUES ('Not a slug', 'X')$$, 'ck_courses_slug');
SELECT world.fails($$INSERT INTO content.courses (slug, title) VALUES ('x', '')$$, 'ck_courses_title');
SELECT world.fails($$INSERT INTO content.courses (slug, title, workflow_status) VALUES ('x', 'X', 'review')$$, 'ck_courses_workflow_status');
SELECT world.fails($$INSERT INTO content.courses (slug, title, difficulty) VALUES ('x', 'X', 'impossible')$$, 'ck_courses_difficulty');
SELECT world.fails($$INSERT INTO content.courses (slug, title, course_type) VALUES ('x', 'X', 'other')$$, 'ck_courses_course_type');
SELECT world.fails($$INSERT INTO content.courses (slug, title, currency) VALUES ('x', 'X', 'euro')$$, 'ck_courses_currency');
SELECT world.fails($$INSERT INTO content.courses (slug, title, estimated_duration_seconds) VALUES ('x', 'X', -1)$$, 'ck_courses_estimated_duration_seconds');
SELECT world.fails($$INSERT INTO content.courses (slug, title, created_by) VALUES ('x', 'X', gen_random_uuid())$$, 'fk_courses_created_by');
SELECT world.fails($$INSERT INTO content.courses (slug, title, metadata) VALUES ('x', 'X', '[]')$$, 'ck_courses_metadata');
SELECT world.fails($$INSERT INTO content.modules (course_id, module_order, title) VALUES ('c0000000-0000-4000-8000-000000000001', 0, 'X')$$, 'ck_modules_module_order');
SELECT world.fails($$INSERT INTO content.modules (course_id, module_order, title) VALUES ('c0000000-0000-4000-8000-000000000001', 1, 'X')$$, 'uq_modules_module_order');
SELECT world.fails($$INSERT INTO content.modules (course_id, module_order, title) VALUES (gen_random_uuid(), 1, 'X')$$, 'fk_modules_course');
SELECT world.fails($$INSERT INTO content.lessons (module_id, lesson_order, title, type) VALUES ('c1000000-0000-4000-8000-000000000001', 0, 'X', 'article')$$, 'ck_lessons_lesson_order');
SELECT world.fails($$INSERT INTO content.lessons (module_id, lesson_order, title, type) VALUES ('c1000000-0000-4000-8000-000000000001', 1, 'X', 'article')$$, 'uq_lessons_lesson_order');
SELECT world.fails($$INSERT INTO content.lessons (module_id, lesson_order, title, type) VALUES ('c1000000-0000-4000-8000-000000000001', 2, 'X', 'game')$$, 'ck_lessons_type');
SELECT world.fails($$INSERT INTO content.lessons (module_id, lesson_order, title, type) VALUES (gen_random_uuid(), 2, 'X', 'article')$$, 'fk_lessons_module');
SELECT world.fails($$UPDATE content.lessons SET primary_media_id = gen_random_uuid()$$, 'fk_lessons_primary_media');
SELECT world.fails($$UPDATE content.lessons SET video_url = 'javascript:alert(1)'$$, 'ck_lessons_video_url');
SELECT world.fails($$INSERT INTO content.prerequisites (course_id, required_course_id) VALUES ('c0000000-0000-4000-8000-000000000001', 'c0000000-0000-4000-8000-000000000002')$$, 'uq_prerequisites_pair');
SELECT world.fails($$INSERT INTO content.prerequisites (course_id, required_lesson_id) VALUES ('c0000000-0000-4000-8000-000000000001', 'c2000000-0000-4000-8000-000000000002')$$, 'ck_prerequisites_pair');
SELECT world.fails($$INSERT INTO content.prerequisites (course_id, required_course_id) VALUES ('c0000000-0000-4000-8000-000000000001', gen_random_uuid())$$, 'fk_prerequisites_required_course');
SELECT world.fails($$INSERT INTO content.tags (slug, name) VALUES ('sheep', 'X')$$, 'uq_tags_slug');
SELECT world.fails($$UPDATE content.tags SET usage_count = -1$$, 'ck_tags_usage_count');
SELECT world.fails($$INSERT INTO content.course_tags VALUES (gen_random_uuid(), 'c4000000-0000-4000-8000-000000000001')$$, 'fk_course_tags_course');
SELECT world.fails($$INSERT INTO content.attachments (kind, title, url) VALUES ('file', 'X', 'https://example.org')$$, 'ck_attachments_what');
SELECT world.fails($$INSERT INTO content.attachments (kind, title, url, body) VALUES ('link', 'X', 'https://example.org', 'x')$$, 'ck_attachments_what');
SELECT world.fails($$UPDATE content.attachments SET course_id = 'c0000000-0000-4000-8000-000000000001' WHERE lesson_id IS NOT NULL$$, 'ck_attachments_place');
SELECT world.fails($$INSERT INTO content.attachments (kind, title, asset_id) VALUES ('file', 'X', gen_random_uuid())$$, 'fk_attachments_asset');
SELECT world.fails($$UPDATE content.exercises SET kind = 'riddle'$$, 'ck_exercises_kind');
SELECT world.fails($$UPDATE content.exercises SET choices = '["one"]'$$, 'ck_exercises_choices');
SELECT world.fails($$UPDATE content.exercises SET choices = '{}'$$, 'ck_exercises_choices');
SELECT world.fails($$UPDATE content.exercises SET is_ai_generated = true, ai_confidence_score = 1.5$$, 'ck_exercises_ai_confidence_score');
SELECT world.fails($$UPDATE content.exercises SET ai_confidence_score = 0.5$$, 'ck_exercises_generated');
SELECT world.fails($$UPDATE content.exercises SET lesson_id = gen_random_uuid()$$, 'fk_exercises_lesson');
SELECT world.fails($$INSERT INTO content.workflow_transitions (content_type, content_id, course_id, from_status, to_status) VALUES ('course', gen_random_uuid(), gen_random_uuid(), 'draft', 'draft')$$, 'ck_workflow_transitions_change');

-- promise: What anybody may write has a size, also where it has no shape.
SELECT world.act_as('other');
SELECT world.fails($$INSERT INTO content.courses (slug, title, course_type, metadata) VALUES ('large', 'Large', 'custom', jsonb_build_object('a', repeat('x', 65536)))$$, 'ck_courses_metadata');
INSERT INTO content.courses (id, slug, title, course_type) VALUES ('c0000000-0000-4000-8000-0000000000ac', 'small', 'Small', 'custom');
INSERT INTO content.modules (id, course_id, module_order, title) VALUES ('c1000000-0000-4000-8000-0000000000ac', 'c0000000-0000-4000-8000-0000000000ac', 1, 'One');
SELECT world.fails($$INSERT INTO content.lessons (module_id, lesson_order, title, type, content) VALUES ('c1000000-0000-4000-8000-0000000000ac', 1, 'One', 'text', jsonb_build_object('a', repeat('x', 1000000)))$$, 'ck_lessons_content');
SELECT world.fails($$INSERT INTO content.lessons (module_id, lesson_order, title, type, quiz_config) VALUES ('c1000000-0000-4000-8000-0000000000ac', 1, 'One', 'text', jsonb_build_object('a', repeat('x', 262144)))$$, 'ck_lessons_quiz_config');
SELECT world.fails($$INSERT INTO content.lessons (module_id, lesson_order, title, type, resources) VALUES ('c1000000-0000-4000-8000-0000000000ac', 1, 'One', 'text', jsonb_build_array(repeat('x', 65536)))$$, 'ck_lessons_resources');
SELECT world.act_as('operator');
SELECT world.fails($$UPDATE content.exercises SET correct_answer = to_jsonb(repeat('x', 65536))$$, 'ck_exercises_correct_answer');
SELECT world.fails($$UPDATE content.exercises SET choices = jsonb_build_array('a', repeat('x', 65536))$$, 'ck_exercises_choices');
SELECT world.fails($$UPDATE content.exercises SET alternative_formats = jsonb_build_object('a', repeat('x', 65536))$$, 'ck_exercises_alternative_formats');
SELECT world.fails($$UPDATE content.exercises SET accessibility_features = jsonb_build_object('a', repeat('x', 65536))$$, 'ck_exercises_accessibility_features');

-- promise: No worker writes into the record of the workflow what did not happen; what it does is written there.
SELECT world.act_as('service');
SELECT world.fails($$INSERT INTO content.workflow_transitions (content_type, content_id, from_status, to_status, performed_by) VALUES ('course', gen_random_uuid(), 'in_review', 'published', world.id('boss'))$$, '42501');
UPDATE content.courses SET workflow_status = 'published' WHERE slug = 'in-review';
SELECT world.same((SELECT count(*) FROM content.workflow_transitions t JOIN content.courses c ON c.id = t.content_id WHERE c.slug = 'in-review' AND t.to_status = 'published'), 1::bigint);
