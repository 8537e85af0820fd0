//! `beadle cron`: the schedules.

use queue::schedule::{self, Edit, Missed, Overlap, ScheduleView};
use serde_json::{Value, json};

use crate::output::{Output, or_dash, table};
use crate::process;

#[derive(clap::Subcommand)]
pub enum Command {
    /// List schedules with their next ticks
    List,
    /// Show one schedule and its next ten ticks
    Show { name: String },
    /// Change a schedule at once; deployments leave it changed
    Edit(Change),
    /// Give an edited schedule back to its declaration
    Reset { name: String },
    /// Stop a schedule until it is resumed; deployments leave it stopped
    Pause { name: String },
    /// Let a paused schedule tick again; what it missed stays missed
    Resume { name: String },
    /// Push a schedule's job now
    Run { name: String },
}

#[derive(clap::Args)]
pub struct Change {
    name: String,
    #[command(flatten)]
    fields: Fields,
}

#[derive(clap::Args)]
#[group(required = true, multiple = true)]
struct Fields {
    /// Minute, hour, day of month, month, day of week, such as "15 2 * * *"
    #[arg(long, value_name = "EXPRESSION")]
    cron: Option<String>,
    /// The time zone in which it is read, such as Europe/Paris
    #[arg(long)]
    zone: Option<String>,
    /// While an earlier job has not ended: allow, skip or queue
    #[arg(long)]
    overlap: Option<Overlap>,
    /// Ticks that nobody was there for: skip, latest, or all:N to make up to N of them
    #[arg(long)]
    missed: Option<Missed>,
    /// The job's arguments, as a JSON object
    // Of itself, clap would make any text a JSON string.
    #[arg(long, value_name = "JSON", value_parser = <Value as std::str::FromStr>::from_str)]
    args: Option<Value>,
}

const SHOWN_TICKS: usize = 10;

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
        Command::Show { name } => show(&schedule::find(&cx.pool, &name).await?, output),
        Command::Edit(Change { name, fields }) => {
            let Fields { cron, zone, overlap, missed, args } = fields;
            let edit = Edit { cron, zone, overlap, missed, args };
            show(&schedule::edit(&cx.pool, &cx.clock, &fleet.kinds(), &name, edit).await?, output)
        }
        Command::Reset { name } => {
            show(&schedule::reset(&cx.pool, &cx.clock, &name).await?, output)
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
        state(schedule),
        if schedule.paused { "-".into() } else { schedule.next_at.to_rfc3339() },
        or_dash(schedule.last_tick_at.map(|at| at.to_rfc3339())),
    ]
}

fn state(schedule: &ScheduleView) -> String {
    let state = if schedule.paused { "paused" } else { "on" };
    if schedule.edited.is_empty() { state.into() } else { format!("{state}, edited") }
}

fn show(schedule: &ScheduleView, output: Output) -> anyhow::Result<()> {
    let ticks = schedule::next_ticks(schedule, SHOWN_TICKS)?;
    let shown = json!({ "schedule": schedule, "next_ticks": ticks });
    output.show(&shown, |_| {
        let edited = schedule.edited.join(", ");
        let mut lines = vec![
            schedule.name.clone(),
            format!("state    {}", state(schedule)),
            format!("kind     {} {}", schedule.kind, schedule.args),
            format!("cron     {} in {}", schedule.cron, schedule.zone),
            format!("overlap  {}", schedule.overlap),
            format!("missed   {}", schedule.missed),
            format!("edited   {}", if edited.is_empty() { "-" } else { &edited }),
            format!("waiting  {}", or_dash(schedule.waiting_at.map(|at| at.to_rfc3339()))),
            format!("last     {}", or_dash(schedule.last_tick_at.map(|at| at.to_rfc3339()))),
            "next".into(),
        ];
        lines.extend(ticks.iter().map(|tick| format!("  {}", tick.to_rfc3339())));
        lines.join("\n")
    })
}
