//! `spanferry`: reads the configuration, starts the role, and ends with its exit status.

mod allocator;

use clap::{CommandFactory, Parser};
use spanferry::args::{Args, Role};
use spanferry::{config, logging, role};
use std::process::ExitCode;

fn main() -> ExitCode {
    let args = match config::with_file(&Args::command(), std::env::args_os().collect()) {
        Ok(args) => Args::parse_from(args),
        Err(error) => return failed(&error),
    };
    // What a command has to say is on standard output; its log is for trouble.
    let level = args.log_level.as_deref().unwrap_or(args.role.log_level());
    if let Err(error) = logging::start(args.log_format, level) {
        return failed(&error);
    }
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return failed(&error),
    };
    let ended = match args.role {
        Role::Bridge(args) => runtime.block_on(role::bridge(*args)),
        Role::Forward(args) => runtime.block_on(role::forward(*args)),
        Role::AllInOne(args) => runtime.block_on(role::all_in_one(*args)),
        Role::Ledger(args) => runtime.block_on(role::ledger(*args)),
        Role::Dlq(args) => runtime.block_on(role::dlq(*args)),
        Role::Health(args) => runtime.block_on(role::health(args)),
    };
    // What still blocks a thread (a log being read) must not hold up the end.
    runtime.shutdown_background();
    match ended {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => failed(&error),
    }
}

/// One line for people on standard error; exit status 1.
fn failed(error: &dyn std::error::Error) -> ExitCode {
    eprintln!("spanferry: {error}");
    ExitCode::FAILURE
}
