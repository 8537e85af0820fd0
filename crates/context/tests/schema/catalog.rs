//! What holds for every table, view and function, whoever wrote it. Each rule is a query for what breaks it.

use sqlx::AssertSqlSafe;

use crate::migrator;

const RULES: [(&str, &str); 22] = [
    (
        "every table has row level security",
        "SELECT oid::regclass::text FROM tables WHERE NOT relrowsecurity",
    ),
    (
        "every table has a primary key",
        "SELECT t.oid::regclass::text FROM tables t
        WHERE NOT EXISTS (SELECT FROM pg_index i WHERE i.indrelid = t.oid AND i.indisprimary)
            -- The queue's own lists of what waits are found by their order, and never by a key.
            AND nspname <> 'queue'",
    ),
    (
        "every table, view and schema says what it is for",
        "SELECT c.oid::regclass::text FROM ours c
        WHERE c.relkind IN ('r', 'p', 'v', 'm') AND NOT c.relispartition AND obj_description(c.oid, 'pg_class') IS NULL
            AND c.relname <> '_sqlx_migrations'
        UNION ALL
        SELECT nspname FROM schemas WHERE obj_description(oid, 'pg_namespace') IS NULL AND nspname <> 'auth'",
    ),
    (
        "every function says what it does",
        "SELECT f.oid::regprocedure::text FROM functions f WHERE obj_description(f.oid, 'pg_proc') IS NULL",
    ),
    (
        "no function may be called by everybody",
        "SELECT f.oid::regprocedure::text FROM functions f
        CROSS JOIN LATERAL aclexplode(coalesce(f.proacl, acldefault('f', f.proowner))) a
        WHERE a.grantee = 0",
    ),
    (
        "every function that runs with the rights of its owner, and every other, pins its search_path",
        "SELECT f.oid::regprocedure::text FROM functions f
        WHERE NOT EXISTS (SELECT FROM unnest(f.proconfig) AS setting WHERE setting LIKE 'search_path=%pg_temp')",
    ),
    (
        "every view is read with the rights of who reads it",
        "SELECT c.oid::regclass::text FROM ours c
        WHERE c.relkind = 'v' AND NOT coalesce('security_invoker=true' = ANY (c.reloptions), false)",
    ),
    (
        "every foreign key has an index",
        "SELECT k.conrelid::regclass || ' ' || k.conname FROM pg_constraint k JOIN tables t ON t.oid = k.conrelid
        WHERE k.contype = 'f' AND NOT t.relispartition AND NOT EXISTS (
            SELECT FROM pg_index i
            WHERE i.indrelid = k.conrelid
                AND k.conkey::int2[] <@ (i.indkey::int2[])[0:cardinality(k.conkey) - 1]
        )",
    ),
    (
        "constraints are named by what they are",
        "SELECT k.conrelid::regclass || ' ' || k.conname FROM pg_constraint k JOIN tables t ON t.oid = k.conrelid
        WHERE NOT t.relispartition AND k.contype IN ('c', 'f', 'u', 'p', 'x') AND t.relname <> '_sqlx_migrations' AND k.conname !~ CASE k.contype
            WHEN 'c' THEN '^ck_' WHEN 'f' THEN '^fk_' WHEN 'u' THEN '^uq_' WHEN 'x' THEN '^ex_' ELSE '_pkey$'
        END",
    ),
    (
        "indexes are named by what they are",
        "SELECT i.indexrelid::regclass::text FROM pg_index i JOIN tables t ON t.oid = i.indrelid
        JOIN pg_class c ON c.oid = i.indexrelid
        WHERE NOT t.relispartition AND NOT i.indisprimary AND c.relname !~ CASE WHEN i.indisunique THEN '^uq_' WHEN i.indisexclusion THEN '^ex_' ELSE '^idx_' END",
    ),
    (
        "triggers are named by their table and what they do",
        "SELECT g.tgrelid::regclass || ' ' || g.tgname FROM pg_trigger g JOIN tables t ON t.oid = g.tgrelid
        WHERE NOT g.tgisinternal AND g.tgname !~ ('^trg_' || t.relname || '_') AND NOT t.relispartition",
    ),
    (
        "names are plural where they are of tables, short and in one case",
        "SELECT oid::regclass::text FROM tables WHERE relname !~ '^_?[a-z][a-z0-9_]{1,50}$'
        UNION ALL
        SELECT t.oid::regclass || ' ' || a.attname FROM tables t JOIN pg_attribute a ON a.attrelid = t.oid
        WHERE a.attnum > 0 AND NOT a.attisdropped AND a.attname !~ '^[a-z][a-z0-9_]{0,50}$'",
    ),
    (
        "times know their zone, money is in whole cents",
        "SELECT t.oid::regclass || ' ' || a.attname FROM tables t JOIN pg_attribute a ON a.attrelid = t.oid
        WHERE a.attnum > 0 AND NOT a.attisdropped AND (
            a.atttypid = 'timestamp'::regtype OR a.atttypid = 'money'::regtype
            OR a.attname LIKE '%\\_cents' AND a.atttypid <> 'bigint'::regtype
        )",
    ),
    (
        "no default shifts a time by the zone of the session",
        "SELECT t.oid::regclass::text || ' ' || pg_get_expr(d.adbin, d.adrelid) FROM tables t JOIN pg_attrdef d ON d.adrelid = t.oid
        WHERE pg_get_expr(d.adbin, d.adrelid) ~* 'timezone'",
    ),
    (
        "nothing is called is_admin, and nothing asks for it or for the name of a role",
        "SELECT t.oid::regclass || ' ' || a.attname FROM tables t JOIN pg_attribute a ON a.attrelid = t.oid WHERE a.attname ~ 'is_admin'
        UNION ALL
        SELECT f.oid::regprocedure::text FROM functions f WHERE f.proname ~ 'is_admin' OR pg_get_functiondef(f.oid) ~ 'is_admin'
        UNION ALL
        SELECT tablename || ' ' || policyname FROM pg_policies WHERE coalesce(qual, '') || coalesce(with_check, '') ~ 'is_admin|has_role\\('",
    ),
    (
        "policies ask who it is and what is allowed once for each statement",
        "SELECT schemaname || '.' || tablename || ' ' || policyname FROM pg_policies
        CROSS JOIN LATERAL (
            SELECT regexp_replace(coalesce(qual, '') || coalesce(with_check, ''),
                '\\( SELECT (rbac\\.has_permission\\(\\( SELECT auth\\.uid\\(\\) AS uid\\), [^)]*\\)|auth\\.(uid|jwt|role)\\(\\)) AS', '', 'g') AS rest
        ) r
        WHERE r.rest ~ 'auth\\.(uid|jwt|role)\\(\\)|rbac\\.has_permission\\('
            AND r.rest !~ '^(.*(can_read|may_)[a-z_]*\\([^;]*)$'",
    ),
    (
        "partitions are granted to nobody: rights are those of the whole table",
        "SELECT t.oid::regclass::text FROM tables t CROSS JOIN LATERAL aclexplode(t.relacl) a
        WHERE t.relispartition AND a.grantee <> t.relowner",
    ),
    (
        "anonymous clients write nothing",
        "SELECT t.oid::regclass || ' ' || a.privilege_type FROM tables t CROSS JOIN LATERAL aclexplode(t.relacl) a
        WHERE a.grantee IN ('anon'::regrole, 0) AND a.privilege_type <> 'SELECT'",
    ),
    (
        "nobody may truncate a table, or tie triggers and keys to it",
        "SELECT t.oid::regclass || ' ' || a.privilege_type FROM tables t CROSS JOIN LATERAL aclexplode(t.relacl) a
        WHERE a.grantee <> t.relowner AND a.privilege_type NOT IN ('SELECT', 'INSERT', 'UPDATE', 'DELETE')",
    ),
    (
        "nothing needs an extension but vector",
        "SELECT extname::text FROM pg_extension WHERE extname NOT IN ('plpgsql', 'vector')",
    ),
    (
        "every column is on the data map, and the map names no other",
        "SELECT coalesce(m.schema_name || '.' || m.table_name || '.' || m.column_name || ' is on the map only', c.name)
        FROM (
            SELECT t.nspname AS schema_name, t.relname AS table_name, a.attname AS column_name, t.oid::regclass || ' ' || a.attname AS name
            FROM tables t JOIN pg_attribute a ON a.attrelid = t.oid
            WHERE NOT t.relispartition AND a.attnum > 0 AND NOT a.attisdropped AND t.relname <> '_sqlx_migrations'
        ) c
        FULL JOIN compliance.data_map m USING (schema_name, table_name, column_name)
        WHERE m.class IS NULL OR c.name IS NULL",
    ),
    (
        "whose the rows are is known of every table that speaks of people",
        "SELECT DISTINCT schema_name || '.' || table_name FROM compliance.data_map m
        WHERE on_erasure IN ('delete', 'anonymise') AND NOT EXISTS (
            SELECT FROM compliance.data_subjects s WHERE (s.schema_name, s.table_name) = (m.schema_name, m.table_name)
        )",
    ),
];

