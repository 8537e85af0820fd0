//! Who may do what with a row of each table. The verdicts are written down in `areas/*/rights.md` and
//! tried one by one, as the role and with the claims that a request would have.

use std::collections::BTreeSet;
use std::fmt::Write;

use sqlx::{AssertSqlSafe, Connection, PgConnection};

use crate::{AREAS, file, world};

const ACTORS: [&str; 7] = ["anon", "owner", "other", "permitted", "moderator", "admin", "service"];

/// One line of a `rights.md`: a row, found by a condition, and a verdict for each actor, of letters of
/// `SIUD`. The row belongs to the owner. Without a condition nobody may anything with the table.
struct Line {
    table: String,
    condition: String,
    permissions: String,
    verdicts: Vec<String>,
}

fn lines(area: &str) -> Vec<Line> {
    let text = file(area, "rights.md").unwrap_or_default();
    let rows = text.lines().filter(|line| line.starts_with('|')).skip(2);
    rows.map(|row| {
        let cells: Vec<String> =
            row.trim_matches('|').split(" | ").map(|cell| cell.trim().replace('`', "")).collect();
        assert_eq!(cells.len(), 3 + ACTORS.len(), "{area}: {row}");
        Line {
            table: cells[0].clone(),
            condition: cells[1].clone(),
            permissions: cells[2].clone(),
            verdicts: cells[3..].to_vec(),
        }
    })
    .collect()
}

#[tokio::test]
async fn everybody_may_do_what_is_written_down_and_no_more() {
    let database = world::build().await;
    let mut connection = database.pool.acquire().await.unwrap();
    let mut missing = tables(&mut connection).await;
    let (mut tried, mut wrong) = (0, String::new());
    for area in AREAS {
        for line in lines(area) {
            missing.remove(&line.table);
            for (actor, expected) in ACTORS.iter().zip(&line.verdicts) {
                let found = try_as(&mut connection, &line, actor).await;
                tried += 4;
                if found != expected.replace('-', "") {
                    let (table, row) = (&line.table, &line.condition);
                    writeln!(wrong, "{table} ({row}): {actor} {expected}, found {found:?}")
                        .unwrap();
                }
            }
        }
    }
    println!("{tried} rights are as written");
    assert!(wrong.is_empty(), "not as written:\n{wrong}");
    assert!(missing.is_empty(), "nobody has written down who may do what with {missing:#?}");
}

/// Partitions have no rights of their own; nobody is granted any, which the catalogue's tests see to.
async fn tables(connection: &mut PgConnection) -> BTreeSet<String> {
    let names: Vec<String> = sqlx::query_scalar(
        "SELECT n.nspname || '.' || c.relname
        FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
        WHERE c.relkind IN ('r', 'p') AND NOT c.relispartition
            AND n.nspname !~ '^pg_|^information_schema$'",
    )
    .fetch_all(connection)
    .await
    .unwrap();
    names.into_iter().collect()
}

async fn try_as(connection: &mut PgConnection, line: &Line, actor: &str) -> String {
    let mut tx = connection.begin().await.unwrap();
    let permit = format!("SELECT world.permit('{{{}}}')", line.permissions.replace('-', ""));
    run(&mut tx, &permit).await.unwrap_or_else(|error| panic!("{}: {error}", line.table));
    let statements = statements(&mut tx, line, actor).await;
    run(&mut tx, &format!("SELECT world.act_as('{actor}')")).await.unwrap();
    let mut may = String::new();
    for (letter, statement) in statements {
        let mut try_one = tx.begin().await.unwrap();
        if may_run(&mut try_one, &statement).await {
            may.push(letter);
        }
        try_one.rollback().await.unwrap();
    }
    tx.rollback().await.unwrap();
    may
}

async fn may_run(connection: &mut PgConnection, statement: &str) -> bool {
    match run(connection, statement).await {
        Ok(rows) => rows > 0,
        // Not permitted, or refused by a trigger of a log. Whatever else went wrong, rights did not.
        Err(sqlx::Error::Database(error)) => {
            let code = error.code().unwrap_or_default();
            assert!(code.starts_with("23") || code == "42501", "{statement}: {error} ({code})");
            !matches!(&*code, "42501" | "23000")
        }
        Err(error) => panic!("{statement}: {error}"),
    }
}

