//! `beadle keys`: the API's keys.

use anyhow::bail;
use api::keys::{self, ApiKey, NewKey, Permission};
use chrono::TimeDelta;
use serde_json::json;

use crate::output::{Output, or_dash, table};
use crate::process;

#[derive(clap::Subcommand)]
pub enum Command {
    /// Create a key and print it, once
    Create(Create),
    /// List keys, without their secrets
    List,
    /// Revoke a key by its prefix, its id or itself, at once and for good
    Revoke { key: String },
}

#[derive(clap::Args)]
pub struct Create {
    /// Who holds it, and for what
    name: String,
    /// What it may do: jobs.enqueue, jobs.view, queues.manage; may be given several times
    #[arg(long = "permission", value_name = "PERMISSION", required = true)]
    permissions: Vec<Permission>,
    /// Days until it expires; without it, it lives until it is revoked
    #[arg(long, value_name = "DAYS", value_parser = clap::value_parser!(u16).range(1..=3650))]
    expires_in_days: Option<u16>,
}

pub async fn run(command: Command, output: Output) -> anyhow::Result<()> {
    let cx = process::connect().await?;
    match command {
        Command::Create(create) => {
            let days = create.expires_in_days;
            let expires_at = days.map(|days| cx.clock.now() + TimeDelta::days(days.into()));
            let new = NewKey { name: create.name, permissions: create.permissions, expires_at };
            let (key, plaintext) = keys::create(&cx.pool, &new).await?;
            let plaintext = plaintext.reveal();
            output.show(&json!({ "key": plaintext, "prefix": key.prefix, "id": key.id }), |_| {
                format!("{plaintext}\nThis is shown once; only its hash is kept.")
            })
        }
        Command::List => {
            let keys = keys::list(&cx.pool).await?;
            output.show(&keys, |keys| {
                let rows: Vec<_> = keys.iter().map(row).collect();
                table(
                    ["PREFIX", "NAME", "PERMISSIONS", "CREATED", "EXPIRES", "LAST USED", "REVOKED"],
                    &rows,
                )
            })
        }
        Command::Revoke { key } => match keys::revoke(&cx.pool, &key).await? {
            Some(revoked) => {
                output.show(&revoked, |key| format!("{} ({}) is revoked", key.prefix, key.name))
            }
            // What was typed may be a whole key: it is not repeated.
            None => bail!("no key has this prefix or id"),
        },
    }
}

fn row(key: &ApiKey) -> [String; 7] {
    let day =
        |at: Option<chrono::DateTime<chrono::Utc>>| or_dash(at.map(|at| at.format("%Y-%m-%d")));
    [
        key.prefix.clone(),
        key.name.clone(),
        key.permissions.join(","),
        day(Some(key.created_at)),
        day(key.expires_at),
        day(key.last_used_at),
        day(key.revoked_at),
    ]
}
