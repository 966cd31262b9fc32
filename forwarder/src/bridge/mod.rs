//! Receive: OTLP in, a record per trace out, and a 200 only for what is safe.
//!
//! serve (sockets) → receive (HTTP, gRPC: a batch or a final refusal) → intake (room, repeats, the wait for the
//! acknowledgement) → produce (stamp, place, append). Between intake and produce stands the spool, when there is one:
//! it takes a batch that the log does not take now, and the batch is acknowledged when it is fsynced there.

mod intake;
mod metrics;
mod produce;
mod receive;
mod refusal;
mod repeats;
mod room;
mod serve;
mod settings;
mod spool;
#[cfg(test)]
mod tests;

pub use metrics::Metrics;
pub use serve::{BridgeError, Listeners, run};
pub use settings::{RecordOf, Settings};
pub use spool::{Spool, SpoolMetrics, SpoolSettings};
#[cfg(test)]
pub(crate) use {intake::Intake, receive::router, spool::pump};
