use std::{
    collections::HashSet,
    fs,
    net::TcpListener,
    os::unix::fs::{MetadataExt as _, PermissionsExt as _},
    path::Path,
};

use embedded::{Error, Home, Postgres, PostgresOptions, Version, find_tree};
use sqlx::{Connection as _, PgConnection};

use crate::{Place, THROWAWAY, execute, in_time, query, query_at, runs, until};

#[tokio::test]
async fn data_survives_a_restart_with_the_same_password() -> anyhow::Result<()> {
    let place = Place::new()?;
    let home = place.open()?;
    let postgres = Postgres::start(&home, PostgresOptions::default()).await?;
    execute(&postgres, "CREATE TABLE kept AS SELECT 'yes' AS value").await?;
    let (pid, first) = (postgres.pid(), postgres.url("x"));
    postgres.stop().await?;
    assert!(!runs(pid));
    drop(home);

    let postgres = Postgres::start(&place.open()?, THROWAWAY).await?;
    assert_eq!(query(&postgres, "SELECT value FROM kept").await?, "yes");
    let password = |url: &str| url.split(['@', ':']).nth(2).map(str::to_owned);
    assert_eq!(password(&first), password(&postgres.url("x")));
    assert_eq!(query(&postgres, "SELECT current_setting('fsync')").await?, "off");
    Ok(postgres.stop().await?)
}

#[tokio::test]
async fn a_crash_cuts_sessions_off_keeps_what_was_committed_and_the_port() -> anyhow::Result<()> {
    let home = Home::throwaway()?;
    let mut postgres = Postgres::start(&home, PostgresOptions::default()).await?;
    execute(&postgres, "CREATE TABLE kept AS SELECT 'yes' AS value").await?;
    let (pid, url) = (postgres.pid(), postgres.url(embedded::DATABASE));
    let mut session = PgConnection::connect(&url).await?;
    sqlx::raw_sql("BEGIN; UPDATE kept SET value = 'no'").execute(&mut session).await?;
    in_time(postgres.crash()).await??;
    assert!(!runs(pid) && runs(postgres.pid()));
    assert!(sqlx::raw_sql("COMMIT").execute(&mut session).await.is_err());
    assert_eq!(query_at(&url, "SELECT value FROM kept").await?, "yes");
    let log = fs::read_to_string(home.log_dir().join("postgres.log"))?;
    assert!(log.contains("was not properly shut down"), "{log}");
    Ok(postgres.stop().await?)
}

#[tokio::test]
async fn both_versions_start_with_vectors_and_utc() -> anyhow::Result<()> {
    for version in [Version::Pg18, Version::Pg16] {
        let home = Home::throwaway()?;
        let postgres = Postgres::start(&home, PostgresOptions { version, ..THROWAWAY }).await?;
        let server = query(&postgres, "SELECT current_setting('server_version')").await?;
        assert!(server.starts_with(&format!("{version}.")), "{server}");
        execute(&postgres, "CREATE EXTENSION vector").await?;
        let distance = query(&postgres, "SELECT ('[1,2]'::vector <-> '[1,4]')::text").await?;
        assert_eq!(distance, "2");
        let zone = query(&postgres, "SELECT current_setting('timezone')").await?;
        let encoding = query(&postgres, "SELECT current_setting('server_encoding')").await?;
        assert_eq!((zone.as_str(), encoding.as_str()), ("UTC", "UTF8"));
        postgres.stop().await?;
    }
    Ok(())
}

#[tokio::test]
async fn a_database_is_made_once_whatever_its_name() -> anyhow::Result<()> {
    let postgres = Postgres::start(&Home::throwaway()?, THROWAWAY).await?;
    for name in ["plain", "plain", "it's \"quoted\"; DROP"] {
        postgres.create_database(name).await?;
    }
    let names = "SELECT string_agg(datname, '|' ORDER BY datname) FROM pg_database \
                 WHERE datname LIKE 'plain' OR datname LIKE 'it%'";
    assert_eq!(query(&postgres, names).await?, "it's \"quoted\"; DROP|plain");
    Ok(postgres.stop().await?)
}

#[tokio::test]
async fn a_half_made_data_directory_is_made_again() -> anyhow::Result<()> {
    let place = Place::new()?;
    let home = place.open()?;
    fs::create_dir(place.join("postgres-18.tmp"))?;
    fs::write(place.join("postgres-18.tmp/PG_VERSION"), "18\n")?;
    fs::write(place.join("postgres-18.password"), "old")?;
    let postgres = Postgres::start(&home, THROWAWAY).await?;
    assert_eq!(query(&postgres, "SELECT 'fine'").await?, "fine");
    assert!(!place.join("postgres-18.tmp").exists());
    assert!(!place.join("postgres-18.password").exists());
    Ok(postgres.stop().await?)
}

