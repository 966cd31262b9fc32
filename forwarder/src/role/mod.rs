//! What a process is: each role puts the parts together and runs them until the first signal.

mod all_in_one;
mod bridge;
mod forward;
mod health;
mod open;

pub use all_in_one::all_in_one;
pub use bridge::bridge;
pub use forward::forward;
pub use health::health;

use crate::args::ArgsError;
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
    /// A role that was asked is not ready.
    #[error("not ready: {0}")]
    NotReady(String),
}
