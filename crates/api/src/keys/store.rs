//! The table `identity.api_keys`.

use chrono::{DateTime, Utc};
use sqlx::PgExecutor;
use uuid::Uuid;

use super::ApiKey;

pub async fn insert(
    executor: impl PgExecutor<'_>,
    prefix: &str,
    digest: &[u8],
    name: &str,
    permissions: &[String],
    expires_at: Option<DateTime<Utc>>,
) -> sqlx::Result<ApiKey> {
    sqlx::query_as!(
        ApiKey,
        r#"-- keys.insert
        INSERT INTO identity.api_keys (prefix, digest, name, permissions, expires_at)
        VALUES ($1, $2, $3, $4, $5)
        RETURNING id, prefix, name, permissions, created_at, expires_at, revoked_at, last_used_at"#,
        prefix,
        digest,
        name,
        permissions,
        expires_at,
    )
    .fetch_one(executor)
    .await
}

pub async fn revoke(
    executor: impl PgExecutor<'_>,
    prefix: &str,
    id: Option<Uuid>,
) -> sqlx::Result<Option<ApiKey>> {
    sqlx::query_as!(
        ApiKey,
        r#"-- keys.revoke
        UPDATE identity.api_keys
        SET revoked_at = coalesce(revoked_at, now())
        WHERE prefix = $1 OR id = $2
        RETURNING id, prefix, name, permissions, created_at, expires_at, revoked_at, last_used_at"#,
        prefix,
        id,
    )
    .fetch_optional(executor)
    .await
}

pub async fn list(executor: impl PgExecutor<'_>, limit: i64) -> sqlx::Result<Vec<ApiKey>> {
    sqlx::query_as!(
        ApiKey,
        r#"-- keys.list
        SELECT id, prefix, name, permissions, created_at, expires_at, revoked_at, last_used_at
        FROM identity.api_keys
        ORDER BY created_at DESC, id
        LIMIT $1"#,
        limit,
    )
    .fetch_all(executor)
    .await
}

/// A key and the digest to compare with.
pub async fn find(
    executor: impl PgExecutor<'_>,
    prefix: &str,
) -> sqlx::Result<Option<(ApiKey, Vec<u8>)>> {
    let row = sqlx::query!(
        r#"-- keys.find
        SELECT id, prefix, name, permissions, created_at, expires_at, revoked_at, last_used_at, digest
        FROM identity.api_keys
        WHERE prefix = $1"#,
        prefix,
    )
    .fetch_optional(executor)
    .await?;
    Ok(row.map(|row| {
        let key = ApiKey {
            id: row.id,
            prefix: row.prefix,
            name: row.name,
            permissions: row.permissions,
            created_at: row.created_at,
            expires_at: row.expires_at,
            revoked_at: row.revoked_at,
            last_used_at: row.last_used_at,
        };
        (key, row.digest)
    }))
}

/// Notes a use unless one was noted after `stale_before`. Of many at once, one writes and none waits.
pub async fn note_use(
    executor: impl PgExecutor<'_>,
    id: Uuid,
    now: DateTime<Utc>,
    stale_before: DateTime<Utc>,
) -> sqlx::Result<()> {
    sqlx::query!(
        r#"-- keys.note_use
        UPDATE identity.api_keys
        SET last_used_at = $2
        WHERE id = (
            SELECT id FROM identity.api_keys
            WHERE id = $1 AND (last_used_at IS NULL OR last_used_at <= $3)
            FOR UPDATE SKIP LOCKED
        )"#,
        id,
        now,
        stale_before,
    )
    .execute(executor)
    .await
    .map(drop)
}
