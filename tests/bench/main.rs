//! `make bench-filter`: what tracing a request costs in Envoy, natively and with the filter. One run, one Envoy binary,
//! one load, rounds that take every case in turn. Writes the table and the plot of `docs/`.

mod calls;
mod cases;
mod figures;
mod floor;
mod machine;
mod page;
mod plot;
mod rounds;

use anyhow::{Context, Result};
use clap::Parser;
use std::path::PathBuf;
use std::process::ExitCode;

/// Compares what tracing costs: no tracing, Envoy's own OpenTelemetry tracer, and the filter.
#[derive(Clone, Debug, Parser)]
pub struct Arguments {
    /// Rounds; each takes every case once, in an order that turns.
    #[arg(long, default_value_t = 15, value_parser = clap::value_parser!(u32).range(1..=1000))]
    rounds: u32,
    /// Laps of a round: in each, every case has its requests for CPU time, so that what comes and goes hits all alike.
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..=1000))]
    laps: u32,
    /// Requests of one case in one lap, as fast as they are answered: for CPU time.
    #[arg(long, default_value_t = 2_000, value_parser = clap::value_parser!(u64).range(1..))]
    requests: u64,
    /// Requests of one case in one round at `--rate`: for latency.
    #[arg(long, default_value_t = 1_500, value_parser = clap::value_parser!(u64).range(1..))]
    paced_requests: u64,
    /// Requests a second for latency, well below saturation.
    #[arg(long, default_value_t = 1_500.0)]
    rate: f64,
    /// Connections of the client.
    #[arg(long, default_value_t = 8)]
    connections: usize,
    /// Envoy's worker threads.
    #[arg(long, default_value_t = 1)]
    workers: u32,
    /// The directory for `filter-performance.md` and `filter-performance.svg`.
    #[arg(long, default_value = "docs")]
    out: PathBuf,
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    let arguments = Arguments::parse();
    match run(&arguments).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("bench-filter: {error:#}");
            ExitCode::FAILURE
        }
    }
}

async fn run(arguments: &Arguments) -> Result<()> {
    let machine = machine::describe()?;
    let measured = rounds::measure(arguments).await?;
    let page = page::page(arguments, &measured, &machine);
    println!("{page}");
    let write = |name: &str, text: &str| {
        let path = arguments.out.join(name);
        std::fs::write(&path, text).with_context(|| path.display().to_string())
    };
    write("filter-performance.md", &page)?;
    write("filter-performance.svg", &plot::plot(&measured)?)
}
