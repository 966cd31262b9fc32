//! `make torture`: one storm, its sum, and exit status 1 if anything was lost, invented or changed.

use clap::Parser;
use spanferry_tests::torture::{self, plan::Plan};
use std::process::ExitCode;

#[tokio::main]
async fn main() -> ExitCode {
    let plan = Plan::parse();
    match storm(&plan).await {
        Ok(0) => ExitCode::SUCCESS,
        Ok(_) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("torture: seed {}: {error:#}", plan.seed);
            ExitCode::FAILURE
        }
    }
}

/// Runs it, prints the verdict, and keeps the logs when there is something to complain about.
async fn storm(plan: &Plan) -> anyhow::Result<usize> {
    let directory = tempfile::Builder::new().prefix("spanferry-torture-").tempdir()?;
    println!("torture: seed {}, files in {}", plan.seed, directory.path().display());
    let verdict = match torture::run(directory.path(), plan).await {
        Ok(verdict) => verdict,
        Err(error) => {
            println!("torture: logs stay in {}", directory.keep().display());
            return Err(error);
        }
    };
    println!("{verdict}");
    let complaints = verdict.complaints().len();
    if complaints > 0 {
        println!("torture: logs stay in {}", directory.keep().display());
    }
    Ok(complaints)
}
