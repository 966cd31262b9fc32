//! Log lines on standard error, as text or as JSON. Standard output is kept for what a caller reads.

use crate::args::LogFormat;
use std::io::IsTerminal;
use thiserror::Error;
use tracing_subscriber::EnvFilter;

/// Why logging could not start.
#[derive(Debug, Error)]
pub enum LoggingError {
    /// The filter is not understood.
    #[error("--log-level {filter:?}: {detail}; examples: info, debug, warn,spanferry=debug")]
    Filter {
        /// As given.
        filter: String,
        /// What is wrong.
        detail: String,
    },
    /// Somebody else started it.
    #[error("logging: {0}")]
    Taken(String),
}

/// Starts logging for the life of the process.
pub fn start(format: LogFormat, filter: &str) -> Result<(), LoggingError> {
    let parsed = EnvFilter::builder().parse(filter).map_err(|error| LoggingError::Filter {
        filter: filter.into(),
        detail: error.to_string(),
    })?;
    let lines = tracing_subscriber::fmt().with_env_filter(parsed).with_writer(std::io::stderr);
    let started = match format {
        LogFormat::Text => lines.with_ansi(std::io::stderr().is_terminal()).try_init(),
        LogFormat::Json => lines.json().flatten_event(true).try_init(),
    };
    started.map_err(|error| LoggingError::Taken(error.to_string()))
}
