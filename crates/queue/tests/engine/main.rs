//! One test for each guarantee in the README, in the guarantee's words.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on should stop there")]

mod chunks;
mod crash;
mod driver;
mod failure;
mod handle;
mod history;
mod lifecycle;
mod operate;
mod plans;
mod push;
mod redrive;
mod rules;
mod schedule;
mod sql_client;
mod states;
mod stuck;
mod support;
mod unique;
mod workflows;
