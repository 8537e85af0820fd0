//! Jobs that do not need each other, and who hears what became of them.

use super::{After, Workflow};
use crate::Push;

/// Members side by side, and callbacks: a workflow in its commonest shape.
///
/// Each callback is a job, pushed with the members. One that has no reason to run is cancelled.
#[derive(Debug)]
pub struct Batch {
    name: String,
    members: Vec<Push>,
    callbacks: Vec<(&'static str, After, Push)>,
}

impl Batch {
    pub fn new(members: impl IntoIterator<Item = impl Into<Push>>) -> Self {
        let members = members.into_iter().map(Into::into).collect();
        Self { name: "batch".into(), members, callbacks: Vec::new() }
    }

    pub fn named(self, name: impl Into<String>) -> Self {
        Self { name: name.into(), ..self }
    }

    /// Starts when the first member has failed; others may still run.
    pub fn on_first_failure(self, job: impl Into<Push>) -> Self {
        self.callback("on_first_failure", After::Failed, job)
    }

    /// Starts when all members are done.
    pub fn on_success(self, job: impl Into<Push>) -> Self {
        self.callback("on_success", After::Done, job)
    }

    /// Starts when all members have ended, in whatever way.
    pub fn on_completion(self, job: impl Into<Push>) -> Self {
        self.callback("on_completion", After::Ended, job)
    }

    fn callback(mut self, name: &'static str, after: After, job: impl Into<Push>) -> Self {
        self.callbacks.push((name, after, job.into()));
        self
    }
}

impl From<Batch> for Workflow {
    fn from(batch: Batch) -> Self {
        let names = numbers(batch.members.len());
        let mut workflow = Self::named(batch.name);
        for (name, member) in names.iter().zip(batch.members) {
            workflow = workflow.add(name, member);
        }
        for (name, after, job) in batch.callbacks {
            workflow = workflow.add(name, job).needs(names.iter(), after);
        }
        workflow
    }
}

/// Names that sort as they count: `01` to `10`.
pub(crate) fn numbers(count: usize) -> Vec<String> {
    let width = count.to_string().len();
    (1..=count).map(|n| format!("{n:0width$}")).collect()
}
