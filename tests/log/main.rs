//! The conformance suite on both logs.
