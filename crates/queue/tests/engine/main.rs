//! One test for each guarantee in the README, in the guarantee's words.

mod crash;
mod history;
mod lifecycle;
mod operate;
mod plans;
mod push;
mod schedule;
mod support;
