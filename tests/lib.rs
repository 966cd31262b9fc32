//! What the tests share: `stack` starts the real parts, `fakes` stand in for a destination,
//! `samples` make traffic, `traces` asks whether what arrived is whole, `torture` breaks everything at once,
//! `log` holds the conformance suite of the two logs, `measure` what the benchmarks have in common.

pub mod fakes;
#[path = "log/conformance/mod.rs"]
pub mod log_conformance;
pub mod measure;
pub mod samples;
pub mod stack;
pub mod torture;
pub mod traces;
