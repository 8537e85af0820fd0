#![doc = include_str!("../README.md")]

mod clock;
mod cron;
mod error;
mod fleet;
pub mod history;
pub mod inspect;
mod job;
mod kinds;
mod operate;
mod push;
mod pusher;
mod redrive;
mod rules;
mod run;
mod runtime;
pub mod schedule;
mod store;
#[cfg(feature = "testing")]
pub mod testing;
mod text;
mod trace;
mod workflow;

pub use clock::Clock;
pub use cron::Cron;
pub use error::Error;
pub use fleet::{Drained, Fleet, PLANNING};
pub use job::{Backoff, Job, Outcome, Permanent, Retry};
pub use kinds::{Kind, Kinds, Refused};
pub use operate::{Cancelled, Retried, cancel, keep, pause, resume, retry};
pub use push::{
    ATTEMPTS, Held, MAX_DELAY, PRIORITIES, Placed, Push, Pushed, Unique, WEIGHTS, push, push_bulk,
    push_many,
};
pub use pusher::Pusher;
pub use redrive::{Dead, DeadGroup, MAX_DEAD_GROUPS, RATES, Redrive, Redriven, dead, redrive};
pub use rules::{
    BACKLOGS, BURSTS, CONCURRENCIES, FULL_DELAYS, KEY_CONCURRENCIES, Limit, NAME_CHARS, Rules,
    SHARES, START_RATES, SetRules, set_limit, set_rules, set_share,
};
pub use run::{Cost, FanOut, FannedOut, Level, Run};
pub use runtime::{Heartbeat, Pool, WorkOptions, Working};
pub use trace::Trace;
pub use workflow::{
    After, Batch, PushedWorkflow, Signalled, Workflow, cancel_workflow, push_workflow,
    retry_workflow, signal,
};
