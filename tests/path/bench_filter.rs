//! The benchmark of the filter works: a short run measures every case and writes its page and its plot. What it measures is
//! not asserted here: that takes a quiet machine, and `make bench-filter`.

use crate::harness::{Claim, Ground, Part};
use anyhow::{Result, ensure};
use spanferry_tests::stack::parts;
use spanferry_tests::stack::process::Process;
use std::process::Command;
use std::time::Duration;

const NEEDS: &[Part] = &[parts::envoy, parts::filter, parts::bench_filter];
const LIMIT: Duration = Duration::from_secs(180);
const SHORT: [&str; 8] =
    ["--rounds", "2", "--requests", "200", "--paced-requests", "50", "--rate", "200"];

/// The claims of this file.
pub fn tests() -> Vec<Claim> {
    vec![Claim::new("the_filters_benchmark_measures_every_case", NEEDS, |ground| {
        Box::pin(the_filters_benchmark_measures_every_case(ground))
    })]
}

async fn the_filters_benchmark_measures_every_case(ground: &Ground) -> Result<()> {
    let directory = ground.directory("bench-filter")?;
    let mut command = Command::new(parts::bench_filter()?);
    command.args(SHORT).arg("--out").arg(&directory);
    let mut process = Process::start("bench-filter", &mut command, &directory)?;
    let status = process.ended(LIMIT).await?;
    ensure!(status.success(), "{status}: {}", process.tail());

    let page = std::fs::read_to_string(directory.join("filter-performance.md"))?;
    let rows = page.lines().filter(|line| line.starts_with("| ") && line.contains(" … ")).count();
    // Ten cases, five ratios, latency beside two exporters, seven steps.
    ensure!(rows == 10 + 5 + 2 + 7, "{rows} rows with figures:\n{page}");
    ensure!(!page.contains("NaN") && !page.contains("inf "), "{page}");
    let plot = std::fs::read_to_string(directory.join("filter-performance.svg"))?;
    ensure!(plot.trim_end().ends_with("</svg>"), "the plot has no end");
    Ok(())
}
