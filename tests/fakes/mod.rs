//! Destinations and networks that behave as told: accept, refuse, hang, cut, be away; and services behind a proxy.

pub mod grpc;
pub mod grpc_service;
pub mod mirror;
pub mod oddities;
pub mod origin;
pub mod proxy;
pub mod sink;
pub mod wire;

pub use grpc_service::GrpcService;
pub use mirror::Mirror;
pub use oddities::Oddities;
pub use origin::Origin;
pub use sink::{Behaviour, Sink};
pub use wire::WireSpan;
