//! A share of `make torture`: everything is killed, stopped, cut off and refused at once, for three minutes of a run of all
//! tests, or until there were SPANFERRY_KILLS kills of each role; SPANFERRY_SEED repeats a storm.

use crate::harness::{Claim, Ground, WHOLE_PATH};
use anyhow::{Context, Result, ensure};
use spanferry_tests::torture::{self, plan::Plan};

/// How long the storm is when the number of kills does not end it.
const MINUTES: u64 = 3;

/// The claims of this file.
pub fn tests() -> Vec<Claim> {
    vec![Claim::new(
        "a_share_of_the_torture_loses_nothing_that_was_accepted",
        WHOLE_PATH,
        |ground| Box::pin(a_share_of_the_torture_loses_nothing_that_was_accepted(ground)),
    )]
}

async fn a_share_of_the_torture_loses_nothing_that_was_accepted(ground: &Ground) -> Result<()> {
    let seed = variable("SPANFERRY_SEED")?.unwrap_or_else(|| rand::random::<u32>().into());
    let plan = Plan::of(variable("SPANFERRY_KILLS")?.unwrap_or(u64::MAX), MINUTES, seed);
    let verdict = torture::run(&ground.directory("torture")?, &plan).await?;
    println!("{verdict}");
    let complaints = verdict.complaints();
    ensure!(complaints.is_empty(), "seed {seed}: {}", complaints.join("; "));
    ensure!(verdict.kills("bridges") > 0 && verdict.kills("forwarders") > 0, "nobody was killed");
    ensure!(verdict.sum.accepted > 0, "seed {seed}: nothing was accepted");
    Ok(())
}

fn variable(name: &str) -> Result<Option<u64>> {
    let Ok(text) = std::env::var(name) else { return Ok(None) };
    Ok(Some(text.parse().with_context(|| format!("{name}={text}"))?))
}
