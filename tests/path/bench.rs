//! The benchmark beside the peers works: a short run takes a comparison of each part, counts every span that was acknowledged at its other
//! end, and writes its pages and plots. What it measures is not asserted here: that takes a quiet machine, and `make bench`.

use crate::harness::{Claim, Ground, Part};
use anyhow::{Result, ensure};
use spanferry_tests::stack::parts;
use spanferry_tests::stack::process::Process;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

const NEEDS: &[Part] = &[parts::bench, parts::spanferry, parts::kafka_libs, parts::jaeger];
const LIMIT: Duration = Duration::from_secs(600);
const SHORT: [&str; 11] = [
    "--quick",
    "--rounds",
    "1",
    "--spans",
    "4000",
    "--backlog",
    "10000",
    "--paced-seconds",
    "0.5",
    "--connections",
    "4",
];

/// The claims of this file.
pub fn tests() -> Vec<Claim> {
    vec![
        Claim::new("the_benchmark_counts_every_span_on_both_sides", NEEDS, |ground| {
            Box::pin(the_benchmark_counts_every_span_on_both_sides(ground))
        }),
        Claim::new("the_benchmark_draws_every_curve", NEEDS, |ground| {
            Box::pin(the_benchmark_draws_every_curve(ground))
        }),
    ]
}

/// It ends with an error of its own when one span that was acknowledged is not in the topic, or not at the sink, or twice.
async fn the_benchmark_counts_every_span_on_both_sides(ground: &Ground) -> Result<()> {
    let directory = ground.directory("bench")?;
    run(&directory, &[]).await?;
    let page = page(&directory, "performance.md")?;
    let rows = |side: &str| page.matches(&format!(" | {side} | ")).count();
    // A bridge, a forwarder, a way into the sink, one into Jaeger.
    ensure!(rows("Spanferry") == 4 && rows("Collector") == 4, "{page}");
    plots(&directory, &["performance-cpu.svg", "performance-memory.svg", "performance-latency.svg"])
}

async fn the_benchmark_draws_every_curve(ground: &Ground) -> Result<()> {
    let directory = ground.directory("bench-curves")?;
    run(&directory, &["--curves"]).await?;
    let page = page(&directory, "scaling.md")?;
    let curves: Vec<&str> = page
        .lines()
        .filter_map(|line| line.split_once("](scaling-")?.1.strip_suffix(')'))
        .collect();
    ensure!(curves.len() == 6, "{page}");
    let curves: Vec<String> = curves.iter().map(|name| format!("scaling-{name}")).collect();
    plots(&directory, &curves)
}

async fn run(directory: &Path, more: &[&str]) -> Result<()> {
    let mut command = Command::new(parts::bench()?);
    command.args(SHORT).args(more).arg("--out").arg(directory);
    let mut process = Process::start("bench", &mut command, directory)?;
    let status = process.ended(LIMIT).await?;
    ensure!(status.success(), "{status}: {}", process.tail());
    Ok(())
}

fn page(directory: &Path, name: &str) -> Result<String> {
    let page = std::fs::read_to_string(directory.join(name))?;
    ensure!(!page.contains("NaN") && !page.contains("inf "), "{page}");
    Ok(page)
}

fn plots(directory: &Path, names: &[impl AsRef<Path>]) -> Result<()> {
    for name in names {
        let plot = std::fs::read_to_string(directory.join(name))?;
        ensure!(plot.trim_end().ends_with("</svg>"), "{} has no end", name.as_ref().display());
    }
    Ok(())
}
