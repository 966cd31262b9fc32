//! The whole path in one thread, without a socket, a disk or a clock: the real intake and the real forwarder over a log
//! that outlives them, crashed at thousands of places a minute.
//!
//! Each process is a runtime of its own with a clock of its own that stands still; the world runs them a slice at a time,
//! in an order drawn from a seed, and a crash drops a runtime wherever its tasks stand. `cluster` and `destination` are
//! what a crash does not touch. The seed fixes the faults and the order of the slices; the product's own draws (ids,
//! jitter, which ready branch of a select goes first) stay its own, so a seed finds the same trouble often, not always.

mod chance;
mod cluster;
mod destination;
mod group;
mod link;
mod member;
mod numbered;
mod process;
mod recent;
mod sender;
mod spool;
mod stretches;
mod tests;
mod world;
