//! `beadle jobs why`: everything that is in a job's way.

use anyhow::bail;
use queue::inspect::{self, Why};
use uuid::Uuid;

use super::moment;
use crate::output::Output;
use crate::process;

pub async fn why(id: Uuid, output: Output) -> anyhow::Result<()> {
    let cx = process::connect().await?;
    let Some(reasons) = inspect::why(&cx.pool, id).await? else { bail!("no job has the id {id}") };
    output.show(&reasons, |reasons| reasons.iter().map(line).collect::<Vec<_>>().join("\n"))
}

fn line(why: &Why) -> String {
    let Why { reason, detail, jobs, until } = why;
    let mut line = format!("{reason:<11}  {}", detail.as_deref().unwrap_or_default());
    let until = until.map(moment).filter(|at| !line.ends_with(at));
    line.extend(until.map(|at| format!("; until {at}")));
    let whose = if reason == "waits" { "for" } else { "held by" };
    line.extend(jobs.iter().map(|job| format!("\n             {whose} {job}")));
    line.trim_end().to_owned()
}
