//! A job as part of a workflow: what it needed, and what it leaves to others.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;
use sqlx::postgres::PgTransaction;
use uuid::Uuid;

use super::Run;
use super::store::lock_lease;
use crate::store::{self, Extension};
use crate::workflow::{After, numbers, rows};
use crate::{Error, Push, Trace, Workflow};

/// Children, and the job that comes when all of them have ended.
#[derive(Debug)]
pub struct FanOut {
    children: Vec<Push>,
    last: Push,
    after: After,
}

/// What a job has fanned out to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FannedOut {
    pub workflow: Uuid,
    /// In the order of the call.
    pub children: Vec<Uuid>,
    pub last: Uuid,
}

/// The node that comes last.
const LAST: &str = "then";

impl FanOut {
    /// `last` starts when all children are done, and is cancelled if one is not.
    pub fn then(
        children: impl IntoIterator<Item = impl Into<Push>>,
        last: impl Into<Push>,
    ) -> Self {
        let children = children.into_iter().map(Into::into).collect();
        Self { children, last: last.into(), after: After::Done }
    }

    /// `last` starts when all children have ended, in whatever way.
    pub fn finally(
        children: impl IntoIterator<Item = impl Into<Push>>,
        last: impl Into<Push>,
    ) -> Self {
        Self { after: After::Ended, ..Self::then(children, last) }
    }
}

impl Run {
    /// What the nodes that this job needed had to say, by their names; none where one said nothing, also because
    /// it failed. Empty for a job that is not part of a workflow.
    pub async fn inputs(&self) -> Result<BTreeMap<String, Option<Value>>, Error> {
        match self.leased().workflow {
            Some(_) => Ok(store::inputs(&self.0.pool, self.job_id()).await?),
            None => Ok(BTreeMap::new()),
        }
    }

    /// Pushes children and the job that comes after them, unless the lease is lost. Whoever waits for this job
    /// waits for that one too.
    ///
    /// A job fans out once: a later attempt finds what an earlier one has pushed. They belong to its trace, and to
    /// its owner unless they name one.
    pub async fn fan_out(&self, to: FanOut) -> Result<FannedOut, Error> {
        let mut tx = self.fenced().await?;
        let fanned_out = self.push_fan(&mut tx, to).await?;
        tx.commit().await?;
        Ok(fanned_out)
    }

    /// The same in the handler's transaction, which must not commit when this fails.
    pub async fn fan_out_in(
        &self,
        tx: &mut PgTransaction<'_>,
        to: FanOut,
    ) -> Result<FannedOut, Error> {
        if self.0.notes.is_closed() || !lock_lease(tx, self.leased().token).await? {
            return Err(Error::LeaseLost);
        }
        self.push_fan(tx, to).await
    }

    async fn push_fan(&self, tx: &mut PgTransaction<'_>, to: FanOut) -> Result<FannedOut, Error> {
        if let Some(last) = store::fanned_out(tx, self.job_id()).await? {
            return Ok(FannedOut { workflow: last.workflow, children: last.needs, last: last.job });
        }
        let leased = self.leased();
        let (workflow, name, prefix) = match leased.workflow {
            Some(workflow) => {
                let name = store::node_name(tx, leased.id).await?.unwrap_or_default();
                (workflow, None, format!("{name}/"))
            }
            None => (Uuid::now_v7(), Some(leased.kind.as_str()), String::new()),
        };
        // A task that the handler started has left the trace's scope.
        let trace = || leased.trace.as_deref().and_then(Trace::parse);
        let graph = self.graph(to, &prefix);
        let rows = match Trace::current().or_else(trace) {
            Some(trace) => trace.scope(async { rows(graph) }).await?,
            None => rows(graph)?,
        };
        let mut children = rows.jobs.ids.clone();
        let last = children.pop().unwrap_or_default();
        let extension = Some(Extension { job: leased.id, by: last });
        store::push_workflow(&mut **tx, workflow, name, &rows, extension).await?;
        Ok(FannedOut { workflow, children, last })
    }

    fn graph(&self, to: FanOut, prefix: &str) -> Workflow {
        let owned = |mut push: Push| {
            push.owner = push.owner.or(self.leased().owner);
            push
        };
        let names: Vec<_> =
            numbers(to.children.len()).iter().map(|n| format!("{prefix}{n}")).collect();
        let mut graph = Workflow::named(self.leased().kind.as_str());
        for (name, child) in names.iter().zip(to.children) {
            graph = graph.add(name, owned(child));
        }
        graph.add(format!("{prefix}{LAST}"), owned(to.last)).needs(names, to.after)
    }
}
