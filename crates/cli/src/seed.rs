//! `beadle seed`: a platform that looks lived in, to try things on.

use anyhow::bail;
use clap::value_parser;
use context::demo::{self, Inhabitants, MAX_MONTHS, MAX_USERS, Plan};

use crate::output::{Output, table};
use crate::process;

#[derive(clap::Args)]
pub struct Args {
    /// How many people there are
    #[arg(long, default_value_t = 1000, value_parser = value_parser!(u32).range(1..=i64::from(MAX_USERS)))]
    users: u32,
    /// How many months ago the first of them signed up
    #[arg(long, default_value_t = 6, value_parser = value_parser!(u32).range(1..=i64::from(MAX_MONTHS)))]
    months: u32,
    /// The same number makes the same data
    #[arg(long, default_value_t = 1)]
    seed: u32,
    /// Also where there are people who are not of a demo
    #[arg(long)]
    force: bool,
}

pub async fn seed(args: Args, output: Output) -> anyhow::Result<()> {
    let cx = process::connect().await?;
    if !args.force && demo::inhabitants(&cx.pool).await? == Inhabitants::Real {
        bail!("real people have profiles in this database; with --force the demo joins them");
    }
    let plan = Plan { users: args.users, months: args.months, seed: args.seed };
    let planted = demo::plant(&cx.pool, plan, cx.clock.now()).await?;
    output.show(&planted, |planted| {
        let rows: Vec<_> = planted
            .areas
            .iter()
            .map(|area| [area.name.to_owned(), area.rows.to_string()])
            .collect();
        table(["AREA", "ROWS"], &rows)
    })
}
