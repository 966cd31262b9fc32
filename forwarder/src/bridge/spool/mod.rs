//! The spool: what the log does not take now is fsynced here, answered with 200, and brought to the log in order.
//!
//! `switch` decides the way of each batch: to the log, or, while the log is away or behind, to `disk` as an `entry`.
//! `pump` brings the entries to the log through the same writer, and opens the direct way again when none is left; `pace`
//! sees to it that this comes about under load.
//! While it holds anything, everything goes through it: so no batch overtakes another.
//!
//! A batch whose outcome at the log is open when the way changes is in both places. Within this process the pump waits
//! for that outcome; after a crash it is written a second time under the same source and sequence, and the forwarder
//! knows it by them. A batch that came without a number has one of the bridge's for this.

mod disk;
mod entry;
mod flight;
mod metrics;
mod numbers;
mod pace;
mod pump;
mod settings;
mod switch;

#[cfg(test)]
mod tests;

pub use metrics::SpoolMetrics;
pub use pump::run as pump;
pub use settings::SpoolSettings;
pub use switch::{Batch, Spool};
