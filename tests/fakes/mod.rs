//! Destinations that behave as told: accept, refuse, hang, be away; and a cheap service behind a proxy.

mod grpc;
pub mod origin;
pub mod sink;
pub mod wire;

pub use origin::Origin;
pub use sink::{Behaviour, Sink};
pub use wire::WireSpan;