#[tokio::test]
async fn data_of_another_version_and_strange_data_are_left_alone() -> anyhow::Result<()> {
    let place = Place::new()?;
    let home = place.open()?;
    let pg16 = PostgresOptions { version: Version::Pg16, ..THROWAWAY };
    fs::create_dir(place.join("postgres-16"))?;
    fs::write(place.join("postgres-16/PG_VERSION"), "18\n")?;
    let error = Postgres::start(&home, pg16).await.unwrap_err();
    assert!(matches!(&error, Error::WrongVersion { found, .. } if found == "18"), "{error}");
    assert_eq!(fs::read_dir(place.join("postgres-16"))?.count(), 1);

    fs::create_dir(place.join("postgres-18"))?;
    fs::write(place.join("postgres-18/thesis.txt"), "years of work")?;
    let error = Postgres::start(&home, THROWAWAY).await.unwrap_err();
    assert!(matches!(error, Error::NotData(_)), "{error}");
    assert_eq!(fs::read_to_string(place.join("postgres-18/thesis.txt"))?, "years of work");
    Ok(())
}

#[tokio::test]
async fn data_without_its_password_is_left_alone() -> anyhow::Result<()> {
    let place = Place::new()?;
    let home = place.open()?;
    Postgres::start(&home, THROWAWAY).await?.stop().await?;
    let key = place.join("keys/postgres");
    let password = fs::read(&key)?;
    fs::remove_file(&key)?;
    let error = Postgres::start(&home, THROWAWAY).await.unwrap_err();
    assert!(matches!(error, Error::NoPassword { .. }), "{error}");
    assert!(!key.exists());
    fs::write(&key, password)?;
    Ok(Postgres::start(&home, THROWAWAY).await?.stop().await?)
}

#[tokio::test]
async fn one_home_runs_one_server() -> anyhow::Result<()> {
    let home = Home::throwaway()?;
    let postgres = Postgres::start(&home, THROWAWAY).await?;
    let error = Postgres::start(&home, THROWAWAY).await.unwrap_err();
    assert!(matches!(error, Error::InUse { .. }), "{error}");
    assert_eq!(query(&postgres, "SELECT 'unharmed'").await?, "unharmed");
    postgres.stop().await?;
    Ok(Postgres::start(&home, THROWAWAY).await?.stop().await?)
}

#[tokio::test]
async fn a_taken_port_is_named() -> anyhow::Result<()> {
    let taken = TcpListener::bind("127.0.0.1:0")?;
    let port = taken.local_addr()?.port();
    let home = Home::throwaway()?;
    let wish = PostgresOptions { port: Some(port), ..THROWAWAY };
    let error = Postgres::start(&home, wish).await.unwrap_err();
    assert!(matches!(error, Error::PortInUse(found) if found == port), "{error}");
    drop(taken);
    let postgres = Postgres::start(&home, wish).await?;
    assert_eq!(postgres.port(), port);
    Ok(postgres.stop().await?)
}

#[tokio::test]
async fn a_server_that_cannot_start_says_why() -> anyhow::Result<()> {
    let place = Place::new()?;
    let home = place.open()?;
    Postgres::start(&home, THROWAWAY).await?.stop().await?;
    let settings = place.join("postgres-18/postgresql.auto.conf");
    fs::write(&settings, "no_such_setting = 1\n")?;
    let error = Postgres::start(&home, THROWAWAY).await.unwrap_err().to_string();
    assert!(error.contains("no_such_setting"), "{error}");
    fs::write(&settings, "")?;
    Ok(Postgres::start(&home, THROWAWAY).await?.stop().await?)
}

#[tokio::test]
async fn a_crash_is_noticed_and_mended_by_the_next_start() -> anyhow::Result<()> {
    let home = Home::throwaway()?;
    let postgres = Postgres::start(&home, PostgresOptions::default()).await?;
    execute(&postgres, "CREATE TABLE kept AS SELECT 'yes' AS value").await?;
    kill(postgres.pid(), "KILL")?;
    let status = in_time(postgres.exited()).await?;
    assert!(!status.success(), "{status}");
    drop(postgres);
    let postgres = Postgres::start(&home, THROWAWAY).await?;
    assert_eq!(query(&postgres, "SELECT value FROM kept").await?, "yes");
    Ok(postgres.stop().await?)
}

#[tokio::test]
async fn a_dropped_server_ends() -> anyhow::Result<()> {
    let home = Home::throwaway()?;
    let postgres = Postgres::start(&home, THROWAWAY).await?;
    let pid = postgres.pid();
    drop(postgres);
    until("the server has ended", || !runs(pid)).await
}

