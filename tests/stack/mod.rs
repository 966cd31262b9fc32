//! The real parts, each started on free loopback ports and stopped when dropped.

pub mod bootstrap;
pub mod console;
pub mod cores;
pub mod destination;
pub mod envoy;
pub mod http;
pub mod jaeger;
pub mod kafka;
pub mod leash;
pub mod listeners;
pub mod load;
pub mod metrics;
pub mod native;
pub mod parts;
pub mod ports;
pub mod process;
pub mod sample;
pub mod spanferry;
pub mod tmpfs;
pub mod usage;
pub mod wait;
