//! The command line: each flag is also an environment variable and a key of the `--config` file, under the same name.

mod log_args;
mod operators;
mod roles;
mod units;

pub use log_args::{ArgsError, LogArgs};
pub use operators::{DlqAction, DlqArgs, LedgerArgs};
pub use roles::{
    AllInOneArgs, BridgeArgs, ForwardArgs, HealthArgs, ProcessArgs, ReceiveArgs, SendArgs,
    SpoolArgs,
};

use clap::{Parser, Subcommand, ValueEnum};
use std::path::PathBuf;

/// Tracing that survives an outage.
#[derive(Debug, Parser)]
#[command(name = "spanferry", version = version(), max_term_width = 100)]
pub struct Args {
    /// What this process is.
    #[command(subcommand)]
    pub role: Role,
    /// A YAML file with the long flags as keys; flags and environment win over it.
    #[arg(long, global = true, env = "SPANFERRY_CONFIG", value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// How log lines look, on standard error.
    #[arg(long, global = true, env = "SPANFERRY_LOG_FORMAT", default_value = "text")]
    pub log_format: LogFormat,
    /// What is logged: a level, or a filter as in `info,spanferry::forward=debug`; by default `info`, of commands `warn`.
    #[arg(long, global = true, env = "SPANFERRY_LOG_LEVEL", value_name = "FILTER")]
    pub log_level: Option<String>,
}

/// With the commit, where the build was told of it (`SPANFERRY_COMMIT`, as `make bench` does).
fn version() -> String {
    let version = env!("CARGO_PKG_VERSION");
    let commit = option_env!("SPANFERRY_COMMIT").map(|commit| format!(" ({commit})"));
    format!("{version}{}", commit.unwrap_or_default())
}

/// The form of log lines.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum LogFormat {
    /// For people.
    Text,
    /// One JSON object a line.
    Json,
}

/// One binary, several roles.
#[derive(Debug, Subcommand)]
pub enum Role {
    /// Take OTLP from filters and SDKs; answer 200 when the log has the spans safe.
    Bridge(Box<BridgeArgs>),
    /// Drain the log into a destination; commit only what it took.
    Forward(Box<ForwardArgs>),
    /// Bridge, a log on disk and forwarder in one process, without Kafka.
    AllInOne(Box<AllInOneArgs>),
    /// Add up what became of every span; exit status 0 when the sum holds.
    Ledger(Box<LedgerArgs>),
    /// Look at dead letters, send them again, or let them go.
    Dlq(Box<DlqArgs>),
    /// Ask a running role's /readyz; exit status 0 when it is ready.
    Health(HealthArgs),
}

impl Role {
    /// What is logged when nothing is said.
    pub fn log_level(&self) -> &'static str {
        match self {
            Self::Bridge(_) | Self::Forward(_) | Self::AllInOne(_) => "info",
            Self::Ledger(_) | Self::Dlq(_) | Self::Health(_) => "warn",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn the_command_line_is_sound() {
        Args::command().debug_assert();
    }

    #[test]
    fn every_flag_of_a_role_has_its_environment_variable_and_its_help() {
        for role in Args::command().get_subcommands() {
            for arg in
                role.get_arguments().filter(|arg| arg.get_long().is_some_and(|l| l != "help"))
            {
                assert!(arg.get_env().is_some(), "{} --{:?}", role.get_name(), arg.get_long());
                assert!(arg.get_help().is_some(), "{} --{:?}", role.get_name(), arg.get_long());
            }
        }
    }
}
