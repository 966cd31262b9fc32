//! What the tests share: `stack` starts the real parts, `fakes` stand in for a destination,
//! `samples` make traffic, `log` holds the conformance suite of the two logs.

pub mod fakes;
#[path = "log/conformance.rs"]
pub mod log_conformance;
pub mod samples;
pub mod stack;