const OURS: &str = "WITH schemas AS (
    SELECT oid, nspname FROM pg_namespace WHERE nspname !~ '^pg_|^information_schema$'
),
ours AS (
    SELECT c.*, s.nspname FROM pg_class c JOIN schemas s ON s.oid = c.relnamespace
    WHERE NOT EXISTS (SELECT FROM pg_depend d WHERE d.objid = c.oid AND d.deptype = 'e')
),
tables AS (SELECT * FROM ours WHERE relkind IN ('r', 'p')),
functions AS (
    SELECT p.* FROM pg_proc p JOIN schemas s ON s.oid = p.pronamespace
    WHERE p.prokind = 'f' AND NOT EXISTS (SELECT FROM pg_depend d WHERE d.objid = p.oid AND d.deptype = 'e')
) ";

#[tokio::test]
async fn every_rule_of_the_catalogue_holds() {
    let database = queue::testing::database(&migrator().await).await;
    let mut broken = Vec::new();
    for (rule, query) in RULES {
        let query = format!(
            "{OURS} SELECT string_agg(what, E'\\n  ' ORDER BY what) FROM ({query}) q(what)"
        );
        let found: Option<String> = sqlx::query_scalar(AssertSqlSafe(query))
            .fetch_one(&database.pool)
            .await
            .unwrap_or_else(|error| panic!("{rule}: {error}"));
        broken.extend(found.map(|found| format!("{rule}, but not:\n  {found}")));
    }
    assert!(broken.is_empty(), "{}", broken.join("\n"));
}
