//! The demonstration: three acts on the terminal, and a sum that must hold.

mod acts;
mod cast;
mod ledger;
mod screen;
mod waterfall;

use anyhow::Result;
use clap::Parser;
use screen::Screen;
use std::process::ExitCode;
use tokio::signal::unix::{SignalKind, signal};

/// Sends requests through Envoy with the filter, stops where the traces go, starts it again, and counts.
#[derive(Clone, Debug, Parser)]
pub struct Arguments {
    /// Requests in each of the three acts.
    #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    requests: u32,
    /// With real Kafka between a bridge and a forwarder, instead of all in one process.
    #[arg(long)]
    stack: bool,
    /// The built-in sink as destination even where Jaeger is at hand.
    #[arg(long, conflicts_with = "stack")]
    sink: bool,
    /// Leave everything running at the end, until Ctrl-C.
    #[arg(long)]
    stay: bool,
}

#[tokio::main]
async fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let screen = Screen::new();
    let played = tokio::select! {
        played = play(&arguments, &screen) => played,
        () = interrupted() => {
            screen.line("");
            screen.line("Stopped; every process that the demo started is gone.");
            return ExitCode::from(130);
        }
    };
    match played {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            screen.end_live();
            eprintln!("demo: {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// Plays it all; whether the sum holds. What it started is gone when it returns or is dropped.
async fn play(arguments: &Arguments, screen: &Screen) -> Result<bool> {
    screen.title();
    let mut cast = cast::Cast::start(arguments, screen).await?;
    let acts = acts::play(arguments, screen, &mut cast).await?;
    waterfall::draw(screen, &cast, &acts).await?;
    let holds = ledger::close(screen, &cast, &acts).await?;
    if arguments.stay {
        cast.say_where(screen);
        std::future::pending::<()>().await;
    }
    cast.end(screen, holds).await?;
    Ok(holds)
}

async fn interrupted() {
    let (Ok(mut interrupt), Ok(mut terminate)) =
        (signal(SignalKind::interrupt()), signal(SignalKind::terminate()))
    else {
        return std::future::pending().await;
    };
    tokio::select! {
        _ = interrupt.recv() => {}
        _ = terminate.recv() => {}
    }
}
