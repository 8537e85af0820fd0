//! Who may call.

use std::time::Duration;

use api::keys::{self, ApiKey, Error, NewKey, Permission};
use insta::assert_snapshot;
use serde_json::json;
use sqlx::PgPool;

use crate::server::{TestServer, new_key, server, server_with, settings, told};

/// What the API answers to an `Authorization` header.
async fn answer_to(server: &TestServer, authorization: &str) -> anyhow::Result<String> {
    let request = server.bare("GET", "/v1/kinds").header("authorization", authorization);
    told(request.send().await?).await
}

const OK: &str = "200";
const INVALID: &str = "401\n\
    www-authenticate: Bearer error=\"invalid_token\"\n\
    detail: \"the API key is not valid: it is unknown, revoked or expired\"\n\
    type: \"urn:beadle:problem:key-invalid\"";

#[tokio::test]
async fn a_missing_key_is_asked_for() -> anyhow::Result<()> {
    let server = server().await?;
    let missing = told(server.bare("GET", "/v1/kinds").send().await?).await?;
    assert_snapshot!(missing, @r#"
    401
    www-authenticate: Bearer
    detail: "an API key is missing: send the header `Authorization: Bearer bdl_…`"
    type: "urn:beadle:problem:key-missing"
    "#);
    for other in ["Basic dXNlcjpwYXNz", "Bearer", ""] {
        assert_eq!(answer_to(&server, other).await?, missing, "{other}");
    }
    Ok(())
}

#[tokio::test]
async fn a_key_that_was_never_made_is_refused() -> anyhow::Result<()> {
    let server = server().await?;
    let (public, secret) = server.key.rsplit_once('_').unwrap();
    let other_secret = format!("{public}_{}", "0".repeat(64));
    let other_prefix = format!("bdl_000000000000_{secret}");
    for key in ["x", "bdl_", "bdl_\u{e9}", public, &other_secret, &other_prefix] {
        assert_eq!(answer_to(&server, &format!("Bearer {key}")).await?, INVALID, "{key}");
    }
    assert!(answer_to(&server, &format!("bearer {}", server.key)).await?.starts_with(OK));
    Ok(())
}

#[tokio::test]
async fn a_revoked_key_is_refused_at_once() -> anyhow::Result<()> {
    let server = server().await?;
    let authorization = format!("Bearer {}", server.key);
    assert!(answer_to(&server, &authorization).await?.starts_with(OK));
    keys::revoke(&server.pool, &server.key).await?;
    assert_eq!(answer_to(&server, &authorization).await?, INVALID);
    Ok(())
}

#[tokio::test]
async fn an_expired_key_is_refused() -> anyhow::Result<()> {
    let server = server().await?;
    let expires_at = "2100-01-01T00:00:00Z".parse()?;
    let key = new_key(&server, &Permission::ALL, Some(expires_at)).await?;
    let authorization = format!("Bearer {key}");
    assert!(answer_to(&server, &authorization).await?.starts_with(OK));
    server.clock.advance((expires_at - server.clock.now()).to_std()?);
    assert_eq!(answer_to(&server, &authorization).await?, INVALID);
    Ok(())
}

#[tokio::test]
async fn a_key_does_only_what_it_may() -> anyhow::Result<()> {
    let server = server().await?;
    let viewer = new_key(&server, &[Permission::ViewJobs], None).await?;
    let pusher = new_key(&server, &[Permission::EnqueueJobs], None).await?;
    let push = server.bare("POST", "/v1/jobs").bearer_auth(&viewer);
    assert_snapshot!(told(push.json(&json!({})).send().await?).await?, @r#"
    403
    www-authenticate: Bearer error="insufficient_scope", scope="jobs.enqueue"
    detail: "the API key lacks the permission jobs.enqueue"
    type: "urn:beadle:problem:forbidden"
    "#);
    let view = server.bare("GET", "/v1/jobs/42").bearer_auth(&pusher);
    assert_snapshot!(told(view.send().await?).await?, @r#"
    403
    www-authenticate: Bearer error="insufficient_scope", scope="jobs.view"
    detail: "the API key lacks the permission jobs.view"
    type: "urn:beadle:problem:forbidden"
    "#);
    let push = server.bare("POST", "/v1/jobs").bearer_auth(&pusher);
    let body = json!({"kind": "demo.greet", "args": {"name": "Ada"}});
    assert_eq!(push.json(&body).send().await?.status(), 202);
    Ok(())
}

#[tokio::test]
async fn a_permission_of_another_release_grants_nothing() -> anyhow::Result<()> {
    let server = server().await?;
    sqlx::query("UPDATE identity.api_keys SET permissions = '{jobs.views,*}'")
        .execute(&server.pool)
        .await?;
    assert!(answer_to(&server, &format!("Bearer {}", server.key)).await?.starts_with("403"));
    Ok(())
}

#[tokio::test]
async fn a_stranger_is_refused_before_the_body_is_read() -> anyhow::Result<()> {
    let server = server_with(|cx| settings(cx).http.body_limit_bytes = 10).await?;
    let request = server.bare("POST", "/v1/jobs").json(&json!({"kind": "much too long"}));
    assert_eq!(request.send().await?.status(), 401);
    Ok(())
}

#[tokio::test]
async fn the_use_of_a_key_is_noted_at_most_once_a_minute() -> anyhow::Result<()> {
    let server = server().await?;
    let authorization = format!("Bearer {}", server.key);
    let first = server.clock.now();
    answer_to(&server, &authorization).await?;
    noted(&server.pool, first).await?;

    server.clock.advance(Duration::from_secs(59));
    answer_to(&server, &authorization).await?;
    let key = only_key(&server.pool).await?;
    assert_eq!(key.last_used_at, Some(first));

    server.clock.advance(Duration::from_secs(1));
    answer_to(&server, &authorization).await?;
    noted(&server.pool, server.clock.now()).await
}

/// Waits until the use is noted, which happens beside the request.
async fn noted(pool: &PgPool, at: chrono::DateTime<chrono::Utc>) -> anyhow::Result<()> {
    for _ in 0..500 {
        if only_key(pool).await?.last_used_at == Some(at) {
            return Ok(());
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    anyhow::bail!("the use at {at} was not noted")
}

async fn only_key(pool: &PgPool) -> anyhow::Result<ApiKey> {
    let mut keys = keys::list(pool).await?;
    assert_eq!(keys.len(), 1);
    Ok(keys.remove(0))
}

#[tokio::test]
async fn the_database_does_not_hold_the_secret() -> anyhow::Result<()> {
    let server = server().await?;
    let row: String = sqlx::query_scalar("SELECT to_jsonb(k)::text FROM identity.api_keys k")
        .fetch_one(&server.pool)
        .await?;
    let (public, secret) = server.key.rsplit_once('_').unwrap();
    assert!(row.contains(public.trim_start_matches("bdl_")), "{row}");
    assert!(!row.contains(secret), "{row}");
    Ok(())
}

#[tokio::test]
async fn a_key_is_revoked_by_prefix_id_or_whole_and_only_once() -> anyhow::Result<()> {
    let server = server().await?;
    let key = only_key(&server.pool).await?;
    assert_eq!(keys::revoke(&server.pool, "ffffffffffff").await?, None);
    assert_eq!(keys::revoke(&server.pool, "").await?, None);
    let revoked = keys::revoke(&server.pool, &key.prefix).await?.unwrap();
    assert!(revoked.revoked_at.is_some());
    for again in [&key.id.to_string(), &format!("bdl_{}", key.prefix), &server.key] {
        assert_eq!(keys::revoke(&server.pool, again).await?, Some(revoked.clone()), "{again}");
    }
    Ok(())
}

#[tokio::test]
async fn a_key_that_makes_no_sense_is_not_made() -> anyhow::Result<()> {
    let server = server().await?;
    let good = NewKey {
        name: "frontend".into(),
        permissions: vec![Permission::ViewJobs, Permission::ViewJobs],
        expires_at: None,
    };
    let nameless = NewKey { name: String::new(), ..good.clone() };
    assert!(matches!(keys::create(&server.pool, &nameless).await, Err(Error::BadName)));
    let powerless = NewKey { permissions: Vec::new(), ..good.clone() };
    assert!(matches!(keys::create(&server.pool, &powerless).await, Err(Error::NoPermissions)));
    let late = NewKey { expires_at: Some("2020-01-01T00:00:00Z".parse()?), ..good.clone() };
    assert!(matches!(keys::create(&server.pool, &late).await, Err(Error::AlreadyExpired)));
    let (key, _) = keys::create(&server.pool, &good).await?;
    assert_eq!(key.permissions, ["jobs.view"]);
    assert_eq!(keys::list(&server.pool).await?[0], key, "the newest comes first");
    Ok(())
}
