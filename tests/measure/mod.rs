//! What the benchmarks share: figures of several rounds, and the machine on which they were taken.

pub mod machine;
pub mod request;
pub mod spread;

pub use spread::Spread;
