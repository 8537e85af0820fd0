-- context.shape
-- One line for everything that there is, but what depends on the day, on the owner or on the version of Postgres.
WITH schemas AS (
    SELECT oid, nspname FROM pg_namespace WHERE nspname !~ '^pg_|^information_schema$'
),
relations AS (
    SELECT c.oid, c.relkind, c.relacl, c.relowner, c.reloptions, c.relrowsecurity, s.nspname || '.' || c.relname AS name
    FROM pg_class c JOIN schemas s ON s.oid = c.relnamespace
    WHERE c.relkind IN ('r', 'p', 'v') AND NOT c.relispartition AND c.relname <> '_sqlx_migrations'
        AND NOT EXISTS (SELECT FROM pg_depend d WHERE d.objid = c.oid AND d.deptype = 'e')
),
lines AS (
    SELECT name, 1 AS part, '' AS detail,
        CASE relkind WHEN 'v' THEN 'view' WHEN 'p' THEN 'partitioned table' ELSE 'table' END
            || coalesce(' with ' || array_to_string(reloptions, ', '), '')
            || CASE WHEN relrowsecurity THEN ', protected' ELSE '' END AS line
    FROM relations
    UNION ALL
    SELECT r.name, 2, to_char(a.attnum, '000'),
        a.attname || ' ' || format_type(a.atttypid, a.atttypmod)
            || CASE WHEN a.attnotnull THEN ' not null' ELSE '' END
            || CASE WHEN a.attgenerated <> '' THEN ' generated' WHEN a.attidentity <> '' THEN ' identity' ELSE '' END
            || coalesce(' = ' || regexp_replace(pg_get_expr(d.adbin, d.adrelid), '\s+', ' ', 'g'), '')
    FROM relations r
    JOIN pg_attribute a ON a.attrelid = r.oid AND a.attnum > 0 AND NOT a.attisdropped
    LEFT JOIN pg_attrdef d ON d.adrelid = a.attrelid AND d.adnum = a.attnum
    UNION ALL
    SELECT r.name, 3, k.conname, k.conname || ' ' || pg_get_constraintdef(k.oid)
    FROM relations r JOIN pg_constraint k ON k.conrelid = r.oid AND k.contype IN ('p', 'u', 'f', 'c', 'x')
    UNION ALL
    SELECT r.name, 4, i.relname, regexp_replace(pg_get_indexdef(i.oid), '^CREATE ', '')
    FROM relations r JOIN pg_index x ON x.indrelid = r.oid JOIN pg_class i ON i.oid = x.indexrelid
    UNION ALL
    SELECT r.name, 5, g.tgname, regexp_replace(pg_get_triggerdef(g.oid), '^CREATE ', '')
    FROM relations r JOIN pg_trigger g ON g.tgrelid = r.oid AND NOT g.tgisinternal
    UNION ALL
    SELECT schemaname || '.' || tablename, 6, policyname,
        'policy ' || policyname || ' ' || cmd || ' to ' || array_to_string(roles, ', ')
            || regexp_replace(coalesce(' using ' || qual, '') || coalesce(' check ' || with_check, ''), '\s+', ' ', 'g')
    FROM pg_policies JOIN schemas s ON s.nspname = schemaname
    UNION ALL
    SELECT r.name, 7, g.grantee, 'grant ' || g.privileges || ' to ' || g.grantee
    FROM relations r
    CROSS JOIN LATERAL (
        SELECT a.grantee::regrole::text AS grantee, string_agg(a.privilege_type, ', ' ORDER BY a.privilege_type) AS privileges
        FROM aclexplode(r.relacl) a WHERE a.grantee NOT IN (r.relowner, 0) GROUP BY a.grantee
    ) g
    UNION ALL
    SELECT r.name, 8, g.grantee, 'grant ' || g.privilege_type || ' of ' || g.columns || ' to ' || g.grantee
    FROM relations r
    CROSS JOIN LATERAL (
        SELECT a.grantee::regrole::text AS grantee, a.privilege_type, string_agg(c.attname, ', ' ORDER BY c.attnum) AS columns
        FROM pg_attribute c CROSS JOIN LATERAL aclexplode(c.attacl) a WHERE c.attrelid = r.oid GROUP BY 1, 2
    ) g
    UNION ALL
    SELECT s.nspname || '.' || p.proname, 9, pg_get_function_identity_arguments(p.oid),
        'function (' || pg_get_function_identity_arguments(p.oid) || ') returns ' || pg_get_function_result(p.oid)
            || CASE WHEN p.prosecdef THEN ' security definer' ELSE '' END
            || ' ' || left(md5(regexp_replace(coalesce(pg_get_function_sqlbody(p.oid), p.prosrc), '\s+', ' ', 'g')), 8)
            || coalesce(' to ' || (
                SELECT string_agg(a.grantee::regrole::text, ', ' ORDER BY a.grantee::regrole::text)
                FROM aclexplode(p.proacl) a WHERE a.grantee <> p.proowner
            ), '')
    FROM pg_proc p JOIN schemas s ON s.oid = p.pronamespace
    WHERE NOT EXISTS (SELECT FROM pg_depend d WHERE d.objid = p.oid AND d.deptype = 'e')
    UNION ALL
    SELECT r.name, 10, '', 'as ' || left(md5(regexp_replace(pg_get_viewdef(r.oid), '\s+', ' ', 'g')), 8)
    FROM relations r WHERE r.relkind = 'v'
)
SELECT CASE part WHEN 1 THEN E'\n' || name || ': ' || line ELSE name || ': ' || line END
FROM lines ORDER BY name COLLATE "C", part, detail COLLATE "C", line COLLATE "C"
