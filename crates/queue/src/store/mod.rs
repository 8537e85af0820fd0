//! The queue's statements as functions: every transition of a job is one of these.

mod care;
mod claim;
mod copy;
mod finish;
mod push;
mod take;
mod workflow;

pub(crate) use care::*;
pub(crate) use claim::*;
pub(crate) use finish::*;
pub(crate) use push::*;
pub(crate) use take::*;
pub(crate) use workflow::*;
