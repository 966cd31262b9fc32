//! Destinations that behave as told: accept, refuse, hang, be away.

mod grpc;
pub mod sink;
pub mod wire;

pub use sink::{Behaviour, Sink};
pub use wire::WireSpan;
