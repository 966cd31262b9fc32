//! `make bench`: Spanferry beside its peers, in one run on one machine: the same requests, the same promises, rounds in which the
//! sides take turns. Writes `docs/performance.md` and its plots.

mod bridges;
mod chains;
mod collector;
mod corpus;
mod curves;
mod disk;
mod embedded;
mod ends;
mod figures;
mod flames;
mod forwarders;
mod ground;
mod load;
mod meter;
mod page;
mod plot;
mod records;
mod scaling;
mod sides;
mod sink;
mod topic;
mod turns;
mod variants;
mod versions;
mod walk;

use anyhow::{Context, Result};
use clap::Parser;
use corpus::{FIVE, FORTY, GATEWAY};
use ground::Ground;
use load::Protocol;
use page::Results;
use records::Records;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Instant;
use variants::Variant;

/// Compares Spanferry with the OpenTelemetry Collector.
#[derive(Clone, Debug, Parser)]
pub struct Arguments {
    /// Rounds; each takes every side once, in an order that turns.
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..=100))]
    rounds: u32,
    /// Spans of a side in a round, as fast as they are taken.
    #[arg(long, default_value_t = 300_000, value_parser = clap::value_parser!(u64).range(1..))]
    spans: u64,
    /// Spans of the backlog that a forwarder drains.
    #[arg(long, default_value_t = 1_000_000, value_parser = clap::value_parser!(u64).range(4..))]
    backlog: u64,
    /// How long the load at a fixed rate lasts, in seconds.
    #[arg(long, default_value_t = 6.0)]
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
    /// Not the peers, but how Spanferry's own cost grows: writes `scaling.md` and its plots.
    #[arg(long)]
    curves: bool,
    /// Not the peers, but where Spanferry's own time goes: flame graphs of bridge and forwarder, by `perf`.
    #[arg(long, conflicts_with = "curves")]
    flames: bool,
    /// Of each part one comparison, and of each curve its ends: to see that all works.
    #[arg(long)]
    quick: bool,
    /// Only what has this in its name; repeat for more.
    #[arg(long)]
    only: Vec<String>,
    /// Instead of the compressions: our bridge with these flags, as `NAME: FLAGS`; repeat for more.
    #[arg(long, value_name = "NAME: FLAGS")]
    variant: Vec<Variant>,
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
    let (machine, begin) = (versions::describe()?, Instant::now());
    let ground = Ground::new(arguments).await?;
    let arguments = &ground.arguments;
    if arguments.flames {
        flames::draw(&ground).await?.iter().try_for_each(|(name, svg)| write(&ground, name, svg))
    } else if arguments.curves {
        let curves = curves::measure(&ground).await?;
        let page = scaling::page(arguments, &curves, &machine, begin.elapsed());
        write(&ground, "scaling.md", &page)?;
        curves.curves.iter().try_for_each(|one| write(&ground, one.file, &plot::curve(one)?))
    } else {
        let results = measure(&ground).await?;
        let page = page::page(arguments, &results, &machine, begin.elapsed());
        write(&ground, "performance.md", &page)?;
        plot::all(&results)?.iter().try_for_each(|(name, svg)| write(&ground, name, svg))
    }
}

/// Writes a file of the results; a page is printed, too.
fn write(ground: &Ground, name: &str, text: &str) -> Result<()> {
    if name.ends_with(".md") {
        println!("{text}");
    }
    let path = ground.arguments.out.join(name);
    std::fs::write(&path, text).with_context(|| path.display().to_string())
}

async fn measure(ground: &Ground) -> Result<Results> {
    let (spans, backlog) = (ground.arguments.spans, ground.arguments.backlog);
    let mut results = Results::default();
    let bridges = [
        (Records::of_traces(FIVE), Protocol::Http, spans),
        (Records::of_traces(GATEWAY), Protocol::Http, spans / 3),
        (Records::of_batches(FIVE), Protocol::Http, spans),
        (Records::of_batches(GATEWAY), Protocol::Http, spans / 3),
        (Records::of_traces(FORTY), Protocol::Http, spans),
        (Records::of_traces(FIVE), Protocol::Grpc, spans),
    ];
    for (records, protocol, spans) in ground.some_of(&bridges) {
        let name = format!("bridge {} {}", records.name(), protocol.name());
        if ground.wants(&name) {
            let compared = bridges::compare(ground, records, protocol, spans).await;
            results.bridges.push(compared.context(name)?);
        }
    }
    for (recipe, spans) in ground.some_of(&[(FIVE, spans), (GATEWAY, spans / 3)]) {
        let name = format!("settings {}", recipe.name);
        if ground.wants(&name) {
            results.settings.extend(variants::measure(ground, recipe, spans).await.context(name)?);
        }
    }
    let forwarders = [
        (Records::of_traces(FIVE), Protocol::Grpc, backlog),
        (Records::of_traces(FIVE), Protocol::Http, backlog),
        (Records::of_traces(GATEWAY), Protocol::Grpc, backlog / 5),
        (Records::of_batches(GATEWAY), Protocol::Grpc, backlog / 5),
    ];
    for (records, protocol, spans) in ground.some_of(&forwarders) {
        let name = format!("forwarder {} {}", records.name(), protocol.name());
        if ground.wants(&name) {
            let compared = forwarders::compare(ground, records, protocol, spans).await;
            results.forwarders.push(compared.context(name)?);
        }
    }
    for (recipe, spans) in ground.some_of(&[(FIVE, spans), (GATEWAY, spans / 3)]) {
        let name = format!("chain {}", recipe.name);
        if ground.wants(&name) {
            results.chains.push(chains::compare(ground, recipe, spans).await.context(name)?);
        }
    }
    if ground.wants("jaeger") {
        results.ends.push(ends::compare(ground, FIVE, spans / 2).await.context("into Jaeger")?);
    }
    for (recipe, spans) in ground.some_of(&[(FIVE, spans), (GATEWAY, spans)]) {
        let name = format!("embedded {}", recipe.name);
        if ground.wants(&name) {
            results.embedded.push(embedded::measure(ground, recipe, spans).await.context(name)?);
        }
    }
    Ok(results)
}
