//! The sample service: Rust with the OpenTelemetry SDK.
fn main() {}
