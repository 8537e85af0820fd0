//! API keys: made once, shown once, stored as a digest.
//!
//! A key reads `bdl_<prefix>_<secret>`. The prefix is public and finds the row; the secret is 256
//! random bits, so one round of SHA-256 is as good as any slow hash.

mod store;

use std::{fmt, str::FromStr};

use chrono::{DateTime, TimeDelta, Utc};
use serde::Serialize;
use sha2::{Digest, Sha256};
use sqlx::{PgExecutor, PgPool};
use subtle::ConstantTimeEq;
use uuid::Uuid;

/// The most keys that [`list`] returns.
pub const LIST_LIMIT: i64 = 1000;

/// What a key may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Permission {
    /// Push jobs.
    EnqueueJobs,
    /// Read jobs and their history, and how queues stand.
    ViewJobs,
    /// Pause queues and change their rules.
    ManageQueues,
}

impl Permission {
    pub const ALL: [Self; 3] = [Self::EnqueueJobs, Self::ViewJobs, Self::ManageQueues];

    /// The name in a key's row and in messages.
    pub const fn name(self) -> &'static str {
        match self {
            Self::EnqueueJobs => "jobs.enqueue",
            Self::ViewJobs => "jobs.view",
            Self::ManageQueues => "queues.manage",
        }
    }
}

impl fmt::Display for Permission {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Permission {
    type Err = Error;

    fn from_str(name: &str) -> Result<Self, Error> {
        let known = Self::ALL.into_iter().find(|permission| permission.name() == name);
        known.ok_or_else(|| Error::UnknownPermission { name: name.to_owned() })
    }
}

/// What a new key is for.
#[derive(Debug, Clone)]
pub struct NewKey {
    /// Who holds it and for what; 1 to 100 characters.
    pub name: String,
    pub permissions: Vec<Permission>,
    /// `None` lets it live until it is revoked.
    pub expires_at: Option<DateTime<Utc>>,
}

/// A key as everybody may see it.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ApiKey {
    pub id: Uuid,
    pub prefix: String,
    pub name: String,
    pub permissions: Vec<String>,
    pub created_at: DateTime<Utc>,
    pub expires_at: Option<DateTime<Utc>>,
    pub revoked_at: Option<DateTime<Utc>>,
    pub last_used_at: Option<DateTime<Utc>>,
}

impl ApiKey {
    pub fn may(&self, permission: Permission) -> bool {
        self.permissions.iter().any(|name| name == permission.name())
    }
}

/// The whole key, which nobody can read again.
pub struct Plaintext(String);

impl Plaintext {
    /// Gives the key out, to be shown to its holder and nowhere else.
    pub fn reveal(self) -> String {
        self.0
    }
}

impl fmt::Debug for Plaintext {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[REDACTED]")
    }
}

/// Why a key was not made.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    #[error("a key needs a name of 1 to 100 characters")]
    BadName,
    #[error("a key needs at least one permission: {}", known_permissions())]
    NoPermissions,
    #[error("unknown permission `{name}`, expected one of: {}", known_permissions())]
    UnknownPermission { name: String },
    #[error("a key cannot expire in the past")]
    AlreadyExpired,
    #[error("the database refused")]
    Database(#[from] sqlx::Error),
}

/// Makes a key. Its plaintext exists nowhere else: show it once and forget it.
pub async fn create(
    executor: impl PgExecutor<'_>,
    new: &NewKey,
) -> Result<(ApiKey, Plaintext), Error> {
    if !(1..=100).contains(&new.name.chars().count()) || new.name.contains('\0') {
        return Err(Error::BadName);
    }
    if new.permissions.is_empty() {
        return Err(Error::NoPermissions);
    }
    let mut permissions: Vec<_> = new.permissions.iter().map(|p| p.name().to_owned()).collect();
    permissions.sort();
    permissions.dedup();
    let prefix = hex(&rand::random::<[u8; PREFIX_BYTES]>());
    let plaintext =
        Plaintext(format!("bdl_{prefix}_{}", hex(&rand::random::<[u8; SECRET_BYTES]>())));
    let digest = Sha256::digest(&plaintext.0);
    let key = store::insert(executor, &prefix, &digest, &new.name, &permissions, new.expires_at)
        .await
        .map_err(|error| match error.as_database_error().and_then(|e| e.constraint()) {
            Some("ck_api_keys_expires_at") => Error::AlreadyExpired,
            _ => Error::Database(error),
        })?;
    Ok((key, plaintext))
}

