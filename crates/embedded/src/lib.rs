//! What a process starts for itself on loopback: Postgres, an object store, a mail directory.
//!
//! Everything lives in one directory, the [`Home`], which one process owns at a time. Postgres is a
//! child that ends with its owner, however the owner ends; the object store runs in this process.

mod account;
mod error;
mod home;
mod postgres;
#[cfg(feature = "storage")]
mod storage;
mod tree;

pub use error::Error;
pub use home::Home;
pub use postgres::{DATABASE, Postgres, PostgresOptions};
#[cfg(feature = "storage")]
pub use storage::{Storage, StorageOptions};
pub use tree::{Version, WHEEL_VERSION, find_tree, install_dir};
