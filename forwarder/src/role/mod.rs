//! What a process is: each role puts the parts together and runs them until the first signal.

mod all_in_one;
mod bridge;
mod dlq;
mod forward;
mod health;
mod ledger;
mod open;

pub use all_in_one::all_in_one;
pub use bridge::bridge;
pub use dlq::dlq;
pub use forward::forward;
pub use health::health;
pub use ledger::ledger;

use crate::args::ArgsError;
use crate::ask::AskError;
use crate::bridge::BridgeError;
use crate::dlq::DlqError;
use crate::forward::ForwardError;
use crate::log::LogError;
use std::net::SocketAddr;
use thiserror::Error;

/// Why a role could not start, or ended.
#[derive(Debug, Error)]
pub enum RoleError {
    /// Flags that do not go together.
    #[error(transparent)]
    Args(#[from] ArgsError),
    /// An address that cannot be listened on.
    #[error("--{flag} {address}: {source}")]
    Listen {
        /// The flag.
        flag: &'static str,
        /// Its address.
        address: SocketAddr,
        /// Why.
        source: std::io::Error,
    },
    /// The log.
    #[error("log: {0}")]
    Log(#[from] LogError),
    /// The spool.
    #[error("--spool: {0}")]
    Spool(LogError),
    /// The bridge.
    #[error("bridge: {0}")]
    Bridge(#[from] BridgeError),
    /// The forwarder.
    #[error("forwarder: {0}")]
    Forward(#[from] ForwardError),
    /// The process's own sockets or signals.
    #[error("{what}: {source}")]
    Process {
        /// What was done.
        what: &'static str,
        /// Why it failed.
        source: std::io::Error,
    },
    /// The sum does not hold; the report says why.
    #[error("the ledger does not hold: {0}")]
    Ledger(String),
    /// A directory that only its process can look into.
    #[error("{0} is open in a running process: ask that, with --admin ADDRESS and without --log")]
    Running(String),
    /// The dead letters.
    #[error("dead letters: {0}")]
    Dlq(#[from] DlqError),
    /// A role that could not be asked.
    #[error("{0}")]
    Ask(#[from] AskError),
    /// Standard output is closed.
    #[error("standard output: {0}")]
    Output(#[from] std::io::Error),
    /// A role that was asked is not ready.
    #[error("not ready: {0}")]
    NotReady(String),
}
