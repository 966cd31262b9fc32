//! Traffic: the sample service and the driver that sends it requests.

pub mod driver;
pub mod service;
pub mod telemetry;
