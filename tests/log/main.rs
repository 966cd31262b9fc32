//! The conformance suite on both logs.

mod embedded;
mod kafka;