async fn run(connection: &mut PgConnection, statement: &str) -> sqlx::Result<u64> {
    let done = sqlx::raw_sql(AssertSqlSafe(statement.to_owned())).execute(connection).await?;
    Ok(done.rows_affected())
}

/// What to try, found out by one who sees everything: the row by its key, the columns that the actor's
/// role was granted, and for an insert a copy of the row with another id.
async fn statements(
    connection: &mut PgConnection,
    line: &Line,
    actor: &str,
) -> Vec<(char, String)> {
    let role = match actor {
        "anon" => "anon",
        "service" => "service_role",
        _ => "authenticated",
    };
    let condition = if line.condition == "-" { "false" } else { &line.condition };
    let table = &line.table;
    let find = format!(
        "SELECT
            string_agg(format('%I = %L', key.column, row_data.values ->> key.column), ' AND ')
        FROM (SELECT to_jsonb(t) AS values FROM {table} t WHERE {condition}) row_data
        CROSS JOIN (
            SELECT a.attname AS column FROM pg_index i
            JOIN pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = ANY (i.indkey)
            WHERE i.indrelid = '{table}'::regclass AND i.indisprimary
        ) key"
    );
    let row: Option<String> =
        sqlx::query_scalar(AssertSqlSafe(find)).fetch_one(&mut *connection).await.unwrap();
    assert!(row.is_some() || line.condition == "-", "the world has no {table} where {condition}");
    let row = row.unwrap_or_else(|| "false".into());
    let columns = format!(
        "SELECT
            coalesce((array_agg(column_name) FILTER (WHERE may_update))[1], first_name),
            coalesce(string_agg(column_name, ', ') FILTER (WHERE may_insert), first_name),
            coalesce(string_agg(
                CASE WHEN is_new_id THEN 'gen_random_uuid()' ELSE 'copied.' || column_name END, ', '
            ) FILTER (WHERE may_insert), 'copied.' || first_name)
        FROM (
            SELECT quote_ident(a.attname) AS column_name,
                first_value(quote_ident(a.attname)) OVER (ORDER BY a.attnum) AS first_name,
                has_column_privilege('{role}', a.attrelid, a.attnum, 'UPDATE') AS may_update,
                has_column_privilege('{role}', a.attrelid, a.attnum, 'INSERT') AS may_insert,
                a.attname = 'id' AND a.atthasdef AND a.atttypid = 'uuid'::regtype AS is_new_id
            FROM pg_attribute a
            WHERE a.attrelid = '{table}'::regclass AND a.attnum > 0 AND NOT a.attisdropped
                AND a.attgenerated = '' AND a.attidentity = ''
        ) c
        GROUP BY first_name"
    );
    let (to_update, to_insert, values): (String, String, String) =
        sqlx::query_as(AssertSqlSafe(columns)).fetch_one(&mut *connection).await.unwrap();
    // The copy is taken before the actor acts, who may not be able to read it.
    let literal = format!("SELECT to_jsonb(t)::text FROM {table} t WHERE {row}");
    let copied: Option<String> =
        sqlx::query_scalar(AssertSqlSafe(literal)).fetch_optional(&mut *connection).await.unwrap();
    let copied = copied.unwrap_or_else(|| "{}".into()).replace('\'', "''");
    vec![
        ('S', format!("SELECT 1 FROM {table} WHERE {row}")),
        (
            'I',
            format!(
                "INSERT INTO {table} ({to_insert}) SELECT {values}
                FROM jsonb_populate_record(NULL::{table}, '{copied}') AS copied"
            ),
        ),
        ('U', format!("UPDATE {table} SET {to_update} = {to_update} WHERE {row}")),
        ('D', format!("DELETE FROM {table} WHERE {row}")),
    ]
}
