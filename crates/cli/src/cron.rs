//! `beadle cron`: the schedules.

use queue::schedule::{self, ScheduleView};
use serde_json::json;

use crate::output::{Output, or_dash, table};
use crate::process;

#[derive(clap::Subcommand)]
pub enum Command {
    /// List schedules with their next ticks
    List,
    /// Stop a schedule until it is resumed; deployments leave it stopped
    Pause { name: String },
    /// Let a paused schedule tick again; what it missed stays missed
    Resume { name: String },
    /// Push a schedule's job now
    Run { name: String },
}

pub async fn run(command: Command, output: Output) -> anyhow::Result<()> {
    let cx = process::connect().await?;
    let fleet = workers::fleet(&cx);
    match command {
        Command::List => {
            let schedules = schedule::list(&cx.pool).await?;
            output.show(&schedules, |schedules| {
                let rows: Vec<_> = schedules.iter().map(row).collect();
                table(["NAME", "CRON", "ZONE", "STATE", "NEXT", "LAST"], &rows)
            })
        }
        Command::Pause { name } => {
            schedule::set_paused(&cx.pool, &cx.clock, &name, true).await?;
            output.show(&json!({ "name": name, "paused": true }), |_| format!("{name} is paused"))
        }
        Command::Resume { name } => {
            schedule::set_paused(&cx.pool, &cx.clock, &name, false).await?;
            output
                .show(&json!({ "name": name, "paused": false }), |_| format!("{name} ticks again"))
        }
        Command::Run { name } => {
            let job = schedule::run_now(&cx.pool, &cx.clock, &fleet.kinds(), &name).await?;
            output.show(&json!({ "name": name, "job": job }), |_| job.to_string())
        }
    }
}

fn row(schedule: &ScheduleView) -> [String; 6] {
    [
        schedule.name.clone(),
        schedule.cron.clone(),
        schedule.zone.clone(),
        if schedule.paused { "paused" } else { "on" }.into(),
        if schedule.paused { "-".into() } else { schedule.next_at.to_rfc3339() },
        or_dash(schedule.last_tick_at.map(|at| at.to_rfc3339())),
    ]
}
