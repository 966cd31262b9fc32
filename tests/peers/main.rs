//! `make bench`: Spanferry beside its peers, in one run on one machine: the same requests, the same promises, rounds in which the
//! sides take turns. Writes `docs/performance.md` and its plots.

mod bridges;
mod collector;
mod corpus;
mod figures;
mod forwarders;
mod ground;
mod load;
mod page;
mod sink;
mod topic;
mod versions;
mod walk;

use anyhow::{Context, Result};
use clap::Parser;
use corpus::{FIVE, FORTY, GATEWAY};
use ground::Ground;
use load::Protocol;
use page::Results;
use std::path::PathBuf;
use std::process::ExitCode;

/// Compares Spanferry with the OpenTelemetry Collector.
#[derive(Clone, Debug, Parser)]
pub struct Arguments {
    /// Rounds; each takes every side once, in an order that turns.
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..=100))]
    rounds: u32,
    /// Spans of a side in a round, as fast as they are taken.
    #[arg(long, default_value_t = 400_000, value_parser = clap::value_parser!(u64).range(1..))]
    spans: u64,
    /// Spans of the backlog that a forwarder drains.
    #[arg(long, default_value_t = 1_000_000, value_parser = clap::value_parser!(u64).range(4..))]
    backlog: u64,
    /// How long the load at a fixed rate lasts, in seconds.
    #[arg(long, default_value_t = 4.0)]
    paced_seconds: f64,
    /// Connections of the load.
    #[arg(long, default_value_t = 32)]
    connections: usize,
    /// Partitions of each topic.
    #[arg(long, default_value_t = 8)]
    partitions: u32,
    /// From what the spans are made.
    #[arg(long, default_value_t = 8)]
    seed: u64,
    /// Only what has this in its name; repeat for more.
    #[arg(long)]
    only: Vec<String>,
    /// The directory for the page and its plots.
    #[arg(long, default_value = "docs")]
    out: PathBuf,
}

#[tokio::main]
async fn main() -> ExitCode {
    match run(Arguments::parse()).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("bench: {error:#}");
            ExitCode::FAILURE
        }
    }
}

async fn run(arguments: Arguments) -> Result<()> {
    let machine = versions::describe()?;
    let out = arguments.out.clone();
    let ground = Ground::new(arguments).await?;
    let results = measure(&ground).await?;
    let page = page::page(&ground.arguments, &results, &machine);
    println!("{page}");
    let path = out.join("performance.md");
    std::fs::write(&path, page).with_context(|| path.display().to_string())
}

async fn measure(ground: &Ground) -> Result<Results> {
    let mut results = Results::default();
    for (recipe, protocol) in [
        (FIVE, Protocol::Http),
        (GATEWAY, Protocol::Http),
        (FORTY, Protocol::Http),
        (FIVE, Protocol::Grpc),
    ] {
        let name = format!("bridge {} {}", recipe.name, protocol.name());
        if ground.wants(&name) {
            results.bridges.push(bridges::compare(ground, recipe, protocol).await.context(name)?);
        }
    }
    for (recipe, spans) in
        [(FIVE, ground.arguments.backlog), (GATEWAY, ground.arguments.backlog / 4)]
    {
        let name = format!("forwarder {}", recipe.name);
        if ground.wants(&name) {
            results
                .forwarders
                .push(forwarders::compare(ground, recipe, spans).await.context(name)?);
        }
    }
    Ok(results)
}
