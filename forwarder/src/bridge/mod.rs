//! Receive: OTLP in, a record per trace out, and a 200 only for what is safe.
//!
//! serve (sockets) → receive (HTTP, gRPC: a batch or a final refusal) → intake (room, repeats, the wait for the
//! acknowledgement) → produce (split, stamp, append). The spool has its place between intake and produce (issue 7):
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
#[cfg(test)]
mod tests;

pub use metrics::Metrics;
pub use serve::{BridgeError, Listeners, run};
pub use settings::Settings;
#[cfg(test)]
pub(crate) use {intake::Intake, receive::router};