#[tokio::test]
async fn other_commands_find_the_running_database_and_only_that() -> anyhow::Result<()> {
    let place = Place::new()?;
    let find = || Home::running_database_url(Some(place.0.path().to_owned()));
    assert_eq!(find(), None);
    let home = place.open()?;
    assert_eq!(find(), None, "owned, but without a database");
    let postgres = Postgres::start(&home, THROWAWAY).await?;
    let url = find().expect("the database runs");
    assert_eq!(query_at(&url, "SELECT 'found'").await?, "found");
    let file = place.join("keys/database_url");
    let kept = fs::read(&file)?;
    postgres.stop().await?;
    assert!(!file.exists());
    // What a killed owner leaves.
    fs::write(&file, kept)?;
    drop(home);
    // A child that another test has just forked holds the lock until it has become its program.
    until("nobody is found", || find().is_none()).await
}

#[tokio::test]
async fn nothing_listens_beyond_loopback() -> anyhow::Result<()> {
    let postgres = Postgres::start(&Home::throwaway()?, THROWAWAY).await?;
    let sockets = sockets_of(postgres.pid())?;
    let tcp = fs::read_to_string("/proc/net/tcp")? + &fs::read_to_string("/proc/net/tcp6")?;
    let fields = tcp.lines().map(|line| line.split_whitespace().collect::<Vec<_>>());
    // Local address, state (0A is listening) and inode.
    let listening: Vec<&str> = fields
        .filter(|f| f.len() > 9 && f[3] == "0A" && sockets.contains(f[9]))
        .map(|f| f[1])
        .collect();
    assert_eq!(listening, [format!("0100007F:{:04X}", postgres.port())]);
    let unix = fs::read_to_string("/proc/net/unix")?;
    let fields = unix.lines().map(|line| line.split_whitespace().collect::<Vec<_>>());
    assert_eq!(fields.filter(|f| f.len() > 7 && sockets.contains(f[6])).count(), 0);
    Ok(postgres.stop().await?)
}

#[tokio::test]
async fn the_server_is_nobody_special_and_keeps_its_secrets() -> anyhow::Result<()> {
    let home = Home::throwaway()?;
    let postgres = Postgres::start(&home, THROWAWAY).await?;
    assert_ne!(fs::metadata(format!("/proc/{}", postgres.pid()))?.uid(), 0);
    for entry in fs::read_dir(home.path().join("keys"))? {
        let path = entry?.path();
        assert_eq!(fs::metadata(&path)?.permissions().mode() & 0o777, 0o600, "{path:?}");
    }
    let password = fs::read_to_string(home.path().join("keys/postgres"))?;
    assert!(password.len() >= 32);
    assert!(postgres.url("x").contains(&password));
    assert!(!format!("{postgres:?}").contains(&password));
    let wrong = postgres.url("beadle").replace(&password, "guess");
    let error = query_at(&wrong, "SELECT 'in'").await.unwrap_err();
    assert!(error.to_string().contains("password authentication failed"), "{error}");
    Ok(postgres.stop().await?)
}

#[tokio::test]
async fn an_interrupt_from_the_terminal_does_not_reach_the_server() -> anyhow::Result<()> {
    let postgres = Postgres::start(&Home::throwaway()?, THROWAWAY).await?;
    let stat = fs::read_to_string(format!("/proc/{}/stat", postgres.pid()))?;
    let (_, after_name) = stat.rsplit_once(')').expect("a name in parentheses");
    let group = after_name.split_whitespace().nth(2).expect("state, parent, group");
    assert_eq!(group, postgres.pid().to_string(), "its own process group");
    Ok(postgres.stop().await?)
}

pub fn kill(pid: i32, signal: &str) -> anyhow::Result<()> {
    let status =
        std::process::Command::new("kill").args(["-s", signal, &pid.to_string()]).status()?;
    anyhow::ensure!(status.success(), "kill -s {signal} {pid}: {status}");
    Ok(())
}

/// The inode numbers of the sockets that a process has open.
fn sockets_of(pid: i32) -> anyhow::Result<HashSet<String>> {
    let mut sockets = HashSet::new();
    for entry in fs::read_dir(Path::new("/proc").join(pid.to_string()).join("fd"))? {
        let target = fs::read_link(entry?.path())?;
        let target = target.to_string_lossy();
        if let Some(inode) = target.strip_prefix("socket:[").and_then(|it| it.strip_suffix(']')) {
            sockets.insert(inode.to_owned());
        }
    }
    Ok(sockets)
}

#[test]
fn the_programs_of_both_versions_are_installed() -> anyhow::Result<()> {
    for version in [Version::Pg18, Version::Pg16] {
        assert!(find_tree(version)?.join("bin/pg_dump").is_file());
    }
    Ok(())
}
