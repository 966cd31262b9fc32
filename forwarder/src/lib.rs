//! Spanferry's bridge and forwarder. Data flows one way: `bridge` (receive) → `log` → `forward` (export);
//! `otlp` knows the wire format and nothing else. `audit` and `dlq` look on from outside.

pub mod admin;
pub mod args;
pub mod ask;
pub mod audit;
pub mod bridge;
pub mod config;
pub mod dlq;
pub mod forward;
pub mod ledger;
pub mod log;
pub mod logging;
pub mod otlp;
pub mod role;
pub mod shutdown;
#[cfg(test)]
mod simulation;
