-- What the caller has access to, as lists.
-- OFFSET 0 keeps the verdict from being worked out once for the filter and once for the column.
-- Owner: workers/billing. Locks: none. Undo: DROP VIEW access.effective_access, access.my_lesson_access, access.my_course_access.

CREATE VIEW access.my_course_access WITH (security_invoker = true) AS
SELECT c.id AS course_id, c.slug, c.title, a.verdict ->> 'method' AS method
FROM content.courses c
CROSS JOIN LATERAL (SELECT access.user_can_access((SELECT auth.uid()), 'course', c.id) AS verdict OFFSET 0) a
WHERE c.workflow_status = 'published' AND (a.verdict ->> 'can_access')::boolean;
COMMENT ON VIEW access.my_course_access IS 'Courses that the caller may read, and why.';

CREATE VIEW access.my_lesson_access WITH (security_invoker = true) AS
SELECT l.id AS lesson_id, m.course_id, l.module_id, l.title, a.verdict ->> 'method' AS method
FROM content.lessons l
JOIN content.modules m ON m.id = l.module_id
CROSS JOIN LATERAL (SELECT access.user_can_access((SELECT auth.uid()), 'lesson', l.id) AS verdict OFFSET 0) a
WHERE l.workflow_status = 'published' AND (a.verdict ->> 'can_access')::boolean;
COMMENT ON VIEW access.my_lesson_access IS 'Lessons that the caller may read, and why. Meant to be asked with a course or a module: it decides for each lesson.';

CREATE VIEW access.effective_access WITH (security_invoker = true) AS
SELECT (SELECT auth.uid()) AS user_id, 'course' AS resource_type, c.id AS resource_id,
    CASE WHEN access.can_read_course((SELECT auth.uid()), c.id) THEN 'read' ELSE 'none' END AS access
FROM content.courses c
WHERE c.workflow_status = 'published'
UNION ALL
SELECT (SELECT auth.uid()), 'lesson', l.id, 'read'
FROM content.lessons l
WHERE l.workflow_status = 'published' AND access.can_read_lesson((SELECT auth.uid()), l.id);
COMMENT ON VIEW access.effective_access IS 'What the caller may do with which course and lesson: read, or none. A lesson that may not be read is not in it.';

GRANT SELECT ON access.my_course_access, access.my_lesson_access, access.effective_access TO anon, authenticated;
