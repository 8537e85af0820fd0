use std::{
    env, fs,
    io::{BufRead as _, BufReader, Write as _},
    net::TcpListener,
    os::unix::{fs::MetadataExt as _, process::CommandExt as _},
    path::Path,
    process::{Child, Command, Stdio},
};

use anyhow::Context as _;
use embedded::{Home, Postgres, PostgresOptions, Version, find_tree};

use crate::{Place, THROWAWAY, execute, query, runs, until};

const HOME: &str = "EMBEDDED_TEST_HOME";

/// Does nothing in a normal run. Started by the tests below as a process of its own, it owns a home
/// and runs its Postgres until it is killed.
#[tokio::test]
async fn owner() -> anyhow::Result<()> {
    let Some(home) = env::var_os(HOME) else { return Ok(()) };
    let home = Home::open(Some(home.into()))?;
    let postgres = Postgres::start(&home, PostgresOptions::default()).await?;
    execute(&postgres, "CREATE TABLE IF NOT EXISTS kept AS SELECT 'yes' AS value").await?;
    writeln!(std::io::stderr(), "ready {}", postgres.pid())?;
    std::future::pending().await
}

/// Starts [`owner`] and returns it with the number of its server.
fn start_owner(place: &Place) -> anyhow::Result<(Child, i32)> {
    let mut owner = Command::new(env::current_exe()?)
        .args(["--exact", "orphans::owner", "--nocapture"])
        .env(HOME, place.0.path())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()?;
    let stderr = BufReader::new(owner.stderr.take().context("its stderr")?);
    let ready = |line: &String| line.starts_with("ready ");
    let line = stderr.lines().map_while(Result::ok).find(ready).context("it ended early")?;
    Ok((owner, line["ready ".len()..].trim().parse()?))
}

#[tokio::test]
async fn a_killed_owner_leaves_no_server() -> anyhow::Result<()> {
    let place = Place::new()?;
    let (mut owner, server) = start_owner(&place)?;
    assert!(runs(server));
    owner.kill()?;
    owner.wait()?;
    until("the server has ended", || !runs(server)).await
}

#[tokio::test]
async fn after_a_killed_owner_the_next_one_starts_at_once() -> anyhow::Result<()> {
    let place = Place::new()?;
    let (mut owner, server) = start_owner(&place)?;
    place.open().expect_err("the first owner lives");
    owner.kill()?;
    owner.wait()?;
    let postgres = Postgres::start(&place.open()?, THROWAWAY).await?;
    assert!(!runs(server));
    assert_eq!(query(&postgres, "SELECT value FROM kept").await?, "yes");
    Ok(postgres.stop().await?)
}

#[tokio::test]
async fn a_server_without_any_owner_is_ended_first() -> anyhow::Result<()> {
    let place = Place::new()?;
    Postgres::start(&place.open()?, THROWAWAY).await?.stop().await?;
    let data = place.join("postgres-18");
    let mut stray = start_stray(&data)?;
    let pid = i32::try_from(stray.id())?;
    let pid_file = data.join("postmaster.pid");
    let is_ready = || fs::read_to_string(&pid_file).is_ok_and(|file| file.contains("ready"));
    until("the stray server is ready", is_ready).await?;

    let postgres = Postgres::start(&place.open()?, THROWAWAY).await?;
    assert_ne!(postgres.pid(), pid);
    let status = stray.try_wait()?.context("the stray server still runs")?;
    assert!(status.success(), "it was asked politely: {status}");
    assert_eq!(query(&postgres, "SELECT 'fine'").await?, "fine");
    Ok(postgres.stop().await?)
}

#[tokio::test]
async fn a_stale_pid_file_does_not_harm_the_process_it_names() -> anyhow::Result<()> {
    let place = Place::new()?;
    Postgres::start(&place.open()?, THROWAWAY).await?.stop().await?;
    let mut bystander = Command::new("sleep").arg("600").spawn()?;
    let stale = format!("{}\n/elsewhere\n0\n5432\n\n127.0.0.1\n0 0\nready   \n", bystander.id());
    fs::write(place.join("postgres-18/postmaster.pid"), stale)?;
    let postgres = Postgres::start(&place.open()?, THROWAWAY).await?;
    assert_eq!(query(&postgres, "SELECT 'fine'").await?, "fine");
    assert!(bystander.try_wait()?.is_none(), "the bystander lives");
    bystander.kill()?;
    bystander.wait()?;
    Ok(postgres.stop().await?)
}

/// Starts a server as nobody's child but this test's, without the ties that an owner has.
fn start_stray(data: &Path) -> anyhow::Result<Child> {
    let mut stray = Command::new(find_tree(Version::Pg18)?.join("bin/postgres"));
    let owner = fs::metadata(data)?;
    if fs::metadata("/proc/self")?.uid() == 0 {
        stray.uid(owner.uid()).gid(owner.gid());
    }
    let port = TcpListener::bind("127.0.0.1:0")?.local_addr()?.port();
    stray.current_dir("/").arg("-D").arg(data).args(["-p", &port.to_string()]);
    for setting in ["listen_addresses=127.0.0.1", "unix_socket_directories="] {
        stray.args(["-c", setting]);
    }
    Ok(stray.stdout(Stdio::null()).stderr(Stdio::null()).spawn()?)
}
