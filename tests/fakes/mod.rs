//! Destinations and networks that behave as told: accept, refuse, hang, cut, be away; and a cheap service behind a proxy.

mod grpc;
pub mod origin;
pub mod proxy;
pub mod sink;
pub mod wire;

pub use origin::Origin;
pub use sink::{Behaviour, Sink};
pub use wire::WireSpan;
