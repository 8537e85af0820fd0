//! Jobs that start when others have ended, pushed together.

mod batch;
mod graph;
mod operate;

use std::collections::BTreeMap;
use std::time::Duration;

pub use batch::Batch;
pub(crate) use batch::numbers;
use chrono::{DateTime, Utc};
pub(crate) use graph::rows;
pub use operate::{Signalled, cancel_workflow, retry_workflow, signal};
use serde::Serialize;
use sqlx::PgExecutor;
use uuid::Uuid;

use crate::{Error, Push, store};

/// Jobs, signals and timers, and what needs what. What [`after`](Self::after) and its like say is about the
/// node that was added last.
#[derive(Debug)]
pub struct Workflow {
    pub(crate) name: String,
    pub(crate) nodes: Vec<Node>,
    /// What cannot be meant is reported by [`push_workflow`], so that a graph reads without `?`.
    pub(crate) wrong: Option<String>,
}

#[derive(Debug)]
pub(crate) struct Node {
    pub name: String,
    pub what: What,
    pub needs: Vec<(String, After)>,
}

#[derive(Debug)]
pub(crate) enum What {
    Job(Box<Push>),
    Signal(Option<Deadline>),
    Timer(Due),
}

/// When a signal that nobody has given ends by itself, and how.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Deadline {
    pub due: Due,
    pub lapses: bool,
}

#[derive(Clone, Copy, Debug)]
pub(crate) enum Due {
    In(Duration),
    At(DateTime<Utc>),
}

/// What has to become of a node before one that needs it starts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum After {
    /// It is done. If it ends otherwise, whoever needs it is cancelled.
    Done,
    /// It has ended, in whatever way.
    Ended,
    /// It has failed. Of several, one is enough; if none does, whoever needs that is cancelled.
    Failed,
}

impl After {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Done => "done",
            Self::Ended => "ended",
            Self::Failed => "failed",
        }
    }

    pub(crate) fn parse(name: &str) -> Option<Self> {
        [Self::Done, Self::Ended, Self::Failed].into_iter().find(|after| after.name() == name)
    }
}

/// A workflow that was stored.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct PushedWorkflow {
    pub id: Uuid,
    /// By the names of their nodes.
    pub jobs: BTreeMap<String, Uuid>,
}

/// Stores a workflow in one statement, and starts what needs nothing. It exists if and only if the
/// transaction of `executor` commits.
pub async fn push_workflow(
    executor: impl PgExecutor<'_>,
    workflow: impl Into<Workflow>,
) -> Result<PushedWorkflow, Error> {
    let workflow = workflow.into();
    let id = Uuid::now_v7();
    let name = workflow.name.clone();
    let rows = rows(workflow)?;
    store::push_workflow(executor, id, Some(&name), &rows, None).await?;
    let jobs = rows.names.into_iter().zip(rows.jobs.ids).collect();
    Ok(PushedWorkflow { id, jobs })
}

impl Workflow {
    pub fn named(name: impl Into<String>) -> Self {
        Self { name: name.into(), nodes: Vec::new(), wrong: None }
    }

    /// A job. All options of a push are kept but a unique key; a delay counts from the end of what it needs.
    pub fn add(self, name: impl Into<String>, job: impl Into<Push>) -> Self {
        self.node(name, What::Job(Box::new(job.into())))
    }

    /// It is done once somebody gives it; see [`signal`](crate::signal).
    pub fn signal(self, name: impl Into<String>) -> Self {
        self.node(name, What::Signal(None))
    }

    /// It is done so long after the push.
    pub fn timer(self, name: impl Into<String>, wait: Duration) -> Self {
        self.node(name, What::Timer(Due::In(wait)))
    }

    pub fn timer_at(self, name: impl Into<String>, at: DateTime<Utc>) -> Self {
        self.node(name, What::Timer(Due::At(at)))
    }

    /// The last node needs these to be done.
    pub fn after(self, names: impl IntoIterator<Item = impl Into<String>>) -> Self {
        self.needs(names, After::Done)
    }

    /// The last node needs these to have ended, in whatever way.
    pub fn after_end_of(self, names: impl IntoIterator<Item = impl Into<String>>) -> Self {
        self.needs(names, After::Ended)
    }

    /// The last node needs one of these to fail, and makes good for it. It is cancelled if none does.
    pub fn after_failure_of(self, names: impl IntoIterator<Item = impl Into<String>>) -> Self {
        self.needs(names, After::Failed)
    }

    /// The last node, a signal, counts as given after this long.
    pub fn or_after(self, wait: Duration) -> Self {
        self.deadline(Deadline { due: Due::In(wait), lapses: false })
    }

    /// The last node, a signal, counts as failed after this long.
    pub fn or_lapse_after(self, wait: Duration) -> Self {
        self.deadline(Deadline { due: Due::In(wait), lapses: true })
    }

    fn node(mut self, name: impl Into<String>, what: What) -> Self {
        self.nodes.push(Node { name: name.into(), what, needs: Vec::new() });
        self
    }

    pub(crate) fn needs(
        mut self,
        names: impl IntoIterator<Item = impl Into<String>>,
        after: After,
    ) -> Self {
        match self.nodes.last_mut() {
            Some(Node { what: What::Job(_), needs, .. }) => {
                needs.extend(names.into_iter().map(|name| (name.into(), after)));
            }
            Some(Node { name, .. }) => {
                self.wrong = Some(format!("{name} is no job, and needs nothing"))
            }
            None => self.wrong = Some("there is no node yet that could need others".into()),
        }
        self
    }

    fn deadline(mut self, deadline: Deadline) -> Self {
        match self.nodes.last_mut() {
            Some(Node { what: What::Signal(old @ None), .. }) => *old = Some(deadline),
            _ => self.wrong = Some("only a signal has a deadline, and only one".into()),
        }
        self
    }
}
