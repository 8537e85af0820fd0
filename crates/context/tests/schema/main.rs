//! The data model, by its catalogue, its rights and its promises. What is checked stands beside each
//! area in `areas/`: `world.sql` has a row of every table, `rights.md` says who may do what with it, and
//! `promises.sql` holds the tests of its functions and constraints. They are read when the test runs, so
//! that SQL can be written without a build.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on should stop there")]

mod catalog;
mod plans;
mod promises;
mod rights;
mod seeds;
mod shape;
mod world;

use std::path::PathBuf;

use sqlx::migrate::Migrator;

/// In the order in which their worlds build on each other.
const AREAS: [&str; 13] = [
    "public",
    "rbac",
    "content",
    "access",
    "media",
    "billing",
    "notify",
    "ai",
    "vector",
    "analytics",
    "compliance",
    "util",
    "queue",
];

/// Cargo says where the package is, at run time too.
fn package() -> PathBuf {
    std::env::var_os("CARGO_MANIFEST_DIR").expect("cargo runs this test").into()
}

async fn migrator() -> Migrator {
    Migrator::new(package().join("../../migrations")).await.expect("read the migrations")
}

/// A file of an area; an area need not have all of them.
fn file(area: &str, name: &str) -> Option<String> {
    let path = package().join("tests/schema/areas").join(area).join(name);
    match std::fs::read_to_string(&path) {
        Ok(text) => Some(text),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => None,
        Err(error) => panic!("{}: {error}", path.display()),
    }
}

#[test]
fn every_folder_of_an_area_is_in_the_list() {
    let entries = std::fs::read_dir(package().join("tests/schema/areas")).unwrap();
    for entry in entries {
        let name = entry.unwrap().file_name().into_string().unwrap();
        assert!(AREAS.contains(&name.as_str()), "areas/{name} is not in the list");
    }
}
