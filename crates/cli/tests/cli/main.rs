//! The binary as a user meets it, and the rules about the source itself.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on should stop there")]

#[cfg(feature = "bench")]
mod bench;
mod commands;
mod operate;
mod processes;
mod rules;
mod seed;
mod support;
mod tidy;
#[cfg(feature = "embedded")]
mod up;