/// Revokes the key with this prefix or id, at once and for good. `None`: there is no such key.
///
/// A whole key is taken too, because that is what leaks. Revoking twice keeps the first time.
pub async fn revoke(executor: impl PgExecutor<'_>, which: &str) -> sqlx::Result<Option<ApiKey>> {
    let prefix = which.strip_prefix("bdl_").unwrap_or(which).split('_').next().unwrap_or(which);
    store::revoke(executor, prefix, which.parse().ok()).await
}

/// The newest keys, at most [`LIST_LIMIT`].
pub async fn list(executor: impl PgExecutor<'_>) -> sqlx::Result<Vec<ApiKey>> {
    store::list(executor, LIST_LIMIT).await
}

/// The key that `token` is, unless it is unknown, revoked or expired.
pub async fn verify(
    pool: &PgPool,
    token: &str,
    now: DateTime<Utc>,
) -> sqlx::Result<Option<ApiKey>> {
    let Some(prefix) = prefix_of(token) else { return Ok(None) };
    let Some((key, digest)) = store::find(pool, prefix).await? else { return Ok(None) };
    let same = bool::from(Sha256::digest(token).as_slice().ct_eq(&digest));
    if !same || key.revoked_at.is_some() || key.expires_at.is_some_and(|at| at <= now) {
        return Ok(None);
    }
    if key.last_used_at.is_none_or(|at| at + USE_NOTED_EVERY <= now) {
        note_use(pool.clone(), key.id, now);
    }
    Ok(Some(key))
}

/// 48 bits: with a thousand keys, two share a prefix once in half a billion times.
const PREFIX_BYTES: usize = 6;
const SECRET_BYTES: usize = 32;
const USE_NOTED_EVERY: TimeDelta = TimeDelta::minutes(1);

/// Writes `last_used_at` beside the request, which does not wait for it.
fn note_use(pool: PgPool, id: Uuid, now: DateTime<Utc>) {
    tokio::spawn(async move {
        if let Err(error) = store::note_use(&pool, id, now, now - USE_NOTED_EVERY).await {
            tracing::warn!(%error, key = %id, "cannot note the use of a key");
        }
    });
}

/// The prefix of a well-formed key. Anything else is not worth a look into the database.
fn prefix_of(token: &str) -> Option<&str> {
    let (prefix, secret) = token.strip_prefix("bdl_")?.split_once('_')?;
    let is_hex = |s: &str| s.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'));
    let right_size = prefix.len() == 2 * PREFIX_BYTES && secret.len() == 2 * SECRET_BYTES;
    (right_size && is_hex(prefix) && is_hex(secret)).then_some(prefix)
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn known_permissions() -> String {
    Permission::ALL.map(Permission::name).join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_well_formed_key_has_a_prefix() {
        let secret = "a".repeat(64);
        assert_eq!(prefix_of(&format!("bdl_0123456789ab_{secret}")), Some("0123456789ab"));
        for token in [
            "",
            "bdl_",
            "bdl_0123456789ab_",
            &format!("bdl_0123456789ab_{secret}a"),
            &format!("bdl_0123456789AB_{secret}"),
            &format!("bdl_0123456789a_{secret}a"),
            &format!("sk_0123456789ab_{secret}"),
        ] {
            assert_eq!(prefix_of(token), None, "{token}");
        }
    }

    #[test]
    fn a_plaintext_key_does_not_show_in_debug_output() {
        assert_eq!(format!("{:?}", Plaintext("bdl_secret".into())), "[REDACTED]");
    }

    #[test]
    fn an_unknown_permission_is_refused_by_name() {
        insta::assert_snapshot!(
            "jobs.destroy".parse::<Permission>().unwrap_err(),
            @"unknown permission `jobs.destroy`, expected one of: jobs.enqueue, jobs.view, queues.manage"
        );
    }
}
